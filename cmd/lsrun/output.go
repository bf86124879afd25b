package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"lsrun/shard"
)

// publishResult writes what can be made again, over a file of its own kind: one that begins with the same bytes, as many as
// tell the kind. Anything else in the way stays; of a symbolic link the link alone is replaced.
func publishResult(path string, data []byte, kind int) error {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return files.Publish(path, data)
	}
	there, err := files.ReadFile(path)
	if err == nil && len(there) > 0 && !bytes.HasPrefix(there, data[:kind]) {
		return fmt.Errorf("%w: %s is there already and is something else: choose another name for -o", shard.ErrRefused, path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return files.Publish(path, data)
}

// publishOnce writes a file, and refuses to replace another by it.
func publishOnce(path string, data []byte) error {
	err := files.PublishNew(path, data)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if there, err := files.ReadFile(path); err != nil || bytes.Equal(there, data) {
		return err
	}
	return fmt.Errorf("%w: %s is there already, with other content: choose another name", shard.ErrRefused, path)
}
