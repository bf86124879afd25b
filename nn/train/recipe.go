package train

import (
	"fmt"
	"slices"

	"lsrun/nn"
)

// Recipe is everything about a training, beside the network, the loss and the images, that its result depends on.
type Recipe struct {
	Optimizer   string  `json:"optimizer"`    // "sgd", with Nesterov's momentum, or "adam"
	Rate        float64 `json:"lr"`           // learning rate at the start
	Decay       float64 `json:"lr_decay"`     // what it is multiplied by
	DecayEpochs []int   `json:"lr_epochs"`    // at the end of these epochs, which rise
	Momentum    float64 `json:"momentum"`     // of sgd
	WeightDecay float64 `json:"weight_decay"` // added to the gradient, times the parameter, of every parameter
	Batch       int     `json:"batch_size"`   // images of a step; the last step of an epoch has what is left
	Augment     bool    `json:"augment"`      // shift pictures by up to four pixels and mirror half of them
	Seed        uint64  `json:"seed"`         // of every draw
}

// Paper is the recipe of the paper's main.py.
func Paper() Recipe {
	return Recipe{Optimizer: "sgd", Rate: 0.1, Decay: 0.1, DecayEpochs: []int{150, 225, 275}, Momentum: 0.9, WeightDecay: 5e-4,
		Batch: 128, Augment: true}
}

// Check returns an error unless g can be trained on the images by r.
func (r Recipe) Check(g *nn.Graph, images *nn.Images) error {
	finite := func(v float64) bool { return v-v == 0 }
	switch {
	case r.Optimizer != "sgd" && r.Optimizer != "adam":
		return fmt.Errorf("unknown optimizer %q: there are sgd and adam", r.Optimizer)
	case !finite(r.Rate) || r.Rate < 0:
		return fmt.Errorf("a learning rate of %v: it is 0 or more", r.Rate)
	case !finite(r.Decay) || r.Decay < 0:
		return fmt.Errorf("a decay of the learning rate by %v: it is multiplied by 0 or more", r.Decay)
	case !(r.Momentum >= 0 && r.Momentum < 1):
		return fmt.Errorf("a momentum of %v: it is from 0 to less than 1", r.Momentum)
	case !finite(r.WeightDecay) || r.WeightDecay < 0:
		return fmt.Errorf("a weight decay of %v: it is 0 or more", r.WeightDecay)
	case r.Batch < 1:
		return fmt.Errorf("batches of %d images: at least 1", r.Batch)
	case !slices.IsSorted(r.DecayEpochs):
		return fmt.Errorf("the learning rate decays at the epochs %v, which do not rise", r.DecayEpochs)
	case r.Augment && len(g.Input) != 3:
		return fmt.Errorf("%v images cannot be shifted and mirrored: train without augmentation", g.Input)
	}
	if err := images.Check(g); err != nil {
		return err
	}
	if r.Batch > 1 && images.Len()%r.Batch != 1 {
		return nil
	}
	for _, n := range g.Nodes {
		if _, is := n.Op.(nn.BatchNorm); is && n.Shape.Size() == n.Shape[0] {
			return fmt.Errorf("batches of %d leave a last one with one of %d images, over which %s cannot normalise: choose another batch size", r.Batch, images.Len(), n.Name)
		}
	}
	return nil
}

// RateOf is the learning rate of an epoch, counted from 1.
func (r Recipe) RateOf(epoch int) float64 {
	rate := r.Rate
	for _, e := range r.DecayEpochs {
		if epoch > e {
			rate *= r.Decay
		}
	}
	return rate
}

// Steps is the number of batches of an epoch of n images.
func (r Recipe) Steps(n int) int { return (n + r.Batch - 1) / r.Batch }
