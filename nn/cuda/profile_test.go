package cuda

import "testing"

func TestAProfileCountsEveryMultiplyAdd(t *testing.T) {
	e, _ := lenet5(t, TF32)
	g, set := e.graph, loaded(t, e, 2)
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
