package train

import (
	"encoding/binary"
	"math"
	"os"
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo/formula"
)

// TestAStepIsPyTorchs compares with testdata/step.f32, which step.py wrote: of a ResNet-20, two batches of twelve images, the
// differences that the second makes in every entry. The bound is 1e-4 of a difference's norm, and half a unit in the
// last place of every value that is moved.
func TestAStepIsPyTorchs(t *testing.T) {
	data, err := os.ReadFile("testdata/step.f32")
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, len(data)/4)
	if _, err := binary.Decode(data, binary.LittleEndian, want); err != nil {
		t.Fatal(err)
	}
	g := build(t, "resnet20", nil)
	images := formula.Images(1, 24, g.Input)
	r := Paper()
	r.Batch, r.Augment = 12, false
	s := Start(g, r)
	s.States = formula.States(g, 1, 1)
	loop, err := New(reference(t, g, 1), g, images, nil, nil, r, s)
	if err != nil {
		t.Fatal(err)
	}
	s.Epoch, s.History = 0, make([]Summary, 1)
	loop.epoch.order = make([]int, 24) // that of the images
	for i := range loop.epoch.order {
		loop.epoch.order[i] = i
	}
	var before nn.Params
	for range 2 {
		before = again(t, s).States
		s.Loss = 0
		if err := loop.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if loss := s.Loss / 12; math.Abs(loss/float64(want[0])-1) > 1e-5 {
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
