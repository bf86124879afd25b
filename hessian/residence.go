package hessian

import (
	"context"
	"errors"
	"fmt"
)

// Vectors are some vectors of as many elements as an operator has dimensions, numbered from 0, in one place: the host's memory, or that of
// what computes the operator's products. An error ends a computation and is returned as it is.
type Vectors interface {
	// Write sets vector k, which is undefined before; Read copies it to x.
	Write(k int, x []float64) error
	Read(x []float64, k int) error
	// Apply writes A·vector v into vector w, which is another.
	Apply(ctx context.Context, v, w int) error
	// Dots is vectorᵢ·w for every i of which.
	Dots(which []int, w int) ([]float64, error)
	// Add adds Σᵢ c[i]·vector which[i] to w, which is none of them.
	Add(w int, which []int, c []float64) error
	// Scale multiplies w by f.
	Scale(w int, f float64) error
	// Rotate replaces vector which[j] by Σᵢ s[i][j]·vector which[i], for j < len(s[i]); the others stay as they are.
	Rotate(which []int, s [][]float64) error
	// Close gives their memory back.
	Close() error
}

// Residence is an Operator that can keep vectors where it computes.
type Residence interface {
	Operator
	// Vectors makes room for count vectors of the coordinates in ranges, first ≤ i < end, of the principal submatrix that these select. They are
	// nil if it keeps none, which must not depend on what memory is free: sums in the host's memory have an order of their own.
	Vectors(ranges [][2]int, count int) (Vectors, error)
}

// vectorsOf makes room for count vectors of op.
func vectorsOf(op Operator, count int) (Vectors, error) {
	whole, ranges := op, [][2]int{{0, op.Dim()}}
	if r, ok := op.(*Restriction); ok {
		whole, ranges = r.whole, nil
		for _, part := range r.ranges {
			ranges = append(ranges, [2]int{part.First, part.End})
		}
	}
	if r, ok := whole.(Residence); ok {
		if v, err := r.Vectors(ranges, count); v != nil || err != nil {
			return v, err
		}
	}
	return &host{op: op, x: make([][]float64, count)}, nil
}

// host is Vectors in the host's memory, made when they are first used.
type host struct {
	op Operator
	x  [][]float64
}

func (h *host) vector(k int) []float64 {
	if h.x[k] == nil {
		h.x[k] = make([]float64, h.op.Dim())
	}
	return h.x[k]
}

func (h *host) some(which []int) (x [][]float64) {
	for _, k := range which {
		x = append(x, h.vector(k))
	}
	return x
}

func (h *host) Write(k int, x []float64) error { copy(h.vector(k), x); return nil }
func (h *host) Read(x []float64, k int) error  { copy(x, h.vector(k)); return nil }
func (h *host) Scale(w int, f float64) error   { scale(h.vector(w), f); return nil }
func (h *host) Close() error                   { h.x = nil; return nil }

func (h *host) Apply(ctx context.Context, v, w int) error {
	return h.op.Apply(ctx, h.some([]int{v}), h.some([]int{w}))
}

func (h *host) Dots(which []int, w int) ([]float64, error) {
	return dots(h.some(which), h.vector(w)), nil
}

func (h *host) Add(w int, which []int, c []float64) error {
	accumulate(h.vector(w), h.some(which), func(i int) float64 { return c[i] })
	return nil
}

func (h *host) Rotate(which []int, s [][]float64) error {
	rotate(h.some(which), len(s[0]), func(i, j int) float64 { return s[i][j] })
	return nil
}

// closing ends a computation with v.
func closing(v Vectors, err *error) {
	if failed := v.Close(); failed != nil {
		*err = errors.Join(*err, fmt.Errorf("give the memory of vectors back: %w", failed))
	}
}
