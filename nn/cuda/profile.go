package cuda

import (
	"cmp"
	"context"
	"slices"
	"time"
	"unsafe"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// Layer is what a step of an engine's work took.
type Layer struct {
	Kernel string
	Shape  nn.Shape // of its output
	MACs   int64    // multiply-adds for an image
	Bytes  int64    // of its values for an image, inputs and output once each
	Images int
	Time   time.Duration // for all images
}

// Profile evaluates images of s at the plane's origin and reports what each step took, the launch included; the first is the
// preparation of the weights.
func (e *Engine) Profile(s engine.Set) (layers []Layer, err error) {
	set, err := e.accept(s, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := e.reserve(1, set); err != nil {
		return nil, err
	}
	r, p := &e.room, e.program
	input, err := e.imagesAt(set, 0, r.chunk)
	if err != nil {
		return nil, err
	}
	timed := func(f func() error) (took time.Duration, err error) {
		const times = 3
		for i := range times + 1 { // the first is not counted
			if i == 1 {
				if err := e.device.sync(); err != nil {
					return 0, err
				}
			}
			began := time.Now()
			if err := f(); err != nil {
				return 0, err
			}
			if err := e.device.sync(); err != nil {
				return 0, err
			}
			if i > 0 {
				took += time.Since(began) / times
			}
		}
		return took, nil
	}
	took, err := timed(func() error { return e.prepare(p, &e.tables, r.packed.address, make([]nn.Point, 1)) })
	if err != nil {
		return nil, err
	}
	layers = append(layers, Layer{Kernel: "prepare", Time: took})
	pass := pass{program: p, points: 1, images: r.chunk, imagesOfAPoint: set.Len(), input: input, logits: r.logits.address,
		arena: r.arena.address, slots: int64(r.group) * int64(r.chunk), weights: r.packed.address, factor: r.factors.address}
	for _, s := range p.steps {
		k, arguments := s.launch(&pass)
		took, err := timed(func() error { return e.device.launch(k, arguments) })
		if err != nil {
			return nil, err
		}
		values := s.values()
		layer := Layer{Kernel: k.kernel, Shape: values[0].shape, Images: r.chunk, Time: took}
		for _, v := range values {
			layer.Bytes += 4 * int64(v.shape.Size())
		}
		if s, ok := s.(*product); ok {
			layer.MACs = s.conv.MACs([]nn.Shape{s.in.shape})
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// Share is what the launches of a kernel took of a product.
type Share struct {
	Kernel string
	Count  int
	Time   time.Duration
}

// ProfileProduct computes the product with a vector at the point of the last Gradient and reports what each kernel took, the waiting for it
// included, the longest first.
func (e *Engine) ProfileProduct(ctx context.Context, vector, product []float64) ([]Share, error) {
	c := &clock{shares: map[string]*Share{}}
	if d := e.derived; d != nil {
		c.device, d.hand.device = d.hand.device, c
		defer func() { d.hand.device = c.device }()
	}
	if err := e.Products(ctx, [][]float64{vector}, [][]float64{product}); err != nil {
		return nil, err
	}
	var shares []Share
	for _, s := range c.shares {
		shares = append(shares, *s)
	}
	slices.SortFunc(shares, func(a, b Share) int { return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Kernel, b.Kernel)) })
	return shares, nil
}

// clock is a device that waits for every launch.
type clock struct {
	device
	shares map[string]*Share
}

func (c *clock) launch(k launch, arguments unsafe.Pointer) error {
	if err := c.sync(); err != nil {
		return err
	}
	began := time.Now()
	if err := c.device.launch(k, arguments); err != nil {
		return err
	}
	err := c.sync()
	s := c.shares[k.kernel]
	if s == nil {
		s = &Share{Kernel: k.kernel}
		c.shares[k.kernel] = s
	}
	s.Count++
	s.Time += time.Since(began)
	return err
}
