package conformance

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// resident is a small network with all that is needed to evaluate it.
type resident struct {
	graph  *nn.Graph
	images *nn.Images
	plane  nn.Plane
	points []nn.Point
}

// sample is a residual network with a normalised head.
func sample(t *testing.T) resident {
	g := network{"sample", nn.Shape{3, 9, 8}, func(b *nn.Builder) int {
		d := &draft{Builder: b}
		x := d.chain(0, conv3x3(7), norm, relu, nn.MaxPool{Window: nn.Square(2, 2, 0)})
		y := d.chain(x, conv3x3(7), norm, relu, conv3x3(7), norm)
		return d.chain(d.add(nn.Add{}, x, y), relu, nn.Flatten{}, nn.Linear{Out: 6, Bias: true}, norm, relu, full)
	}}.graph(t)
	points := []nn.Point{{}, {Alpha: 1, Beta: -0.5}, {Alpha: 1e-3}, {Beta: 1e-3}, {Alpha: -0.5, Beta: 0.5}}
	return resident{g, randomImages(g, 21, 3), randomPlane(g, 4), points}
}

// part is the images from first to last−1 as a set of their own.
func (r resident) part(first, last int) *nn.Images {
	size := r.graph.Input.Size()
	return &nn.Images{Shape: r.graph.Input, Pixels: r.images.Pixels[first*size : last*size], Labels: r.images.Labels[first:last]}
}

func contract(t *testing.T, new maker) {
	r := sample(t)
	want := evaluate(t, new, r.graph, nn.CrossEntropy, 1, r.plane, r.images, r.points)

	t.Run("threads do not change a bit", func(t *testing.T) {
		for _, threads := range []int{2, 3, 8, 50} {
			got := evaluate(t, new, r.graph, nn.CrossEntropy, threads, r.plane, r.images, r.points)
			sameBits(t, got, want)
		}
	})
	t.Run("an image does not depend on its neighbours", func(t *testing.T) {
		e := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		for _, size := range []int{1, 2, 4, 5, 8, 16, 20} {
			for first := 0; first < r.images.Len(); first += size {
				last := min(first+size, r.images.Len())
				set := load(t, e, r.part(first, last))
				sameBits(t, results(t, e, set, r.graph.Classes, r.points[1]), []engine.Output{cut(want[1], first, last)})
			}
		}
	})
	t.Run("a point does not depend on the others or on what came before", func(t *testing.T) {
		e := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		set := load(t, e, r.images)
		for _, p := range []int{4, 0, 1, 3, 2, 1, 0} {
			sameBits(t, results(t, e, set, r.graph.Classes, r.points[p]), want[p:p+1])
		}
		sameBits(t, results(t, e, set, r.graph.Classes, r.points[3], r.points[3], r.points[0]),
			[]engine.Output{want[3], want[3], want[0]})
	})
	t.Run("two sets are resident side by side", func(t *testing.T) {
		e := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		a, b := load(t, e, r.part(0, 9)), load(t, e, r.part(9, 21))
		if a.Len() != 9 || b.Len() != 12 {
			t.Errorf("sets of 9 and 12 images have lengths %d and %d", a.Len(), b.Len())
		}
		sameBits(t, results(t, e, b, r.graph.Classes, r.points[1]), []engine.Output{cut(want[1], 9, 21)})
		sameBits(t, results(t, e, a, r.graph.Classes, r.points[1]), []engine.Output{cut(want[1], 0, 9)})
	})
	t.Run("no points are no work", func(t *testing.T) {
		e := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		results(t, e, load(t, e, r.images), r.graph.Classes)
	})
	t.Run("logits are left out where they are not wanted", func(t *testing.T) {
		e := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		got := results(t, e, load(t, e, r.images), 0, r.points...)
		for p := range got {
			got[p].Logits = want[p].Logits
		}
		sameBits(t, got, want)
	})
	t.Run("the origin is the network itself", func(t *testing.T) {
		alone := evaluate(t, new, r.graph, nn.CrossEntropy, 2, nn.Plane{Theta: r.plane.Theta}, r.images, r.points)
		sameBits(t, alone[:1], want[:1])
		sameBits(t, alone[1:2], want[:1]) // without directions every point is
	})
	t.Run("a plane moves the network as nn.Plane.Entry says", func(t *testing.T) { moves(t, new, r) })
	t.Run("mse has the logits of cross entropy", func(t *testing.T) {
		got := evaluate(t, new, r.graph, nn.MSE, 2, r.plane, r.images, r.points)
		for p := range got {
			if equal(got[p].Loss[0], want[p].Loss[0]) {
				t.Errorf("the mse of the first image is its cross entropy %v", got[p].Loss[0])
			}
			got[p].Loss = want[p].Loss
		}
		sameBits(t, got, want)
	})
	t.Run("the kernel has a name that does not depend on the network", func(t *testing.T) {
		a := ready(t, new, r.graph, nn.CrossEntropy, 1, r.plane)
		g := networks()[0].graph(t)
		b := ready(t, new, g, nn.MSE, 2, randomPlane(g, 5))
		if a.Kernel() == "" || a.Kernel() != b.Kernel() {
			t.Errorf("kernels %q and %q", a.Kernel(), b.Kernel())
		}
	})
	t.Run("cancelled work returns an error soon", func(t *testing.T) { cancelled(t, new, r, want) })
	t.Run("what does not fit is an error", func(t *testing.T) { misfits(t, new, r) })
}

// moves compares planes of every kind with networks that were moved beforehand.
func moves(t *testing.T, new maker, r resident) {
	sparse := append(nn.Params(nil), r.plane.X...)
	for i := 0; i < len(sparse); i += 2 {
		sparse[i].Data = nil
	}
	planes := map[string]nn.Plane{
		"x and y":            r.plane,
		"x only":             {Theta: r.plane.Theta, X: r.plane.X},
		"y only":             {Theta: r.plane.Theta, Y: r.plane.Y},
		"x with entries out": {Theta: r.plane.Theta, X: sparse, Y: r.plane.Y},
		"y with entries out": {Theta: r.plane.Theta, X: r.plane.X, Y: sparse},
	}
	e := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
	set := load(t, e, r.images)
	for name, plane := range planes {
		setPlane(t, e, plane)
		got := results(t, e, set, r.graph.Classes, r.points...)
		for p, at := range r.points {
			moved := append(nn.Params(nil), r.plane.Theta...)
			for i := range moved {
				moved[i].Data = make([]float32, len(moved[i].Data))
				plane.Entry(moved[i].Data, i, at)
			}
			setPlane(t, e, nn.Plane{Theta: moved})
			t.Log(name, at)
			sameBits(t, got[p:p+1], results(t, e, set, r.graph.Classes, nn.Point{}))
		}
	}
}

// cancelled interrupts work that would take minutes, and evaluates again.
func cancelled(t *testing.T, new maker, r resident, want []engine.Output) {
	e := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
	set := load(t, e, r.images)

	before, cancel := context.WithCancel(context.Background())
	cancel()
	err := e.Evaluate(before, set, r.points[:1], []engine.Output{engine.NewOutput(set.Len(), 0)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before it began: error %v", err)
	}

	during, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	points := make([]nn.Point, 20000)
	outs := make([]engine.Output, len(points))
	for i := range outs {
		outs[i] = engine.NewOutput(set.Len(), 0)
	}
	if err := e.Evaluate(during, set, points, outs); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled while it ran: error %v", err)
	}
	sameBits(t, results(t, e, set, r.graph.Classes, r.points...), want)
}

func misfits(t *testing.T, new maker, r resident) {
	e, err := new(r.graph, nn.CrossEntropy, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	n := r.images.Len()
	set := load(t, e, r.images)
	run := func(points, outs int, out engine.Output) error {
		list := make([]engine.Output, outs)
		for i := range list {
			list[i] = out
		}
		return e.Evaluate(context.Background(), set, make([]nn.Point, points), list)
	}
	fail := func(what string, err error) {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	fail("no plane yet", run(1, 1, engine.NewOutput(n, 0)))

	_, err = e.Load(&nn.Images{Shape: r.graph.Input})
	fail("no images", err)
	_, err = e.Load(&nn.Images{Shape: nn.Shape{3, 8, 9}, Pixels: r.images.Pixels, Labels: r.images.Labels})
	fail("images of another shape", err)
	for _, label := range []int32{-1, int32(r.graph.Classes)} {
		images := r.part(0, 1)
		images.Labels = []int32{label}
		_, err = e.Load(images)
		fail("a label out of range", err)
	}

	theta, x := r.plane.Theta, r.plane.X
	short := append(nn.Params(nil), theta...)
	short[0].Data = short[0].Data[1:]
	fail("θ without its last entry", e.SetPlane(nn.Plane{Theta: theta[:len(theta)-1]}))
	fail("no θ", e.SetPlane(nn.Plane{}))
	fail("an entry of θ that is too short", e.SetPlane(nn.Plane{Theta: short}))
	fail("a direction without its last entry", e.SetPlane(nn.Plane{Theta: theta, X: x[:len(x)-1]}))
	fail("an entry of a direction that is too short", e.SetPlane(nn.Plane{Theta: theta, Y: short}))

	setPlane(t, e, r.plane)
	fail("room for too few points", run(2, 1, engine.NewOutput(n, 0)))
	fail("room for too many points", run(1, 2, engine.NewOutput(n, 0)))
	fail("room for too few images", run(1, 1, engine.NewOutput(n-1, 0)))
	fail("room for too many images", run(1, 1, engine.NewOutput(n+1, 0)))
	fail("room for too few logits", run(1, 1, engine.NewOutput(n, r.graph.Classes-1)))
	if err := run(1, 1, engine.NewOutput(n, r.graph.Classes)); err != nil {
		t.Errorf("after all these mistakes: %v", err)
	}
}

func load(t *testing.T, e engine.Engine, images *nn.Images) engine.Set {
	t.Helper()
	set, err := e.Load(images)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func setPlane(t *testing.T, e engine.Engine, plane nn.Plane) {
	t.Helper()
	if err := e.SetPlane(plane); err != nil {
		t.Fatal(err)
	}
}

// cut is what out says of the images from first to last−1.
func cut(out engine.Output, first, last int) engine.Output {
	classes := len(out.Logits) / len(out.Loss)
	return engine.Output{Loss: out.Loss[first:last], Predicted: out.Predicted[first:last],
		Logits: out.Logits[first*classes : last*classes]}
}

// sameBits compares results bit by bit; any NaN equals any other.
func sameBits(t *testing.T, got, want []engine.Output) {
	t.Helper()
	for p := range want {
		for i := range want[p].Loss {
			if !equal(got[p].Loss[i], want[p].Loss[i]) || got[p].Predicted[i] != want[p].Predicted[i] {
				t.Fatalf("point %d, image %d: loss %v and class %d, not %v and %d", p, i,
					got[p].Loss[i], got[p].Predicted[i], want[p].Loss[i], want[p].Predicted[i])
			}
		}
		for k := range want[p].Logits {
			if !equal(float64(got[p].Logits[k]), float64(want[p].Logits[k])) {
				t.Fatalf("point %d: logit %d is %v, not %v", p, k, got[p].Logits[k], want[p].Logits[k])
			}
		}
	}
}

func equal(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}
