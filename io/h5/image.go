package h5

// #cgo CFLAGS: -I/usr/local/include
// #cgo linux,amd64 CFLAGS: -I/usr/lib/x86_64-linux-gnu/hdf5/serial/include
// #cgo linux,arm64 CFLAGS: -I/usr/lib/aarch64-linux-gnu/hdf5/serial/include
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"gonum.org/v1/hdf5"
)

// library serialises all use of HDF5, which is not safe for threads.
var library sync.Mutex

// locked runs f with HDF5 to itself, on one thread: HDF5's errors belong to threads.
func locked(f func() error) error {
	library.Lock()
	defer library.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.shim_silence()
	return f()
}

// reason is what HDF5 says about the call that has just failed.
func reason() error {
	var text [1024]C.char
	C.shim_reason(&text[0], C.size_t(len(text)))
	if text[0] == 0 {
		return errors.New("HDF5 gives no reason")
	}
	return errors.New(C.GoString(&text[0]))
}

// file makes the package hdf5's handle of an open file. The two are the same word.
func file(id C.hid_t) *hdf5.File { return (*hdf5.File)(unsafe.Pointer(&id)) }

var _ [unsafe.Sizeof(hdf5.File{})]byte = [unsafe.Sizeof(C.hid_t(0))]byte{}

func handle(i interface{ ID() int64 }) C.hid_t { return C.hid_t(i.ID()) }

// text is s for C; a zero byte would cut it there.
func text(s string) (*C.char, func(), error) {
	for i := range len(s) {
		if s[i] == 0 {
			return nil, nil, fmt.Errorf("%q holds a zero byte, which HDF5's strings cannot", s)
		}
	}
	c := C.CString(s)
	return c, func() { C.free(unsafe.Pointer(c)) }, nil
}

// openIDs is the number of HDF5's identifiers in use; for the tests, which cannot use cgo.
func openIDs() int { return int(C.shim_open_ids()) }

// Version is the version of libhdf5 that this program runs with.
func Version() string {
	var major, minor, release C.uint
	if err := locked(func() error {
		if C.H5get_libversion(&major, &minor, &release) < 0 {
			return reason()
		}
		return nil
	}); err != nil {
		return "unknown: " + err.Error()
	}
	return fmt.Sprintf("%d.%d.%d", major, minor, release)
}
