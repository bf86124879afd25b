package cuda

import (
	"context"
	"slices"
	"testing"

	"lsrun/nn"
)

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

func TestAProfileOfAProductChangesNothing(t *testing.T) {
	e, _ := onHost(t, "resnet20", FP16x3)
	n := e.graph.Parameters()
	v, want, got := slices.Repeat([]float64{1}, n), make([]float64, n), make([]float64, n)
	if _, err := e.ProfileProduct(context.Background(), v, got); err == nil {
		t.Error("there is a profile before there is a gradient")
	}
	if _, err := e.Gradient(context.Background(), loaded(t, e, 1), nn.Point{}, want); err != nil {
		t.Fatal(err)
	}
	shares, err := e.ProfileProduct(context.Background(), v, got)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Products(context.Background(), [][]float64{v}, [][]float64{want}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("with a profile there is another product")
	}
	count := map[string]int{}
	for i, s := range shares {
		count[s.Kernel] = s.Count
		if s.Time <= 0 || i > 0 && s.Time > shares[i-1].Time {
			t.Errorf("share %d: %+v", i, s)
		}
	}
	// Sixteen 3×3 convolutions of stride 1 behind the first one, six of them in the first stage, there and back with two products each; sums
	// of their derivatives, of those of five other convolutions and the linear map, of its biases and of 21 batch norms.
	if count["weighPatches"] != 16 || count["patch_fp16x3_16"] != 4*6 || count["reduce"] != 16+6+1+21 {
		t.Errorf("launches: %v", count)
	}
}
