package cpu

import (
	"math"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// activate applies op in place to a row of pixels; nil and ReLU, which the kernels apply with the sums,
// do nothing. What the kernels lack is computed in float64.
func (w *worker) activate(op nn.Op, row []float32, stride, pixels, channels int) {
	activate(w.kernel, op, row, stride, pixels, channels)
}

func activate(k *kernel.Kernel, op nn.Op, row []float32, stride, pixels, channels int) {
	switch op := op.(type) {
	case nn.SELU:
		k.ELU(row, stride, pixels, channels, nn.SELUScale, nn.SELUScale*nn.SELUAlpha)
	case nn.ELU:
		k.ELU(row, stride, pixels, channels, 1, float32(op.Alpha))
	case nn.GELU:
		each(gelu(op), row, stride, pixels, channels)
	case nn.Tanh:
		each(math.Tanh, row, stride, pixels, channels)
	case nn.Sigmoid:
		each(func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, row, stride, pixels, channels)
	}
}

func each(f func(float64) float64, row []float32, stride, pixels, channels int) {
	for p := range pixels {
		pixel := row[p*stride:][:channels]
		for c, x := range pixel {
			pixel[c] = float32(f(float64(x)))
		}
	}
}

func gelu(op nn.GELU) func(float64) float64 {
	if op.Tanh {
		return func(x float64) float64 {
			return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+float64(0.044715*x*x*x))))
		}
	}
	return func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }
}
