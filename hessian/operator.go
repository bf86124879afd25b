// Package hessian finds what a symmetric operator's spectrum looks like from its products
// with vectors alone: both ends with an interval each, eigenpairs at either end, the
// spectral density and the trace. It knows vectors, not networks.
//
// All arithmetic is float64. Sums over a vector are taken over fixed blocks in a fixed order,
// so results are a function of the operator's products and of the arguments, whatever the
// number of threads. Random numbers are SplitMix64's, a function of a seed.
//
// Memory, beyond what the operator needs: Extremes keeps Options.Basis + 2 vectors and those
// that it returns, SpectralDensity steps + 2 (all but one where a Residence keeps them), HutchPlusPlus a third of its products + 8,
// Hutchinson 8; a Restriction keeps two whole ones for every vector that it is given at a time.
package hessian

import (
	"context"
	"fmt"
)

// Operator is a symmetric linear map of ℝⁿ.
type Operator interface {
	// Dim is n.
	Dim() int
	// Apply writes A·vectors[k] into products[k]. Vectors are not changed and overlap no
	// product. An error ends the computation and is returned as it is; NaN and ±Inf are
	// not errors.
	Apply(ctx context.Context, vectors, products [][]float64) error
}

// Range is the coordinates First ≤ i < End.
type Range struct{ First, End int }

// Restriction is the principal submatrix of an operator that some ranges of coordinates
// select: the other coordinates are held at zero. Unlike the projected operator P·A·P of
// full dimension it has no eigenvalues 0 that are not A's doing.
type Restriction struct {
	whole             Operator
	ranges            []Range
	dim               int
	vectors, products [][]float64 // of the whole operator's dimension, as many as were needed at a time
}

// Restrict selects ranges, which must be in rising order and disjoint.
func Restrict(whole Operator, ranges []Range) (*Restriction, error) {
	r := &Restriction{whole: whole, ranges: ranges}
	end := 0
	for _, s := range ranges {
		if s.First < end || s.End < s.First || s.End > whole.Dim() {
			return nil, fmt.Errorf("restricting an operator of dimension %d: the range [%d, %d) is out of order or out of bounds", whole.Dim(), s.First, s.End)
		}
		end = s.End
		r.dim += s.End - s.First
	}
	return r, nil
}

// Dim is the number of selected coordinates.
func (r *Restriction) Dim() int { return r.dim }

// Apply applies the whole operator to all vectors at once.
func (r *Restriction) Apply(ctx context.Context, vectors, products [][]float64) error {
	for len(r.vectors) < len(vectors) {
		r.vectors = append(r.vectors, make([]float64, r.whole.Dim()))
		r.products = append(r.products, make([]float64, r.whole.Dim()))
	}
	for k, v := range vectors {
		r.place(v, r.vectors[k])
	}
	if err := r.whole.Apply(ctx, r.vectors[:len(vectors)], r.products[:len(vectors)]); err != nil {
		return err
	}
	for k, p := range products {
		r.eachPart(func(own, whole, size int) { copy(p[own:][:size], r.products[k][whole:]) })
	}
	return nil
}

// eachPart calls f for parts of the selected coordinates, by their places in a vector of those and in one of the whole, on all processors.
func (r *Restriction) eachPart(f func(own, whole, size int)) {
	own := 0
	for _, s := range r.ranges {
		each(s.End-s.First, func(_, first, end int) { f(own+first, s.First+first, end-first) })
		own += s.End - s.First
	}
}

// Scatter writes a vector of the selected coordinates to their places in whole, which is of
// the whole operator's dimension, and zeros everywhere else.
func (r *Restriction) Scatter(v, whole []float64) {
	clear(whole)
	r.place(v, whole)
}

func (r *Restriction) place(v, whole []float64) {
	r.eachPart(func(own, at, size int) { copy(whole[at:][:size], v[own:]) })
}
