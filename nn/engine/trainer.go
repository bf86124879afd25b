package engine

import (
	"context"

	"lsrun/nn"
)

// Trainer is an engine that differentiates the mean loss of a batch in train mode: batch norms normalise by the
// batch's own mean and biased variance and are differentiated through them, dropout and alpha dropout are live.
type Trainer interface {
	// Train writes the gradient of the batch's mean loss by the parameters (learnable entries in the graph's order, row-major, one after another:
	// nn.Graph.Parameters elements) and the moments of every batch norm, in the order of their nodes. states are all entries (parameters and running
	// statistics, nn.Graph.Entries' order); they are read only. seed draws the masks of dropout: a function of (seed, node, image's place in the batch, element) alone.
	Train(ctx context.Context, states nn.Params, batch *nn.Images, seed uint64, gradient []float32, moments []Moments) (TrainResult, error)
}

// Moments are a batch norm's over a batch: per channel the mean and the unbiased variance, as running statistics take them in.
type Moments struct{ Mean, Variance []float32 }

// TrainResult is what a batch gave.
type TrainResult struct {
	Loss    float64 // mean over the images
	Correct int     // images predicted rightly
}
