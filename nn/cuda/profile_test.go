package cuda

import (
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

func TestAProfileCountsEveryMultiplyAdd(t *testing.T) {
	g, err := zoo.New("lenet5", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHost()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(g, nn.CrossEntropy, TF32, h)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.SetPlane(nn.Plane{Theta: formula.States(g, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(formula.Images(1, 2, g.Input))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := e.Profile(set)
	if err != nil {
		t.Fatal(err)
	}
	var macs int64
	for _, l := range layers {
		macs += l.MACs
		if l.Time <= 0 {
			t.Errorf("%s took %v", l.Kernel, l.Time)
		}
	}
	if macs != g.MACs() || len(layers) < 5 {
		t.Errorf("%d layers with %d multiply-adds, the graph has %d", len(layers), macs, g.MACs())
	}
}
