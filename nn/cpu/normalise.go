package cpu

// normalisation is a batch norm that no weights precede, out = relu(σ·in + τ).
type normalisation struct {
	folding
	in    *edge
	out   *picture
	taps  []int // the pixels of an image of out
	early bool  // products of din by out̄ are added on the way forwards: nobody keeps din
}

func (t *tape) normalise(c chain, in *edge, out *picture) *normalisation {
	l := &normalisation{folding: t.folding(in.channels, 1, append([]int{c.head}, c.norms...)), in: in, out: out}
	t.sum(&l.folding, l.channels, func(channel, _ int) int { return channel })
	return l
}

func (l *normalisation) inputs() []*edge  { return []*edge{l.in} }
func (l *normalisation) output() *picture { return l.out }

func (l *normalisation) plan(*tape) tapeRooms {
	l.taps = l.out.pixels()
	return tapeRooms{}
}

// factors are σ and τ of the point, or their derivatives along the vector.
func (l *normalisation) factors(h *hand, o order) (scale, shift []float32) {
	return h.phi[o][l.at:][:l.channels], h.phi[o][l.shifts():][:l.channels]
}

func (l *normalisation) forward(h *hand, o order) {
	scale, shift := l.factors(h, first)
	h.eachRow(l.out, func(n, y int) {
		affine := func(plane plane, scale, shift, residual []float32) {
			h.kernel.Affine(h.at(o.ahead(), l.out, n, y, 0), l.channels, h.at(plane, l.in.picture, n, y, 0), l.channels, l.out.width,
				scale, shift, residual, l.channels, minusInfinity)
		}
		dst := h.at(o.ahead(), l.out, n, y, 0)
		if o == first {
			affine(values, scale, shift, nil)
		} else {
			dScale, dShift := l.factors(h, second)
			affine(values, dScale, dShift, nil)
			affine(tangents, scale, h.zeros[:l.channels], dst)
		}
		if l.out.rectified {
			h.mask(dst, l.out, n, y)
		}
	})
	if o == second && l.early {
		l.products(h, []pair{{tangents, adjoints}}, h.from == 0)
	}
}

func (l *normalisation) backward(h *hand, o order) {
	if !h.bare {
		h.sumPixels(h.gradient[l.byShift:], l.out, o.behind(), l.taps)
		pairs := []pair{{values, o.behind()}}
		if o == second && !l.in.constant && !l.early {
			pairs = append(pairs, pair{tangents, adjoints})
		}
		begun := o == second && l.early
		l.products(h, pairs, h.from == 0 && !begun)
	}
	if l.in.constant {
		return
	}
	scale, _ := l.factors(h, first)
	none := h.zeros[:l.channels]
	h.eachRow(l.out, func(n, y int) {
		dst := h.at(o.behind(), l.in.picture, n, y, 0)
		var before []float32
		if l.in.adds {
			before = dst
		}
		if o == second {
			dScale, _ := l.factors(h, second)
			h.kernel.Affine(dst, l.channels, h.at(adjoints, l.out, n, y, 0), l.channels, l.out.width, dScale, none, before, l.channels, minusInfinity)
			before = dst
		}
		h.kernel.Affine(dst, l.channels, h.at(o.behind(), l.out, n, y, 0), l.channels, l.out.width, scale, none, before, l.channels, minusInfinity)
	})
	h.handOn(l.in, o)
}

// products adds the sums of pairs over all pixels, in float64, to those of the passes and rounds before, unless this is the first.
func (l *normalisation) products(h *hand, pairs []pair, begins bool) {
	sums := h.means[:l.channels]
	clear(sums)
	for _, p := range pairs {
		h.eachPixel(l.out, func(n, y, x int) {
			a, b := h.at(p.in, l.in.picture, n, y, x)[:len(sums)], h.at(p.out, l.out, n, y, x)[:len(sums)]
			for c := range sums {
				sums[c] += float64(float64(a[c]) * float64(b[c]))
			}
		})
	}
	collect(h.gradient[l.by:], sums, begins)
}
