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
