package cuda

import (
	"context"

	"lsrun/nn/engine"
)

// vectorsHere are vectors in the host's memory, where the card has no room for them. All sums are in the order of kernels/vectors.h, so that
// results do not depend on how much memory is free.
type vectorsHere struct {
	engine         *Engine
	places         []int32 // of elements among all parameters
	blocks         int     // of vectorDots
	x              [][]float64
	whole, product []float64 // of all parameters
}

var _ engine.Vectors = (*vectorsHere)(nil)

func newVectorsHere(e *Engine, places []int32, count int) *vectorsHere {
	v := &vectorsHere{engine: e, places: places, blocks: dotBlocks(len(places)), x: make([][]float64, count)}
	v.whole, v.product = make([]float64, e.graph.Parameters()), make([]float64, e.graph.Parameters())
	return v
}

// vector is number k, made when it is first used.
func (v *vectorsHere) vector(k int) []float64 {
	if v.x[k] == nil {
		v.x[k] = make([]float64, len(v.places))
	}
	return v.x[k]
}

func (v *vectorsHere) some(which []int) (x [][]float64) {
	for _, k := range which {
		x = append(x, v.vector(k))
	}
	return x
}

func (v *vectorsHere) Write(k int, x []float64) error { copy(v.vector(k), x); return nil }
func (v *vectorsHere) Read(x []float64, k int) error  { copy(x, v.vector(k)); return nil }
func (v *vectorsHere) Close() error                   { v.x = nil; return nil }

func (v *vectorsHere) Apply(ctx context.Context, from, to int) error {
	for i, x := range v.vector(from) {
		v.whole[v.places[i]] = x
	}
	if err := v.engine.Products(ctx, [][]float64{v.whole}, [][]float64{v.product}); err != nil {
		return err
	}
	w := v.vector(to)
	for i, p := range v.places {
		w[i] = v.product[p]
	}
	return nil
}

// Dots has a sum for every thread of the kernel, adds those of one place in all blocks, and then these.
func (v *vectorsHere) Dots(which []int, w int) ([]float64, error) {
	const block = 256
	y, threads, sums := v.vector(w), block*v.blocks, make([]float64, len(which))
	for k, other := range which {
		x, parts := v.vector(other), make([]float64, threads)
		v.engine.threads.eachPart(threads, func(first, end int) {
			for ; first < len(y); first, end = first+threads, end+threads {
				n := min(end, len(y)) - first
				x, y, parts := x[first:][:n], y[first:][:n], parts[first%threads:][:n]
				for i := range parts {
					parts[i] += float64(x[i] * y[i])
				}
			}
		})
		for place := range block {
			sum := 0.0
			for b := range v.blocks {
				sum += parts[b*block+place]
			}
			sums[k] += sum
		}
	}
	return sums, nil
}

func (v *vectorsHere) Add(w int, which []int, c []float64) error {
	y, others := v.vector(w), v.some(which)
	v.eachPart(func(first, end int) {
		for k, other := range others {
			addTo(y[first:end], other[first:end], c[k])
		}
	})
	return nil
}

func (v *vectorsHere) Scale(w int, f float64) error {
	y := v.vector(w)
	v.eachPart(func(first, end int) {
		for i := first; i < end; i++ {
			y[i] *= f
		}
	})
	return nil
}

func (v *vectorsHere) Rotate(which []int, s [][]float64) error {
	others := v.some(which)
	v.eachPart(func(first, end int) {
		made := make([][]float64, len(s[0]))
		for j := range made {
			made[j] = make([]float64, end-first)
			for i, other := range others {
				addTo(made[j], other[first:end], s[i][j])
			}
		}
		for j, sum := range made {
			copy(others[j][first:end], sum)
		}
	})
	return nil
}

// addTo adds f·x to y.
func addTo(y, x []float64, f float64) {
	for i := range y {
		y[i] += float64(f * x[i])
	}
}

// eachPart calls f for parts of the elements, by all threads.
func (v *vectorsHere) eachPart(f func(first, end int)) { v.engine.threads.eachPart(len(v.places), f) }
