package ref_test

import (
	"context"
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/ref"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// TestDerivativesAreThoseOfPyTorch compares with double backward in float64.
func TestDerivativesAreThoseOfPyTorch(t *testing.T) {
	nets, err := formula.Zoo("../../testdata/reference/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(nets)) {
		g, err := zoo.New(name, zoo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if g.MACs() > 100e6 && !long() {
			continue // minutes, for make check-long
		}
		t.Run(name, func(t *testing.T) {
			net := nets[name]
			images := formula.Images(net.Base, len(net.Labels), g.Input)
			v := flat(formula.Vector(g, net.Base))
			loss, gradient, products := derivatives(t, g, nn.CrossEntropy, formula.States(g, net.Base, net.BNScale), images, v)
			hv := products[0]
			near(t, "the loss", loss, net.CrossEntropy)
			near(t, "g·v", dot(gradient, v), net.GradDotV)
			near(t, "v·Hv", dot(v, hv), net.VHV)
			nearNorms(t, "the gradient", g, gradient, net.GradNorms)
			nearNorms(t, "Hv", g, hv, net.HvNorms)
		})
	}
}

// long reports whether there is time for minutes: make check-long sets the variable.
func long() bool { return os.Getenv("LSRUN_LONG") != "" }

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	t.Logf("%s is off by %.2g of it", what, got/want-1)
	if !(math.Abs(got-want) <= 1e-8*math.Abs(want)) {
		t.Errorf("%s is %v, PyTorch has %v", what, got, want)
	}
}

// nearNorms compares the norms of the parameters' parts of x, relative to the largest.
func nearNorms(t *testing.T, what string, g *nn.Graph, x, want []float64) {
	t.Helper()
	largest, worst := slices.Max(want), 0.0
	for _, e := range g.Entries {
		if e.Role != nn.Learnable {
			continue
		}
		n := e.Shape.Size()
		got := math.Sqrt(dot(x[:n], x[:n]))
		worst = max(worst, math.Abs(got-want[0])/largest)
		if !(math.Abs(got-want[0]) <= 1e-8*largest) {
			t.Errorf("the norm of %s is %v at %s, PyTorch has %v", what, got, e.Name, want[0])
		}
		x, want = x[n:], want[1:]
	}
	if len(x) != 0 || len(want) != 0 {
		t.Errorf("%s: %d values and %d norms are left over", what, len(x), len(want))
	}
	t.Logf("norms of %s are off by at most %.2g of the largest", what, worst)
}

// derivatives are the loss, its gradient and the products at the origin of the plane.
func derivatives(t *testing.T, g *nn.Graph, loss nn.Loss, states nn.Params, images *nn.Images, vectors ...[]float64) (value float64, gradient []float64, products [][]float64) {
	t.Helper()
	e, err := ref.New(g, loss, 2)
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
	d := e.(engine.Differentiator)
	gradient = make([]float64, g.Parameters())
	value, err = d.Gradient(context.Background(), set, nn.Point{}, gradient)
	if err != nil {
		t.Fatal(err)
	}
	products = make([][]float64, len(vectors))
	for k := range products {
		products[k] = make([]float64, g.Parameters())
	}
	if err := d.Products(context.Background(), vectors, products); err != nil {
		t.Fatal(err)
	}
	return value, gradient, products
}

func flat(p nn.Params) (v []float64) {
	for _, e := range p {
		for _, x := range e.Data {
			v = append(v, float64(x))
		}
	}
	return v
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for k, v := range x {
		sum += v * y[k]
	}
	return sum
}
