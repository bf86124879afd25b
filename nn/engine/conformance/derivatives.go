package conformance

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/ref"
)

// RunDerivatives tests the engines that new makes as engine.Differentiators. The part of a
// gradient or product that belongs to one tensor may differ from nn/ref's by tolerance, in norm, relative to
// the largest part's norm.
//
// An activation or maximum that lies so near its kink that rounding pushes it over changes derivatives
// by far more. The suite draws images for which that does not happen to perturbations of
// θ by up to 1e-5 of it.
func RunDerivatives(t *testing.T, tolerance float64, new func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error)) {
	t.Run("operations", func(t *testing.T) {
		for _, op := range operations() {
			t.Run(op.name(), func(t *testing.T) {
				compareDerivatives(t, tolerance, new, op.alone().graph(t), nn.MSE)
				compareDerivatives(t, tolerance, new, op.between().graph(t), nn.CrossEntropy)
			})
		}
	})
	t.Run("networks", func(t *testing.T) {
		for _, net := range networks() {
			t.Run(net.name, func(t *testing.T) {
				compareDerivatives(t, tolerance, new, net.graph(t), nn.CrossEntropy)
				compareDerivatives(t, tolerance, new, net.graph(t), nn.MSE)
			})
		}
	})
	t.Run("random networks", func(t *testing.T) {
		for seed := range uint64(60) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				compareDerivatives(t, tolerance, new, randomNetwork(t, seed), nn.Loss(seed%2))
			})
		}
	})
	t.Run("contract", func(t *testing.T) { derivativesContract(t, tolerance, new) })
	t.Run("numbers that are not finite", func(t *testing.T) { derivativesNotFinite(t, new) })
}

// derivatives are what an engine says of a set at a point.
type derivatives struct {
	loss     float64
	gradient []float64
	products [][]float64
}

// compareDerivatives differentiates g at a point with the engine under test and with
// nn/ref.
func compareDerivatives(t *testing.T, tolerance float64, new maker, g *nn.Graph, loss nn.Loss) {
	t.Helper()
	plane, at := randomPlane(g, 2), nn.Point{Alpha: 0.7, Beta: -0.4}
	images := steadyImages(t, g, loss, plane, at)
	vectors := randomVectors(g, 2, 7)
	d := differentiator(t, new, g, loss, 2, plane)
	reference := differentiator(t, ref.New, g, loss, 2, plane)
	got := differentiate(t, d, g, load(t, d, images), at, vectors)
	want := differentiate(t, reference, g, load(t, reference, images), at, vectors)
	closeDerivatives(t, tolerance, g, got, want)
}

// steadyImages are four pictures whose gradient, by nn/ref, does not jump near the point: no
// kink is near.
func steadyImages(t *testing.T, g *nn.Graph, loss nn.Loss, plane nn.Plane, at nn.Point) *nn.Images {
	t.Helper()
	e := differentiator(t, ref.New, g, loss, 2, plane)
	const step = 4e-5 // a direction is at most a quarter of θ
	for seed := range uint64(100) {
		images := randomImages(g, 4, seed)
		set := load(t, e, images)
		here := differentiate(t, e, g, set, at, nil)
		steady := true
		for _, alpha := range []float64{at.Alpha - step, at.Alpha + step} {
			near := differentiate(t, e, g, set, nn.Point{Alpha: alpha, Beta: at.Beta}, nil)
			steady = steady && distance(g, near.gradient, here.gradient) <= 1e-3
		}
		if steady {
			return images
		}
	}
	t.Fatal("no pictures stay away from kinks")
	return nil
}

func differentiator(t *testing.T, new maker, g *nn.Graph, loss nn.Loss, threads int, plane nn.Plane) engine.Differentiator {
	t.Helper()
	d, ok := ready(t, new, g, loss, threads, plane).(engine.Differentiator)
	if !ok {
		t.Fatal("the engine has no derivatives")
	}
	return d
}

func differentiate(t *testing.T, d engine.Differentiator, g *nn.Graph, set engine.Set, at nn.Point, vectors [][]float64) derivatives {
	t.Helper()
	got := derivatives{gradient: room(g)}
	var err error
	if got.loss, err = d.Gradient(context.Background(), set, at, got.gradient); err != nil {
		t.Fatal(err)
	}
	got.products = multiply(t, d, g, vectors)
	return got
}

func multiply(t *testing.T, d engine.Differentiator, g *nn.Graph, vectors [][]float64) [][]float64 {
	t.Helper()
	products := make([][]float64, len(vectors))
	for k := range products {
		products[k] = room(g)
	}
	if err := d.Products(context.Background(), vectors, products); err != nil {
		t.Fatal(err)
	}
	return products
}

// room is for a gradient or a product; what it holds must not matter.
func room(g *nn.Graph) []float64 {
	x := make([]float64, g.Parameters())
	for k := range x {
		x[k] = math.NaN()
	}
	return x
}

// randomVectors are normally distributed, of unit length.
func randomVectors(g *nn.Graph, n int, seed uint64) [][]float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	vectors := make([][]float64, n)
	for k := range vectors {
		vectors[k] = make([]float64, g.Parameters())
		for i := range vectors[k] {
			vectors[k][i] = rng.NormFloat64()
		}
		scale(vectors[k], 1/norm2(vectors[k]))
	}
	return vectors
}

func closeDerivatives(t *testing.T, tolerance float64, g *nn.Graph, got, want derivatives) {
	t.Helper()
	if !(math.Abs(got.loss-want.loss) <= tolerance*(1+want.loss)) {
		t.Errorf("the loss is %v, not %v", got.loss, want.loss)
	}
	closeVectors(t, tolerance, g, "the gradient", got.gradient, want.gradient)
	for k := range want.products {
		closeVectors(t, tolerance, g, fmt.Sprintf("product %d", k), got.products[k], want.products[k])
	}
}

func closeVectors(t *testing.T, tolerance float64, g *nn.Graph, what string, got, want []float64) {
	t.Helper()
	if d := distance(g, got, want); !(d <= tolerance) {
		t.Errorf("%s differs by %.3g of its largest part, more than %.3g", what, d, tolerance)
		for i, part := range parts(g, got) {
			w := parts(g, want)[i]
			t.Logf("part %d: norm %.6g, not %.6g", i, norm2(part), norm2(w))
		}
	}
}

// distance is the largest difference between x's and y's parts of a tensor, in norm, relative to
// the largest part of y. It is 0 between zeros.
func distance(g *nn.Graph, x, y []float64) float64 {
	var largest, apart float64
	for i, part := range parts(g, y) {
		largest = max(largest, norm2(part))
		difference := append([]float64(nil), parts(g, x)[i]...)
		axpy(difference, -1, part)
		apart = max(apart, norm2(difference))
	}
	if apart == 0 {
		return 0
	}
	return apart / largest
}

// parts are those of a vector over the parameters that belong to one tensor each.
func parts(g *nn.Graph, x []float64) (list [][]float64) {
	for _, e := range g.Entries {
		if e.Role == nn.Learnable {
			list, x = append(list, x[:e.Shape.Size()]), x[e.Shape.Size():]
		}
	}
	return list
}

func norm2(x []float64) float64 { return math.Sqrt(dot(x, x)) }

func dot(x, y []float64) float64 {
	sum := 0.0
	for k, v := range x {
		sum += v * y[k]
	}
	return sum
}

func scale(x []float64, a float64) {
	for k := range x {
		x[k] *= a
	}
}

// axpy adds a·x to y.
func axpy(y []float64, a float64, x []float64) {
	for k, v := range x {
		y[k] += a * v
	}
}
