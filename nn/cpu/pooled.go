package cpu

// maximum is the largest value of every window, the first of equals; NaN counts as larger.
type maximum struct {
	in      *edge
	out     *picture
	window  window
	choices int // where its choices begin, of one image: places of maxima, from the image's first input on
}

func (t *tape) maximum(in *edge, out *picture, w window) *maximum {
	l := &maximum{in: in, out: out, window: w, choices: t.choices}
	t.choices += out.shape.Size()
	return l
}

func (l *maximum) inputs() []*edge  { return []*edge{l.in} }
func (l *maximum) output() *picture { return l.out }

// plan asks for room for the pixels of a window.
func (l *maximum) plan(*tape) tapeRooms { return tapeRooms{rows: l.in.height * l.in.width} }

// each calls f with the indices of every output pixel and of the image's first input, and its choices.
func (l *maximum) each(h *hand, f func(n, y, x, at, from int, choices []int32)) {
	left := h.kinks.choices[h.room*l.choices+(h.before+h.from)*l.out.shape.Size():]
	h.eachPixel(l.out, func(n, y, x int) {
		f(n, y, x, h.index(values, l.out, n, y, x), h.index(values, l.in.picture, n, 0, 0), left[:l.out.channels])
		left = left[l.out.channels:]
	})
}

func (l *maximum) forward(h *hand, o order) {
	p := h.planes[o.ahead()]
	if h.tape.live {
		l.each(h, func(n, y, x, at, from int, choices []int32) {
			h.kernel.ArgmaxPixel(p[at:][:len(choices)], choices, p, windowTaps(h, l.window, l.in.picture, l.out, n, y, x), from)
		})
		return
	}
	l.each(h, func(_, _, _, at, from int, choices []int32) {
		for c, choice := range choices {
			p[at+c] = p[from+int(choice)]
		}
	})
}

// windowTaps are the indices of the pixels of a window.
func windowTaps(h *hand, w window, in, out *picture, n, y, x int) []int {
	top, bottom, _ := w(0, y, in.height, out.height)
	left, right, _ := w(1, x, in.width, out.width)
	taps := h.rows[:0]
	for v := top; v < bottom; v++ {
		for u := left; u < right; u++ {
			taps = append(taps, h.index(values, in, n, v, u))
		}
	}
	return taps
}

func (l *maximum) backward(h *hand, o order) {
	h.receive(l.in, o)
	p := h.planes[o.behind()]
	l.each(h, func(_, _, _, at, from int, choices []int32) {
		for c, choice := range choices {
			p[from+int(choice)] += p[at+c]
		}
	})
	h.handOn(l.in, o)
}

// average is the mean of every window.
type average struct {
	in       *edge
	out      *picture
	window   window
	countPad bool // the divisor counts padding
}

func (l *average) inputs() []*edge  { return []*edge{l.in} }
func (l *average) output() *picture { return l.out }

func (l *average) plan(*tape) tapeRooms { return tapeRooms{rows: l.in.height * l.in.width} }

// each calls f with the taps of every output pixel and their divisor.
func (l *average) each(h *hand, f func(at int, taps []int, divisor float64)) {
	h.eachPixel(l.out, func(n, y, x int) {
		taps := windowTaps(h, l.window, l.in.picture, l.out, n, y, x)
		divisor := len(taps)
		if l.countPad {
			_, _, rows := l.window(0, y, l.in.height, l.out.height)
			_, _, columns := l.window(1, x, l.in.width, l.out.width)
			divisor = rows * columns
		}
		f(h.index(values, l.out, n, y, x), taps, float64(divisor))
	})
}

func (l *average) forward(h *hand, o order) {
	p := h.planes[o.ahead()]
	l.each(h, func(at int, taps []int, divisor float64) {
		h.kernel.MeanRow(p[at:], 0, p, 0, 1, taps, l.out.channels, divisor)
	})
}

func (l *average) backward(h *hand, o order) {
	h.receive(l.in, o)
	p := h.planes[o.behind()]
	l.each(h, func(at int, taps []int, divisor float64) {
		share := h.pixel[:l.out.channels]
		for c, v := range p[at:][:len(share)] {
			share[c] = float32(float64(v) / divisor)
		}
		for _, tap := range taps {
			for c, v := range share {
				p[tap+c] += v
			}
		}
	})
	h.handOn(l.in, o)
}
