package cpu

import (
	"math"

	"lsrun/nn"
)

// kinks are the choices of a block at a point: which activations ReLU lets through, and which input every maximum is.
// They are found in float64, because derivatives jump there: a network of a hundred layers in float32 has, among its
// million activations, some whose sign rounding turns around, and its gradient is off by a thousandth
// for each of them. All that is float32 follows these choices.
type kinks struct {
	signs   []byte  // a bit for every channel of a rectified picture, whole bytes a pixel
	choices []int32 // the place of every maximum in its picture
}

func (t *tape) kinks(images int) kinks {
	return kinks{make([]byte, t.signs*images+1), make([]int32, t.choices*images)} // kernels read a byte more
}

func (t *tape) kinksBytes() int64 { return int64(t.signs*t.block) + 4*int64(t.choices*t.block) }

// signsOf are those from pixel (y, x) of image n of p on.
func (h *hand) signsOf(p *picture, n, y, x int) []byte {
	return h.kinks.signs[h.room*p.signs+(((h.before+h.from+n)*p.height+y)*p.width+x)*p.signBytes():]
}

// signBytes are those of a pixel.
func (p *picture) signBytes() int { return (p.channels + 7) / 8 }

// decide finds the kinks of a block, and the sum of its losses, in float64.
func (h *hand) decide(images *nn.Images, block int) (loss float64) {
	eachPixelOf(h, images, block*h.tape.block, func(at int, v float32) { h.exact[at] = float64(v) })
	h.ahead(h.tape.groups, func(l layer) { l.decide(h) })
	for n := range h.count {
		logits := h.exact[h.index(values, h.tape.top.picture, n, 0, 0):][:h.tape.graph.Classes]
		loss += h.loss.Image(logits, int(images.Labels[block*h.tape.block+n]))
	}
	return loss
}

// decideSigns applies ReLU, if there is one, and notes what it lets through.
func (h *hand) decideSigns(p *picture) {
	if !p.rectified {
		return
	}
	h.eachRow(p, func(n, y int) {
		signs := h.signsOf(p, n, y, 0)
		row := h.exact[h.index(values, p, n, y, 0):]
		for x := range p.width {
			bits, pixel := signs[x*p.signBytes():][:p.signBytes()], row[x*p.channels:][:p.channels]
			for b := range bits {
				eight := pixel[8*b : min(8*b+8, len(pixel))]
				var set byte
				for c, v := range eight { // without branches, which nobody could predict
					var one byte
					if !(v <= 0) {
						one = 1
					}
					set |= one << c
					eight[c] = max(v, 0)
				}
				bits[b] = set
			}
		}
	})
}

// exactPixel is the channels of pixel (y, x) of image n.
func (h *hand) exactPixel(p *picture, n, y, x int) []float64 {
	return h.exact[h.index(values, p, n, y, x):][:p.channels]
}

func (l *conv) decide(h *hand) {
	eights := l.exact.to%8 == 0
	l.exact.run64(h, h.packed64[l.exactAt:], func(n, y, o, channels int, sums []float64, stride int) {
		row := func(p *picture) []float64 { return h.exact[h.index(values, p, n, y, 0)+o:] }
		dst, shift := row(l.out), h.phi64[l.shifts()+o:][:channels]
		var residual []float64
		if l.residual != nil {
			residual = row(l.residual.picture)
		}
		if l.out.rectified && eights {
			h.kernel.Rectify64(dst, l.out.channels, sums, stride, l.out.width, shift, residual, h.signsOf(l.out, n, y, 0)[o/8:], l.out.signBytes())
			return
		}
		for x := range l.out.width {
			at := x * l.out.channels
			for c, v := range shift {
				v += sums[x*stride+c]
				if residual != nil {
					v += residual[at+c]
				}
				dst[at+c] = v
			}
		}
	})
	if !eights {
		h.decideSigns(l.out)
	}
}

// run64 computes the sums of all outputs in float64 and hands them to finish row by row.
func (g *gathered) run64(h *hand, weights []float64, finish func(n, y, o, channels int, sums []float64, stride int)) {
	p := &g.phases[0]
	most := g.chunkRows(g.out.width)
	for first := 0; first < h.count*g.out.height; first += most {
		count := min(most, h.count*g.out.height-first)
		rows := g.gather(h, h.rows[:0], values, p, first, count)
		at := 0
		for group := range g.groups {
			panels(g.to, g.columns, func(o, channels, columns int) {
				for i, b := range p.blocks {
					h.kernel.Gemm64(h.sums64, h.exact[group*g.from:], rows, b.taps, b.run, weights[at+b.from*columns:], columns, i > 0)
				}
				at += len(p.taps) * g.from * columns
				for r := range count {
					finish((first+r)/g.out.height, (first+r)%g.out.height, group*g.to+o, channels, h.sums64[r*g.out.width*columns:], columns)
				}
			})
		}
	}
}

func (l *normalisation) decide(h *hand) {
	scale, shift := h.phi64[l.at:], h.phi64[l.shifts():]
	h.eachPixel(l.out, func(n, y, x int) {
		dst := h.exactPixel(l.out, n, y, x)
		for c, v := range h.exactPixel(l.in.picture, n, y, x) {
			dst[c] = float64(v*scale[c]) + shift[c]
		}
	})
	h.decideSigns(l.out)
}

func (l *addition) decide(h *hand) {
	h.eachPixel(l.out, func(n, y, x int) {
		dst := h.exactPixel(l.out, n, y, x)
		clear(dst)
		for _, e := range l.in {
			for c, v := range h.exactPixel(e.picture, n, y, x) {
				dst[c] += v
			}
		}
	})
	h.decideSigns(l.out)
}

func (l *concatenation) decide(h *hand) {
	h.eachPixel(l.out, func(n, y, x int) {
		dst := h.exactPixel(l.out, n, y, x)
		for _, e := range l.in {
			dst = dst[copy(dst, h.exactPixel(e.picture, n, y, x)):]
		}
	})
}

func (l *flat) decide(h *hand) {
	l.each(h, func(pixel, at, step int) {
		for c, v := range h.exact[pixel:][:l.in.channels] {
			h.exact[at+c*step] = v
		}
	})
}

func (l *sample) decide(h *hand) {
	h.eachPixel(l.out, func(n, y, x int) {
		copy(h.exactPixel(l.out, n, y, x)[l.front():], h.exactPixel(l.in.picture, n, y*l.stride, x*l.stride))
	})
}

func (l *maximum) decide(h *hand) {
	p := h.exact
	l.each(h, func(n, y, x, at, from int, choices []int32) {
		taps := windowTaps(h, l.window, l.in.picture, l.out, n, y, x)
		for c := range choices {
			best := taps[0] + c
			for _, tap := range taps[1:] {
				if v := p[tap+c]; v > p[best] || v != v {
					best = tap + c
				}
			}
			choices[c] = int32(best - from)
			p[at+c] = p[best]
		}
	})
}

func (l *average) decide(h *hand) {
	l.each(h, func(at int, taps []int, divisor float64) {
		for c := range l.out.channels {
			sum := 0.0
			for _, tap := range taps {
				sum += h.exact[tap+c]
			}
			h.exact[at+c] = sum / divisor
		}
	})
}

func (l *normalised) decide(h *hand) {
	h.eachPixel(l.out, func(n, y, x int) {
		dst, z := h.exactPixel(l.out, n, y, x), h.exactPixel(l.in.picture, n, y, x)
		top, sum := math.Inf(-1), 0.0
		for _, v := range z {
			top = max(top, v)
		}
		for _, v := range z {
			sum += math.Exp(v - top)
		}
		for c, v := range z {
			dst[c] = v - top - math.Log(sum)
			if !l.logarithm {
				dst[c] = math.Exp(dst[c])
			}
		}
	})
}

func (l *nonlinear) decide(h *hand) {
	f := function(l.op)
	l.each(h, func(to, from int) { h.exact[to] = f(h.exact[from]) })
}

// function is op in float64.
func function(op nn.Op) func(x float64) float64 {
	elu := func(scale, scaleAlpha float64) func(float64) float64 {
		return func(x float64) float64 {
			if x > 0 {
				return scale * x
			}
			return scaleAlpha * math.Expm1(x)
		}
	}
	switch op := op.(type) {
	case nn.SELU:
		return elu(nn.SELUScale, nn.SELUScale*nn.SELUAlpha)
	case nn.ELU:
		return elu(1, op.Alpha)
	case nn.Tanh:
		return math.Tanh
	case nn.Sigmoid:
		return func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	case nn.GELU:
		return gelu(op)
	}
	panic("cpu: unknown activation")
}
