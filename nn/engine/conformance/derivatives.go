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
// gradient or product that belongs to one tensor may differ from nn/ref's by tolerance, in
// norm, relative to the largest part's norm.
//
// An activation or a maximum so near its kink that rounding pushes it over changes
// derivatives by more than any tolerance. The suite draws images again until the reference's
// gradient does not jump when θ moves by 1e-5 of itself: with errors of float32's size, 1e-3
// is then met by a right engine.
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
	t.Run("kinks", func(t *testing.T) {
		for _, op := range []nn.Op{nn.ReLU{}, nn.SELU{}, nn.ELU{Alpha: 1}, nn.ELU{Alpha: 0.3}, nn.AdaptiveMaxPool{Out: [2]int{2, 4}},
			nn.MaxPool{Window: nn.Square(2, 2, 0)}, nn.MaxPool{Window: nn.Square(3, 2, 1)}, nn.MaxPool{Window: nn.Square(3, 1, 1)}} {
			t.Run(fmt.Sprintf("%s %+v", op.Kind(), op), func(t *testing.T) { kinks(t, tolerance, new, op) })
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

// compareDerivatives differentiates g at a point, away from kinks.
func compareDerivatives(t *testing.T, tolerance float64, new maker, g *nn.Graph, loss nn.Loss) {
	t.Helper()
	plane, at := randomPlane(g, 2), nn.Point{Alpha: 0.7, Beta: -0.4}
	compareDerivativesAt(t, tolerance, new, g, loss, plane, at, steadyImages(t, g, loss, plane, at))
}

// compareDerivativesAt differentiates with the engine under test and with nn/ref.
func compareDerivativesAt(t *testing.T, tolerance float64, new maker, g *nn.Graph, loss nn.Loss, plane nn.Plane, at nn.Point, images *nn.Images) {
	t.Helper()
	vectors := randomVectors(g, 2, 7)
	d := differentiator(t, new, g, loss, 2, plane)
	reference := differentiator(t, ref.New, g, loss, 2, plane)
	got := differentiate(t, d, g, load(t, d, images), at, vectors)
	want := differentiate(t, reference, g, load(t, reference, images), at, vectors)
	closeDerivatives(t, tolerance, g, got, want)
}

// kinks gives op an input of zeros: all of it is at the kink, and every maximum is a tie.
func kinks(t *testing.T, tolerance float64, new maker, op nn.Op) {
	g := network{"kinks", nn.Shape{3, 7, 6}, func(b *nn.Builder) int {
		return (&draft{Builder: b}).chain(0, conv3x3(4).WithBias(), op, nn.Flatten{}, full)
	}}.graph(t)
	plane := nn.Plane{Theta: randomPlane(g, 2).Theta}
	clear(plane.Theta[0].Data)
	clear(plane.Theta[1].Data)
	compareDerivativesAt(t, tolerance, new, g, nn.CrossEntropy, plane, nn.Point{}, randomImages(g, 4, 1))
}

// steadyImages are four pictures whose gradient, by nn/ref, does not jump near the point: no
// kink is near.
func steadyImages(t *testing.T, g *nn.Graph, loss nn.Loss, plane nn.Plane, at nn.Point) *nn.Images {
	t.Helper()
	e := differentiator(t, ref.New, g, loss, 2, plane)
	for seed := range uint64(100) {
		images := randomImages(g, 4, seed)
		set := load(t, e, images)
		here := differentiate(t, e, g, set, at, nil)
		steady := true
		for _, step := range []float64{4e-5, -4e-5} { // of directions that are at most a quarter of θ
			for _, to := range []nn.Point{{Alpha: at.Alpha + step, Beta: at.Beta}, {Alpha: at.Alpha, Beta: at.Beta + step}} {
				there := differentiate(t, e, g, set, to, nil)
				steady = steady && distance(g, there.gradient, here.gradient) <= 1e-4
			}
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

// distance is the largest difference between parts of x and y, in norm, relative to the
// largest part of y. It is 0 between zeros.
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

// parts are the pieces of a vector over the parameters, one a tensor.
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
