package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nlpodyssey/gopickle/pickle"
	"github.com/nlpodyssey/gopickle/types"

	"lsrun/nn"
)

// unpickle reads a dict with names as keys. Nothing is executed: of the classes that a
// pickle may name only NumPy's arrays are known, and any other is an error.
func unpickle(data []byte) (dict map[string]any, err error) {
	if err := walk(data); err != nil {
		return nil, err
	}
	// The interpreter panics at some damaged pickles.
	defer func() {
		if recover() != nil {
			err = errCutPickle
		}
	}()
	u := pickle.NewUnpickler(bytes.NewReader(data))
	u.FindClass = class
	value, err := u.Load()
	if err != nil {
		return nil, fmt.Errorf("its pickle cannot be read: %w", err)
	}
	entries, ok := value.(*types.Dict)
	if !ok {
		return nil, errors.New("its pickle is not a dict")
	}
	dict = map[string]any{}
	for _, e := range *entries {
		if key, ok := raw(e.Key); ok {
			dict[string(key)] = e.Value
		}
	}
	return dict, nil
}

// Pickle operations by the form of their argument: so many bytes, so many lines of text,
// or a count of so many bytes and then what it counts. All others have none.
const (
	bytes1, bytes2, bytes4, bytes8 = "Khq\x80\x82", "M\x83", "Jjr\x84", "G"
	lines1, lines2                 = "FILPSVgp", "ci"
	count1, count4, count8         = "U\x8cC\x8a", "TXB\x8b", "\x8d\x8e\x95\x96"
	opFrame                        = 0x95 // what it counts are operations
	opStop                         = '.'
)

// walk holds every length in a pickle against what the file still has, because the
// interpreter allocates first and reads then.
func walk(data []byte) error {
	for len(data) > 0 && data[0] != opStop {
		op := data[0]
		data = data[1:]
		is := func(ops string) bool { return strings.IndexByte(ops, op) >= 0 }
		var length, count int
		switch {
		case is(bytes1):
			length = 1
		case is(bytes2):
			length = 2
		case is(bytes4):
			length = 4
		case is(bytes8):
			length = 8
		case is(lines1):
			length = lines(data, 1)
		case is(lines2):
			length = lines(data, 2)
		case is(count1):
			count = 1
		case is(count4):
			count = 4
		case is(count8):
			count = 8
		}
		if length+count > len(data) {
			return errCutPickle
		}
		var counted [8]byte
		copy(counted[:], data[:count])
		data = data[length+count:]
		n := binary.LittleEndian.Uint64(counted[:])
		if n > uint64(len(data)) {
			return errCutPickle
		}
		if op != opFrame {
			data = data[n:]
		}
	}
	if len(data) == 0 {
		return errCutPickle
	}
	return nil
}

var errCutPickle = errors.New("its pickle is cut short or damaged: fetch the file again")

// lines is the length of the first n lines of data; more than data has where it has fewer.
func lines(data []byte, n int) int {
	length := 0
	for range n {
		end := bytes.IndexByte(data[length:], '\n')
		if end < 0 {
			return len(data) + 1
		}
		length += end + 1
	}
	return length
}

// call is a function that a pickle may call.
type call func(args ...any) (any, error)

func (f call) Call(args ...any) (any, error) { return f(args...) }

// ndarray is a NumPy array in the making.
type ndarray struct{ array Array }

// dtype is a NumPy type: its letter and width, and its byte order.
type dtype struct{ code, order string }

var errNotNumPy = errors.New("it holds a NumPy array that is put together in an unknown way")

// class finds what NumPy's arrays refer to, in Python 2 and 3, NumPy 1 and 2.
func class(module, name string) (any, error) {
	switch strings.Replace(module, "numpy._core", "numpy.core", 1) + "." + name {
	case "_codecs.encode": // how Python 3 writes bytes for Python 2
		return call(encodeLatin1), nil
	case "numpy.ndarray":
		return types.NewGenericClass(module, name), nil
	case "numpy.dtype":
		return call(newDtype), nil
	case "numpy.core.multiarray._reconstruct":
		return call(func(...any) (any, error) { return &ndarray{}, nil }), nil
	case "numpy.core.numeric._frombuffer":
		return call(fromBuffer), nil
	case "numpy.core.multiarray.scalar":
		return call(scalar), nil
	}
	return nil, fmt.Errorf("it refers to %s.%s, which is no part of a data set: nothing of it is executed", module, name)
}

func encodeLatin1(args ...any) (any, error) {
	if len(args) == 0 {
		return nil, errNotNumPy
	}
	text, ok := args[0].(string)
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r > math.MaxUint8 {
			ok = false
		}
		out = append(out, byte(r))
	}
	if !ok {
		return nil, errNotNumPy
	}
	return out, nil
}

func newDtype(args ...any) (any, error) {
	if len(args) > 0 {
		if code, ok := raw(args[0]); ok {
			return &dtype{code: string(code), order: "<"}, nil
		}
	}
	return nil, errNotNumPy
}

// PySetState takes NumPy's (version, byte order, …).
func (d *dtype) PySetState(state any) error {
	if t, ok := state.(*types.Tuple); ok && t.Len() > 1 {
		if order, ok := raw(t.Get(1)); ok {
			d.order = string(order)
			return nil
		}
	}
	return errNotNumPy
}

// PySetState takes NumPy's (version, shape, dtype, Fortran order, data).
func (a *ndarray) PySetState(state any) error {
	t, ok := state.(*types.Tuple)
	if !ok || t.Len() != 5 {
		return errNotNumPy
	}
	fortran, _ := t.Get(3).(bool)
	return a.set(t.Get(4), t.Get(2), t.Get(1), fortran)
}

// fromBuffer is how protocol 5 makes an array: (data, dtype, shape, order).
func fromBuffer(args ...any) (any, error) {
	if len(args) != 4 {
		return nil, errNotNumPy
	}
	order, _ := raw(args[3])
	a := &ndarray{}
	return a, a.set(args[0], args[1], args[2], string(order) == "F")
}

// scalar is (dtype, data).
func scalar(args ...any) (any, error) {
	a := &ndarray{}
	if len(args) != 2 {
		return nil, errNotNumPy
	}
	if err := a.set(args[1], args[0], types.NewTupleFromSlice(nil), false); err != nil {
		return nil, err
	}
	values, err := a.array.integers()
	if err != nil {
		return nil, err
	}
	return int(values[0]), nil
}

func (a *ndarray) set(data, kind, shape any, fortran bool) error {
	bytesOf, ok1 := raw(data)
	d, ok2 := kind.(*dtype)
	extents, ok3 := shape.(*types.Tuple)
	if !ok1 || !ok2 || !ok3 {
		return errNotNumPy
	}
	var dims []int
	for _, v := range *extents {
		n, ok := v.(int)
		if !ok {
			return errNotNumPy
		}
		dims = append(dims, n)
	}
	r := bytes.NewReader(bytesOf)
	var err error
	a.array, err = decode(r, int64(len(bytesOf)), d.order+d.code, dims, fortran)
	if err == nil && r.Len() > 0 {
		err = fmt.Errorf("its %v array has %d bytes too many", nn.Shape(dims), r.Len())
	}
	return err
}

// raw returns the bytes of what Python calls str, bytes or bytearray.
func raw(v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return []byte(v), true
	case []byte:
		return v, true
	case *types.ByteArray:
		return *v, true
	}
	return nil, false
}

// pickledLabels takes a list of integers or an array of them.
func pickledLabels(v any) ([]int32, error) {
	switch v := v.(type) {
	case *types.List:
		labels := make([]int64, len(*v))
		for i, item := range *v {
			n, ok := item.(int)
			if !ok {
				return nil, fmt.Errorf("holds something that is not an integer at %d", i)
			}
			labels[i] = int64(n)
		}
		return toLabels(labels)
	case *ndarray:
		values, err := v.array.integers()
		if err != nil {
			return nil, err
		}
		return toLabels(values)
	}
	return nil, errors.New("is not a list of integers")
}
