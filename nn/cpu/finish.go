package cpu

import (
	"math"

	"lsrun/nn"
)

var minusInfinity = float32(math.Inf(-1))

// finish is what a step does to its sums before it writes them:
//
//	out = activation(sum·scale + shift + residual)
type finish struct {
	out          *value
	residual     *value // or nil
	activation   nn.Op  // or nil
	scale, shift int    // where they are in program.weights
}

func (f *finish) values(in *value) (*value, []*value) {
	if f.residual == nil {
		return f.out, []*value{in}
	}
	return f.out, []*value{in, f.residual}
}

// bound is the lower bound that the kernels apply: ReLU's.
func (f *finish) bound() float32 {
	if _, ok := f.activation.(nn.ReLU); ok {
		return 0
	}
	return minusInfinity
}

// rest is the activation that the bound is not, or nil.
func (f *finish) rest() nn.Op {
	if _, ok := f.activation.(nn.ReLU); ok {
		return nil
	}
	return f.activation
}

// factors are the scales and shifts of the channels from o on.
func (f *finish) factors(w *worker, o, channels int) (scale, shift []float32) {
	return w.weights[f.scale+o:][:channels], w.weights[f.shift+o:][:channels]
}

// finishing is a finish in a worker's hands.
type finishing struct {
	out, residual view
	scale, shift  []float32
	bound         float32
}

func (f *finish) inHand(w *worker) finishing {
	h := finishing{out: w.view(f.out), bound: f.bound()}
	if f.residual != nil {
		h.residual = w.view(f.residual)
	}
	h.scale, h.shift = f.factors(w, 0, f.out.shape[0])
	return h
}

// row finishes row y of image n: the channels from o on of the sums at x, stride apart from
// pixel to pixel.
func (f *finish) row(w *worker, n, y, o, channels int, x []float32, stride int) {
	dst := w.pixels(f.out, n, y, 0)[o:]
	var residual []float32
	residualStride := 0
	if f.residual != nil {
		residual, residualStride = w.pixels(f.residual, n, y, 0)[o:], f.residual.stride()
	}
	scale, shift := f.factors(w, o, channels)
	width := f.out.shape[2]
	w.kernel.Affine(dst, f.out.stride(), x, stride, width, scale, shift, residual, residualStride, f.bound())
	w.activate(f.activation, dst, f.out.stride(), width, channels)
}
