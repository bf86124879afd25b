package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nlpodyssey/gopickle/types"
)

// inert stands for a Python class, function or instance. It keeps what a pickle does to
// it and does nothing itself.
type inert struct {
	module, name string
	called       bool
	args         []any      // that it was called with
	state        any        // that it was restored with
	items        types.Dict // that were set, if its class derives from dict
}

func (o *inert) Call(args ...any) (any, error) {
	return &inert{module: o.module, name: o.name, args: args, called: true}, nil
}
func (o *inert) PyNew(args ...any) (any, error) { return o.Call(args...) }
func (o *inert) PySetState(state any) error     { o.state = state; return nil }
func (o *inert) Set(key, value any)             { o.items.Set(key, value) }
func (o *inert) Append(any)                     {}
func (o *inert) Add(any)                        {}
func (o *inert) String() string                 { return o.module + "." + o.name }

// function is a Python function that is needed to understand a checkpoint.
type function func(args ...any) (any, error)

func (f function) Call(args ...any) (any, error) { return f(args...) }

// functions are all that a pickle can call. They build values and touch nothing else.
var functions = map[string]function{
	"Collections.OrderedDict":                    orderedDict, // see scanner.global
	"torch._utils._rebuild_tensor":               rebuildTensor,
	"torch._utils._rebuild_tensor_v2":            rebuildTensor,
	"torch._utils._rebuild_parameter":            firstArgument,
	"torch._utils._rebuild_parameter_with_state": firstArgument,
	"torch.nn.parameter.Parameter":               firstArgument, // before 0.4
	"torch.autograd.variable.Variable":           firstArgument,
	"torch._tensor._rebuild_from_type":           rebuildFromType,
	"torch._tensor._rebuild_from_type_v2":        rebuildFromType,
	"_codecs.encode":                             encodeLatin1,
	"numpy.core.multiarray.scalar":               numpyScalar,
	"numpy._core.multiarray.scalar":              numpyScalar,
}

func findClass(module, name string) (any, error) {
	if f, ok := functions[module+"."+name]; ok {
		return f, nil
	}
	return &inert{module: module, name: name}, nil
}

// orderedDict is OrderedDict() or, by Python 2, OrderedDict([[key, value], …]).
func orderedDict(args ...any) (any, error) {
	d := types.NewOrderedDict()
	if len(args) == 0 {
		return d, nil
	}
	items, ok := sequence(args[0])
	if !ok {
		return nil, errors.New("an OrderedDict is made of something else than a list")
	}
	for _, item := range items {
		pair, _ := sequence(item)
		if len(pair) != 2 {
			return nil, errors.New("an OrderedDict is made of something else than pairs")
		}
		d.Set(pair[0], pair[1])
	}
	return d, nil
}

// view is a part of a storage: nearly always all of it.
type view struct {
	*storage
	start, length int // in values
}

// tensor is a strided view of a storage.
type tensor struct {
	view
	offset        int // in values, from the view's start
	shape, stride []int
}

// PySetState ignores the hooks and flags that Variables before 0.4 were restored with.
func (*tensor) PySetState(any) error { return nil }

// rebuildTensor is _rebuild_tensor(storage, offset, size, stride, …): what follows are
// flags and hooks of the gradient.
func rebuildTensor(args ...any) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor is described by too few arguments")
	}
	v, ok1 := args[0].(view)
	offset, ok2 := args[1].(int)
	shape, ok3 := integers(args[2])
	stride, ok4 := integers(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(stride) {
		return nil, errors.New("a tensor is described by other arguments than storage, offset, size, stride")
	}
	return &tensor{view: v, offset: offset, shape: shape, stride: stride}, nil
}

func firstArgument(args ...any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("a parameter has no tensor")
	}
	return args[0], nil
}

// rebuildFromType is _rebuild_from_type_v2(function, type, args, state), of tensors with
// attributes of their own.
func rebuildFromType(args ...any) (any, error) {
	if len(args) < 3 {
		return nil, errors.New("a tensor of a special type is described by too few arguments")
	}
	inner, _ := sequence(args[2])
	return rebuildTensor(inner...)
}

// encodeLatin1 is codecs.encode(text, "latin1"), by which protocol 2 writes bytes.
func encodeLatin1(args ...any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("codecs.encode has no argument")
	}
	text, _ := args[0].(string)
	var raw []byte
	for _, r := range text {
		raw = append(raw, byte(r))
	}
	return raw, nil
}

// numpyScalar is scalar(dtype, bytes): a float64, or nil for types that are no numbers.
func numpyScalar(args ...any) (any, error) {
	if len(args) != 2 {
		return nil, nil
	}
	descr, ok := args[0].(*inert)
	if !ok || len(descr.args) == 0 {
		return nil, nil
	}
	var raw []byte
	switch data := args[1].(type) {
	case []byte:
		raw = append(raw, data...)
	case string: // Python 2
		raw = []byte(data)
	}
	names := map[string]string{"f2": "F16", "f4": "F32", "f8": "F64", "b1": "BOOL",
		"i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16", "u4": "U32", "u8": "U64"}
	name, _ := descr.args[0].(string)
	d := safetensorsType(names[strings.TrimLeft(name, "<>=|")])
	if d == nil || len(raw) != d.size {
		return nil, nil
	}
	if state, _ := sequence(descr.state); len(state) > 1 && state[1] == ">" {
		d.swapBytes(raw)
	}
	if d.name == "float64" {
		return math.Float64frombits(u64(raw)), nil
	}
	return float64(d.value(raw)), nil
}

// pairs are the items of a mapping, in order.
func pairs(v any) ([]types.DictEntry, bool) {
	switch m := v.(type) {
	case *types.Dict:
		return *m, true
	case *types.OrderedDict:
		items := make([]types.DictEntry, 0, m.Len())
		for e := m.List.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*types.OrderedDictEntry)
			items = append(items, types.DictEntry{Key: entry.Key, Value: entry.Value})
		}
		return items, true
	case *inert: // of a class derived from dict
		return m.items, len(m.items) > 0
	}
	return nil, false
}

// item is what mapping m has under key, or nil.
func item(m any, key string) any {
	items, _ := pairs(m)
	for _, e := range items {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

// sequence is the content of a list, a tuple or something made from one: set([…]).
func sequence(v any) ([]any, bool) {
	switch s := v.(type) {
	case *types.List:
		return *s, true
	case *types.Tuple:
		return *s, true
	case *inert:
		if len(s.args) == 1 {
			if list, ok := s.args[0].(*types.List); ok {
				return *list, true
			}
			if tuple, ok := s.args[0].(*types.Tuple); ok {
				return *tuple, true
			}
		}
	}
	return nil, false
}

// members are the texts in a set.
func members(v any) map[string]bool {
	texts := map[string]bool{}
	if set, ok := v.(*types.Set); ok {
		for x := range *set {
			text, _ := x.(string)
			texts[text] = true
		}
	}
	items, _ := sequence(v) // protocol 2 writes set([…])
	for _, x := range items {
		text, _ := x.(string)
		texts[text] = true
	}
	return texts
}

func integers(v any) ([]int, bool) {
	items, ok := sequence(v)
	list := make([]int, len(items))
	for i, x := range items {
		n, isInt := x.(int)
		list[i], ok = n, ok && isInt
	}
	return list, ok
}

// describe says what a value is, for messages.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case *tensor:
		return "a tensor"
	case *inert:
		if v.called {
			return fmt.Sprintf("a %v (not run: nothing in a checkpoint is)", v)
		}
		return fmt.Sprintf("the name %v", v)
	case string:
		return "a text"
	case int, float64, bool:
		return "a number"
	case *types.List, *types.Tuple:
		return "a list"
	}
	if _, ok := pairs(v); ok {
		return "a dictionary"
	}
	return "no tensor"
}
