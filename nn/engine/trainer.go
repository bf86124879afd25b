package engine

import (
	"context"
	"fmt"

	"lsrun/nn"
)

// Trainer is an engine that differentiates the mean loss of a batch in train mode: batch norms
// normalise by the batch's own mean and biased variance and are differentiated through them, dropout and
// alpha dropout are live.
type Trainer interface {
	// Train writes the gradient of the batch's mean loss by the parameters (the learnable entries in the
	// graph's order, row-major, one after another: nn.Graph.Parameters elements) and the moments of every
	// batch norm, in the order of their nodes, for which NewMoments makes room. states are all entries; they are
	// read only. seed draws the masks of dropout (NewMask).
	//
	// Results are the same bits for any number of threads. Numbers that are not finite are results, too. It is an error if a
	// batch norm sees a single value of a channel, whose variance nobody knows: a batch of one image, behind
	// all pooling.
	Train(ctx context.Context, states nn.Params, batch *nn.Images, seed uint64, gradient []float32, moments []Moments) (TrainResult, error)
}

// Moments are a batch norm's over a batch: per channel the mean and the unbiased variance, as running
// statistics take them in.
type Moments struct{ Mean, Variance []float32 }

// TrainResult is what a batch says of the network: the mean loss, and how many images are predicted rightly.
type TrainResult struct {
	Loss    float64
	Correct int
}

// NewMoments makes room for the moments of every batch norm of g.
func NewMoments(g *nn.Graph) []Moments {
	var list []Moments
	for _, node := range g.Nodes {
		if _, ok := node.Op.(nn.BatchNorm); ok {
			list = append(list, Moments{make([]float32, node.Shape[0]), make([]float32, node.Shape[0])})
		}
	}
	return list
}

// CheckTraining returns an error unless the arguments of Trainer.Train fit g.
func CheckTraining(g *nn.Graph, states nn.Params, batch *nn.Images, gradient []float32, moments []Moments) error {
	if err := batch.Check(g); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := (nn.Plane{Theta: states}).Check(g); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if n := g.Parameters(); len(gradient) != n {
		return fmt.Errorf("train: room for %d derivatives, but %s has %d parameters", len(gradient), g.Name, n)
	}
	room := moments
	for _, node := range g.Nodes {
		if _, ok := node.Op.(nn.BatchNorm); !ok {
			continue
		}
		if len(room) == 0 || len(room[0].Mean) != node.Shape[0] || len(room[0].Variance) != node.Shape[0] {
			return fmt.Errorf("train: no room for the moments of %d channels of %s", node.Shape[0], node.Name)
		}
		room = room[1:]
		if batch.Len()*node.Shape.Size() == node.Shape[0] {
			return fmt.Errorf("train: %s sees one value of a channel, which has no variance: take batches of two images at least", node.Name)
		}
	}
	if len(room) > 0 {
		return fmt.Errorf("train: room for the moments of %d batch norms, but %s has %d", len(moments), g.Name, len(moments)-len(room))
	}
	return nil
}
