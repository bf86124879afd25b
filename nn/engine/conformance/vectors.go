package conformance

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// RunVectors tests the engines that new makes as engine.Residences: operations beside float64 in another order, products beside
// those of Products, bit by bit.
func RunVectors(t *testing.T, new func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error)) {
	r := sample(t)
	r.images = randomImages(r.graph, 70, 3)
	d := differentiator(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
	e, ok := d.(engine.Residence)
	if !ok {
		t.Fatal("the engine keeps no vectors")
	}
	n := r.graph.Parameters()
	if _, err := e.Vectors([][2]int{{0, n}}, 2); err == nil {
		t.Error("vectors before a gradient: no error")
	}
	set := load(t, e, r.images)
	differentiate(t, e, r.graph, set, r.points[1], nil)
	for _, ranges := range [][][2]int{{{0, n + 1}}, {{5, 4}}, {{3, 8}, {7, 9}}, {{-1, 3}}} {
		if _, err := e.Vectors(ranges, 2); err == nil {
			t.Errorf("vectors of %v of %d parameters: no error", ranges, n)
		}
	}
	for _, ranges := range [][][2]int{{{0, n}}, {{0, n / 3}, {n / 2, n - 1}}, {{7, 8}}, {{n - 33, n - 1}, {n - 1, n}}, {{1, 1}, {2, 259}}} {
		t.Run(fmt.Sprintf("operations on %v", ranges), func(t *testing.T) { operate(t, e, ranges) })
	}
	for _, ranges := range [][][2]int{{{0, n}}, {{0, n / 3}, {n / 2, n - 1}}} {
		t.Run(fmt.Sprintf("products on %v", ranges), func(t *testing.T) { multiplyKept(t, e, r.graph, ranges) })
	}
	v := keep(t, e, [][2]int{{0, n}}, 2)
	defer v.Close()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := v.Apply(cancelled, 0, 1); err == nil {
		t.Error("a product that is cancelled: no error")
	}
}

func keep(t *testing.T, e engine.Residence, ranges [][2]int, count int) engine.Vectors {
	t.Helper()
	v, err := e.Vectors(ranges, count)
	if err == nil && v == nil {
		t.Fatalf("there is no room for %d vectors", count)
	}
	check(t, err)
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// operate compares all operations with float64 here.
func operate(t *testing.T, e engine.Residence, ranges [][2]int) {
	const count = 37
	size := 0
	for _, r := range ranges {
		size += r[1] - r[0]
	}
	v := keep(t, e, ranges, count)
	rng := rand.New(rand.NewPCG(91, uint64(size)))
	x := make([][]float64, count)
	for k := range x {
		x[k] = make([]float64, size)
		for i := range x[k] {
			x[k][i] = rng.Float64()*2 - 1
		}
		check(t, v.Write(k, x[k]))
	}
	// same asks whether vectors are x, but for roundings of so many terms at most as large as two.
	same := func(what string, terms int) {
		t.Helper()
		for k := range x {
			got := make([]float64, size)
			check(t, v.Read(got, k))
			for i := range got {
				if !(math.Abs(got[i]-x[k][i]) <= 2*float64(terms)*0x1p-52) {
					t.Fatalf("%s: element %d of vector %d is %v, not %v", what, i, k, got[i], x[k][i])
				}
			}
		}
	}
	same("written and read", 0)
	for _, many := range []int{0, 1, 7, 8, 9, count} {
		which := rng.Perm(count)[:many]
		for _, w := range []int{0, count - 1} { // which may be among them
			got, err := v.Dots(which, w)
			check(t, err)
			for i, k := range which {
				if want := dot(x[k], x[w]); !(math.Abs(got[i]-want) <= float64(size)*float64(size)*0x1p-53) {
					t.Fatalf("%d products with vector %d: with %d it is %v, not %v", many, w, k, got[i], want)
				}
			}
		}
		w := rng.IntN(count)
		which = slices.DeleteFunc(which, func(k int) bool { return k == w })
		c := make([]float64, len(which))
		for i, k := range which {
			c[i] = rng.Float64()/count - 0.5/count
			axpy(x[w], c[i], x[k])
		}
		check(t, v.Add(w, which, c))
		same("added", 2*count)
	}
	check(t, v.Scale(3, 0.7))
	scale(x[3], 0.7)
	same("scaled", 2*count)
	for _, made := range []int{1, 8, 13, 20} {
		which := rng.Perm(count)[:20]
		s, rotated := make([][]float64, len(which)), make([][]float64, made)
		for j := range rotated {
			rotated[j] = make([]float64, size)
		}
		for i, k := range which {
			for j := range rotated {
				s[i] = append(s[i], rng.Float64()/20-0.025)
				axpy(rotated[j], s[i][j], x[k])
			}
		}
		for j := range rotated {
			x[which[j]] = rotated[j]
		}
		check(t, v.Rotate(which, s))
		same("rotated", 4*count)
	}
	check(t, v.Close())
}

// multiplyKept compares with Products, bit by bit.
func multiplyKept(t *testing.T, e engine.Residence, g *nn.Graph, ranges [][2]int) {
	vectors := randomVectors(g, 2, 8)
	for _, v := range vectors { // zeros outside of the ranges
		end := 0
		for _, r := range append(slices.Clone(ranges), [2]int{len(v), len(v)}) {
			clear(v[end:r[0]])
			end = r[1]
		}
	}
	selected := func(v []float64) (own []float64) {
		for _, r := range ranges {
			own = append(own, v[r[0]:r[1]]...)
		}
		return own
	}
	want := multiply(t, e, g, vectors)
	v := keep(t, e, ranges, 3)
	for k, vector := range vectors {
		check(t, v.Write(2*k, selected(vector)))
		check(t, v.Apply(context.Background(), 2*k, 1))
		got, kept := make([]float64, len(selected(vector))), make([]float64, len(selected(vector)))
		check(t, v.Read(got, 1))
		sameVectors(t, "product", [][]float64{got}, [][]float64{selected(want[k])})
		check(t, v.Read(kept, 2*k))
		sameVectors(t, "vector", [][]float64{kept}, [][]float64{selected(vector)})
	}
	check(t, v.Close())
}
