package cuda

import (
	"context"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

func TestDerivativesAreThoseOfThePaperCodeOnTheHost(t *testing.T) {
	for _, precision := range []Precision{Float32, TF32x3, FP16x3} {
		t.Run(precision.String(), func(t *testing.T) {
			derivativesLikeThePaper(t, []string{"resnet20"}, func(g *nn.Graph) (*Engine, error) {
				h, err := newHost()
				if err != nil {
					return nil, err
				}
				return newEngine(g, nn.CrossEntropy, precision, h)
			})
		})
	}
}

// TestStatesAreKeptWholeOrNotAtAll differentiates over four blocks of images where there is memory for the states of two and a half.
func TestStatesAreKeptWholeOrNotAtAll(t *testing.T) {
	g, err := zoo.New("lenet5", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	gradient := func(limit int64) (v []float64, taken, state int64) {
		h, err := newHost()
		if err != nil {
			t.Fatal(err)
		}
		e, err := newEngine(g, nn.CrossEntropy, Float32, h)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		h.limit, e.blockImages, v = limit, 2, make([]float64, g.Parameters())
		if err := e.SetPlane(nn.Plane{Theta: formula.States(g, 1, 1)}); err != nil {
			t.Fatal(err)
		}
		set, err := e.Load(formula.Images(1, 7, g.Input))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Gradient(context.Background(), set, nn.Point{}, v); err != nil {
			t.Fatal(err)
		}
		return v, h.taken, 2 * 4 * 2 * e.derived.tape.plane // two planes of two images
	}
	want, all, state := gradient(0)
	got, taken, _ := gradient(all - 2*state + state/2)
	if taken != all-2*state {
		t.Errorf("%d bytes are taken, with four states %d, of %d each", taken, all, state)
	}
	if !slices.Equal(got, want) {
		t.Error("with two states there is another gradient")
	}
}

// derivativesLikeThePaper compares those of two images with what PyTorch computes in float64.
func derivativesLikeThePaper(t *testing.T, names []string, new func(g *nn.Graph) (*Engine, error)) {
	nets, err := formula.Zoo("../../testdata/reference/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			g, err := zoo.New(name, zoo.Options{})
			if err != nil {
				t.Fatal(err)
			}
			e, err := new(g)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			compareDerivatives(t, g, e, nets[name])
		})
	}
}

func compareDerivatives(t *testing.T, g *nn.Graph, e *Engine, net formula.Network) {
	if err := e.SetPlane(nn.Plane{Theta: formula.States(g, net.Base, net.BNScale)}); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(formula.Images(net.Base, len(net.Labels), net.Input))
	if err != nil {
		t.Fatal(err)
	}
	var v []float64
	for _, entry := range formula.Vector(g, net.Base) {
		for _, x := range entry.Data {
			v = append(v, float64(x))
		}
	}
	gradient, product := make([]float64, len(v)), make([]float64, len(v))
	loss, err := e.Gradient(context.Background(), set, nn.Point{}, gradient)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Products(context.Background(), [][]float64{v}, [][]float64{product}); err != nil {
		t.Fatal(err)
	}
	near := func(what string, error, bound float64) {
		t.Helper()
		if !(error <= bound) {
			t.Errorf("%s differs by %.2g, more than %.2g", what, error, bound)
		}
	}
	lossError := math.Abs(loss/net.CrossEntropy - 1)
	gradientError, productError := worstNorm(g, gradient, net.GradNorms), worstNorm(g, product, net.HvNorms)
	slopeError := alongError(dot(gradient, v), net.GradDotV, math.Sqrt(dot(v, v)*dot(gradient, gradient)))
	bendError := alongError(dot(product, v), net.VHV, math.Sqrt(dot(v, v)*dot(product, product)))
	near("the loss", lossError, 1e-6)
	near("the gradient's worst norm", gradientError, 1e-3)
	near("g·v", slopeError, 1e-3)
	near("the product's worst norm", productError, 1e-3)
	near("v·Hv", bendError, 1e-3)
	t.Logf("derivatives: the loss differs by %.1g, norms of the gradient by %.1g, g·v by %.1g, norms of Hv by %.1g, v·Hv by %.1g",
		lossError, gradientError, slopeError, productError, bendError)
}

// worstNorm compares the norms of all tensors, as parts of the largest.
func worstNorm(g *nn.Graph, v, want []float64) (worst float64) {
	largest, i := slices.Max(want), 0
	for _, e := range g.Entries {
		if e.Role == nn.Learnable {
			part := v[:e.Shape.Size()]
			v = v[len(part):]
			if d := math.Abs(math.Sqrt(dot(part, part))-want[i]) / largest; !(d <= worst) {
				worst = d
			}
			i++
		}
	}
	return worst
}

// alongError compares products of vectors, one of whose norms is size, where they do not cancel.
func alongError(got, want, size float64) float64 {
	return math.Abs(got-want) / max(math.Abs(want), 1e-3*size)
}

func dot(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += float64(x * b[i])
	}
	return sum
}
