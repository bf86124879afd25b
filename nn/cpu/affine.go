package cpu

import "lsrun/nn"

// affine is out = activation(in·scale + shift + residual), channel by channel: a batch
// norm, a sum or an activation that no product takes along, or a copy.
type affine struct {
	in, out      *value
	residual     *value
	activation   nn.Op
	scale, shift int // where they are in program.weights
}

func (a *affine) values() (*value, []*value) {
	if a.residual == nil {
		return a.out, []*value{a.in}
	}
	return a.out, []*value{a.in, a.residual}
}

func (a *affine) run(w *worker, n int) {
	channels, height, width := a.out.shape[0], a.out.shape[1], a.out.shape[2]
	scale, shift := w.weights[a.scale:][:channels], w.weights[a.shift:][:channels]
	for i := range n {
		for y := range height {
			dst := w.pixels(a.out, i, y, 0)
			var residual []float32
			stride := 0
			if a.residual != nil {
				residual, stride = w.pixels(a.residual, i, y, 0), a.residual.stride()
			}
			w.kernel.Affine(dst, a.out.stride(), w.pixels(a.in, i, y, 0), a.in.stride(), width,
				scale, shift, residual, stride, isReLU(a.activation))
			activate(a.activation, dst, a.out.stride(), width, channels)
		}
	}
}
