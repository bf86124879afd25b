package conformance

import (
	"context"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/ref"
)

// derivativesNotFinite checks that where a landscape leaves the numbers, its derivatives
// say so, and that nothing hangs or panics.
func derivativesNotFinite(t *testing.T, new maker) {
	r := sample(t)
	r.images = r.part(0, 5)
	t.Run("a NaN in any entry gives NaN", func(t *testing.T) {
		for i, e := range r.graph.Entries {
			if e.Role == nn.BatchCounter {
				continue
			}
			got := derivativesWith(t, new, r, i, nan)
			if !math.IsNaN(got.loss) || !slices.ContainsFunc(got.gradient, math.IsNaN) || !slices.ContainsFunc(got.products[0], math.IsNaN) {
				t.Errorf("NaN in %s: the loss is %v, the norms of gradient and product %v and %v",
					e.Name, got.loss, norm2(got.gradient), norm2(got.products[0]))
			}
		}
	})
	t.Run("an infinite weight gives no finite derivatives where the reference has none", func(t *testing.T) {
		for i, e := range r.graph.Entries {
			if len(e.Shape) < 2 {
				continue
			}
			got, want := derivativesWith(t, new, r, i, inf), derivativesWith(t, ref.New, r, i, inf)
			if finite(norm2(got.gradient)) != finite(norm2(want.gradient)) || finite(norm2(got.products[0])) != finite(norm2(want.products[0])) {
				t.Errorf("∞ in %s: norms %v and %v, the reference's %v and %v", e.Name,
					norm2(got.gradient), norm2(got.products[0]), norm2(want.gradient), norm2(want.products[0]))
			}
		}
	})
	t.Run("a network that overflows ends", func(t *testing.T) {
		for i, e := range r.graph.Entries {
			if e.Role != nn.BatchCounter {
				derivativesWith(t, new, r, i, math.MaxFloat32)
				derivativesWith(t, new, r, i, -math.MaxFloat32)
			}
		}
	})
	t.Run("a NaN in one image gives NaN", func(t *testing.T) {
		r := r
		r.images = r.part(0, 5)
		r.images.Pixels = slices.Clone(r.images.Pixels)
		r.images.Pixels[r.graph.Input.Size()+7] = nan
		got := derivativesWith(t, new, r, 0, r.plane.Theta[0].Data[0])
		if !math.IsNaN(got.loss) || finite(norm2(got.gradient)) || finite(norm2(got.products[0])) {
			t.Errorf("the loss is %v, the norms of gradient and product %v and %v",
				got.loss, norm2(got.gradient), norm2(got.products[0]))
		}
	})
	t.Run("a vector that is not finite has no finite product and leaves its neighbours alone", func(t *testing.T) {
		d := differentiator(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		vectors := randomVectors(r.graph, 2, 1)
		want := differentiate(t, d, r.graph, load(t, d, r.images), r.points[1], vectors)
		for _, special := range []float32{nan, inf, -inf} {
			bad := slices.Clone(vectors[0])
			bad[len(bad)-1] = float64(special) // the last layer's bias, which no kink can hide
			got := multiply(t, d, r.graph, [][]float64{bad, vectors[1]})
			if finite(norm2(got[0])) {
				t.Errorf("%v in the vector: the norm of the product is %v", special, norm2(got[0]))
			}
			sameVectors(t, "product", got[1:], want.products[1:])
		}
	})
	t.Run("an engine recovers", func(t *testing.T) {
		d := differentiator(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		set, vectors := load(t, d, r.images), randomVectors(r.graph, 2, 1)
		want := differentiate(t, d, r.graph, set, nn.Point{}, vectors)
		if _, err := d.Gradient(context.Background(), set, nn.Point{Alpha: math.NaN()}, room(r.graph)); err != nil {
			t.Fatal(err)
		}
		multiply(t, d, r.graph, vectors)
		sameDerivatives(t, differentiate(t, d, r.graph, set, nn.Point{}, vectors), want)
	})
}

// derivativesWith differentiates r with the first value of an entry replaced.
func derivativesWith(t *testing.T, new maker, r resident, entry int, v float32) derivatives {
	t.Helper()
	d := differentiator(t, new, r.graph, nn.CrossEntropy, 2, nn.Plane{Theta: with(r.plane.Theta, entry, 0, v)})
	return differentiate(t, d, r.graph, load(t, d, r.images), nn.Point{}, randomVectors(r.graph, 1, 1))
}
