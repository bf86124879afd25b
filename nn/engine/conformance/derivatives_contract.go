package conformance

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"lsrun/nn"
	"lsrun/nn/engine"
)

func derivativesContract(t *testing.T, tolerance float64, new maker) {
	r := sample(t)
	r.images = randomImages(r.graph, 70, 3)
	vectors := randomVectors(r.graph, 5, 4)
	at := r.points[1]
	d := differentiator(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
	set := load(t, d, r.images)
	want := differentiate(t, d, r.graph, set, at, vectors)

	t.Run("threads do not change a bit", func(t *testing.T) {
		for _, threads := range []int{1, 3, 8, 50} {
			d := differentiator(t, new, r.graph, nn.CrossEntropy, threads, r.plane)
			sameDerivatives(t, differentiate(t, d, r.graph, load(t, d, r.images), at, vectors), want)
		}
	})
	t.Run("the loss is the mean of Evaluate's", func(t *testing.T) {
		mean := 0.0
		for _, loss := range results(t, d, set, 0, at)[0].Loss {
			mean += loss / float64(set.Len())
		}
		if !(math.Abs(want.loss-mean) <= tolerance*(1+mean)) {
			t.Errorf("the loss is %v, the mean of Evaluate's %v", want.loss, mean)
		}
	})
	t.Run("derivatives are the means of those of any parts of the set", func(t *testing.T) {
		for _, size := range []int{1, 2, 5, 16, 33, 64} {
			closeDerivatives(t, tolerance, r.graph, meanOfParts(t, d, r, size, at, vectors), want)
		}
	})
	t.Run("the order of the images does not matter", func(t *testing.T) {
		got := differentiate(t, d, r.graph, load(t, d, reversed(r.images)), at, vectors)
		closeDerivatives(t, tolerance, r.graph, got, want)
	})
	t.Run("products are those of the last gradient's set and point", func(t *testing.T) {
		few := load(t, d, r.part(0, 9))
		there := differentiate(t, d, r.graph, few, r.points[4], vectors)
		sameDerivatives(t, differentiate(t, d, r.graph, set, at, vectors), want)
		results(t, d, few, 0, r.points[2]) // does not move it
		sameVectors(t, "product", multiply(t, d, r.graph, vectors), want.products)
		sameDerivatives(t, differentiate(t, d, r.graph, few, r.points[4], vectors), there)
	})
	t.Run("several vectors at once give what each gives alone", func(t *testing.T) {
		differentiate(t, d, r.graph, set, at, nil)
		for k := range vectors {
			sameVectors(t, "product", multiply(t, d, r.graph, vectors[k:k+1]), want.products[k:k+1])
		}
		sameVectors(t, "product", multiply(t, d, r.graph, vectors[1:3]), want.products[1:3])
	})
	t.Run("arguments are the caller's", func(t *testing.T) {
		copies := [][]float64{slices.Clone(vectors[0]), slices.Clone(vectors[1])}
		gradient := room(r.graph)
		if _, err := d.Gradient(context.Background(), set, at, gradient); err != nil {
			t.Fatal(err)
		}
		scale(gradient, math.NaN())
		products := multiply(t, d, r.graph, copies)
		sameVectors(t, "vector", copies, vectors[:2])
		scale(copies[0], math.NaN())
		scale(products[0], math.NaN())
		sameVectors(t, "product", multiply(t, d, r.graph, vectors[:2]), want.products[:2])
	})
	t.Run("the Hessian is symmetric", func(t *testing.T) {
		u, v, hu, hv := vectors[0], vectors[1], want.products[0], want.products[1]
		if a, b := dot(u, hv), dot(v, hu); !(math.Abs(a-b) <= tolerance*(norm2(hu)+norm2(hv))) {
			t.Errorf("u·Hv = %v, v·Hu = %v", a, b)
		}
	})
	t.Run("products are linear", func(t *testing.T) {
		differentiate(t, d, r.graph, set, at, nil)
		sum, expected := make([]float64, len(vectors[0])), make([]float64, len(vectors[0]))
		for k, a := range []float64{300, -0.02, 7} {
			axpy(sum, a, vectors[k])
			axpy(expected, a, want.products[k])
		}
		zero := make([]float64, len(sum))
		got := multiply(t, d, r.graph, [][]float64{sum, zero})
		closeVectors(t, tolerance, r.graph, "the product", got[0], expected)
		closeVectors(t, 0, r.graph, "the product with 0", got[1], zero)
	})
	t.Run("no vectors are no work", func(t *testing.T) { multiply(t, d, r.graph, nil) })
	t.Run("a single class has no derivatives", func(t *testing.T) {
		g := network{"sure", nn.Shape{3, 5, 5}, func(b *nn.Builder) int {
			return (&draft{Builder: b}).chain(0, conv3x3(4), norm, relu, nn.Flatten{}, nn.Linear{Out: 1, Bias: true})
		}}.graph(t)
		d := differentiator(t, new, g, nn.CrossEntropy, 2, randomPlane(g, 1))
		got := differentiate(t, d, g, load(t, d, randomImages(g, 3, 1)), nn.Point{}, randomVectors(g, 1, 1))
		zero := make([]float64, g.Parameters())
		closeDerivatives(t, 0, g, got, derivatives{0, zero, [][]float64{zero}})
	})
	t.Run("cancelled work returns an error soon", func(t *testing.T) { cancelledDerivatives(t, new, r, vectors) })
	t.Run("what does not fit is an error", func(t *testing.T) { misfitDerivatives(t, new, r) })
}

// meanOfParts differentiates consecutive parts of r's images and averages.
func meanOfParts(t *testing.T, d engine.Differentiator, r resident, size int, at nn.Point, vectors [][]float64) derivatives {
	t.Helper()
	mean := derivatives{gradient: make([]float64, r.graph.Parameters())}
	for range vectors {
		mean.products = append(mean.products, make([]float64, r.graph.Parameters()))
	}
	for first := 0; first < r.images.Len(); first += size {
		last := min(first+size, r.images.Len())
		part := differentiate(t, d, r.graph, load(t, d, r.part(first, last)), at, vectors)
		weight := float64(last-first) / float64(r.images.Len())
		mean.loss += weight * part.loss
		axpy(mean.gradient, weight, part.gradient)
		for k := range vectors {
			axpy(mean.products[k], weight, part.products[k])
		}
	}
	return mean
}

func reversed(images *nn.Images) *nn.Images {
	size := images.Shape.Size()
	r := &nn.Images{Shape: images.Shape, Labels: slices.Clone(images.Labels)}
	slices.Reverse(r.Labels)
	for i := images.Len() - 1; i >= 0; i-- {
		r.Pixels = append(r.Pixels, images.Pixels[i*size:(i+1)*size]...)
	}
	return r
}

// cancelledDerivatives interrupts work that would take long, and does it again.
func cancelledDerivatives(t *testing.T, new maker, r resident, vectors [][]float64) {
	d := differentiator(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
	set := load(t, d, r.images)
	want := differentiate(t, d, r.graph, set, r.points[1], vectors)
	many := make([][]float64, 1000)
	rooms := make([][]float64, len(many))
	for k := range many {
		many[k], rooms[k] = vectors[k%len(vectors)], room(r.graph)
	}

	before, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Products(before, vectors[:1], rooms[:1]); !errors.Is(err, context.Canceled) {
		t.Errorf("products cancelled before they began: error %v", err)
	}
	during, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := d.Products(during, many, rooms); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("products cancelled while they ran: error %v", err)
	}
	sameVectors(t, "product", multiply(t, d, r.graph, vectors), want.products)

	if _, err := d.Gradient(before, set, r.points[2], room(r.graph)); !errors.Is(err, context.Canceled) {
		t.Errorf("gradient cancelled before it began: error %v", err)
	}
	long := load(t, d, randomImages(r.graph, 20000, 5))
	during, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := d.Gradient(during, long, r.points[2], room(r.graph)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("gradient cancelled while it ran: error %v", err)
	}
	sameDerivatives(t, differentiate(t, d, r.graph, set, r.points[1], vectors), want)
}

// foreign is a set that no engine gave.
type foreign struct{}

func (foreign) Len() int { return 1 }

func misfitDerivatives(t *testing.T, new maker, r resident) {
	e, err := new(r.graph, nn.CrossEntropy, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d := e.(engine.Differentiator)
	set := load(t, d, r.images)
	n := r.graph.Parameters()
	fail := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	gradient := func(set engine.Set, n int) error {
		_, err := d.Gradient(context.Background(), set, r.points[1], make([]float64, n))
		return err
	}
	products := func(vectors, products []int) error {
		lists := [2][][]float64{}
		for l, lengths := range [][]int{vectors, products} {
			for _, n := range lengths {
				lists[l] = append(lists[l], make([]float64, n))
			}
		}
		return d.Products(context.Background(), lists[0], lists[1])
	}
	fail("a gradient without a plane", gradient(set, n))
	setPlane(t, d, r.plane)
	fail("products before a gradient", products([]int{n}, []int{n}))
	fail("a gradient of another engine's set", gradient(foreign{}, n))
	fail("a gradient of no set", gradient(nil, n))
	fail("a gradient that is too short", gradient(set, n-1))
	fail("a gradient that is too long", gradient(set, n+1))
	fail("products without a successful gradient", products([]int{n}, []int{n}))
	if err := gradient(set, n); err != nil {
		t.Fatalf("after all these mistakes: %v", err)
	}
	fail("room for too few products", products([]int{n, n}, []int{n}))
	fail("room for too many products", products([]int{n}, []int{n, n}))
	fail("a second vector that is too short", products([]int{n, n - 1}, []int{n, n}))
	fail("a second vector that is too long", products([]int{n, n + 1}, []int{n, n}))
	fail("a second product that is too short", products([]int{n, n}, []int{n, n - 1}))
	if err := products([]int{n}, []int{n}); err != nil {
		t.Errorf("after all these mistakes: %v", err)
	}
}

// sameDerivatives compares bit by bit; any NaN equals any other.
func sameDerivatives(t *testing.T, got, want derivatives) {
	t.Helper()
	if !equal(got.loss, want.loss) {
		t.Fatalf("the loss is %v, not %v", got.loss, want.loss)
	}
	sameVectors(t, "gradient", [][]float64{got.gradient}, [][]float64{want.gradient})
	sameVectors(t, "product", got.products, want.products)
}

func sameVectors(t *testing.T, what string, got, want [][]float64) {
	t.Helper()
	for k := range want {
		for i := range want[k] {
			if !equal(got[k][i], want[k][i]) {
				t.Fatalf("%s %d: element %d is %v, not %v", what, k, i, got[k][i], want[k][i])
			}
		}
	}
}
