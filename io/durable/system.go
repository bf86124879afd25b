package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"lsrun/shard"
)

// system is the calls that change or read the disk, one method each. Their errors need
// not name a file: files adds that.
type system interface {
	open(path string, flag int) (*os.File, error)
	write(f *os.File, data []byte) error
	sync(f *os.File) error
	close(f *os.File) error
	read(path string) ([]byte, error)
	list(path string) ([]string, error) // of names, sorted
	mkdir(path string) error
	rename(from, to string) error    // replaces
	renameNew(from, to string) error // does not
	link(from, to string) error
	remove(path string) error
}

// kernel is the system itself. Files and folders get the user's umask.
type kernel struct{}

func (kernel) open(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|unix.O_NOFOLLOW, 0o666)
}

func (kernel) write(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return err
}

func (kernel) sync(f *os.File) error        { return f.Sync() }
func (kernel) mkdir(path string) error      { return os.Mkdir(path, 0o777) }
func (kernel) rename(from, to string) error { return os.Rename(from, to) }
func (kernel) link(from, to string) error   { return os.Link(from, to) }
func (kernel) remove(path string) error     { return os.Remove(path) }

// close takes an interrupted call for done: Linux has closed the file, and what it held was synced before.
func (kernel) close(f *os.File) error {
	if err := f.Close(); !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

// read tells a symbolic link to nothing, whose name is taken, from a file that is not there: ELOOP. It does not wait for what
// others may write into a pipe.
func (kernel) read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) && isLink(path):
		return nil, unix.ELOOP
	case errors.Is(err, unix.ENXIO): // a socket
		return nil, shard.ErrIrregular
	case err != nil:
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, unix.EISDIR
	case !info.Mode().IsRegular():
		return nil, shard.ErrIrregular
	}
	data := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	_, err = data.ReadFrom(f)
	return data.Bytes(), err
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

func (kernel) list(path string) ([]string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOTDIR) && isLink(path) {
		err = unix.ELOOP
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// renameNew asks again when a signal interrupts it, as package os does, which has no such call.
func (kernel) renameNew(from, to string) error {
	for {
		if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE); err != unix.EINTR {
			return err
		}
	}
}
