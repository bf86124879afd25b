package cuda

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/engine/conformance"
)

func TestVectorsConform(t *testing.T) {
	for what, most := range map[string]int{"on the card": mostVectors, "where it has no room": 0} {
		t.Run(what, func(t *testing.T) {
			conformance.RunVectors(t, func(g *nn.Graph, loss nn.Loss, _ int) (engine.Engine, error) {
				h, err := newHost()
				if err != nil {
					return nil, err
				}
				e, err := newEngine(g, loss, FP16x3, h)
				if err == nil {
					e.mostVectors = most
				}
				return e, err
			})
		})
	}
}

// TestVectorsGiveTheSameBitsWhereverTheyAre does the same to vectors on the card and in the host's memory.
func TestVectorsGiveTheSameBitsWhereverTheyAre(t *testing.T) {
	e, _ := lenet5(t, Float32)
	differentiated(t, e)
	n := e.graph.Parameters()
	// 61,706 parameters are added up by 16 blocks of threads, the others by one.
	for _, ranges := range [][][2]int{{{0, n}}, {{3, 700}, {n - 400, n}}, {{5, 6}}} {
		const count = 21
		var all [2][]float64
		for place, most := range []int{0, count} {
			e.mostVectors = most
			v, err := e.Vectors(ranges, count)
			if err != nil {
				t.Fatal(err)
			}
			if _, here := v.(*vectorsHere); here != (place == 0) {
				t.Fatalf("with %d vectors on the card at most, %d are %T", most, count, v)
			}
			all[place] = exercise(t, v, ranges, count)
		}
		if !slices.Equal(all[0], all[1]) {
			t.Errorf("%v: on the card there are other bits", ranges)
		}
	}
}

// exercise returns all that can be seen of some random operations.
func exercise(t *testing.T, v engine.Vectors, ranges [][2]int, count int) (all []float64) {
	rng, size := rand.New(rand.NewPCG(93, 94)), 0
	for _, r := range ranges {
		size += r[1] - r[0]
	}
	x := make([]float64, size)
	random := func(n int) []float64 {
		y := make([]float64, n)
		for i := range y {
			y[i] = rng.NormFloat64()
		}
		return y
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for k := range count {
		must(v.Write(k, random(size)))
	}
	must(v.Apply(context.Background(), 0, 1))
	for many := 1; many < count; many += 3 {
		which := rng.Perm(count)
		sums, err := v.Dots(which[:many], which[many])
		must(err)
		all = append(all, sums...)
		must(v.Add(which[many], which[:many], random(many)))
		must(v.Scale(which[0], 1/3.0))
		var s [][]float64
		for range many {
			s = append(s, random((many+1)/2))
		}
		must(v.Rotate(which[:many], s))
	}
	for k := range count {
		must(v.Read(x, k))
		all = append(all, x...)
	}
	must(v.Close())
	return all
}

// differentiated takes e to a point.
func differentiated(t *testing.T, e *Engine) {
	t.Helper()
	if _, err := e.Gradient(context.Background(), loaded(t, e, 2), nn.Point{}, make([]float64, e.graph.Parameters())); err != nil {
		t.Fatal(err)
	}
}

// TestVectorsTakeWhatMemoryThereIs has every allocation fail once, for lack of memory and otherwise, and looks that all is given back.
func TestVectorsTakeWhatMemoryThereIs(t *testing.T) {
	e, h := lenet5(t, Float32)
	differentiated(t, e)
	taken, broken := h.taken, errors.New("a card that is lost")
	ranges := [][2]int{{0, e.graph.Parameters()}}
	before := h.allocations
	v, err := e.Vectors(ranges, 5)
	if err != nil {
		t.Fatal(err)
	}
	allocations := h.allocations - before
	if more := h.taken - taken; more < 5*8*int64(e.graph.Parameters()) {
		t.Errorf("five vectors of %d take %d bytes", e.graph.Parameters(), more)
	}
	if err := v.Close(); err != nil || h.taken != taken {
		t.Errorf("after they were closed %d bytes more are taken than before: error %v", h.taken-taken, err)
	}
	for n := 1; n <= allocations; n++ {
		for _, failure := range []error{errMemory, broken} {
			again := h.allocations + n + 1 // after room was made
			h.failing = map[int]error{h.allocations + n: failure, again: failure}
			v, err := e.Vectors(ranges, 5)
			h.failing = nil
			if failure == broken {
				if !errors.Is(err, broken) {
					t.Errorf("allocation %d fails, but the error is %v", n, err)
				}
			} else if _, here := v.(*vectorsHere); !here || err != nil {
				t.Errorf("allocation %d finds no memory, but vectors are %T, error %v", n, v, err)
			}
			if h.taken != taken {
				t.Errorf("after allocation %d failed %d bytes more are taken", n, h.taken-taken)
			}
		}
	}
}

// TestVectorsLeaveRoomForImages has a set that is copied in parts, no states that are kept, and hardly room for vectors beside its images.
func TestVectorsLeaveRoomForImages(t *testing.T) {
	e, h := lenet5(t, Float32)
	e.stateBytes = 0
	h.limit = h.taken + 1
	set := loaded(t, e, 40)
	h.limit = 0
	n := e.graph.Parameters()
	x := make([]float64, n)
	if _, err := e.Gradient(context.Background(), set, nn.Point{}, x); err != nil {
		t.Fatal(err)
	}
	before := h.taken
	v, err := e.Vectors([][2]int{{0, n}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	all := h.taken
	if err := v.Close(); err != nil || all == before {
		t.Fatalf("%d bytes are taken with vectors, %d without: error %v", all, before, err)
	}
	for h.limit = all; h.limit > before; h.limit -= (all - before) / 9 {
		v, err := e.Vectors([][2]int{{0, n}}, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(v.Write(0, x), v.Apply(context.Background(), 0, 1), v.Close()); err != nil {
			t.Errorf("with %d of %d bytes, for %T: %v", h.limit-before, all-before, v, err)
		}
	}
}

// TestVectorsOutliveAPoint moves the engine on, to more images than it had room for.
func TestVectorsOutliveAPoint(t *testing.T) {
	e, _ := lenet5(t, Float32)
	n := e.graph.Parameters()
	differentiated(t, e)
	v, err := e.Vectors([][2]int{{0, n}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	x, got, want := make([]float64, n), make([]float64, n), make([]float64, n)
	if _, err := e.Gradient(context.Background(), loaded(t, e, 5), nn.Point{}, x); err != nil {
		t.Fatal(err)
	}
	if err := e.Products(context.Background(), [][]float64{x}, [][]float64{want}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Write(0, x), v.Apply(context.Background(), 0, 1), v.Read(got, 1)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("the product is another than that of Products")
	}
	e.derived.set = nil // as where a gradient has failed
	if err := v.Apply(context.Background(), 0, 1); err == nil {
		t.Error("a product without a point: no error")
	}
	if err := errors.Join(v.Write(0, x), v.Read(x, 0), v.Close()); err != nil {
		t.Error(err)
	}
}
