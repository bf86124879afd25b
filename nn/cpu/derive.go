package cpu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"lsrun/nn"
	"lsrun/nn/engine"
)

var _ engine.Differentiator = (*Engine)(nil)

// derivatives is what an engine holds to differentiate.
type derivatives struct {
	tape  *tape
	hands []*hand
	spare []*state // by hand, for blocks whose state is not kept
	keep  int      // states that are kept at most
	kept  []*state // those of the first blocks
	kinks []kinks  // of all blocks

	images          *nn.Images // nil while there is no point
	point           parameters
	sides           []*side     // of the point, and of the vectors in hand
	phi64, packed64 []float64   // of the point
	gradient        []float64   // the means of derivatives by φ
	changes         [][]float64 // and their derivatives along the vectors in hand
	spares          *spares
}

// side is effective parameters, or their derivatives along a vector, as they are and in the order of the kernels.
type side struct {
	phi, packed []float32
	joined      bool // the point's weights are among those along the vector, where a product takes both
}

// Bounds of the vectors that a sweep over the images takes along.
const (
	mostVectors = 4
	vectorBytes = 1 << 30
)

// vectors is how many they are.
func (t *tape) vectors() int { return int(max(1, min(mostVectors, vectorBytes/t.sideBytes(second)))) }

func (t *tape) sideBytes(o order) int64 { return nn.RoomBytes(t.phi) + nn.RoomBytes(t.packed[o]) }

func (e *Engine) differentiate() *derivatives {
	if e.derived != nil {
		return e.derived
	}
	d := e.derivatives(record(e.Graph, &e.kernel, e.exact))
	t := d.tape
	d.keep = int(e.stateBytes / t.stateBytes())
	d.phi64, d.packed64 = make([]float64, t.phi), make([]float64, t.packed64)
	for i := range d.point.entries {
		d.point.entries[i] = make([]float32, e.Graph.Entries[i].Shape.Size())
	}
	e.derived = d
	return d
}

// derivatives are those by the parameters on t, at a point that is still to come.
func (e *Engine) derivatives(t *tape) *derivatives {
	d := &derivatives{tape: t, spare: make([]*state, e.threads), gradient: make([]float64, t.gradient), spares: newSpares(e.threads-1, t.gradient)}
	for range e.threads {
		d.hands = append(d.hands, t.hand(e.loss))
	}
	d.point = parameters{graph: e.Graph, entries: make([][]float32, len(e.Graph.Entries)), first: make([]int, len(e.Graph.Entries))}
	n := 0
	for i, entry := range e.Graph.Entries {
		d.point.first[i] = n
		if entry.Role == nn.Learnable {
			n += entry.Shape.Size()
		}
	}
	return d
}

// DerivativeMemory is what Gradient and Products over so many images take, in bytes, on top of Memory: for each
// thread, for all of them together, and for the states that are kept.
func (e *Engine) DerivativeMemory(images int) int64 {
	t := record(e.Graph, &e.kernel, e.exact)
	blocks := int64(images+t.block-1) / int64(t.block)
	kept := min(blocks, e.stateBytes/t.stateBytes())
	threads := int64(e.threads)*t.handBytes() + t.sparesBytes(e.threads)
	if kept < blocks {
		threads += int64(e.threads) * t.stateBytes()
	}
	vectors := int64(t.vectors())
	shared := t.sideBytes(first) + vectors*t.sideBytes(second) + (1+vectors)*8*int64(t.gradient) + 8*int64(t.phi+t.packed64) + 4*int64(e.Graph.Parameters())
	return threads + shared + blocks*t.kinksBytes() + kept*t.stateBytes()
}

// Gradient is that of engine.Differentiator.
//
// What ReLU lets through, which input is a maximum, and the losses are computed in float64, so that derivatives are those
// on the right side of every kink (of ELU's and SELU's, which are milder, float32 decides). Activations, adjoints, their derivatives and sums of them over a block of images are float32, by Winograd's
// transforms where evaluation uses them; batch norms are folded and pulled back, and blocks added up in their order, in float64.
func (e *Engine) Gradient(ctx context.Context, s engine.Set, at nn.Point, gradient []float64) (float64, error) {
	images, err := e.Accept(s, nil, nil)
	if err != nil {
		return 0, err
	}
	if n := e.Graph.Parameters(); len(gradient) != n {
		return 0, fmt.Errorf("gradient: room for %d values, but %s has %d parameters", len(gradient), e.Graph.Name, n)
	}
	d := e.differentiate()
	d.images = nil
	for i := range d.point.entries {
		e.Plane.Entry(d.point.entries[i], i, at)
	}
	d.point.vector = nil
	d.prepare(ctx, 0, &d.point, first)
	clear(d.gradient)
	loss, sum := 0.0, d.newSum(ctx)
	defer sum.close()
	d.eachBlock(ctx, images, func(h *hand, block int) {
		h.kinks = d.kinks[block]
		own := h.base(d.state(h, block), images, block)
		h.gradient = sum.add(block, h.gradient, func(part []float32) {
			loss += own
			accumulate(d.gradient, part)
		})
	})
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	d.average(images, d.gradient)
	d.pull(&d.point, nil, gradient, first)
	d.images = images
	return loss / float64(images.Len()), nil
}

// Products is that of engine.Differentiator, in the precision of Gradient.
func (e *Engine) Products(ctx context.Context, vectors, products [][]float64) error {
	d := e.derived
	if d == nil || d.images == nil {
		return errors.New("products: there is no gradient yet, whose point they would be at")
	}
	n := e.Graph.Parameters()
	if len(vectors) != len(products) {
		return fmt.Errorf("products: %d vectors, but room for %d products", len(vectors), len(products))
	}
	for k := range vectors {
		if len(vectors[k]) != n || len(products[k]) != n {
			return fmt.Errorf("products: vector and product %d have %d and %d values, but %s has %d parameters",
				k, len(vectors[k]), len(products[k]), e.Graph.Name, n)
		}
	}
	most := d.tape.vectors()
	for at := 0; at < len(vectors); at += most {
		end := min(at+most, len(vectors))
		if err := d.products(ctx, vectors[at:end], products[at:end]); err != nil {
			return err
		}
	}
	return nil
}

func (d *derivatives) products(ctx context.Context, vectors, products [][]float64) error {
	along := make([]parameters, len(vectors))
	sums := make([]*sum, len(vectors))
	for k, v := range vectors {
		along[k] = d.point
		along[k].vector = v
		if len(d.changes) == k {
			d.changes = append(d.changes, make([]float64, d.tape.gradient))
		}
		clear(d.changes[k])
		sums[k] = d.newSum(ctx)
		defer sums[k].close()
		d.prepare(ctx, 1+k, &along[k], second)
	}
	d.eachBlock(ctx, d.images, func(h *hand, block int) {
		h.kinks = d.kinks[block]
		if block < d.keep {
			h.turnTo(d.kept[block], d.images, block)
		} else {
			h.again(d.state(h, block), d.images, block)
		}
		for k := range vectors {
			h.along(d.sides[1+k], d.images, block)
			h.gradient = sums[k].add(block, h.gradient, func(part []float32) { accumulate(d.changes[k], part) })
		}
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	for k := range vectors {
		d.average(d.images, d.changes[k])
		d.pull(&along[k], d.changes[k], products[k], second)
	}
	return nil
}

// prepare brings the effective parameters of p to side i.
func (d *derivatives) prepare(ctx context.Context, i int, p *parameters, o order) {
	for len(d.sides) <= i {
		d.sides = append(d.sides, &side{phi: nn.Room(d.tape.phi), packed: nn.Room(d.tape.packed[o])})
	}
	s := d.sides[i]
	d.share(ctx, len(d.tape.layers), func(_ *hand, l int) {
		f, ok := d.tape.layers[l].(interface{ own() *folding })
		if !ok {
			return
		}
		apply(f.own(), p, s.phi, o)
		decides := o == first && !d.tape.live
		if decides {
			apply(f.own(), p, d.phi64, o)
		}
		if c, ok := f.(*conv); ok {
			c.prepare(s, o, d.sides[0])
			if decides {
				pack(c.exact, d.packed64[c.exactAt:], d.phi64[c.at:])
			}
		}
	})
	s.joined = ctx.Err() == nil
	if o == first {
		for _, vector := range d.sides {
			vector.joined = false
		}
		for _, h := range d.hands {
			h.phi[first], h.packed[first], h.phi64, h.packed64 = s.phi, s.packed, d.phi64, d.packed64
		}
	}
}

// pull writes derivatives by the parameters into out, given those by φ.
func (d *derivatives) pull(p *parameters, dg, out []float64, o order) {
	d.share(context.Background(), len(d.tape.layers), func(_ *hand, l int) {
		if f, ok := d.tape.layers[l].(interface {
			pull(p *parameters, g, dg, out []float64, o order)
		}); ok {
			f.pull(p, d.gradient, dg, out, o)
		}
	})
}

// average divides a sum over images.
func (d *derivatives) average(images *nn.Images, sum []float64) {
	for i := range sum {
		sum[i] /= float64(images.Len())
	}
}

// accumulate adds a block's part, four numbers at a time as the compiler does not.
func accumulate(total []float64, part []float32) {
	for len(total) >= 4 && len(part) >= 4 {
		total[0] += float64(part[0])
		total[1] += float64(part[1])
		total[2] += float64(part[2])
		total[3] += float64(part[3])
		total, part = total[4:], part[4:]
	}
	for i, v := range part {
		total[i] += float64(v)
	}
}

// state is where h keeps the base state of a block.
func (d *derivatives) state(h *hand, block int) *state {
	if block < d.keep {
		if d.kept[block] == nil {
			d.kept[block] = d.tape.state()
		}
		return d.kept[block]
	}
	for i := range d.hands {
		if d.hands[i] == h {
			if d.spare[i] == nil {
				d.spare[i] = d.tape.state()
			}
			return d.spare[i]
		}
	}
	panic("cpu: a hand of another engine")
}

// eachBlock calls f for every block of images from all threads until ctx is cancelled.
func (d *derivatives) eachBlock(ctx context.Context, images *nn.Images, f func(h *hand, block int)) {
	blocks := (images.Len() + d.tape.block - 1) / d.tape.block
	for len(d.kinks) < blocks {
		d.kinks = append(d.kinks, d.tape.kinks(d.tape.block))
	}
	for len(d.kept) < min(blocks, d.keep) {
		d.kept = append(d.kept, nil)
	}
	d.share(ctx, blocks, f)
}

// share calls f for 0 … n−1, in this order, from all threads until ctx is cancelled.
func (d *derivatives) share(ctx context.Context, n int, f func(h *hand, i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for _, h := range d.hands[:min(len(d.hands), n)] {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(h, i)
			}
		})
	}
	running.Wait()
}

// turnTo takes up the base state of a block.
func (h *hand) turnTo(s *state, images *nn.Images, block int) {
	h.planes[values], h.planes[adjoints] = s.values, s.adjoints
	h.images = min(h.tape.block, images.Len()-block*h.tape.block)
	h.whole()
}

// base computes the base state of a block in s, the gradient of its losses, and their sum.
func (h *hand) base(s *state, images *nn.Images, block int) (loss float64) {
	h.turnTo(s, images, block)
	loss = h.decide(images, block)
	h.firstOrder(images, block)
	return loss
}

// again computes the base state alone.
func (h *hand) again(s *state, images *nn.Images, block int) {
	h.turnTo(s, images, block)
	h.bare = true
	h.firstOrder(images, block)
	h.bare = false
}

func (h *hand) firstOrder(images *nn.Images, block int) {
	eachPixelOf(h, images, block*h.tape.block, func(at int, v float32) { h.planes[values][at] = v })
	h.ahead(h.tape.groups, func(l layer) { l.forward(h, first) })
	for n := range h.count {
		label := int(images.Labels[block*h.tape.block+n])
		h.loss.Gradient(h.slope, h.widen(h.logits[0], values, n), label)
		h.descend(adjoints, n)
	}
	h.handOn(h.tape.top, first)
	h.backward(first)
}

// along computes the derivative of the block's gradient along a vector.
func (h *hand) along(s *side, images *nn.Images, block int) {
	h.phi[second], h.packed[second] = s.phi, s.packed
	h.ahead(h.tape.groups, func(l layer) {
		if !l.output().constant {
			l.forward(h, second)
		}
	})
	for n := range h.count {
		label := int(images.Labels[block*h.tape.block+n])
		h.loss.Product(h.slope, h.widen(h.logits[0], values, n), h.widen(h.logits[1], tangents, n), label)
		h.descend(adjointTangents, n)
	}
	h.handOn(h.tape.top, second)
	h.backward(second)
}

func (h *hand) backward(o order) {
	h.behind(h.tape.groups, func(l layer) {
		if !l.output().constant {
			l.backward(h, o)
		}
	})
}

// widen is plane l of the logits of image n.
func (h *hand) widen(dst []float64, l plane, n int) []float64 {
	for c, v := range h.at(l, h.tape.top.picture, n, 0, 0)[:len(dst)] {
		dst[c] = float64(v)
	}
	return dst
}

// descend writes the slopes of the loss to plane l of the logits of image n.
func (h *hand) descend(l plane, n int) {
	dst := h.at(l, h.tape.top.picture, n, 0, 0)
	for c, v := range h.slope {
		dst[c] = float32(v)
	}
}

// eachPixelOf calls f with the index and the value of every input of the images in hand, which begin with the one numbered before.
func eachPixelOf(h *hand, images *nn.Images, before int, f func(at int, v float32)) {
	in := h.tape.pictures[0]
	pixels := images.Pixels[before*in.shape.Size():]
	for n := range h.count {
		for c := range in.channels {
			for y := range in.height {
				at := h.index(values, in, n, y, 0) + c
				for x, v := range pixels[:in.width] {
					f(at+x*in.channels, v)
				}
				pixels = pixels[in.width:]
			}
		}
	}
}

// stateShare is the part of the memory that base states may take if nothing else is said.
const stateShare = 4

// defaultStateBytes is that part, or what a small machine has.
func defaultStateBytes() int64 {
	if total := memoryBytes(); total > 0 {
		return total / stateShare
	}
	return math.MaxInt32 / stateShare
}
