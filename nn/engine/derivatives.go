package engine

import (
	"context"

	"lsrun/nn"
)

// Differentiator is an Engine that also differentiates a set's mean loss
//
//	L(θ) = 1/N Σᵢ loss(network(θ, imageᵢ), labelᵢ)
//
// by the parameters: the learnable entries in the graph's order, row-major, one after another, so
// that a vector has nn.Graph.Parameters elements. Batch norm is frozen, as in evaluation:
// its running statistics are constants. Where an activation function or a maximum has a kink, derivatives
// are PyTorch's: relu′(0) = 0, a window's gradient goes to the first of its largest values.
//
// Sums over images are taken in float64 over blocks of images fixed by the graph, so that
// results depend on the point, the set and the vector alone.
type Differentiator interface {
	Engine
	// Gradient moves to a point, writes ∇L into gradient and returns L. What Products needs
	// again of the point is kept while it fits the engine's memory.
	Gradient(ctx context.Context, set Set, at nn.Point, gradient []float64) (loss float64, err error)
	// Products writes ∇²L·vectors[k] into products[k], for the set and the point of the last
	// Gradient. They are exact derivatives, not differences. Vectors are rounded to the engine's
	// precision; none may overlap a product.
	Products(ctx context.Context, vectors, products [][]float64) error
}

// Residence is a Differentiator that can keep vectors where it computes products.
type Residence interface {
	Differentiator
	// Vectors makes room for count vectors of the parameters in ranges, first ≤ i < end, in rising order; the others are held at zero. There
	// must have been a Gradient. Where there is no room they are elsewhere, which does not change a bit.
	Vectors(ranges [][2]int, count int) (Vectors, error)
}

// Vectors are float64 vectors, numbered from 0, whose elements are parameters. They are for one goroutine at a time.
type Vectors interface {
	// Write sets vector k, which is undefined before; Read copies it to x.
	Write(k int, x []float64) error
	Read(x []float64, k int) error
	// Apply writes ∇²L·vector v, as Products would compute it now, into vector w, which is another.
	Apply(ctx context.Context, v, w int) error
	// Dots is vectorᵢ·w for every i of which, summed in an order that depends on the number of elements alone.
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
