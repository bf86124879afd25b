// Package durable puts files on the disk so that a crash at any moment leaves either the
// whole file or none, and reports every error of writing, syncing and closing.
//
// A published file is written under a temporary name in its own folder (".tmp-" and
// sixteen random hexadecimal digits: what a crash may leave, safe to delete), synced,
// closed, read back and compared, renamed, and its folder synced; only what Rewrite
// writes is not synced. Nothing is written through a symbolic link. Linux only.
package durable

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"lsrun/shard"
)

// Files is shard.Files on the real file system. The zero value is ready; it may be used
// from several goroutines.
type Files struct{ sys system }

var _ shard.Files = Files{}

func (d Files) system() system {
	if d.sys == nil {
		return kernel{}
	}
	return d.sys
}

// ReadFile returns what path holds. On a network file system one that is replaced meanwhile goes stale: then it is
// opened once more.
func (d Files) ReadFile(path string) ([]byte, error) {
	const attempts = 4
	data, err := d.system().read(path)
	for i := 1; i < attempts && errors.Is(err, syscall.ESTALE); i++ {
		data, err = d.system().read(path)
	}
	return data, wrap("read", path, err)
}

// ReadDir lists the names in a folder, sorted; a folder that is not there has none. A symbolic
// link is followed only where path ends in "/.".
func (d Files) ReadDir(path string) ([]string, error) {
	names, err := d.system().list(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, wrap("list", path, err)
}

// MkdirAll makes a folder and those above it, each on the disk before the next. A symbolic link does for
// those above it only.
func (d Files) MkdirAll(path string) error {
	path = filepath.Clean(path)
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		return wrap("make folder", path, syscall.ELOOP)
	case err == nil:
		return wrap("make folder", path, syscall.ENOTDIR)
	case !errors.Is(err, fs.ErrNotExist):
		return wrap("make folder", path, err)
	}
	if above := filepath.Dir(path); !isFolder(above) {
		if err := d.MkdirAll(above); err != nil {
			return err
		}
	}
	// Another process may have been faster.
	if err := d.system().mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return wrap("make folder", path, err)
	}
	return d.syncFolder(path)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Publish makes path hold data, whole or not at all. It replaces what was there.
func (d Files) Publish(path string, data []byte) error {
	return d.publish(path, data, d.system().rename)
}

// PublishNew is Publish, but fails with fs.ErrExist where path is taken.
func (d Files) PublishNew(path string, data []byte) error {
	return d.publish(path, data, d.moveNew)
}

func (d Files) publish(path string, data []byte, move func(from, to string) error) error {
	sys := d.system()
	temp := tempName(path)
	f, err := sys.open(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return wrap("create", path, err)
	}
	err = wrap("write", path, d.fill(f, data, true))
	if err == nil {
		err = d.compare(temp, path, data)
	}
	if err == nil {
		err = wrap("publish", path, move(temp, path))
	}
	if errors.Is(err, fs.ErrNotExist) && d.compare(path, path, data) == nil { // a server's answer was lost, and asking again found it done
		err = nil
	}
	if err != nil {
		sys.remove(temp)
		return err
	}
	return d.syncFolder(path)
}

// fill writes data to f, syncs it if it is to be durable, and closes it in any case; the first error counts.
func (d Files) fill(f *os.File, data []byte, durable bool) error {
	sys := d.system()
	err := sys.write(f, data)
	if err == nil && durable {
		err = sys.sync(f)
	}
	if closed := sys.close(f); err == nil {
		err = closed
	}
	return err
}

// compare reads temp back; path is what the error names.
func (d Files) compare(temp, path string, data []byte) error {
	got, err := d.system().read(temp)
	if err == nil && !bytes.Equal(got, data) {
		err = errReadBack
	}
	return wrap("read back", path, err)
}

// moveNew renames without replacing. Where the file system cannot do that in one call
// (NFS), a hard link takes the name and the old one is removed.
func (d Files) moveNew(from, to string) error {
	sys := d.system()
	err := sys.renameNew(from, to)
	if !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	// A server's lost answer makes a link that succeeded look taken.
	if err := sys.link(from, to); err != nil && !sameFile(from, to) {
		return err
	}
	return sys.remove(from)
}

func sameFile(a, b string) bool {
	left, err := os.Lstat(a)
	if err != nil {
		return false
	}
	right, err := os.Lstat(b)
	return err == nil && os.SameFile(left, right)
}

// Rename moves a file without replacing one: fs.ErrExist if the new name is taken.
func (d Files) Rename(from, to string) error {
	if err := wrap("rename", from, d.moveNew(from, to)); err != nil {
		return err
	}
	if err := d.syncFolder(to); err != nil {
		return err
	}
	return d.syncFolder(from)
}

// Remove deletes a file; fs.ErrNotExist if there is none.
func (d Files) Remove(path string) error { return wrap("remove", path, d.system().remove(path)) }

// Claim makes path hold data; fs.ErrExist if it is taken. Nobody sees it empty, whenever its maker is killed: a claim that
// does not say whose it is could only be waited for.
func (d Files) Claim(path string, data []byte) error {
	if _, err := os.Lstat(path); err == nil { // mostly, and without a file of one's own
		return wrap("claim", path, fs.ErrExist)
	}
	return d.PublishNew(path, data)
}

// Rewrite replaces a claim of one's own. It is a rename, not a write in place: local file
// systems do show readers half of a write, however short. Nothing is synced: where the power
// fails the claim may hold what it held before, or nothing. A claim that is gone is not
// made again: fs.ErrNotExist.
func (d Files) Rewrite(path string, data []byte) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = syscall.ELOOP
	}
	if err != nil {
		return wrap("rewrite", path, err)
	}
	sys, temp := d.system(), tempName(path)
	f, err := sys.open(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return wrap("rewrite", path, err)
	}
	if err = d.fill(f, data, false); err == nil {
		err = sys.rename(temp, path)
	}
	if err != nil {
		sys.remove(temp)
	}
	return wrap("rewrite", path, err)
}

// Append opens path for appending, creating it.
func (d Files) Append(path string) (shard.Appender, error) {
	sys := d.system()
	f, err := sys.open(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, wrap("open", path, err)
	}
	if err := d.syncFolder(path); err != nil {
		sys.close(f)
		return nil, err
	}
	return &appender{sys: sys, file: f, path: path}, nil
}

type appender struct {
	sys  system
	file *os.File
	path string
	err  error // the first one is final: what follows a torn write would be lost behind it
}

func (a *appender) Append(data []byte) error {
	if a.err == nil {
		a.err = wrap("append to", a.path, a.sys.write(a.file, data))
	}
	if a.err == nil {
		a.err = wrap("sync", a.path, a.sys.sync(a.file))
	}
	return a.err
}

func (a *appender) Close() error {
	err := wrap("close", a.path, a.sys.close(a.file))
	if a.err != nil {
		return a.err
	}
	return err
}

// syncFolder puts path's name on the disk. Some network file systems cannot sync a
// folder, and need not.
func (d Files) syncFolder(path string) error {
	sys := d.system()
	f, err := sys.open(filepath.Dir(path)+"/.", os.O_RDONLY) // "/.": the folder may be a symbolic link
	if err != nil {
		return wrap("sync the folder of", path, err)
	}
	if err = sys.sync(f); errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	if closed := sys.close(f); err == nil {
		err = closed
	}
	return wrap("sync the folder of", path, err)
}

func tempName(path string) string {
	var b [8]byte
	rand.Read(b[:])
	return filepath.Join(filepath.Dir(path), shard.TemporaryPrefix+hex.EncodeToString(b[:]))
}
