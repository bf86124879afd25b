package cpu

import (
	"math"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// segment is the groups of layers of a live tape between two batch norms, each of which needs all images of what comes
// before it: images go through a segment block by block, whoever takes them, and through one segment after another.
type segment struct {
	first, end int // groups
	from, to   int // its sums of derivatives by φ
}

// cut divides the groups into segments.
func (t *tape) cut() {
	at := 0
	for g := range t.groups {
		if g == 0 || t.waits(t.groups[g].first) {
			t.segments = append(t.segments, segment{first: g, from: at, to: at})
		}
		s := &t.segments[len(t.segments)-1]
		s.end = g + 1
		for _, l := range t.layers[t.groups[g].first:t.groups[g].end] {
			if c, ok := l.(*conv); ok {
				at = lined(c.byShift + c.channels)
				s.to = at
			}
		}
	}
}

// batchNorm is a live batch norm with what follows it, out = relu(γ·x̂ + β + residual). With the n values x of a channel,
//
//	μ = Σx/n,  v = Σx²/n − μ²,  x̂ = (x − μ)/√(v + ε)
//	β̄ = Σȳ,  γ̄ = Σȳ·x̂,  x̄ = γ/√(v + ε)·(ȳ − β̄/n − x̂·γ̄/n)
//
// It is two layers, between which all images are waited for: forwards the first sums, and this one normalises;
// backwards this one sums, and the first hands on.
type batchNorm struct {
	in, residual *edge // residual may be nil
	out          *picture
	weight, bias int // entries
	eps          float64
	index        int // among the graph's batch norms
}

// batchSums is the first of both layers.
type batchSums struct{ *batchNorm }

// normaliseBatch appends the layers of chain c.
func (t *tape) normaliseBatch(c chain, op nn.BatchNorm, in *edge, out *picture) {
	in.borrows = true
	entries := t.graph.Nodes[c.head].Entries
	l := &batchNorm{in: in, out: out, weight: entries[0], bias: entries[1], eps: op.Eps, index: t.normsBefore(c.head)}
	if c.residual >= 0 {
		l.residual = &edge{picture: t.at[c.residual], passes: true, borrows: true}
	}
	t.norms[l.index] = l
	t.layers = append(t.layers, &batchSums{l}, l)
}

// normsBefore counts the batch norms among the first n nodes.
func (t *tape) normsBefore(n int) (count int) {
	for _, node := range t.graph.Nodes[:n] {
		if _, ok := node.Op.(nn.BatchNorm); ok {
			count++
		}
	}
	return count
}

// batch is what a batch norm knows of the batch in hand, channel by channel.
type batch struct {
	sums             [][]float64 // by block: Σx and then Σx², or Σȳ and then Σȳ·x; each in whole vectors
	mean, variance   []float64   // the latter biased
	scale, shift     []float32   // out = scale·x + shift
	byOut, byIn      []float32   // x̄ = byOut·ȳ + byIn·x + rest
	rest             []float32
	byWeight, byBias []float64
}

func newBatch(l *batchNorm, blocks int) *batch {
	n := l.in.channels
	b := &batch{sums: make([][]float64, blocks)}
	for i := range b.sums {
		b.sums[i] = make([]float64, 2*lined(n))
	}
	for _, x := range []*[]float64{&b.mean, &b.variance, &b.byWeight, &b.byBias} {
		*x = make([]float64, n)
	}
	for _, x := range []*[]float32{&b.scale, &b.shift, &b.byOut, &b.byIn, &b.rest} {
		*x = make([]float32, n)
	}
	return b
}

func (l *batchNorm) inputs() []*edge {
	if l.residual != nil {
		return []*edge{l.residual}
	}
	return nil
}

func (l *batchNorm) output() *picture { return l.out }
func (l *batchNorm) decide(*hand)     { panic("cpu: a live batch norm has no kinks of its own") }

func (l *batchSums) inputs() []*edge  { return []*edge{l.in} }
func (l *batchSums) output() *picture { return l.out }

func (l *batchSums) forward(h *hand, _ order) { l.sum(h, values, l.in.picture, false) }

// sum adds up plane p of a picture, which it masks before if masks, and its products with the inputs.
func (l *batchNorm) sum(h *hand, p plane, a *picture, masks bool) {
	sums, half := h.batch[l.index].sums[h.block], lined(a.channels)
	if h.from == 0 {
		clear(sums)
	}
	h.eachRow(a, func(n, y int) {
		var bits []byte
		if masks {
			bits = h.signsOf(a, n, y, 0)
		}
		h.kernel.Moments(sums[:half], sums[half:], h.at(p, a, n, y, 0), a.channels,
			h.at(values, l.in.picture, n, y, 0), l.in.channels, bits, a.signBytes(), a.width, a.channels)
	})
}

func (l *batchNorm) forward(h *hand, _ order) {
	b := h.batch[l.index]
	h.eachRow(l.out, func(n, y int) {
		dst := h.at(values, l.out, n, y, 0)
		var residual []float32
		if l.residual != nil {
			residual = h.at(values, l.residual.picture, n, y, 0)
		}
		x := h.at(values, l.in.picture, n, y, 0)
		if l.out.rectified {
			h.rectify(dst, l.out, n, y, x, l.in.channels, b.scale, b.shift, residual)
			return
		}
		h.kernel.Affine(dst, l.out.channels, x, l.in.channels, l.out.width, b.scale, b.shift, residual, l.out.channels, minusInfinity)
	})
}

func (l *batchNorm) backward(h *hand, o order) {
	l.sum(h, adjoints, l.out, l.out.rectified)
	if r := l.residual; r != nil && !r.constant && !r.lends {
		h.eachRow(l.out, func(n, y int) {
			h.add(r, o, n, y, 0, 1, l.out.width, 0, l.out.channels, h.at(adjoints, l.out, n, y, 0), l.out.channels)
		})
	}
}

func (l *batchSums) backward(h *hand, o order) {
	if l.in.constant {
		return
	}
	b, end := h.batch[l.index], h.handing(l.in, o)
	h.eachRow(l.out, func(n, y int) {
		dst := h.at(adjoints, l.in.picture, n, y, 0)
		var before []float32
		if end.residual != nil {
			before = h.at(adjoints, end.residual, n, y, 0)
		}
		h.kernel.Blend(dst, h.at(adjoints, l.out, n, y, 0), h.at(values, l.in.picture, n, y, 0), before, l.in.width, b.byOut, b.byIn, b.rest)
	})
	h.handOn(l.in, o)
}

// total is what all of the given number of blocks have summed for channel c.
func (b *batch) total(blocks, c int) (sum, product float64) {
	for _, sums := range b.sums[:blocks] {
		sum += sums[c]
		product += sums[len(sums)/2+c]
	}
	return sum, product
}

// settle finds out, once all images were summed forwards, how to normalise.
func (l *batchNorm) settle(b *batch, p *parameters, images, blocks int) {
	n := float64(images * l.in.height * l.in.width)
	for c := range b.mean {
		sum, squares := b.total(blocks, c)
		b.mean[c] = sum / n
		b.variance[c] = max(squares/n-float64(b.mean[c]*b.mean[c]), 0)
		scale := p.at(l.weight, c).v / math.Sqrt(b.variance[c]+l.eps)
		b.scale[c] = float32(scale)
		b.shift[c] = float32(p.at(l.bias, c).v - float64(b.mean[c]*scale))
	}
}

// settleBack finds out, once all images were summed backwards, how to hand on.
func (l *batchNorm) settleBack(b *batch, p *parameters, images, blocks int) {
	n := float64(images * l.in.height * l.in.width)
	for c := range b.mean {
		sum, product := b.total(blocks, c)
		inverse := 1 / math.Sqrt(b.variance[c]+l.eps)
		b.byBias[c] = sum
		b.byWeight[c] = (product - float64(b.mean[c]*sum)) * inverse
		scale := p.at(l.weight, c).v * inverse
		byIn := -scale * inverse * b.byWeight[c] / n
		b.byOut[c], b.byIn[c] = float32(scale), float32(byIn)
		b.rest[c] = float32(-float64(scale*sum/n) - float64(byIn*b.mean[c]))
	}
}

// report writes the moments as running statistics take them in.
func (b *batch) report(m engine.Moments, n int) {
	for c, mean := range b.mean {
		m.Mean[c] = float32(mean)
		m.Variance[c] = float32(b.variance[c] * float64(n) / float64(n-1))
	}
}

// dropping is live dropout, with or without alpha.
type dropping struct {
	in   *edge
	out  *picture
	node int
	p    float64
	engine.Dropping
}

// drop lowers a dropout, which only a live tape knows.
func (t *tape) drop(c chain, p float64, alpha bool, in *edge, output func() *picture) {
	if !t.live {
		t.at[c.last] = in.picture
		return
	}
	t.layers = append(t.layers, &dropping{in, output(), c.head, p, engine.NewDropping(p, alpha)})
}

func (l *dropping) inputs() []*edge  { return []*edge{l.in} }
func (l *dropping) output() *picture { return l.out }
func (l *dropping) decide(*hand)     { panic("cpu: dropout is the identity but on a live tape") }

// each calls f with the index of every output and its input, and whether it is kept.
func (l *dropping) each(h *hand, f func(to, from int, keeps bool)) {
	size := l.out.height * l.out.width
	for n := range h.count {
		mask := engine.NewMask(h.seed, l.node, h.before+h.from+n, l.p)
		for y := range l.out.height {
			for x := range l.out.width {
				to, from := h.index(values, l.out, n, y, x), h.index(values, l.in.picture, n, y, x)
				for c := range l.out.channels {
					f(to+c, from+c, mask.Keeps(c*size+y*l.out.width+x))
				}
			}
		}
	}
}

func (l *dropping) forward(h *hand, _ order) {
	p := h.planes[values]
	scale, shift, dropped := float32(l.Scale), float32(l.Shift), float32(l.Dropped)
	l.each(h, func(to, from int, keeps bool) {
		if keeps {
			p[to] = float32(scale*p[from]) + shift
		} else {
			p[to] = dropped
		}
	})
}

func (l *dropping) backward(h *hand, o order) {
	h.receive(l.in, o)
	p, scale := h.planes[adjoints], float32(l.Scale)
	l.each(h, func(to, from int, keeps bool) {
		if keeps {
			p[from] += float32(scale * p[to])
		}
	})
	h.handOn(l.in, o)
}
