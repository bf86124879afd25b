package nn_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/ref"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// transition is conv with pool after it; with shared, another operation wants what conv gives.
func transition(t *testing.T, conv nn.Conv, pool nn.Op, shared bool) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder("transition", nn.Shape{5, 7, 6})
	x := b.Add("conv", conv, 0)
	y := b.Add("pool", pool, x)
	if shared {
		b.Add("again", nn.ReLU{}, x)
	}
	b.Add("linear", nn.Linear{Out: 3, Bias: true}, b.Add("flatten", nn.Flatten{}, y))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestMeansGoBeforePointwiseConvolutionsWhereThatIsTheSame(t *testing.T) {
	conv := nn.Conv2d(9, 1, 1, 0).WithBias()
	grouped := nn.Conv2d(10, 1, 1, 0).WithBias()
	grouped.Groups = 5
	hanging := nn.AvgPool{Window: nn.Window{Kernel: [2]int{3, 2}, Stride: [2]int{2, 2}, Pad: [2]int{1, 0}, Ceil: true}}
	counting := hanging
	counting.CountPad = true
	for name, c := range map[string]struct {
		conv   nn.Conv
		pool   nn.Op
		shared bool
		first  bool
	}{
		"halved":           {conv, nn.AvgPool{Window: nn.Square(2, 2, 0), CountPad: true}, false, true},
		"global":           {conv, nn.AdaptiveAvgPool{Out: [2]int{1, 1}}, false, true},
		"overlapping":      {conv, nn.AdaptiveAvgPool{Out: [2]int{4, 4}}, false, true},
		"grouped":          {grouped, hanging, false, true},
		"hanging over":     {conv, hanging, false, true},
		"zeros counted":    {conv, counting, false, false},
		"not smaller":      {conv, nn.AvgPool{Window: nn.Square(3, 1, 1)}, false, false},
		"maximum":          {conv, nn.MaxPool{Window: nn.Square(2, 2, 0)}, false, false},
		"wider kernel":     {nn.Conv2d(9, 3, 1, 1), nn.AvgPool{Window: nn.Square(2, 2, 0)}, false, false},
		"padded":           {nn.Conv2d(9, 1, 1, 1), nn.AvgPool{Window: nn.Square(2, 2, 0)}, false, false},
		"stride":           {nn.Conv2d(9, 1, 2, 0), nn.AvgPool{Window: nn.Square(2, 2, 0)}, false, false},
		"wanted by others": {conv, nn.AvgPool{Window: nn.Square(2, 2, 0)}, true, false},
	} {
		g := transition(t, c.conv, c.pool, c.shared)
		before := slices.Clone(g.Nodes)
		changed := g.PoolFirst()
		if first := changed.Nodes[1].Name == "pool"; first != c.first || first != (changed.MACs() < g.MACs()) {
			t.Errorf("%s: means are first %v, with %d multiply-adds of %d", name, first, changed.MACs(), g.MACs())
		}
		if !slices.EqualFunc(before, g.Nodes, func(a, b nn.Node) bool { return a.Name == b.Name && a.Shape.Equal(b.Shape) }) {
			t.Errorf("%s: the graph itself was changed", name)
		}
		sameLogits(t, name, g, changed)
	}
}

func TestTransitionsOfDenseNetsTakeMeansFirst(t *testing.T) {
	g, err := zoo.New("densenet_cifar", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	changed := g.PoolFirst()
	moved := 0
	for n := range g.Nodes {
		if _, ok := changed.Nodes[n].Op.(nn.AvgPool); ok && changed.Nodes[n].Name != g.Nodes[n].Name {
			moved++
		}
	}
	if moved != 3 {
		t.Errorf("%d transitions take means first, not 3", moved)
	}
	sameLogits(t, g.Name, g, changed)
}

// sameLogits requires that both graphs give the same logits in float64.
func sameLogits(t *testing.T, name string, g, changed *nn.Graph) {
	t.Helper()
	states, images := formula.States(g, 3, 1), formula.Images(4, 2, g.Input)
	clear(images.Labels)
	logits := func(g *nn.Graph) []float64 {
		z, err := ref.Logits(context.Background(), g, states, images, 1)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	got, want := logits(changed), logits(g)
	for i, z := range want {
		if !(math.Abs(got[i]-z) <= 1e-12*(1+math.Abs(z))) {
			t.Errorf("%s: logit %d is %v, not %v", name, i, got[i], z)
		}
	}
}
