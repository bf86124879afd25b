package cpu

import "lsrun/nn"

// pool is a maximum, or a mean accumulated in float64, over windows.
type pool struct {
	in, out   *value
	window    window
	largest   bool
	countPad  bool // the divisor of the mean counts padding
	stretches []stretch
}

// stretch is count outputs of a row from the first on that see as many columns each: the first from left on, the next ones step further.
type stretch struct{ first, count, left, columns, padded, step int }

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

// plan divides a row and asks for room for the pixels of a window.
func (p *pool) plan(int) rooms {
	in, out := p.in.shape[2], p.out.shape[2]
	for x := range out {
		left, right, padded := p.window(1, x, in, out)
		if len(p.stretches) > 0 {
			s := &p.stretches[len(p.stretches)-1]
			step := left - s.left - (s.count-1)*s.step
			if right-left == s.columns && padded == s.padded && (s.count == 1 || step == s.step) {
				s.count, s.step = s.count+1, step
				continue
			}
		}
		p.stretches = append(p.stretches, stretch{first: x, count: 1, left: left, columns: right - left, padded: padded})
	}
	return rooms{rows: p.in.shape[1] * p.in.shape[2]}
}

func (p *pool) run(w *worker, n int) {
	in, out := p.in.shape, p.out.shape
	for i := range n {
		for y := range out[1] {
			top, bottom, rows := p.window(0, y, in[1], out[1])
			for _, s := range p.stretches {
				taps := w.rows[:0]
				for v := range bottom - top {
					for u := range s.columns {
						taps = append(taps, v*p.in.row()+u*p.in.stride())
					}
				}
				dst, x := w.pixels(p.out, i, y, s.first), w.pixels(p.in, i, top, s.left)
				if p.largest {
					w.kernel.MaxRow(dst, p.out.stride(), x, s.step*p.in.stride(), s.count, taps, out[0])
					continue
				}
				divisor := len(taps)
				if p.countPad {
					divisor = rows * s.padded
				}
				w.kernel.MeanRow(dst, p.out.stride(), x, s.step*p.in.stride(), s.count, taps, out[0], float64(divisor))
			}
		}
	}
}
