package cpu

import "lsrun/nn"

// pool is a maximum, or a mean accumulated in float64, over windows.
type pool struct {
	in, out  *value
	window   window
	largest  bool
	countPad bool // the divisor of the mean counts padding
}

// window gives the inputs that output i of m sees on axis a of n inputs: those from
// first to end−1, and their number with padding.
type window func(a, i, n, m int) (first, end, padded int)

func windows(w nn.Window) window {
	return func(a, i, n, _ int) (int, int, int) {
		first := i*w.Stride[a] - w.Pad[a]
		end := min(first+w.Kernel[a], n+w.Pad[a])
		return max(first, 0), min(end, n), end - first
	}
}

func adaptiveWindow(_, i, n, m int) (first, end, padded int) {
	first, end = i*n/m, ((i+1)*n+m-1)/m
	return first, end, end - first
}

func (p *pool) values() (*value, []*value) { return p.out, []*value{p.in} }

// plan asks for room for the pixels of a window.
func (p *pool) plan(int) rooms { return rooms{rows: p.in.shape[1] * p.in.shape[2]} }

func (p *pool) run(w *worker, n int) {
	in, out := p.in.shape, p.out.shape
	for i := range n {
		for y := range out[1] {
			top, bottom, rows := p.window(0, y, in[1], out[1])
			for x := range out[2] {
				left, right, columns := p.window(1, x, in[2], out[2])
				dst := w.pixels(p.out, i, y, x)[:out[0]]
				taps := w.rows[:0]
				for v := top; v < bottom; v++ {
					for u := left; u < right; u++ {
						taps = append(taps, w.index(p.in, i, v, u))
					}
				}
				switch {
				case p.largest:
					w.kernel.MaxPixel(dst, w.arena, taps)
				case p.countPad:
					w.kernel.MeanPixel(dst, w.arena, taps, float64(rows*columns))
				default:
					w.kernel.MeanPixel(dst, w.arena, taps, float64(len(taps)))
				}
			}
		}
	}
}
