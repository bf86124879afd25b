package cpu

// addition is the sum of its inputs, from left to right, rectified if the output is. With one input it is ReLU.
type addition struct {
	in  []*edge
	out *picture
}

func (l *addition) inputs() []*edge  { return l.in }
func (l *addition) output() *picture { return l.out }

func (l *addition) forward(h *hand, o order) {
	p := l.out
	h.eachRow(p, func(n, y int) {
		dst := h.at(o.ahead(), p, n, y, 0)
		var sum []float32
		for _, e := range l.in {
			h.kernel.Affine(dst, p.channels, h.at(o.ahead(), e.picture, n, y, 0), p.channels, p.width,
				h.ones[:p.channels], h.zeros[:p.channels], sum, p.channels, minusInfinity)
			sum = dst
		}
		if p.rectified {
			h.relu(dst, p, n, y)
		}
	})
}

func (l *addition) backward(h *hand, o order) {
	for _, e := range l.in {
		if !e.constant && !e.lends {
			h.eachRow(l.out, func(n, y int) {
				h.add(e, o, n, y, 0, 1, l.out.width, 0, l.out.channels, h.at(o.behind(), l.out, n, y, 0), l.out.channels)
			})
		}
	}
}

// concatenation joins its inputs along the channels.
type concatenation struct {
	in  []*edge
	out *picture
}

func (l *concatenation) inputs() []*edge  { return l.in }
func (l *concatenation) output() *picture { return l.out }

func (l *concatenation) forward(h *hand, o order) {
	from := 0
	for _, e := range l.in {
		end := ending{to: l.out, plane: o.ahead(), shift: h.zeros[:l.out.channels]}
		h.eachRow(l.out, func(n, y int) {
			h.finish(&end, n, y, 0, 1, l.out.width, from, e.channels, h.at(o.ahead(), e.picture, n, y, 0), e.channels)
		})
		from += e.channels
	}
}

func (l *concatenation) backward(h *hand, o order) {
	from := 0
	for _, e := range l.in {
		if !e.constant {
			h.eachRow(l.out, func(n, y int) {
				h.add(e, o, n, y, 0, 1, l.out.width, 0, e.channels, h.at(o.behind(), l.out, n, y, 0)[from:], l.out.channels)
			})
		}
		from += e.channels
	}
}

// flat brings a picture into the order of channels, rows, columns.
type flat struct {
	in  *edge
	out *picture
}

func (l *flat) inputs() []*edge  { return []*edge{l.in} }
func (l *flat) output() *picture { return l.out }

// each calls f with the index of every pixel and where its channel c is in the vector, at + c·step.
func (l *flat) each(h *hand, f func(pixel, at, step int)) {
	h.eachPixel(l.in.picture, func(n, y, x int) {
		f(h.index(values, l.in.picture, n, y, x), h.index(values, l.out, n, 0, 0)+y*l.in.width+x, l.in.height*l.in.width)
	})
}

func (l *flat) forward(h *hand, o order) {
	p := h.planes[o.ahead()]
	l.each(h, func(pixel, at, step int) {
		for c, v := range p[pixel:][:l.in.channels] {
			p[at+c*step] = v
		}
	})
}

func (l *flat) backward(h *hand, o order) {
	h.receive(l.in, o)
	p := h.planes[o.behind()]
	l.each(h, func(pixel, at, step int) {
		for c := range p[pixel:][:l.in.channels] {
			p[pixel+c] += p[at+c*step]
		}
	})
	h.handOn(l.in, o)
}

// sample is nn.Subsample.
type sample struct {
	in     *edge
	out    *picture
	stride int
}

func (l *sample) inputs() []*edge  { return []*edge{l.in} }
func (l *sample) output() *picture { return l.out }

// front is the number of zero channels before those of the input; none of them is ever written.
func (l *sample) front() int { return (l.out.channels - l.in.channels) / 2 }

func (l *sample) forward(h *hand, o order) {
	end := ending{to: l.out, plane: o.ahead(), shift: h.zeros[:l.out.channels]}
	h.eachRow(l.out, func(n, y int) {
		h.finish(&end, n, y, 0, 1, l.out.width, l.front(), l.in.channels,
			h.at(o.ahead(), l.in.picture, n, y*l.stride, 0), l.stride*l.in.channels)
	})
}

func (l *sample) backward(h *hand, o order) {
	h.receive(l.in, o)
	p := h.planes[o.behind()]
	h.eachPixel(l.out, func(n, y, x int) {
		from := p[h.index(values, l.out, n, y, x)+l.front():]
		for c := range p[h.index(values, l.in.picture, n, y*l.stride, x*l.stride):][:l.in.channels] {
			p[h.index(values, l.in.picture, n, y*l.stride, x*l.stride)+c] += from[c]
		}
	})
	h.handOn(l.in, o)
}
