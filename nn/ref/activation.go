package ref

import (
	"math"

	"lsrun/nn"
)

// activation applies f to every element.
type activation struct{ f func(float64) float64 }

func (a activation) forward(out tensor, in []tensor, _ [][]float64) {
	for k, v := range in[0].data {
		out.data[k] = a.f(v)
	}
}

func relu(x float64) float64 {
	if x < 0 {
		return 0
	}
	return x
}

func selu(x float64) float64 {
	if x > 0 {
		return nn.SELUScale * x
	}
	return nn.SELUScale * nn.SELUAlpha * math.Expm1(x)
}

func elu(alpha float64) func(float64) float64 {
	return func(x float64) float64 {
		if x > 0 {
			return x
		}
		return alpha * math.Expm1(x)
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func gelu(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }

func geluTanh(x float64) float64 {
	cubic := float64(0.044715*x*x*x) + x
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*cubic))
}
