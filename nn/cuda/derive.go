package cuda

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"lsrun/nn"
	"lsrun/nn/engine"
)

var _ engine.Differentiator = (*Engine)(nil)

// derivatives is what an engine holds to differentiate.
type derivatives struct {
	threads threads
	tape    *tape
	hand    hand
	kept    []*state // by block: its base state, or nil where there is no memory for it
	spare   *state   // for those
	full    bool     // no more states can be kept

	tables     tables
	parameters *parameters
	held       []*address

	set    *images   // nil while there is no point
	logits []float64 // of the point
}

// state is the base state of a block: what products at one point share.
type state struct{ values, adjoints address }

// keptStates is the percentage of the memory that was free at first which kept states may take, so that evaluations have room beside them.
const keptStates = 60

// differentiate makes what derivatives need when they are first asked for, or for larger sets than before: a block is as long
// as there are images.
func (e *Engine) differentiate(images int) (*derivatives, error) {
	if d := e.derived; d != nil && d.hand.capacity >= min(d.tape.block, images) {
		return d, nil
	}
	if err := e.forgetDerivatives(); err != nil {
		return nil, err
	}
	for _, n := range e.graph.Nodes {
		if c, ok := n.Op.(nn.Conv); ok && c.Groups > mostBlocks {
			return nil, fmt.Errorf("derivatives of %s: a convolution has %d groups, a card's grid at most %d: compute them on the CPU", e.graph.Name, c.Groups, mostBlocks)
		}
	}
	t := record(e.graph, e.blockImages, e.precision)
	d := &derivatives{threads: e.threads, tape: t, parameters: parametersOf(t, e.graph)}
	h := &d.hand
	h.device, h.tape, h.capacity = e.device, t, min(t.block, images)
	e.derived = d
	d.held = append(d.tables.addresses(), d.parameters.addresses()...)
	plane := t.plane * int64(h.capacity)
	for _, part := range []struct {
		at     *address
		floats int64
	}{
		{&h.values64, 2 * plane}, {&h.planes[tangents], plane}, {&h.planes[adjointTangents], plane},
		{&h.phi64, 2 * int64(t.phi)}, {&h.phi, int64(t.phi)}, {&h.dPhi, int64(t.phi)}, {&h.gradient, 2 * int64(t.phi)}, {&h.parts, 2 * t.parts(h.capacity)},
		{&h.own.weights, t.packing.packed}, {&h.own.factors, t.packing.factors}, {&h.along.weights, t.packing.packed}, {&h.along.factors, t.packing.factors},
	} {
		if err := d.zeros(part.at, part.floats); err != nil {
			return nil, errors.Join(fmt.Errorf("make room for derivatives: %w", err), e.forgetDerivatives())
		}
	}
	var err error
	if d.tables, err = t.packing.announce(e.device); err == nil {
		if e.pinned == nil {
			e.pinned, err = e.device.pinned(d.parameters.here())
		}
	}
	if err == nil {
		err = d.parameters.reside(e.device, e.threads, e.pinned)
	}
	if err == nil {
		d.spare, err = d.state()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make room for derivatives: %w", err), e.forgetDerivatives())
	}
	return d, nil
}

// forgetDerivatives frees the memory of derivatives.
func (e *Engine) forgetDerivatives() error {
	if e.derived == nil {
		return nil
	}
	for _, at := range e.derived.held {
		if err := e.release(at); err != nil {
			return err
		}
	}
	e.derived = nil
	return nil
}

// zeros takes memory; padding, which nobody writes, must be finite.
func (d *derivatives) zeros(at *address, floats int64) (err error) {
	if *at, err = d.hand.device.alloc(4 * max(floats, 1)); err != nil {
		return err
	}
	d.held = append(d.held, at)
	return d.clear(*at, floats)
}

func (d *derivatives) clear(at address, floats int64) error {
	if floats == 0 {
		return nil
	}
	k, a := conversion("zero", 0, at, floats)
	return d.hand.device.launch(k, a)
}

// conversion copies values to others of another type.
func conversion(kernel string, from, to address, count int64) (launch, unsafe.Pointer) {
	const ofBlock = 4096
	return launch{kernel: kernel, grid: [3]int{int((count + ofBlock - 1) / ofBlock), 1, 1}, block: 256}, unsafe.Pointer(&convertArguments{from, to, count})
}

// state takes memory for a base state: all of it or none.
func (d *derivatives) state() (*state, error) {
	s, plane := &state{}, d.tape.plane*int64(d.hand.capacity)
	if err := d.zeros(&s.values, 2*plane); err != nil {
		return nil, err
	}
	s.adjoints = s.values.at(plane)
	return s, nil
}

// stateOf is where the base state of a block is, and whether it stays there.
func (d *derivatives) stateOf(block int, keep int64) (s *state, kept bool, err error) {
	for len(d.kept) <= block {
		d.kept = append(d.kept, nil)
	}
	if d.kept[block] == nil && !d.full {
		if int64(block+1)*8*d.tape.plane*int64(d.hand.capacity) <= keep {
			d.kept[block], err = d.state()
		}
		d.full = d.kept[block] == nil
		if err != nil && !errors.Is(err, errMemory) {
			return nil, false, err
		}
	}
	if d.kept[block] != nil {
		return d.kept[block], true, nil
	}
	return d.spare, false, nil
}

// Gradient is that of engine.Differentiator. Values are computed in float64, adjoints and sums over short runs of images in float32.
func (e *Engine) Gradient(ctx context.Context, s engine.Set, at nn.Point, gradient []float64) (float64, error) {
	set, err := e.accept(s, nil, nil)
	if err != nil {
		return 0, err
	}
	if n := e.graph.Parameters(); len(gradient) != n {
		return 0, fmt.Errorf("gradient: room for %d values, but %s has %d parameters", len(gradient), e.graph.Name, n)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var d *derivatives
	err = e.makingAllRoom(func() (err error) {
		if d, err = e.differentiate(set.Len()); err == nil {
			err = e.holdImages(set, d.hand.capacity) // before states take what is left
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	d.set = nil // until all is well
	if err := d.moveTo(e, at); err != nil {
		return 0, err
	}
	loss, err := d.sweep(ctx, e, set, false)
	if err != nil {
		return 0, err
	}
	if err := d.parameters.pull(gradient, d.hand.gradient, set.Len()); err != nil {
		return 0, err
	}
	d.set = set
	return loss / float64(set.Len()), nil
}

// point is where the last Gradient was.
func (e *Engine) point() (*derivatives, error) {
	if e.derived == nil || e.derived.set == nil {
		return nil, errors.New("there is no gradient yet, whose point they would be at")
	}
	return e.derived, nil
}

// Products is that of engine.Differentiator, in float32.
func (e *Engine) Products(ctx context.Context, vectors, products [][]float64) error {
	d, err := e.point()
	if err != nil {
		return fmt.Errorf("products: %w", err)
	}
	n := e.graph.Parameters()
	if len(vectors) != len(products) {
		return fmt.Errorf("products: %d vectors, but room for %d products", len(vectors), len(products))
	}
	for k := range vectors {
		if len(vectors[k]) != n || len(products[k]) != n {
			return fmt.Errorf("products: vector and product %d have %d and %d values, but %s has %d parameters",
				k, len(vectors[k]), len(products[k]), e.graph.Name, n)
		}
	}
	for k := range vectors {
		err := d.turn(func(phi address) error {
			d.parameters.round(vectors[k])
			return d.parameters.fill(phi)
		})
		if err != nil {
			return err
		}
		if _, err := d.sweep(ctx, e, d.set, true); err != nil {
			return err
		}
		if err := d.parameters.pull(products[k], d.hand.gradient, d.set.Len()); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// moveTo brings φ to a point.
func (d *derivatives) moveTo(e *Engine, at nn.Point) error {
	entries := make([][]float32, len(e.graph.Entries))
	d.threads.each(len(entries), func(i int) {
		entries[i] = make([]float32, e.graph.Entries[i].Shape.Size())
		e.given.Entry(entries[i], i, at)
	})
	here := d.parameters.vectorHere
	for i, entry := range e.graph.Entries {
		if entry.Role == nn.Learnable {
			here = here[copy(here, entries[i]):]
		}
	}
	var slopes, means []float64
	for _, l := range d.tape.layers {
		if l, ok := l.(*combine); ok {
			slopes, means = l.statistics(slopes, means, entries)
		}
	}
	h := &d.hand
	err := h.device.upload(d.parameters.slopes, bytes(slopes))
	if err == nil {
		err = h.device.upload(d.parameters.means, bytes(means))
	}
	if err == nil {
		err = d.parameters.fill(h.phi64)
	}
	if err != nil {
		return err
	}
	return d.pack(h.phi64, h.phi, h.own)
}

// turn takes up φ's derivative along a vector, which fill computes where the sums of derivatives will be.
func (d *derivatives) turn(fill func(phi address) error) error {
	h := &d.hand
	if err := d.clear(h.gradient, 2*int64(d.tape.phi)); err != nil {
		return err
	}
	if err := fill(h.gradient); err != nil {
		return err
	}
	return d.pack(h.gradient, h.dPhi, h.along)
}

// pack brings what fill has computed into float32, and into the order of the kernels that want it in one of their own.
func (d *derivatives) pack(from, to address, p packedWeights) error {
	h := &d.hand
	k, a := conversion("narrow", from, to, int64(d.tape.phi))
	if d.tape.phi > 0 {
		if err := h.device.launch(k, a); err != nil {
			return err
		}
	}
	return d.tables.pack(&d.tape.packing, h.device.launch, states{to, 0, 1}, p.factors, p.weights)
}

// sweep goes over the blocks of a set and leaves sums of derivatives by φ in gradient: of the losses or, in the second order, of
// those derivatives along the vector in hand. It returns the sum of the losses.
func (d *derivatives) sweep(ctx context.Context, e *Engine, set *images, second bool) (loss float64, err error) {
	h, t := &d.hand, d.tape
	h.ctx, h.err = ctx, nil
	if err := d.clear(h.gradient, 2*int64(t.phi)); err != nil {
		return 0, err
	}
	if !second {
		d.logits = make([]float64, set.Len()*e.graph.Classes)
	}
	for first, block := 0, 0; first < set.Len(); first, block = first+t.block, block+1 {
		h.count = min(t.block, set.Len()-first)
		s, kept, err := d.stateOf(block, e.stateBytes)
		if err != nil {
			return 0, err
		}
		h.planes[values], h.planes[adjoints] = s.values, s.adjoints
		if !second || !kept {
			h.bare = second
			own := d.base(e, set, first)
			h.bare = false
			if !second {
				loss += own
			}
		}
		if second {
			d.along(e, set, first)
		}
		if h.err != nil {
			return 0, errors.Join(h.err, h.device.sync())
		}
	}
	return loss, nil
}

// base computes the base state of a block and, unless that is all, the sums of derivatives; it returns the sum of the losses.
func (d *derivatives) base(e *Engine, set *images, first int) (loss float64) {
	h, t := &d.hand, d.tape
	in, out := t.at[0], t.at[e.graph.Output()]
	pixels, err := e.imagesAt(set, first, h.count)
	if err != nil {
		h.err = err
		return 0
	}
	h.launch(conversion("widen", pixels, h.at64(in), int64(h.count)*in.size()))
	for _, l := range t.layers {
		l.forward(h)
	}
	h.launch(conversion("narrow", h.values64, h.planes[values], t.plane*int64(h.capacity)))
	rows := make([]float64, h.count*out.pixel)
	d.fetch(bytes(rows), h.at64(out))
	if h.err != nil {
		return 0
	}
	losses, slopes, classes := make([]float64, h.count), make([]float32, h.count*out.pixel), e.graph.Classes
	d.threads.each(h.count, func(i int) {
		z, label := d.logits[(first+i)*classes:][:classes], int(set.Labels[first+i])
		copy(z, rows[i*out.pixel:])
		losses[i] = e.loss.Image(z, label)
		slope := make([]float64, classes)
		e.loss.Gradient(slope, z, label)
		for c, v := range slope {
			slopes[i*out.pixel+c] = float32(v)
		}
	})
	for _, v := range losses {
		loss += v
	}
	d.give(h.at(adjoints, out), slopes)
	d.backward(false)
	return loss
}

// along computes the derivatives of a block's sums along the vector in hand.
func (d *derivatives) along(e *Engine, set *images, first int) {
	h, t := &d.hand, d.tape
	out, classes := t.at[e.graph.Output()], e.graph.Classes
	for _, l := range t.layers {
		if !l.output().constant {
			l.tangent(h)
		}
	}
	rows := make([]float32, h.count*out.pixel)
	d.fetch(bytes(rows), h.at(tangents, out))
	if h.err != nil {
		return
	}
	d.threads.each(h.count, func(i int) {
		own, product := make([]float64, classes), make([]float64, classes)
		for c := range own {
			own[c] = float64(rows[i*out.pixel+c])
		}
		e.loss.Product(product, d.logits[(first+i)*classes:][:classes], own, int(set.Labels[first+i]))
		for c, v := range product {
			rows[i*out.pixel+c] = float32(v)
		}
	})
	d.give(h.at(adjointTangents, out), rows)
	d.backward(true)
}

func (d *derivatives) backward(second bool) {
	for i := len(d.tape.layers) - 1; i >= 0; i-- {
		if l := d.tape.layers[i]; !l.output().constant {
			l.backward(&d.hand, second)
		}
	}
}

// fetch waits for what was launched and copies it to the host; give copies the other way.
func (d *derivatives) fetch(to []byte, from address) {
	h := &d.hand
	if h.err == nil {
		h.err = h.device.download(to, from)
	}
	if h.err == nil {
		h.err = h.device.sync()
	}
}

func (d *derivatives) give(to address, from []float32) {
	if d.hand.err == nil {
		d.hand.err = d.hand.device.upload(to, bytes(from))
	}
}
