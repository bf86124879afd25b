package train

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/zoo/formula"
)

// TestAStepIsPyTorchs compares with testdata/step.f32, which step.py wrote: the differences that one
// batch makes in every entry of a ResNet-20. The bound is 1e-4 of a difference's norm, and half a unit in the
// last place of every value that is moved.
func TestAStepOfTheFastEngineIsPyTorchs(t *testing.T) {
	data, err := os.ReadFile("testdata/step.f32")
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, len(data)/4)
	if _, err := binary.Decode(data, binary.LittleEndian, want); err != nil {
		t.Fatal(err)
	}
	const base = 27
	g := build(t, "resnet20", nn.Shape{3, 16, 16})
	images := formula.Images(base, 8, g.Input)
	r := Paper()
	r.Batch, r.Augment = 8, false
	s := Start(g, r)
	s.States = formula.States(g, base, 1)
	loop, err := New(fast(t, g, 2), g, images, nil, nil, r, s)
	if err != nil {
		t.Fatal(err)
	}
	before := again(t, s).States
	if err := loop.Run(t.Context(), 1, func() {}, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if loss := s.History[1].TrainLoss; math.Abs(loss/float64(want[0])-1) > 1e-5 {
		t.Errorf("the loss is %v, PyTorch has %v", loss, want[0])
	}
	want = want[1:]
	worst := 0.0
	for i, e := range g.Entries {
		if e.Role == nn.BatchCounter {
			continue
		}
		var off, length, rounding float64
		for k, v := range s.States[i].Data {
			off = math.Hypot(off, float64(v)-float64(before[i].Data[k])-float64(want[k]))
			length = math.Hypot(length, float64(want[k]))
			rounding = math.Hypot(rounding, float64(v)*0x1p-24)
		}
		worst = max(worst, (off-rounding)/length)
		if !(off <= 1e-4*length+rounding) {
			t.Errorf("%s: the difference is off by %.2g of its norm %.2g, rounding %.2g", e.Name, off/length, length, rounding)
		}
		want = want[len(s.States[i].Data):]
	}
	if len(want) != 0 {
		t.Errorf("%d values are left over", len(want))
	}
	t.Logf("differences are off by at most %.2g of their norms", worst)
}

func TestThreadsDoNotChangeABit(t *testing.T) {
	shape := nn.Shape{3, 8, 8}
	for _, name := range []string{"resnet20", "snn_30_20"} {
		g := build(t, name, shape)
		images := formula.Images(1, 11, shape)
		r := Paper()
		r.Batch, r.Rate = 8, 0.01
		var one *State
		for threads := 1; threads <= 3; threads++ {
			s := Start(g, r)
			loop, err := New(fast(t, g, threads), g, images, images, []float32{0, 0, 0}, r, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := loop.Run(t.Context(), 2, func() {}, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
			if one == nil {
				one = s
			}
			sameState(t, fmt.Sprintf("%s on %d threads", name, threads), s, one)
		}
	}
}

// fast is the engine that lsrun train uses.
func fast(t *testing.T, g *nn.Graph, threads int) Engine {
	t.Helper()
	e, err := cpu.New(g, nn.CrossEntropy, cpu.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}
