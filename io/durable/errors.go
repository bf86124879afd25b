package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"lsrun/shard"
)

// errReadBack is storage that returns other bytes than were written.
var errReadBack = errors.New("the disk returned other bytes than were written")

// remedies are the errors of storage itself: nothing is wrong with what was asked for,
// but it cannot be kept or fetched here.
var remedies = map[error]string{
	syscall.ENOSPC:       "free some space, then give the same command again",
	syscall.EDQUOT:       "your quota is used up: free some space, then give the same command again",
	syscall.EFBIG:        "a limit on file sizes (ulimit -f) or the file system forbids so large a file",
	syscall.EIO:          "the device or network file system failed: the system log says more",
	syscall.ESTALE:       "the network file system lost the file: give the same command again",
	syscall.ETIMEDOUT:    "the network file system does not answer: give the same command again",
	syscall.ENOTCONN:     "the network file system is not connected: have it mounted again",
	syscall.ESHUTDOWN:    "the network file system is not connected: have it mounted again",
	syscall.ENODEV:       "the device is gone",
	syscall.ENXIO:        "the device is gone",
	syscall.EROFS:        "choose a folder on a file system that can be written",
	syscall.EACCES:       "choose a folder that you may write, or have its permissions changed",
	syscall.EPERM:        "choose a folder that you may write, or have its permissions changed",
	syscall.ENAMETOOLONG: "choose a shorter path",
	syscall.ELOOP:        "a symbolic link stands in the way: remove it, or mend it if it is yours and leads nowhere",
	syscall.EMFILE:       "too many open files: raise ulimit -n",
	syscall.ENFILE:       "too many open files on this machine",
	shard.ErrIrregular:   "lsrun takes plain files only: choose another name",
	errReadBack:          "the device or network file system is faulty: choose another folder",
}

// Storage reports whether err came from storage: no space or quota, an I/O error, a
// read-only or forbidden place, a name or file that it cannot hold. A file that is
// missing, or there already, is no such error.
func Storage(err error) bool {
	for known := range remedies {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// wrap says what was done to which file and, where it is known, what to do about it. The
// path in err, if any, may be a temporary one.
func wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var inPath *fs.PathError
	var inLink *os.LinkError
	switch {
	case errors.As(err, &inPath):
		err = inPath.Err
	case errors.As(err, &inLink):
		err = inLink.Err
	}
	named := &fs.PathError{Op: op, Path: path, Err: err}
	for known, remedy := range remedies {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %s", named, remedy)
		}
	}
	return named
}
