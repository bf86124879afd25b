package cpu

import (
	"math"

	"lsrun/nn"
)

// nonlinear is an activation function f that no kernel takes along:
//
//	forward:  out = f(in),       dout = f′(in)·din
//	backward: in̄  = f′(in)·out̄,  din̄  = f′(in)·dout̄ + f″(in)·din·out̄
//
// with derivatives in float64.
type nonlinear struct {
	in  *edge
	out *picture
	op  nn.Op
}

func (l *nonlinear) inputs() []*edge  { return []*edge{l.in} }
func (l *nonlinear) output() *picture { return l.out }

func (l *nonlinear) forward(h *hand, o order) {
	if o == first {
		h.eachRow(l.out, func(n, y int) {
			dst, x := h.at(values, l.out, n, y, 0), h.at(values, l.in.picture, n, y, 0)
			h.kernel.Affine(dst, l.out.channels, x, l.out.channels, l.out.width, h.ones[:l.out.channels], h.zeros[:l.out.channels], nil, 0, minusInfinity)
			activate(h.kernel, l.op, dst, l.out.channels, l.out.width, l.out.channels)
		})
		return
	}
	f := slopes(l.op)
	l.each(h, func(to, from int) {
		slope, _ := f(float64(h.planes[values][from]))
		h.planes[tangents][to] = float32(slope * float64(h.planes[tangents][from]))
	})
}

func (l *nonlinear) backward(h *hand, o order) {
	h.receive(l.in, o)
	defer h.handOn(l.in, o)
	if h.tape.live {
		switch op := l.op.(type) {
		case nn.SELU:
			l.backwardELU(h, nn.SELUScale, nn.SELUScale*nn.SELUAlpha)
			return
		case nn.ELU:
			l.backwardELU(h, 1, float32(op.Alpha))
			return
		}
	}
	f := slopes(l.op)
	l.each(h, func(to, from int) {
		slope, bend := f(float64(h.planes[values][from]))
		sum := slope * float64(h.planes[o.behind()][to])
		if o == second {
			sum += float64(bend * float64(h.planes[tangents][from]) * float64(h.planes[adjoints][to]))
		}
		h.planes[o.behind()][from] += float32(sum)
	})
}

// backwardELU finds slopes from outputs, y + scaleAlpha where they are not positive: good enough where derivatives are
// float32's, and several times as fast as exponential functions.
func (l *nonlinear) backwardELU(h *hand, scale, scaleAlpha float32) {
	size := l.out.width * l.out.channels
	h.eachRow(l.out, func(n, y int) {
		out, given := h.at(values, l.out, n, y, 0)[:size], h.at(adjoints, l.out, n, y, 0)[:size]
		x, dst := h.at(values, l.in.picture, n, y, 0)[:size], h.at(adjoints, l.in.picture, n, y, 0)[:size]
		for i, v := range out {
			slope := scale
			if !(x[i] > 0) {
				slope = v + scaleAlpha
			}
			dst[i] += float32(slope * given[i])
		}
	})
}

// each calls f with the indices of every output and its input.
func (l *nonlinear) each(h *hand, f func(to, from int)) {
	h.eachRow(l.out, func(n, y int) {
		to, from := h.index(values, l.out, n, y, 0), h.index(values, l.in.picture, n, y, 0)
		for i := range l.out.width * l.out.channels {
			f(to+i, from+i)
		}
	})
}

// slopes gives the first and the second derivative of op. At a kink they are PyTorch's.
func slopes(op nn.Op) func(x float64) (slope, bend float64) {
	switch op := op.(type) {
	case nn.SELU:
		return exponential(nn.SELUScale, nn.SELUScale*nn.SELUAlpha)
	case nn.ELU:
		return exponential(1, op.Alpha)
	case nn.Tanh:
		return func(x float64) (float64, float64) {
			t := math.Tanh(x)
			slope := 1 - float64(t*t)
			return slope, -2 * t * slope
		}
	case nn.Sigmoid:
		return func(x float64) (float64, float64) {
			s := 1 / (1 + math.Exp(-x))
			slope := s * (1 - s)
			return slope, slope * (1 - float64(2*s))
		}
	case nn.GELU:
		if op.Tanh {
			return geluTanhSlopes
		}
		return func(x float64) (float64, float64) {
			density := math.Exp(-x*x/2) / math.Sqrt(2*math.Pi)
			return math.Erfc(-x/math.Sqrt2)/2 + float64(x*density), density * (2 - float64(x*x))
		}
	}
	panic("cpu: unknown activation")
}

// exponential is scale·x, or scaleAlpha·(eˣ − 1) where x is not positive.
func exponential(scale, scaleAlpha float64) func(x float64) (slope, bend float64) {
	return func(x float64) (float64, float64) {
		switch {
		case x > 0:
			return scale, 0
		case x == 0:
			return scaleAlpha, 0
		}
		e := scaleAlpha * math.Exp(x)
		return e, e
	}
}

// geluTanhSlopes are those of x/2·(1 + tanh u), u = √(2/π)·(x + c·x³).
func geluTanhSlopes(x float64) (slope, bend float64) {
	const c = 0.044715
	root := math.Sqrt(2 / math.Pi)
	t := math.Tanh(root * (x + float64(c*x*x*x)))
	u1, u2 := root*(1+float64(3*c*x*x)), root*6*c*x
	t1 := (1 - float64(t*t)) * u1
	t2 := float64((1-float64(t*t))*u2) - float64(2*t*t1*u1)
	return (1+t)/2 + float64(x/2*t1), t1 + float64(x/2*t2)
}

// normalised is the softmax of the channels of each pixel, y, or its logarithm, in float64. With p = softmax,
//
//	y = p:      dy = p⊙(dx − ⟨p, dx⟩),  x̄ = p⊙(ȳ − ⟨p, ȳ⟩)
//	y = log p:  dy = dx − ⟨p, dx⟩,      x̄ = ȳ − p·⟨1, ȳ⟩
type normalised struct {
	in        *edge
	out       *picture
	logarithm bool
}

func (l *normalised) inputs() []*edge  { return []*edge{l.in} }
func (l *normalised) output() *picture { return l.out }

func (l *normalised) forward(h *hand, o order) {
	s := softmax{logarithm: l.logarithm}
	channels := l.out.channels
	h.eachPixel(l.out, func(n, y, x int) {
		dst := h.at(o.ahead(), l.out, n, y, x)[:channels]
		if o == first {
			s.pixel(dst, h.at(values, l.in.picture, n, y, x)[:channels])
			return
		}
		dx, p := h.at(tangents, l.in.picture, n, y, x)[:channels], l.softmax(h, n, y, x)
		mean := 0.0
		for c, v := range dx {
			mean += float64(p(c) * float64(v))
		}
		for c, v := range dx {
			d := float64(v) - mean
			if !l.logarithm {
				d *= p(c)
			}
			dst[c] = float32(d)
		}
	})
}

// softmax is p of a pixel.
func (l *normalised) softmax(h *hand, n, y, x int) func(c int) float64 {
	out := h.at(values, l.out, n, y, x)
	if l.logarithm {
		return func(c int) float64 { return math.Exp(float64(out[c])) }
	}
	return func(c int) float64 { return float64(out[c]) }
}

// softmaxTangent is the tangent of p.
func (l *normalised) softmaxTangent(h *hand, n, y, x int) func(c int) float64 {
	dout := h.at(tangents, l.out, n, y, x)
	if l.logarithm {
		p := l.softmax(h, n, y, x)
		return func(c int) float64 { return p(c) * float64(dout[c]) }
	}
	return func(c int) float64 { return float64(dout[c]) }
}

func (l *normalised) backward(h *hand, o order) {
	h.receive(l.in, o)
	h.eachPixel(l.out, func(n, y, x int) {
		p := l.softmax(h, n, y, x)
		dst := h.at(o.behind(), l.in.picture, n, y, x)[:l.out.channels]
		l.handBack(dst, p, h.at(o.behind(), l.out, n, y, x))
		if o == second {
			l.handBackTangent(dst, p, l.softmaxTangent(h, n, y, x), h.at(adjoints, l.out, n, y, x))
		}
	})
	h.handOn(l.in, o)
}

// handBack adds what the adjoints a of the output give those of the input.
func (l *normalised) handBack(dst []float32, p func(int) float64, a []float32) {
	mean := 0.0
	for c := range dst {
		if l.logarithm {
			mean += float64(a[c])
		} else {
			mean += float64(p(c) * float64(a[c]))
		}
	}
	for c := range dst {
		if l.logarithm {
			dst[c] += float32(float64(a[c]) - float64(p(c)*mean))
		} else {
			dst[c] += float32(p(c) * (float64(a[c]) - mean))
		}
	}
}

// handBackTangent adds what they give because p moves.
func (l *normalised) handBackTangent(dst []float32, p, dp func(int) float64, a []float32) {
	mean, dMean := 0.0, 0.0
	for c := range dst {
		if l.logarithm {
			mean += float64(a[c])
		} else {
			mean += float64(p(c) * float64(a[c]))
			dMean += float64(dp(c) * float64(a[c]))
		}
	}
	for c := range dst {
		if l.logarithm {
			dst[c] -= float32(dp(c) * mean)
		} else {
			dst[c] += float32(float64(dp(c)*(float64(a[c])-mean)) - float64(p(c)*dMean))
		}
	}
}
