package conformance

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/ref"
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

// notFinite checks that nothing hides a NaN or an infinity: a landscape that leaves the
// numbers says so.
func notFinite(t *testing.T, new maker) {
	r := sample(t)
	t.Run("a NaN in any entry gives NaN losses", func(t *testing.T) {
		for i, e := range r.graph.Entries {
			if e.Role == nn.BatchCounter {
				continue
			}
			for _, k := range []int{0, e.Shape.Size() / 2, e.Shape.Size() - 1} {
				for image, loss := range withValue(t, new, r, i, k, nan) {
					if !math.IsNaN(loss) {
						t.Errorf("NaN in %s[%d]: the loss of image %d is %v", e.Name, k, image, loss)
					}
				}
			}
		}
	})
	t.Run("a negative running variance gives NaN losses", func(t *testing.T) {
		for i, e := range r.graph.Entries {
			if e.Role != nn.RunningVar {
				continue
			}
			for image, loss := range withValue(t, new, r, i, e.Shape.Size()-1, -0.5) {
				if !math.IsNaN(loss) {
					t.Errorf("%s < 0: the loss of image %d is %v", e.Name, image, loss)
				}
			}
		}
	})
	t.Run("an infinite weight gives losses that are not finite where the reference's are not", func(t *testing.T) {
		for i, e := range r.graph.Entries {
			if len(e.Shape) < 2 {
				continue
			}
			got, want := withValue(t, new, r, i, 0, inf), withValue(t, ref.New, r, i, 0, inf)
			for image := range want {
				if finite(got[image]) != finite(want[image]) {
					t.Errorf("∞ in %s: the loss of image %d is %v, the reference's %v", e.Name, image, got[image], want[image])
				}
			}
		}
	})
	t.Run("a NaN in one image stays there", func(t *testing.T) {
		want := evaluate(t, new, r.graph, nn.CrossEntropy, 2, r.plane, r.images, r.points[1:2])[0]
		images := *r.images
		images.Pixels = append([]float32(nil), images.Pixels...)
		size := images.Shape.Size()
		images.Pixels[7*size+size/2] = nan
		got := evaluate(t, new, r.graph, nn.CrossEntropy, 2, r.plane, &images, r.points[1:2])[0]
		for i := range got.Loss {
			if bad := math.IsNaN(got.Loss[i]); bad != (i == 7) {
				t.Errorf("image %d: loss %v", i, got.Loss[i])
			}
			if i != 7 && !equal(got.Loss[i], want.Loss[i]) {
				t.Errorf("image %d: loss %v, without its NaN neighbour %v", i, got.Loss[i], want.Loss[i])
			}
		}
	})
	for _, op := range []nn.Op{nn.ReLU{}, nn.SELU{}, nn.Tanh{}, nn.Sigmoid{}, nn.ELU{Alpha: 1}, nn.GELU{}, nn.GELU{Tanh: true},
		nn.MaxPool{Window: nn.Square(3, 2, 1)}, nn.MaxPool{Window: nn.Square(2, 2, 0)}, nn.AvgPool{Window: nn.Square(3, 2, 1)},
		nn.AdaptiveMaxPool{Out: [2]int{2, 3}}, nn.AdaptiveAvgPool{Out: [2]int{1, 1}}, nn.Softmax{}, nn.LogSoftmax{},
		nn.Subsample{Out: 5, Stride: 2}} {
		t.Run(fmt.Sprintf("%s %+v keeps NaN and infinities where they are", op.Kind(), op), func(t *testing.T) {
			keeps(t, new, op)
		})
	}
}

// withValue gives the losses with one value of the network replaced.
func withValue(t *testing.T, new maker, r resident, entry, k int, v float32) []float64 {
	t.Helper()
	plane := nn.Plane{Theta: with(r.plane.Theta, entry, k, v)}
	return evaluate(t, new, r.graph, nn.CrossEntropy, 2, plane, r.part(0, 5), []nn.Point{{}})[0].Loss
}

// with is theta with one value of an entry replaced.
func with(theta nn.Params, entry, k int, v float32) nn.Params {
	theta = slices.Clone(theta)
	theta[entry].Data = slices.Clone(theta[entry].Data)
	theta[entry].Data[k] = v
	return theta
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// keeps puts NaN, +∞ and −∞ at every place of a picture in turn and compares which outputs
// are what with the reference.
func keeps(t *testing.T, new maker, op nn.Op) {
	g := network{"one", nn.Shape{3, 5, 4}, func(b *nn.Builder) int { return b.Add("op", op, 0) }}.graph(t)
	size := g.Input.Size()
	images := randomImages(g, 3*size, 6)
	for k := range size {
		for v, special := range []float32{nan, inf, -inf} {
			images.Pixels[(3*k+v)*size+k] = special
		}
	}
	got := evaluate(t, new, g, nn.CrossEntropy, 2, nn.Plane{Theta: nn.Params{}}, images, []nn.Point{{}})[0]
	want := evaluate(t, ref.New, g, nn.CrossEntropy, 2, nn.Plane{Theta: nn.Params{}}, images, []nn.Point{{}})[0]
	for k := range want.Logits {
		z, r := float64(got.Logits[k]), float64(want.Logits[k])
		if !finite(r) && !equal(z, r) || finite(r) && !finite(z) {
			t.Fatalf("image %d: output %d is %v, not %v", k/g.Classes, k%g.Classes, z, r)
		}
	}
}
