package cpu

import (
	"context"
	"time"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// Layer is what a step of an engine's work took.
type Layer struct {
	Name      string        // of the node whose output it computes
	Algorithm string        // "winograd 4×4", "winograd 2×2", "direct", "depthwise", or the kind of operation
	Shape     nn.Shape      // of its output
	MACs      int64         // multiply-adds for an image, as direct convolutions count them
	Time      time.Duration // for all images
}

// Profile evaluates the images of s at a point on one thread and reports what its layers took,
// in the order of their work, and what the preparation of the weights took.
func (e *Engine) Profile(ctx context.Context, s engine.Set, at nn.Point) (layers []Layer, prepare time.Duration, err error) {
	out := engine.NewOutput(s.Len(), 0)
	images, err := e.Accept(s, []nn.Point{at}, []engine.Output{out})
	if err != nil {
		return nil, 0, err
	}
	t := e.hire(1)
	var times []time.Duration
	for _, numbers := range [][]int32{{0}, all(images)} { // the first image makes what all of them find made
		start := time.Now()
		t.prepare(ctx, e.fast, at)
		prepare = time.Since(start)
		times = make([]time.Duration, len(e.fast.steps))
		t.workers[0].times = times
		t.run(ctx, images, numbers, out)
	}
	for i, step := range e.fast.steps {
		n, g := e.fast.nodes[i], e.fast.graph
		value, _ := step.values()
		layers = append(layers, Layer{Name: g.Nodes[n].Name, Algorithm: algorithm(step, g.Nodes[n].Op),
			Shape: value.shape, MACs: g.Nodes[n].Op.MACs(g.InShapes(n)), Time: times[i]})
	}
	return layers, prepare, ctx.Err()
}

func algorithm(s step, op nn.Op) string {
	switch s := s.(type) {
	case *winograd:
		if s.Tile == 2 {
			return "winograd 2×2"
		}
		return "winograd 4×4"
	case *product:
		return "direct"
	case *depthwise:
		return "depthwise"
	}
	return op.Kind()
}
