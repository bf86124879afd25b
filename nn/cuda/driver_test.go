package cuda

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// fake is a driver whose functions succeed and do nothing but hand out memory, until the one of the given name is
// called for the nth time: then, and from then on if it always fails, it gives code.
type fake struct {
	name   string
	n      int
	code   result
	always bool
	calls  map[string]int
	memory map[address]uint64
	pinned map[unsafe.Pointer][]uint64
	limit  uint64
	cards  int32 // besides one
	got    int32 // the card that was asked for
}

func (f *fake) driver() *driver {
	f.calls, f.memory, f.pinned = map[string]int{}, map[address]uint64{}, map[unsafe.Pointer][]uint64{}
	d := &driver{}
	table := reflect.ValueOf(d).Elem()
	for i := range table.NumField() {
		name := table.Type().Field(i).Name
		field := reflect.NewAt(table.Field(i).Type(), unsafe.Pointer(table.Field(i).UnsafeAddr())).Elem()
		field.Set(reflect.MakeFunc(field.Type(), func(arguments []reflect.Value) []reflect.Value {
			return []reflect.Value{reflect.ValueOf(f.call(name, arguments))}
		}))
	}
	return d
}

func (f *fake) call(name string, arguments []reflect.Value) result {
	f.calls[name]++
	if name == f.name && (f.calls[name] == f.n || f.always && f.calls[name] > f.n) {
		return f.code
	}
	switch name {
	case "deviceGetCount":
		*arguments[0].Interface().(*int32) = 1 + f.cards
	case "deviceGet":
		f.got = arguments[1].Interface().(int32)
	case "deviceGetName":
		copy(unsafe.Slice(arguments[0].Interface().(*byte), arguments[1].Int()), "NVIDIA H100\x00")
	case "deviceGetUuid":
		for i := range 16 {
			unsafe.Slice(arguments[0].Interface().(*byte), 16)[i] = byte(0x11 * i)
		}
	case "deviceGetAttribute": // 9.2
		*arguments[0].Interface().(*int32) = map[int64]int32{75: 9, 76: 2}[arguments[1].Int()]
	case "driverGetVersion":
		*arguments[0].Interface().(*int32) = 12040
	case "getErrorName":
		*arguments[1].Interface().(**byte) = unsafe.StringData(fmt.Sprintf("CUDA_ERROR_%d\x00", arguments[0].Interface()))
	case "getErrorString":
		*arguments[1].Interface().(**byte) = unsafe.StringData("the reason\x00")
	case "memAlloc":
		size := arguments[1].Uint()
		if f.limit > 0 && f.taken()+size > f.limit {
			return outOfMemory
		}
		at := address(len(f.calls)*1e9 + f.calls[name]*1e6)
		f.memory[at] = size
		*arguments[0].Interface().(*address) = at
	case "memFree":
		at := arguments[0].Interface().(address)
		if f.memory[at] == 0 {
			return 1
		}
		delete(f.memory, at)
	case "memHostAlloc":
		room := make([]uint64, (arguments[1].Uint()+7)/8)
		at := unsafe.Pointer(&room[0])
		f.pinned[at] = room
		*arguments[0].Interface().(*unsafe.Pointer) = at
	case "memFreeHost":
		at := arguments[0].Interface().(unsafe.Pointer)
		if f.pinned[at] == nil {
			return 1
		}
		delete(f.pinned, at)
	case "memGetInfo":
		*arguments[0].Interface().(*uint64) = 1 << 40
		if f.limit > 0 {
			*arguments[0].Interface().(*uint64) = f.limit - f.taken()
		}
	case "streamCreate":
		*arguments[0].Interface().(*uintptr) = 1
	}
	return success
}

func (f *fake) taken() (n uint64) {
	for _, size := range f.memory {
		n += size
	}
	return n
}

// evaluate opens a card of f and evaluates two images at three points; it may go on to derivatives at one.
func (f *fake) evaluate(t *testing.T, differentiate bool) error {
	g, err := zoo.New("lenet5", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.driver().processor(0)
	if err != nil {
		return err
	}
	c, err := p.open()
	if err != nil {
		return err
	}
	e, err := newEngine(g, nn.CrossEntropy, Float32, c)
	if err != nil {
		return err
	}
	states := formula.States(g, 1, 1)
	work := func() error {
		set, err := e.Load(formula.Images(1, 2, g.Input))
		if err != nil {
			return err
		}
		if err := e.SetPlane(nn.Plane{Theta: states, X: states}); err != nil {
			return err
		}
		outs := []engine.Output{engine.NewOutput(2, 0), engine.NewOutput(2, 0), engine.NewOutput(2, 0)}
		err = e.Evaluate(context.Background(), set, make([]nn.Point, 3), outs)
		if err != nil || !differentiate {
			return err
		}
		v, w := make([]float64, g.Parameters()), make([]float64, g.Parameters())
		if _, err := e.Gradient(context.Background(), set, nn.Point{}, v); err != nil {
			return err
		}
		if err := e.Products(context.Background(), [][]float64{v}, [][]float64{w}); err != nil {
			return err
		}
		return useVectors(e)
	}
	err = work()
	if closed := e.Close(); err == nil {
		err = closed
	}
	return err
}

// useVectors goes through all that they can.
func useVectors(e *Engine) (err error) {
	n := e.graph.Parameters()
	v, err := e.Vectors([][2]int{{0, n}}, 3)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	x := make([]float64, n)
	for _, use := range []func() error{
		func() error { return v.Write(0, x) },
		func() error { return v.Apply(context.Background(), 0, 1) },
		func() error { _, err := v.Dots([]int{0, 1}, 1); return err },
		func() error { return v.Add(1, []int{0}, []float64{1}) },
		func() error { return v.Scale(1, 2) },
		func() error { return v.Rotate([]int{0, 1}, [][]float64{{1}, {2}}) },
		func() error { return v.Read(x, 1) },
	} {
		if err := use(); err != nil {
			return err
		}
	}
	return nil
}

func TestEveryErrorOfTheDriverIsReported(t *testing.T) {
	healthy := &fake{}
	if err := healthy.evaluate(t, false); err != nil {
		t.Fatal(err)
	}
	if len(healthy.memory) != 0 {
		t.Errorf("%d bytes were not given back", healthy.taken())
	}
	for _, name := range slices.Sorted(maps.Keys(healthy.calls)) {
		for n := 1; n <= healthy.calls[name]; n++ {
			for _, code := range []result{1, 2, 100, 214, 700, 719, 999} {
				f := &fake{name: name, n: n, code: code}
				err := f.evaluate(t, false)
				if code == outOfMemory && (name == "memAlloc" || name == "ctxSetCurrent") && err == nil {
					continue // went on with less
				}
				var failed *driverError
				if !errors.As(err, &failed) || failed.code != code {
					t.Errorf("call %d of %s gives %d: error %v", n, name, code, err)
					continue
				}
				if failed.what == "" || !strings.Contains(err.Error(), fmt.Sprintf("%s: the reason (CUDA_ERROR_%d, error %d)", failed.what, code, code)) {
					t.Errorf("call %d of %s gives %d: error %q", n, name, code, err)
				}
				if name != "memFree" && name != "ctxSetCurrent" && len(f.memory) != 0 {
					t.Errorf("call %d of %s gives %d: %d bytes were not given back", n, name, code, f.taken())
				}
			}
		}
	}
}

// TestErrorsOfDerivativesAreReported goes through the calls that they add to an evaluation.
func TestErrorsOfDerivativesAreReported(t *testing.T) {
	before, healthy := &fake{}, &fake{}
	if err := errors.Join(before.evaluate(t, false), healthy.evaluate(t, true)); err != nil {
		t.Fatal(err)
	}
	if len(healthy.memory) != 0 || len(healthy.pinned) != 0 || healthy.calls["memHostAlloc"] != 1 {
		t.Errorf("%d bytes and %d of %d pinned parts were not given back", healthy.taken(), len(healthy.pinned), healthy.calls["memHostAlloc"])
	}
	for _, name := range []string{"memAlloc", "memHostAlloc", "memcpyHtoDAsync", "memcpyDtoHAsync", "launchKernel", "memFreeHost"} {
		for n := before.calls[name] + 1; n <= healthy.calls[name]; n++ {
			f := &fake{name: name, n: n, code: 719}
			err := f.evaluate(t, true)
			var failed *driverError
			if !errors.As(err, &failed) || failed.code != f.code {
				t.Errorf("call %d of %s: error %v", n, name, err)
			}
			if len(f.memory) != 0 || name != "memFreeHost" && len(f.pinned) != 0 {
				t.Errorf("call %d of %s: %d bytes and %d pinned parts were not given back", n, name, f.taken(), len(f.pinned))
			}
		}
	}
}

func TestASetThatCannotBeCopiedIsGivenBack(t *testing.T) {
	g, err := zoo.New("lenet5", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{name: "memcpyHtoDAsync", code: 719}
	p, err := f.driver().processor(0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(g, nn.CrossEntropy, Float32, c)
	if err != nil {
		t.Fatal(err)
	}
	before := f.taken()
	f.n = f.calls[f.name] + 2 // of two parts the second
	if _, err := e.Load(formula.Images(1, 1500, g.Input)); err == nil || !strings.Contains(err.Error(), "719") {
		t.Errorf("error %v", err)
	}
	if f.taken() != before {
		t.Errorf("%d bytes are held of a set that was not loaded", f.taken()-before)
	}
}

func TestACardWithLittleSharedMemoryIsToldAnotherKernel(t *testing.T) {
	f := &fake{name: "funcSetAttribute", n: 1, code: 1}
	p, err := f.driver().processor(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.function("patch_tf32x3_64", 140288); err == nil || !strings.Contains(err.Error(), "140288 bytes") || !strings.Contains(err.Error(), "--kernel fp16x3") {
		t.Errorf("error %v", err)
	}
}

func TestACardThatIsNotThereIsAnError(t *testing.T) {
	_, err := (&fake{cards: -1}).driver().processor(0)
	if err == nil || !strings.Contains(err.Error(), "no NVIDIA card 0") {
		t.Errorf("error %v", err)
	}
}

func TestACardSaysWhatItIs(t *testing.T) {
	p, err := (&fake{}).driver().processor(0)
	if err != nil {
		t.Fatal(err)
	}
	if want := "NVIDIA H100, GPU-00112233-4455-6677-8899-aabbccddeeff, compute capability 9.2, driver for CUDA 12.4"; p.title != want {
		t.Errorf("%q, not %q", p.title, want)
	}
}

func TestCardsAreCountedRound(t *testing.T) {
	for number, want := range map[int]int32{0: 0, 2: 2, 3: 0, 7: 1} {
		f := &fake{cards: 2}
		if _, err := f.driver().processor(number); err != nil || f.got != want {
			t.Errorf("of three cards, number %d is %d, error %v", number, f.got, err)
		}
	}
}
