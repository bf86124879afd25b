package cpu

import "lsrun/nn"

// conv is a convolution or linear map with what follows it, out = relu(W*in + τ + residual):
//
//	forward:  out  = W*in + τ,           dout = dW*in + W*din + dτ
//	backward: in̄   = W⊤*out̄,             din̄  = dW⊤*out̄ + W⊤*dout̄
//	          W̄    = in⊗out̄,             dW̄   = in⊗dout̄ + din⊗out̄
type conv struct {
	folding
	in       *edge
	residual *edge // or nil
	out      *picture
	along    correlation // W*
	against  correlation // W⊤*; nil where in is constant
	weigh    products
	taps     []int     // the pixels of an image of out
	shifted  bool      // derivatives by the shifts are wanted
	rounds   bool      // takes the images of a block in several rounds
	early    bool      // products of din by out̄ are added on the way forwards: nobody keeps din
	exact    *gathered // W* in float64; nil on a live tape
	exactAt  int       // where its weights begin
}

// correlation is a linear map from one picture to another whose weights are given in the order of the graph.
type correlation interface {
	// size is the number of floats of the packed weights of a pass of order o.
	size(o order) int
	// pack brings weights into the order of the kernels: those of the point, or along a vector.
	pack(packed, weights []float32, o order)
	// run computes the sum over sources and ends it.
	run(h *hand, sources []source, end *ending)
}

// source is a term of a correlation: a plane of its input and packed weights. A tiled one has those of all sources in the first's.
type source struct {
	plane   plane
	weights []float32
}

// products are sums over all pixels of the products of inputs by adjoints of outputs.
type products interface {
	// extent is the number of sums, index the place of the one by a weight.
	extent() int
	index(channel, term int) int
	// multiply adds the sum over pairs to that of the passes and rounds before, if this is not the first of them.
	multiply(h *hand, pairs []pair, sums []float32, when turn)
}

// pair is a plane of the input and one of the output.
type pair struct{ in, out plane }

// turn says whether a round is the first or the last to add to sums over a block.
type turn struct{ first, last bool }

// placed is a correlation with its place among the packed weights.
type placed struct {
	correlation
	at, floats [2]int // by order
}

func (p placed) weights(packed []float32, o order) []float32 { return packed[p.at[o]:][:p.floats[o]] }

// place makes room for the weights of c.
func (t *tape) place(c correlation) correlation {
	p := placed{c, t.packed, [2]int{c.size(first), c.size(second)}}
	for o := range t.packed {
		t.packed[o] = lined(p.at[o] + p.floats[o])
	}
	return p
}

// conv is the layer of chain c, whose head is op or a linear map in its form.
func (t *tape) conv(c chain, op nn.Conv, in *edge, out *picture) *conv {
	node := t.graph.Nodes[c.head]
	l := &conv{in: in, out: out}
	in.borrows = true
	terms := in.channels / op.Groups * op.Kernel[0] * op.Kernel[1]
	l.folding = t.folding(op.Out, terms, c.norms)
	l.weight = node.Entries[0]
	if op.Bias {
		l.bias = node.Entries[1]
	}
	_, after, _ := t.users.Only(c.last)
	_, normalised := after.(nn.BatchNorm)
	l.shifted = !t.live || op.Bias && (c.relu || !normalised) // a live batch norm takes every shift away
	if c.residual >= 0 {
		l.residual = &edge{picture: t.at[c.residual], passes: true, borrows: true}
	}
	l.along, l.weigh = t.correlate(op, in.picture, out)
	t.sum(&l.folding, l.weigh.extent(), l.weigh.index)
	if !t.live {
		l.exact, l.exactAt = t.gathered(op, in.picture, out), t.packed64
		l.exact.columns = t.kernel.Columns64
		t.packed64 += l.exact.size(first)
	}
	if !in.constant {
		l.against = t.transposed(op, in.picture, out)
	}
	return l
}

// correlate chooses how to compute op. Products have more to do for every channel.
func (t *tape) correlate(op nn.Conv, in, out *picture) (correlation, products) {
	const fewest = 8 // channels
	w := algorithmFor(t.kernel, op, in.shape, t.exact)
	if w == nil {
		return t.place(t.gathered(op, in, out)), t.gatheredProducts(op, in, out)
	}
	s := t.tiled(op, *w, in, out, false)
	if len(s.pieces) > 1 || in.channels < fewest {
		return t.place(s), t.gatheredProducts(op, in, out)
	}
	return t.place(s), t.tiledProducts(s)
}

// transposed chooses how to compute the transpose of op.
func (t *tape) transposed(op nn.Conv, in, out *picture) correlation {
	turned := op
	turned.Out, turned.Pad = in.channels, [2]int{op.Kernel[0] - 1 - op.Pad[0], op.Kernel[1] - 1 - op.Pad[1]}
	if op.Stride == [2]int{1, 1} && min(turned.Pad[0], turned.Pad[1]) >= 0 {
		if w := algorithmFor(t.kernel, turned, out.shape, t.exact); w != nil {
			return t.place(t.tiled(turned, *w, out, in, true))
		}
	}
	if w := algorithmFor(t.kernel, op, in.shape, t.exact); w != nil && op.Stride != [2]int{1, 1} {
		return t.place(t.phased(op, *w, out, in))
	}
	return t.place(t.scattered(op, in, out))
}

func (l *conv) inputs() []*edge {
	if l.residual != nil {
		return []*edge{l.residual, l.in}
	}
	return []*edge{l.in}
}

func (l *conv) output() *picture { return l.out }

// prepare brings the layer's part of φ into the order of the kernels, and the point's with it where one product takes both.
func (l *conv) prepare(s *side, o order, point *side) {
	weights := s.phi[l.at:][:l.channels*l.terms]
	for _, c := range []correlation{l.along, l.against} {
		if c == nil {
			continue
		}
		p := c.(placed)
		p.pack(p.weights(s.packed, o), weights, o)
		if tiled, ok := p.correlation.(interface{ join(packed, point []float32) }); ok && o == second && !s.joined {
			tiled.join(p.weights(s.packed, o), p.weights(point.packed, first))
		}
	}
}

// sources are the terms of a pass of order o, whose first-order form has plane p.
func (l *conv) sources(h *hand, c correlation, p plane, o order, constant bool) []source {
	point := c.(placed).weights(h.packed[first], first)
	if o == first {
		return []source{{p, point}}
	}
	vector := c.(placed).weights(h.packed[second], second)
	if constant {
		return []source{{p, vector}}
	}
	return []source{{p, vector}, {p + tangents - values, point}}
}

func (l *conv) forward(h *hand, o order) {
	end := ending{to: l.out, plane: o.ahead(), shift: h.phi[o][l.shifts():][:l.channels]}
	if l.residual != nil {
		end.residual, end.residualPlane = l.residual.picture, o.ahead()
	}
	if l.out.rectified && !h.tape.live {
		end.mask = l.out
	}
	early, begins := o == second && l.early, turn{first: h.from == 0}
	products, byTiles := l.weigh.(*tiledProducts)
	if early && byTiles {
		end.beside = func(c chunk) { products.beside(h, c, begins) }
	}
	h.correlate(l.along, l.sources(h, l.along, values, o, l.in.constant), &end)
	if early && !byTiles {
		l.weigh.multiply(h, []pair{{tangents, adjoints}}, h.gradient[l.by:][:l.weigh.extent()], begins)
	}
	if l.out.rectified && h.tape.live {
		h.eachRow(l.out, func(n, y int) { h.relu(h.at(values, l.out, n, y, 0), l.out, n, y) })
	}
}

func (l *conv) backward(h *hand, o order) {
	if !h.bare {
		if l.shifted {
			h.sumPixels(h.gradient[l.byShift:], l.out, o.behind(), l.taps)
		}
		pairs := []pair{{values, o.behind()}}
		if o == second && !l.in.constant && !l.early {
			pairs = append(pairs, pair{tangents, adjoints})
		}
		begun := o == second && l.early
		l.weigh.multiply(h, pairs, h.gradient[l.by:][:l.weigh.extent()], turn{h.from == 0 && !begun, h.from+h.count == h.images})
	}
	if r := l.residual; r != nil && !r.constant && !r.lends {
		h.eachRow(l.out, func(n, y int) {
			h.add(r, o, n, y, 0, 1, l.out.width, 0, l.out.channels, h.at(o.behind(), l.out, n, y, 0), l.out.channels)
		})
	}
	if l.against != nil {
		end := h.handing(l.in, o)
		h.correlate(l.against, l.sources(h, l.against, adjoints, o, false), &end)
	}
}

// correlate runs c. Masks begin at whole bytes, which groups of channels may not.
func (h *hand) correlate(c correlation, sources []source, end *ending) {
	mask := end.mask
	if g, ok := c.(placed).correlation.(*gathered); ok && g.groups > 1 {
		end.mask = nil
	}
	c.run(h, sources, end)
	if mask != nil && end.mask == nil {
		h.eachRow(mask, func(n, y int) { h.mask(h.at(end.plane, end.to, n, y, 0), mask, n, y) })
	}
}

// sumPixels sums all pixels of a plane of p into dst, those of a round in float64. taps are the pixels of an image.
func (h *hand) sumPixels(dst []float32, p *picture, l plane, taps []int) {
	sums, image := h.means[:p.channels], h.pixel[:p.channels]
	clear(sums)
	for n := range h.count {
		h.kernel.MeanRow(image, 0, h.at(l, p, n, 0, 0), 0, 1, taps, len(image), 1)
		for c, v := range image {
			sums[c] += float64(v)
		}
	}
	collect(dst, sums, h.from == 0)
}

// collect adds what the images in hand give to sums over the block, or begins them.
func collect(dst []float32, sums []float64, begins bool) {
	if begins {
		clear(dst[:len(sums)])
	}
	for c, v := range sums {
		dst[c] += float32(v)
	}
}

// pixels are the distances of a picture's pixels from its first.
func (p *picture) pixels() (taps []int) {
	for y := range p.height {
		for x := range p.width {
			taps = append(taps, y*p.row()+x*p.channels)
		}
	}
	return taps
}

// plan cuts the work of the layer's sums now that every picture has its border.
func (l *conv) plan(t *tape) tapeRooms {
	l.taps = l.out.pixels()
	var rooms tapeRooms
	if l.exact != nil {
		rooms = l.exact.plan(t)
		rooms.sums, rooms.sums64 = 0, rooms.sums
	}
	if p, ok := l.weigh.(*tiledProducts); ok && l.rounds {
		p.keep(t)
	}
	for _, part := range []any{l.along, l.against, l.weigh} {
		if c, ok := part.(placed); ok {
			part = c.correlation
		}
		if p, ok := part.(interface{ plan(t *tape) tapeRooms }); ok {
			rooms.grow(p.plan(t))
		}
	}
	return rooms
}
