package nn

import "fmt"

// elementwise operations keep the shape of their only input, need no entries and count
// no multiply-adds.
type elementwise struct{}

func (elementwise) Shape(in []Shape) (Shape, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("needs one input, not %d", len(in))
	}
	return in[0], nil
}
func (elementwise) Entries([]Shape) []Entry { return nil }
func (elementwise) MACs([]Shape) int64      { return 0 }

// SELU's constants (Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017).
const (
	SELUAlpha = 1.6732632423543772848170429916717
	SELUScale = 1.0507009873554804934193349852946
)

// ReLU is max(x, 0); NaN stays NaN.
type ReLU struct{ elementwise }

// SELU is SELUScale · (x if x > 0, else SELUAlpha·(eˣ − 1)).
type SELU struct{ elementwise }

// Tanh is the hyperbolic tangent.
type Tanh struct{ elementwise }

// Sigmoid is 1/(1 + e⁻ˣ).
type Sigmoid struct{ elementwise }

// ELU is x if x > 0, else Alpha·(eˣ − 1).
type ELU struct {
	elementwise
	Alpha float64
}

// GELU is x·Φ(x), Φ the normal distribution function; with Tanh its usual approximation
// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
type GELU struct {
	elementwise
	Tanh bool
}

func (ReLU) Kind() string    { return "relu" }
func (SELU) Kind() string    { return "selu" }
func (Tanh) Kind() string    { return "tanh" }
func (Sigmoid) Kind() string { return "sigmoid" }
func (ELU) Kind() string     { return "elu" }
func (GELU) Kind() string    { return "gelu" }

// Dropout and AlphaDropout drop with probability P while training; in evaluation they
// are the identity.
type Dropout struct {
	elementwise
	P float64
}

// AlphaDropout is SELU's dropout (Klambauer et al., 2017).
type AlphaDropout struct {
	elementwise
	P float64
}

func (Dropout) Kind() string      { return "dropout" }
func (AlphaDropout) Kind() string { return "alphadropout" }

// Softmax is e^{x_i} / Σ_k e^{x_k} over the channels (the first axis).
type Softmax struct{ elementwise }

// LogSoftmax is the logarithm of Softmax.
type LogSoftmax struct{ elementwise }

func (Softmax) Kind() string    { return "softmax" }
func (LogSoftmax) Kind() string { return "logsoftmax" }
