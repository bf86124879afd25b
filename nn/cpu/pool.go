package cpu

import (
	"math"

	"lsrun/nn"
)

// pool is a maximum, or a mean accumulated in float64, over windows.
type pool struct {
	outOfPlace
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

func (p *pool) run(w *worker, n int) {
	in, out := p.in.shape, p.out.shape
	for i := range n {
		for y := range out[1] {
			top, bottom, rows := p.window(0, y, in[1], out[1])
			for x := range out[2] {
				left, right, columns := p.window(1, x, in[2], out[2])
				dst := w.pixels(p.out, i, y, x)[:out[0]]
				if p.largest {
					p.max(w, dst, i, top, bottom, left, right)
					continue
				}
				count := (bottom - top) * (right - left)
				if p.countPad {
					count = rows * columns
				}
				p.mean(w, dst, i, top, bottom, left, right, count)
			}
		}
	}
}

func (p *pool) max(w *worker, dst []float32, i, top, bottom, left, right int) {
	for c := range dst {
		dst[c] = float32(math.Inf(-1))
	}
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			for c, v := range w.pixels(p.in, i, y, x)[:len(dst)] {
				dst[c] = max(dst[c], v) // NaN if either is
			}
		}
	}
}

func (p *pool) mean(w *worker, dst []float32, i, top, bottom, left, right, count int) {
	sums := w.channels[:len(dst)]
	clear(sums)
	for y := top; y < bottom; y++ {
		for x := left; x < right; x++ {
			for c, v := range w.pixels(p.in, i, y, x)[:len(dst)] {
				sums[c] += float64(v)
			}
		}
	}
	for c, s := range sums {
		dst[c] = float32(s / float64(count))
	}
}
