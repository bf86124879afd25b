package cpu

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/ref"
	"lsrun/nn/zoo/formula"
)

// FuzzConvolution compares convolutions of any geometry with the float64 engine: exact ones output by output,
// within the bound of float32 sums, γ·Σ|a||b|, Σ|a||b| from the same engine with all signs removed; those
// by tiles, which mix outputs, within the largest of these bounds, of which they need a ninth.
func FuzzConvolution(f *testing.F) {
	f.Add(byte(16), byte(16), byte(32), byte(9), byte(3), byte(3), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1))
	f.Add(byte(100), byte(3), byte(8), byte(8), byte(3), byte(3), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1), byte(1))
	f.Add(byte(5), byte(17), byte(13), byte(7), byte(5), byte(2), byte(3), byte(2), byte(4), byte(0), byte(2), byte(3), byte(1))
	f.Add(byte(4), byte(6), byte(9), byte(40), byte(3), byte(3), byte(2), byte(1), byte(1), byte(2), byte(1), byte(1), byte(3))
	f.Add(byte(13), byte(37), byte(31), byte(30), byte(3), byte(3), byte(2), byte(2), byte(1), byte(1), byte(1), byte(1), byte(1)) // by phases
	f.Add(byte(32), byte(20), byte(17), byte(13), byte(3), byte(3), byte(2), byte(2), byte(0), byte(2), byte(1), byte(1), byte(1))
	f.Add(byte(9), byte(18), byte(16), byte(23), byte(7), byte(4), byte(1), byte(1), byte(3), byte(1), byte(1), byte(1), byte(1)) // by pieces
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
	exact, fast := evaluated(t, g, states, images, true), evaluated(t, g, states, images, false)
	want := logitsOf(t, g, states, images)
	for _, tensor := range states {
		absolute(tensor.Data)
	}
	absolute(images.Pixels)
	size := logitsOf(t, g, states, images)
	nu := float64(states[0].Shape.Size()/states[0].Shape[0]+3) / (1 << 24)
	bound, largest := nu/(1-nu), slices.Max(size)
	for i := range want {
		if z := exact.Logits[i]; !(math.Abs(float64(z)-want[i]) <= bound*size[i]) {
			t.Fatalf("%+v on %v: output %d is %v, not %v", g.Nodes[1].Op, g.Input, i, z, want[i])
		}
		if z := fast.Logits[i]; !(math.Abs(float64(z)-want[i]) <= bound*largest) {
			t.Fatalf("%+v on %v by tiles: output %d is %v, not %v", g.Nodes[1].Op, g.Input, i, z, want[i])
		}
	}
}

// FuzzGraph compares random small networks of all operations with the float64 engine. Sums cancel: the worst of some
// thousand networks is off by 3e-6 of the largest logit, in either mode.
func FuzzGraph(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := randomGraph(rand.New(rand.NewPCG(seed, 0)))
		if g == nil || g.MACs() > 20e6 {
			return
		}
		states, images := formula.States(g, seed%1000, 1), formula.Images(seed%1000, 3, g.Input)
		clear(images.Labels)
		want := logitsOf(t, g, states, images)
		largest := 0.0
		for _, z := range want {
			largest = max(largest, math.Abs(z))
		}
		for _, exact := range []bool{true, false} {
			for i, z := range evaluated(t, g, states, images, exact).Logits {
				if !(math.Abs(float64(z)-want[i]) <= 1e-4*largest) {
					t.Fatalf("exact %v: logit %d is %v, not %v, of %+v", exact, i, z, want[i], g.Nodes)
				}
			}
		}
	})
}

// randomGraph is a network of some random operations, or nil where one does not fit.
func randomGraph(rng *rand.Rand) *nn.Graph {
	n := func(most int) int { return 1 + rng.IntN(most) }
	window := func() nn.Window {
		kernel := n(3)
		w := nn.Square(kernel, n(3), rng.IntN(kernel/2+1))
		w.Ceil = rng.IntN(2) == 0
		return w
	}
	b := nn.NewBuilder("random", nn.Shape{n(24), n(20), n(20)})
	nodes := []int{0}
	like := func(x int, channels bool) int { // a node that can be joined to x
		fits := []int{x}
		for _, k := range nodes {
			if s, o := b.Shape(x), b.Shape(k); s[1:].Equal(o[1:]) && (!channels || s[0] == o[0]) {
				fits = append(fits, k)
			}
		}
		return fits[rng.IntN(len(fits))]
	}
	for range n(10) {
		x := nodes[len(nodes)-1]
		if rng.IntN(4) == 0 {
			x = nodes[rng.IntN(len(nodes))] // a branch, or what nobody needs
		}
		if b.Shape(nodes[len(nodes)-1]) == nil {
			return nil
		}
		inputs := []int{x}
		var op nn.Op
		switch rng.IntN(12) {
		case 0, 1, 2:
			op = nn.Conv2d(n(40), 3, 1, rng.IntN(3))
		case 3:
			c := nn.Conv2d(b.Shape(x)[0]*n(2), n(3), n(2), rng.IntN(2)).WithBias()
			c.Groups = b.Shape(x)[0]
			op = c
		case 4:
			op = nn.BatchNorm{Eps: 1e-5}
		case 5:
			op = []nn.Op{nn.ReLU{}, nn.SELU{}, nn.ELU{Alpha: 0.7}, nn.GELU{}, nn.GELU{Tanh: true}, nn.Tanh{}, nn.Sigmoid{},
				nn.Softmax{}, nn.LogSoftmax{}, nn.Dropout{P: 0.5}, nn.AlphaDropout{P: 0.5}}[rng.IntN(11)]
		case 6:
			op, inputs = nn.Add{}, []int{x, like(x, true), like(x, true)}[:1+n(2)]
		case 7:
			op, inputs = nn.Concat{}, []int{like(x, false), x, like(x, false)}[:1+n(2)]
		case 8:
			op = []nn.Op{nn.MaxPool{Window: window()}, nn.AvgPool{Window: window(), CountPad: rng.IntN(2) == 0},
				nn.AdaptiveAvgPool{Out: [2]int{n(4), n(4)}}, nn.AdaptiveMaxPool{Out: [2]int{n(4), n(4)}}}[rng.IntN(4)]
		case 9:
			op = nn.Subsample{Out: b.Shape(x)[0] + rng.IntN(5), Stride: n(2)}
		case 10: // as in DenseNet
			x = b.Add(fmt.Sprint("relu", len(nodes)), nn.ReLU{}, b.Add(fmt.Sprint("norm", len(nodes)), nn.BatchNorm{Eps: 1e-5}, x))
			op, inputs = nn.Conv2d(n(40), 1, n(2), 0), []int{x}
			if rng.IntN(2) == 0 {
				x = b.Add(fmt.Sprint("pointwise", len(nodes)), op, x)
				op, inputs = nn.AvgPool{Window: window()}, []int{x}
			}
		case 11:
			c := nn.Conv2d(2*n(10), n(5), n(3), rng.IntN(3)).WithBias()
			c.Dilation[rng.IntN(2)] = n(2)
			if b.Shape(x)[0]%2 == 0 {
				c.Groups = n(2)
			}
			op = c
		}
		nodes = append(nodes, b.Add(fmt.Sprint("node", len(nodes)), op, inputs...))
	}
	x := b.Add("flatten", nn.Flatten{}, nodes[len(nodes)-1])
	if rng.IntN(3) == 0 { // and operations on vectors
		x = b.Add("dropout", nn.Dropout{P: 0.5}, x)
		y := b.Add("hidden", nn.Linear{Out: n(40), Bias: rng.IntN(2) == 0}, x)
		y = b.Add("activation", nn.SELU{}, b.Add("norm", nn.BatchNorm{Eps: 1e-5}, y))
		x = b.Add("concat", nn.Concat{}, y, x)
	}
	b.Add("linear", nn.Linear{Out: 5, Bias: true}, x)
	g, err := b.Graph()
	if err != nil {
		return nil
	}
	return g
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
