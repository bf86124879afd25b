package nn_test

import (
	"strings"
	"testing"

	"lsrun/nn"
)

// small is a network of two convolutions, batch norm and a classifier.
func small(t *testing.T) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder("small", nn.Shape{3, 8, 8})
	x := b.Add("conv1", nn.Conv2d(4, 3, 1, 1), 0)
	x = b.Add("bn1", nn.BatchNorm{Eps: 1e-5}, x)
	grouped := nn.Conv2d(6, 3, 2, 1).WithBias()
	grouped.Groups = 2
	x = b.Add("conv2", grouped, x)
	x = b.Add("flatten", nn.Flatten{}, x)
	b.Add("fc", nn.Linear{Out: 10, Bias: true}, x)
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestEntriesAreNamedAndOrderedAsInPyTorch(t *testing.T) {
	want := []string{
		"conv1.weight 4×3×3×3",
		"bn1.weight 4", "bn1.bias 4", "bn1.running_mean 4", "bn1.running_var 4", "bn1.num_batches_tracked scalar",
		"conv2.weight 6×2×3×3", "conv2.bias 6",
		"fc.weight 10×96", "fc.bias 10",
	}
	var got []string
	for _, e := range small(t).Entries {
		got = append(got, e.Name+" "+e.Shape.String())
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("entries:\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestParametersAndMACsAreCounted(t *testing.T) {
	g := small(t)
	if want := 4*3*9 + 2*4 + 6*2*9 + 6 + 10*96 + 10; g.Parameters() != want {
		t.Errorf("%d parameters, not %d", g.Parameters(), want)
	}
	if want := int64(64*4*3*9 + 16*6*2*9 + 10*96); g.MACs() != want {
		t.Errorf("%d MACs, not %d", g.MACs(), want)
	}
	if g.Classes != 10 || g.Output() != 5 || !g.HasRunningStatistics() {
		t.Errorf("%d classes at node %d, running statistics: %v", g.Classes, g.Output(), g.HasRunningStatistics())
	}
}

func TestTheFirstMistakeIsReportedWithNetworkNodeAndShapes(t *testing.T) {
	unequal := nn.Conv2d(6, 3, 1, 1)
	unequal.Groups = 2
	picture, vector := nn.Shape{3, 5, 5}, nn.Shape{7}
	for _, c := range []struct {
		op    nn.Op
		input nn.Shape
		says  string
	}{
		{nn.Conv2d(4, 3, 1, 1), vector, "not [7]"},
		{unequal, picture, "2 groups do not divide 3 input and 6 output channels"},
		{nn.Conv2d(4, 8, 1, 1), picture, "a kernel of 8×8 does not fit 3×5×5"},
		{nn.Linear{Out: 2}, picture, "needs one flat input"},
		{nn.BatchNorm{}, nn.Shape{3, 5}, "channels×height×width"},
		{nn.MaxPool{Window: nn.Square(6, 1, 0)}, picture, "a window of 6×6 does not fit 3×5×5"},
		{nn.AvgPool{Window: nn.Square(2, 1, 2)}, picture, "more than half the window"},
		{nn.AdaptiveAvgPool{Out: [2]int{1, 1}}, vector, "not [7]"},
		{nn.AdaptiveAvgPool{}, picture, "its output would be 3×0×0"},
		{nn.Linear{}, vector, "its output would be 0"},
		{nn.Subsample{Out: 2, Stride: 2}, picture, "cannot pad 3 channels to 2"},
		{nn.Add{}, picture, "at least two inputs"},
		{nn.Concat{}, picture, "at least two inputs"},
	} {
		b := nn.NewBuilder("net", c.input)
		x := b.Add("block.op", c.op, 0)
		b.Add("later", nn.Linear{Out: 3}, x)
		_, err := b.Graph()
		if err == nil {
			t.Errorf("%+v on %v: no error", c.op, c.input)
			continue
		}
		for _, part := range []string{"net", c.input.String(), "block.op", c.op.Kind(), c.says} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%+v on %v: error %q does not say %q", c.op, c.input, err, part)
			}
		}
	}
}

func TestJoinsOfDifferentShapesAreErrors(t *testing.T) {
	for _, op := range []nn.Op{nn.Add{}, nn.Concat{}} {
		for _, other := range []nn.Op{nn.Conv2d(3, 1, 2, 0), nn.Flatten{}} {
			b := nn.NewBuilder("net", nn.Shape{3, 4, 4})
			b.Add("join", op, 0, b.Add("other", other, 0))
			if _, err := b.Graph(); err == nil || !strings.Contains(err.Error(), "3×4×4 and ") {
				t.Errorf("%s of 3×4×4 and %s: error %v", op.Kind(), other.Kind(), err)
			}
		}
	}
}

func TestANetworkMustEndInAVector(t *testing.T) {
	b := nn.NewBuilder("net", nn.Shape{3, 4, 4})
	b.Add("relu", nn.ReLU{}, 0)
	if _, err := b.Graph(); err == nil || !strings.Contains(err.Error(), "3×4×4, not a vector") {
		t.Errorf("error %v", err)
	}
}

func TestImagesMustFitTheNetwork(t *testing.T) {
	g := small(t)
	size := g.Input.Size()
	images := func(n int, shape nn.Shape, labels ...int32) *nn.Images {
		return &nn.Images{Shape: shape, Pixels: make([]float32, n*size), Labels: labels}
	}
	if err := images(3, g.Input, 0, 9, 5).Check(g); err != nil {
		t.Error(err)
	}
	for says, bad := range map[string]*nn.Images{
		"no images":                   images(0, g.Input),
		"3×4×16":                      images(1, nn.Shape{3, 4, 16}, 0),
		"image 1 has label 10":        images(2, g.Input, 0, 10),
		"image 0 has label -1":        images(1, g.Input, -1),
		"192 values, but 2 images of": images(1, g.Input, 0, 0),
	} {
		if err := bad.Check(g); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v does not say %q", err, says)
		}
	}
}
