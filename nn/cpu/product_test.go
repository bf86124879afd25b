package cpu

import (
	"context"
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/ref"
	"lsrun/nn/zoo/formula"
)

// FuzzConvolution compares convolutions of any geometry with the float64 engine, output by output,
// within the bound of float32 sums: γ·Σ|a||b|, Σ|a||b| from the same engine with all signs removed.
func FuzzConvolution(f *testing.F) {
	f.Add(byte(16), byte(16), byte(32), byte(9), byte(3), byte(3), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1))
	f.Add(byte(100), byte(3), byte(8), byte(8), byte(3), byte(3), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1))
	f.Add(byte(5), byte(17), byte(13), byte(7), byte(5), byte(2), byte(3), byte(2), byte(4), byte(0), byte(2), byte(3), byte(1))
	f.Add(byte(4), byte(6), byte(9), byte(40), byte(3), byte(3), byte(2), byte(1), byte(1), byte(2), byte(1), byte(1), byte(3))
	f.Add(byte(1), byte(33), byte(1), byte(250), byte(1), byte(1), byte(1), byte(1), byte(0), byte(0), byte(1), byte(1), byte(2))
	f.Fuzz(func(t *testing.T, channels, out, height, width, kh, kw, sh, sw, ph, pw, dh, dw, groups byte) {
		at := func(v, most byte) int { return 1 + int(v-1)%int(most) } // 1 … most
		g := at(groups, 9)
		conv := nn.Conv{Out: g * at(out, 40), Kernel: [2]int{at(kh, 7), at(kw, 7)}, Stride: [2]int{at(sh, 4), at(sw, 4)},
			Pad: [2]int{int(ph % 5), int(pw % 5)}, Dilation: [2]int{at(dh, 3), at(dw, 3)}, Groups: g, Bias: true}
		b := nn.NewBuilder("fuzz", nn.Shape{g * at(channels, 120), at(height, 40), at(width, 255)})
		b.Add("flatten", nn.Flatten{}, b.Add("conv", conv, 0))
		graph, err := b.Graph()
		if err != nil || graph.MACs() > 50e6 {
			return
		}
		compareProducts(t, graph)
	})
}

func compareProducts(t *testing.T, g *nn.Graph) {
	states, images := formula.States(g, 1, 1), formula.Images(1, 3, g.Input)
	clear(images.Labels) // there may be fewer than ten outputs
	e, err := New(g, nn.CrossEntropy, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetPlane(nn.Plane{Theta: states}); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(images)
	if err != nil {
		t.Fatal(err)
	}
	got := engine.NewOutput(images.Len(), g.Classes)
	if err := e.Evaluate(context.Background(), set, []nn.Point{{}}, []engine.Output{got}); err != nil {
		t.Fatal(err)
	}
	want := logitsOf(t, g, states, images)
	for _, tensor := range states {
		absolute(tensor.Data)
	}
	absolute(images.Pixels)
	size := logitsOf(t, g, states, images)
	nu := float64(states[0].Shape.Size()/states[0].Shape[0]+3) / (1 << 24)
	for i, z := range got.Logits {
		if !(math.Abs(float64(z)-want[i]) <= nu/(1-nu)*size[i]) {
			t.Fatalf("%+v on %v: output %d is %v, not %v", g.Nodes[1].Op, g.Input, i, z, want[i])
		}
	}
}

func logitsOf(t *testing.T, g *nn.Graph, states nn.Params, images *nn.Images) []float64 {
	t.Helper()
	z, err := ref.Logits(context.Background(), g, states, images, 1)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func absolute(x []float32) {
	for i, v := range x {
		x[i] = max(v, -v)
	}
}
