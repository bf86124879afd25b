package nn

import (
	"fmt"
	"math"
)

// Loss is a function of one image's logits and label; a data set's loss is the mean of
// its images'.
type Loss uint8

const (
	// CrossEntropy is −log softmax(z)[label].
	CrossEntropy Loss = iota
	// MSE is the mean over the K classes of (softmax(z)[k] − [k = label])², as the paper's
	// code has it.
	MSE
)

// Losses lists the names that ParseLoss knows.
var Losses = []string{"crossentropy", "mse"}

func (l Loss) String() string { return Losses[l] }

// ParseLoss is the loss of the given name.
func ParseLoss(name string) (Loss, error) {
	for i, n := range Losses {
		if n == name {
			return Loss(i), nil
		}
	}
	return 0, fmt.Errorf("unknown loss %q: there are %v", name, Losses)
}

// Image is the loss of one image, evaluated in float64. A NaN logit or an unordered pair
// of infinities gives NaN; nothing overflows that need not.
func (l Loss) Image(logits []float64, label int) float64 {
	top := math.Inf(-1)
	for _, z := range logits {
		if z > top || z != z {
			top = z
		}
		if top != top {
			return math.NaN()
		}
	}
	sum := 0.0
	for _, z := range logits {
		sum += math.Exp(z - top)
	}
	if l == CrossEntropy {
		return math.Log(sum) - (logits[label] - top)
	}
	total := 0.0
	for k, z := range logits {
		d := math.Exp(z-top) / sum
		if k == label {
			d--
		}
		total += float64(d * d)
	}
	return total / float64(len(logits))
}

// Predict is the index of the largest logit, the first of equals; a NaN counts as the
// largest, as in PyTorch.
func Predict(logits []float64) int {
	best := 0
	for k, z := range logits {
		if z != z {
			return k
		}
		if z > logits[best] {
			best = k
		}
	}
	return best
}
