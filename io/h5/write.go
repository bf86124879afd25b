package h5

// #include "shim.h"
import "C"

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unsafe"

	"gonum.org/v1/hdf5"
)

// writer fills a file in memory. Its first error is final.
type writer struct {
	file *hdf5.File
	err  error
}

// encode returns the sealed bytes of the file that fill makes.
func encode(what string, fill func(*writer)) (data []byte, err error) {
	err = locked(func() error {
		id := C.shim_create()
		if id < 0 {
			return reason()
		}
		w := &writer{file: file(id)}
		fill(w)
		if w.err == nil {
			data, w.err = w.bytes()
		}
		if err := w.file.Close(); err != nil && w.err == nil {
			w.err = reason()
		}
		return w.err
	})
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", what, err)
	}
	return seal(data), nil
}

func (w *writer) bytes() ([]byte, error) {
	id := handle(w.file)
	if C.H5Fflush(id, C.H5F_SCOPE_LOCAL) < 0 {
		return nil, reason()
	}
	size := C.H5Fget_file_image(id, nil, 0)
	if size <= 0 {
		return nil, reason()
	}
	data := make([]byte, size)
	if C.H5Fget_file_image(id, unsafe.Pointer(&data[0]), C.size_t(size)) != size {
		return nil, reason()
	}
	return data, nil
}

// group makes a group.
func (w *writer) group(path string) {
	if w.err != nil {
		return
	}
	g, err := w.file.CreateGroup(path)
	if err != nil {
		w.err = fmt.Errorf("group %s: %w", path, reason())
		return
	}
	g.Close()
}

// floats, singles, integers and bytes make datasets of the given shape; a nil shape makes
// a scalar.
func (w *writer) floats(path string, v []float64, shape ...int) {
	w.numbers(path, hdf5.T_NATIVE_DOUBLE, unsafe.Pointer(unsafe.SliceData(v)), len(v), shape)
}
func (w *writer) singles(path string, v []float32, shape ...int) {
	w.numbers(path, hdf5.T_NATIVE_FLOAT, unsafe.Pointer(unsafe.SliceData(v)), len(v), shape)
}
func (w *writer) integers(path string, v []int64, shape ...int) {
	w.numbers(path, hdf5.T_NATIVE_INT64, unsafe.Pointer(unsafe.SliceData(v)), len(v), shape)
}
func (w *writer) bytes8(path string, v []uint8, shape ...int) {
	w.numbers(path, hdf5.T_NATIVE_UINT8, unsafe.Pointer(unsafe.SliceData(v)), len(v), shape)
}

func (w *writer) numbers(path string, typ *hdf5.Datatype, data unsafe.Pointer, n int, shape []int) {
	if w.err != nil {
		return
	}
	dims := make([]C.hsize_t, len(shape)+1) // one more: &dims[0] must be there for a scalar
	size := 1
	for i, d := range shape {
		dims[i] = C.hsize_t(d)
		size *= d
	}
	if size != n {
		w.err = fmt.Errorf("dataset %s: %d values do not fill the shape %v", path, n, shape)
		return
	}
	name, free, err := text(path)
	if err != nil {
		w.err = err
		return
	}
	defer free()
	if C.shim_write(handle(w.file), name, handle(typ), C.int(len(shape)), &dims[0], data) < 0 {
		w.err = fmt.Errorf("dataset %s: %w", path, reason())
	}
}

// text makes a scalar string as h5py does.
func (w *writer) text(path, value string) {
	w.strings("dataset "+path, path, value, func(name, value *C.char) C.herr_t {
		return C.shim_write_text(handle(w.file), name, value)
	})
}

// attribute gives a group that is there a string.
func (w *writer) attribute(group, name, value string) {
	if w.err != nil {
		return
	}
	g, err := w.file.OpenGroup(group)
	if err != nil {
		w.err = fmt.Errorf("group %s: %w", group, reason())
		return
	}
	defer g.Close()
	w.strings("attribute "+name+" of "+group, name, value, func(name, value *C.char) C.herr_t {
		return C.shim_write_attribute(handle(g), name, value)
	})
}

func (w *writer) strings(what, name, value string, write func(name, value *C.char) C.herr_t) {
	if w.err != nil {
		return
	}
	cName, free, err := text(name)
	if err != nil {
		w.err = fmt.Errorf("%s: %w", what, err)
		return
	}
	defer free()
	cValue, free, err := text(value)
	if err != nil {
		w.err = fmt.Errorf("%s: %w", what, err)
		return
	}
	defer free()
	if write(cName, cValue) < 0 {
		w.err = fmt.Errorf("%s: %w", what, reason())
	}
}

// notes makes attributes of a group.
func (w *writer) notes(group string, notes map[string]string) {
	for _, name := range sortedKeys(notes) {
		w.attribute(group, name, notes[name])
	}
}

// simpleName refuses names that would lead into another group.
func (w *writer) simpleName(name string) {
	if w.err == nil && (name == "" || name == "." || strings.Contains(name, "/")) {
		w.err = fmt.Errorf("%q cannot be the name of a dataset", name)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// integral reports whether v is an integer that float32 and int64 both hold.
func integral(v float32) bool {
	return float64(v) == math.Trunc(float64(v)) && math.Abs(float64(v)) < 1<<63
}
