package cpu

import (
	"math"

	"lsrun/nn"
)

// activate applies op in place to a row of pixels, in float64; nil and ReLU, which the kernels
// apply, do nothing.
func (w *worker) activate(op nn.Op, row []float32, stride, pixels, channels int) {
	f := function(op)
	if f == nil {
		return
	}
	for p := range pixels {
		pixel := row[p*stride:][:channels]
		for c, x := range pixel {
			pixel[c] = float32(f(float64(x)))
		}
	}
}

func function(op nn.Op) func(float64) float64 {
	switch op := op.(type) {
	case nn.SELU:
		return func(x float64) float64 {
			if x > 0 {
				return nn.SELUScale * x
			}
			return nn.SELUScale * nn.SELUAlpha * math.Expm1(x)
		}
	case nn.ELU:
		return func(x float64) float64 {
			if x > 0 {
				return x
			}
			return op.Alpha * math.Expm1(x)
		}
	case nn.GELU:
		if op.Tanh {
			return func(x float64) float64 {
				return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+float64(0.044715*x*x*x))))
			}
		}
		return func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }
	case nn.Tanh:
		return math.Tanh
	case nn.Sigmoid:
		return func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	}
	return nil
}
