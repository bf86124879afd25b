// Package engine is the interface between a landscape and what computes it.
//
// An engine is compiled once for a graph and a loss, is given the data sets and the plane
// once, and is then asked for points by their coordinates, several at a time: so a
// device can keep all of it resident, and one interface fits a CPU (points one after
// another) and a GPU (many in one launch).
package engine

import (
	"context"

	"lsrun/nn"
)

// Engine evaluates one network. Its methods are called from one goroutine at a time; it
// uses as many threads as it was made with.
//
// Results depend on the point and the image alone: not on threads, on the other images,
// on the other points, nor on what was evaluated before.
type Engine interface {
	// Kernel names the arithmetic: two engines with one name give the same bits.
	Kernel() string
	// Load makes images resident and returns their handle. They must fit the graph
	// (nn.Images.Check) and not change afterwards.
	Load(images *nn.Images) (Set, error)
	// SetPlane makes θ, δ and η resident; they must fit the graph (nn.Plane.Check) and
	// not change afterwards.
	SetPlane(plane nn.Plane) error
	// Evaluate runs the network over every image of set at each of points and fills outs,
	// which has an element for each. It returns ctx's error soon after ctx is cancelled;
	// outs then holds nothing of use.
	Evaluate(ctx context.Context, set Set, points []nn.Point, outs []Output) error
	// Points is how many points of set it takes to keep the engine busy: Evaluate is best
	// given as many at a time.
	Points(set Set) int
	// Close frees what the engine holds.
	Close() error
}

// Set is a handle to resident images, of use only to the engine that gave it.
type Set interface{ Len() int }

// Output receives what the network says of each image of a set, in the set's order.
type Output struct {
	Loss      []float64 // N, by nn.Loss.Image on the logits
	Predicted []int32   // N, by nn.Predict on the logits
	Logits    []float32 // N × classes, or nil where they are not wanted
}

// NewOutput has room for n images, and for their logits if classes is not 0.
func NewOutput(n, classes int) Output {
	out := Output{Loss: make([]float64, n), Predicted: make([]int32, n)}
	if classes > 0 {
		out.Logits = make([]float32, n*classes)
	}
	return out
}
