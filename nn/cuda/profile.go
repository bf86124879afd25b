package cuda

import (
	"time"

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
