package h5

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"gonum.org/v1/hdf5"

	"lsrun/shard"
)

// signature begins every HDF5 file without a user block.
var signature = []byte("\x89HDF\r\n\x1a\n")

// reader is an open file in memory.
type reader struct {
	file *hdf5.File
	size int // of the file
}

// value is what a dataset holds, converted to the type of this machine that keeps it.
type value struct {
	shape []int // empty for a scalar
	data  any   // []float32, []float64, []uint8, []int64 or string
}

// decode opens data and hands it to use. Every error that it returns is shard.ErrCorrupt:
// the file is not what was expected.
func decode(what string, data []byte, use func(*reader) error) error {
	fail := func(err error) error {
		return fmt.Errorf("%w: reading %s: %w", shard.ErrCorrupt, what, err)
	}
	switch {
	case len(data) == 0:
		return fail(fmt.Errorf("the file is empty"))
	case !bytes.HasPrefix(data, signature):
		return fail(fmt.Errorf("this is not an HDF5 file"))
	}
	image, err := unseal(data)
	if err != nil {
		return fail(err)
	}
	err = locked(func() error {
		id := C.shim_open(unsafe.Pointer(&image[0]), C.size_t(len(image)))
		if id < 0 {
			return whyClosed(len(data))
		}
		r := &reader{file: file(id), size: len(image)}
		err := use(r)
		if closed := r.file.Close(); err == nil && closed != nil {
			err = reason()
		}
		return err
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// whyClosed is why a file of so many bytes has just not been opened.
func whyClosed(bytes int) error {
	err := reason()
	if strings.Contains(err.Error(), "truncated file") {
		return fmt.Errorf("it is cut short: only its first %d bytes are there", bytes)
	}
	return err
}

// names lists what is in a group, in HDF5's order: by bytes.
func (r *reader) names(group string) ([]string, error) {
	g, err := r.file.OpenGroup(group)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, reason())
	}
	defer g.Close()
	n, err := g.NumObjects()
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, reason())
	}
	var names []string
	for i := range n {
		name, err := g.ObjectNameByIndex(i)
		if err != nil {
			return nil, fmt.Errorf("group %s, entry %d: %w", group, i, reason())
		}
		names = append(names, name)
	}
	return names, nil
}

// isDataset reports whether path leads to a dataset.
func (r *reader) isDataset(path string) (bool, error) {
	name, free, err := text(path)
	if err != nil {
		return false, err
	}
	defer free()
	id := C.H5Oopen(handle(r.file), name, C.H5P_DEFAULT)
	if id < 0 {
		return false, fmt.Errorf("%s: %w", path, reason())
	}
	defer C.H5Oclose(id)
	return C.H5Iget_type(id) == C.H5I_DATASET, nil
}

// kind is what a dataset is.
type kind struct {
	shape  []int
	class  hdf5.TypeClass
	size   int // bytes an element
	signed bool
}

// String names the type as NumPy does.
func (k kind) String() string {
	switch {
	case k.class == hdf5.T_FLOAT:
		return fmt.Sprintf("float%d", 8*k.size)
	case k.class == hdf5.T_INTEGER && k.signed:
		return fmt.Sprintf("int%d", 8*k.size)
	case k.class == hdf5.T_INTEGER:
		return fmt.Sprintf("uint%d", 8*k.size)
	case k.class == hdf5.T_STRING:
		return "string"
	case k.class == hdf5.T_ENUM:
		return "enumeration"
	case k.class == hdf5.T_COMPOUND:
		return "compound"
	}
	return fmt.Sprintf("HDF5 class %d", int(k.class))
}

// numeric reports whether floats can read it.
func (k kind) numeric() bool {
	return k.class == hdf5.T_FLOAT || k.class == hdf5.T_INTEGER || k.class == hdf5.T_ENUM
}

func (k kind) elements() int {
	n := 1
	for _, d := range k.shape {
		n *= d
	}
	return n
}

// open opens a dataset and finds out what it is.
func (r *reader) open(path string) (*hdf5.Dataset, kind, error) {
	set, err := r.file.OpenDataset(path)
	if err != nil {
		return nil, kind{}, fmt.Errorf("dataset %s: %w", path, reason())
	}
	k, err := r.kind(set)
	if err != nil {
		set.Close()
		return nil, kind{}, fmt.Errorf("dataset %s: %w", path, err)
	}
	return set, k, nil
}

func (r *reader) kind(set *hdf5.Dataset) (kind, error) {
	typ, err := set.Datatype()
	if err != nil {
		return kind{}, reason()
	}
	defer typ.Close()
	k := kind{class: typ.Class(), size: int(typ.Size())}
	k.signed = C.H5Tget_sign(handle(typ)) == C.H5T_SGN_2
	space := set.Space()
	if space == nil {
		return kind{}, reason()
	}
	defer space.Close()
	switch space.SimpleExtentType() {
	case hdf5.S_SCALAR:
		return k, nil
	case hdf5.S_SIMPLE:
	default:
		return kind{}, fmt.Errorf("it has no values")
	}
	dims, _, err := space.SimpleExtentDims() // of rank one or more: it would panic for a scalar
	if err != nil {
		return kind{}, reason()
	}
	// No compression of HDF5 shrinks data more than deflate's 1032 times.
	room := 1032*uint64(r.size) + 1<<20
	for _, d := range dims {
		k.shape = append(k.shape, int(d))
		if d > 0 {
			room /= uint64(d)
		}
	}
	if room < uint64(k.size) && !slices.Contains(dims, 0) {
		return kind{}, fmt.Errorf("its shape %v cannot be true: the whole file has %d bytes", dims, r.size)
	}
	return k, nil
}

// read reads a dataset. Numbers are converted by HDF5 from any width and byte order:
// floating-point numbers of up to 4 bytes to float32, others to float64; unsigned bytes
// stay; other integers become int64.
func (r *reader) read(path string) (value, error) {
	set, k, err := r.open(path)
	if err != nil {
		return value{}, err
	}
	defer set.Close()
	v := value{shape: k.shape}
	n := k.elements()
	switch {
	case k.class == hdf5.T_FLOAT && k.size <= 4:
		v.data, err = numbers[float32](set, hdf5.T_NATIVE_FLOAT, n)
	case k.class == hdf5.T_FLOAT:
		v.data, err = numbers[float64](set, hdf5.T_NATIVE_DOUBLE, n)
	case k.class == hdf5.T_INTEGER && k.size == 1 && !k.signed:
		v.data, err = numbers[uint8](set, hdf5.T_NATIVE_UINT8, n)
	case k.class == hdf5.T_INTEGER, k.class == hdf5.T_ENUM: // h5py's booleans are an enumeration
		v.data, err = r.int64s(set, k)
	case k.class == hdf5.T_STRING && n == 1:
		v.data, err = readText(handle(set), r.size)
	default:
		err = fmt.Errorf("%v values of shape %v are not supported here: store them as floating-point numbers or integers", k, k.shape)
	}
	if err != nil {
		return value{}, fmt.Errorf("dataset %s: %w", path, err)
	}
	return v, nil
}

func numbers[T float32 | float64 | uint8 | int64](set *hdf5.Dataset, typ *hdf5.Datatype, n int) ([]T, error) {
	v := make([]T, n)
	if n > 0 && C.H5Dread(handle(set), handle(typ), C.H5S_ALL, C.H5S_ALL, C.H5P_DEFAULT, unsafe.Pointer(&v[0])) < 0 {
		return nil, reason()
	}
	return v, nil
}

func (r *reader) int64s(set *hdf5.Dataset, k kind) ([]int64, error) {
	v, err := numbers[int64](set, hdf5.T_NATIVE_INT64, k.elements())
	if k.size == 8 && !k.signed && slices.Contains(v, math.MaxInt64) { // HDF5 clips
		return nil, fmt.Errorf("it holds integers above 2⁶³ − 2, which are not supported")
	}
	return v, err
}

func readText(object C.hid_t, limit int) (string, error) {
	c := C.shim_text(object, C.size_t(limit))
	if c == nil {
		return "", reason()
	}
	defer C.free(unsafe.Pointer(c))
	return C.GoString(c), nil
}

// text reads a dataset that must hold one string.
func (r *reader) text(path string) (string, error) {
	v, err := r.read(path)
	if err != nil {
		return "", err
	}
	s, ok := v.data.(string)
	if !ok {
		return "", fmt.Errorf("dataset %s: it holds numbers, where a string was expected", path)
	}
	return s, nil
}

// floats reads a dataset of numbers as float64 of any shape.
func (r *reader) floats(path string) ([]float64, []int, error) {
	v, err := r.read(path)
	if err != nil {
		return nil, nil, err
	}
	f, ok := v.float64s()
	if !ok {
		return nil, nil, fmt.Errorf("dataset %s: it holds a string, where numbers were expected", path)
	}
	return f, v.shape, nil
}

// vector reads a dataset of one dimension.
func (r *reader) vector(path string) ([]float64, error) {
	v, shape, err := r.floats(path)
	if err == nil && len(shape) != 1 {
		err = fmt.Errorf("dataset %s: its shape is %v, where a vector was expected", path, shape)
	}
	return v, err
}

// integers reads a dataset of int64 of the given rank.
func (r *reader) integers(path string, rank int) ([]int64, error) {
	v, err := r.read(path)
	if err != nil {
		return nil, err
	}
	n, ok := v.data.([]int64)
	if !ok || len(v.shape) != rank {
		return nil, fmt.Errorf("dataset %s: it does not hold integers of rank %d", path, rank)
	}
	return n, nil
}

// lines reads a string of lines; the empty string has none.
func (r *reader) lines(path string) ([]string, error) {
	s, err := r.text(path)
	if err != nil || s == "" {
		return nil, err
	}
	return strings.Split(s, "\n"), nil
}

// notes are a group's attributes; nil if there are none.
func (r *reader) notes(group string) (map[string]string, error) {
	attributes, err := r.groupAttributes(group)
	if err != nil || len(attributes) == 0 {
		return nil, err
	}
	notes := map[string]string{}
	for _, a := range attributes {
		notes[a.Name] = a.Text
	}
	return notes, nil
}

func (v value) float64s() ([]float64, bool) {
	switch d := v.data.(type) {
	case []float64:
		return d, true
	case []float32:
		return convert[float64](d), true
	case []uint8:
		return convert[float64](d), true
	case []int64:
		return convert[float64](d), true
	}
	return nil, false
}

func (v value) float32s() ([]float32, bool) {
	switch d := v.data.(type) {
	case []float32:
		return d, true
	case []float64:
		return convert[float32](d), true
	case []uint8:
		return convert[float32](d), true
	case []int64:
		return convert[float32](d), true
	}
	return nil, false
}

func convert[To, From float32 | float64 | uint8 | int64](from []From) []To {
	to := make([]To, len(from))
	for i, v := range from {
		to[i] = To(v)
	}
	return to
}

// attributes are a group's or dataset's attributes that are one string; others are listed
// with an empty text.
func (r *reader) attributes(object C.hid_t) ([]Attribute, error) {
	n := C.shim_attributes(object)
	if n < 0 {
		return nil, fmt.Errorf("attributes: %w", reason())
	}
	var list []Attribute
	for i := range n {
		id := C.shim_open_attribute(object, C.hsize_t(i))
		if id < 0 {
			return nil, fmt.Errorf("attribute %d: %w", i, reason())
		}
		a, err := r.attribute(id)
		C.H5Aclose(id)
		if err != nil {
			return nil, fmt.Errorf("attribute %d: %w", i, err)
		}
		list = append(list, a)
	}
	return list, nil
}

func (r *reader) attribute(id C.hid_t) (Attribute, error) {
	n := C.H5Aget_name(id, 0, nil)
	if n < 0 {
		return Attribute{}, reason()
	}
	name := make([]byte, n+1)
	C.H5Aget_name(id, C.size_t(len(name)), (*C.char)(unsafe.Pointer(&name[0])))
	a := Attribute{Name: string(name[:n])}
	typ := C.H5Aget_type(id)
	if typ < 0 {
		return Attribute{}, reason()
	}
	defer C.H5Tclose(typ)
	space := C.H5Aget_space(id)
	if space < 0 {
		return Attribute{}, reason()
	}
	defer C.H5Sclose(space)
	if C.H5Sget_simple_extent_npoints(space) != 1 {
		return a, nil
	}
	var err error
	switch C.H5Tget_class(typ) {
	case C.H5T_STRING:
		a.Text, err = readText(id, r.size)
	case C.H5T_INTEGER, C.H5T_FLOAT:
		var v float64
		if C.H5Aread(id, handle(hdf5.T_NATIVE_DOUBLE), unsafe.Pointer(&v)) < 0 {
			err = reason()
		}
		a.Text = fmt.Sprint(v)
	}
	return a, err
}

// groupAttributes are those of a group.
func (r *reader) groupAttributes(group string) ([]Attribute, error) {
	g, err := r.file.OpenGroup(group)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, reason())
	}
	defer g.Close()
	list, err := r.attributes(handle(g))
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", group, err)
	}
	return list, nil
}
