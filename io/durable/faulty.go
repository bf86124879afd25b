package durable

import (
	"os"
	"sync/atomic"
	"syscall"
)

// Fault makes one system call of a Faulty file system fail.
type Fault struct {
	At    int   // the call, counted from 0
	Err   error // what it returns, such as syscall.ENOSPC; a write first puts half of its data down
	Crash bool  // every later call fails too and does nothing, as if the machine were gone
	Kill  bool  // the process dies of SIGKILL instead

	calls atomic.Int64
}

// Hit reports whether the call was reached. A test raises At from 0 until it was not.
func (f *Fault) Hit() bool { return f.calls.Load() > int64(f.At) }

// Faulty is the file system with a fault in it, for tests.
func Faulty(f *Fault) Files { return Files{faulty{f}} }

// next counts a call and returns the error that it must fail with. half, which may be nil, is what the
// failing call does nevertheless.
func (f *Fault) next(half func()) error {
	n := f.calls.Add(1) - 1
	if n > int64(f.At) && f.Crash {
		return syscall.EIO
	}
	if n != int64(f.At) {
		return nil
	}
	if half != nil {
		half()
	}
	if f.Kill {
		syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {} // until it has arrived
	}
	return f.Err
}

type faulty struct{ *Fault }

func (f faulty) open(path string, flag int) (*os.File, error) {
	if err := f.next(nil); err != nil {
		return nil, err
	}
	return kernel{}.open(path, flag)
}

func (f faulty) write(file *os.File, data []byte) error {
	if err := f.next(func() { kernel{}.write(file, data[:len(data)/2]) }); err != nil {
		return err
	}
	return kernel{}.write(file, data)
}

func (f faulty) close(file *os.File) error {
	fault := f.next(nil)
	err := file.Close() // in any case: the test goes on
	if fault != nil {
		return fault
	}
	return err
}

func (f faulty) read(path string) ([]byte, error) {
	if err := f.next(nil); err != nil {
		return nil, err
	}
	return kernel{}.read(path)
}

func (f faulty) list(path string) ([]string, error) {
	if err := f.next(nil); err != nil {
		return nil, err
	}
	return kernel{}.list(path)
}

func (f faulty) sync(file *os.File) error {
	return f.or(func() error { return kernel{}.sync(file) })
}
func (f faulty) mkdir(path string) error {
	return f.or(func() error { return kernel{}.mkdir(path) })
}
func (f faulty) rename(from, to string) error {
	return f.or(func() error { return kernel{}.rename(from, to) })
}
func (f faulty) renameNew(from, to string) error {
	return f.or(func() error { return kernel{}.renameNew(from, to) })
}
func (f faulty) link(from, to string) error {
	return f.or(func() error { return kernel{}.link(from, to) })
}
func (f faulty) remove(path string) error {
	return f.or(func() error { return kernel{}.remove(path) })
}

// or is call, unless this is a call that fails.
func (f faulty) or(call func() error) error {
	if err := f.next(nil); err != nil {
		return err
	}
	return call()
}
