// Package ref is the plain engine: float64 throughout, obvious loops, one image at a time.
// Every other engine is measured against it.
//
// Each operation of package nn has its wrapper here, whose two methods, forward and
// backward, are all that the engine knows of it. Run on dual numbers they give
// Hessian-vector products: see number.
package ref

import (
	"context"
	"fmt"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// reference is the engine.
type reference struct {
	engine.Resident
	loss    nn.Loss
	threads int
	last    *place // of the last Gradient
}

var _ engine.Differentiator = (*reference)(nil)

// New compiles g for evaluation with loss on the given number of threads. The engine is an
// engine.Differentiator.
func New(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error) {
	if threads < 1 {
		return nil, fmt.Errorf("the reference engine needs at least one thread, not %d", threads)
	}
	return &reference{Resident: engine.Resident{Graph: g}, loss: loss, threads: threads}, nil
}

// Logits evaluates g with the given states on images and returns the N × classes logits
// unrounded.
func Logits(ctx context.Context, g *nn.Graph, states nn.Params, images *nn.Images, threads int) ([]float64, error) {
	if err := images.Check(g); err != nil {
		return nil, err
	}
	plane := nn.Plane{Theta: states}
	if err := plane.Check(g); err != nil {
		return nil, err
	}
	e := &reference{Resident: engine.Resident{Graph: g, Plane: &plane}, threads: threads}
	logits := make([]float64, images.Len()*g.Classes)
	err := e.evaluate(ctx, images, nn.Point{}, func(i int, z []float64) {
		copy(logits[i*g.Classes:], z)
	})
	return logits, err
}

func (e *reference) Kernel() string { return "ref" }

func (e *reference) Evaluate(ctx context.Context, s engine.Set, points []nn.Point, outs []engine.Output) error {
	images, err := e.Accept(s, points, outs)
	if err != nil {
		return err
	}
	for p, at := range points {
		out := outs[p]
		err := e.evaluate(ctx, images, at, func(i int, z []float64) {
			out.Loss[i] = e.loss.Image(z, int(images.Labels[i]))
			out.Predicted[i] = int32(nn.Predict(z))
			if out.Logits != nil {
				for k, v := range z {
					out.Logits[i*len(z)+k] = float32(v)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *reference) Close() error { return nil }

// evaluate calls take with the index and the logits of every image at a point, in order;
// the logits are take's until it returns.
func (e *reference) evaluate(ctx context.Context, images *nn.Images, at nn.Point, take func(i int, logits []float64)) error {
	return eachImage(ctx, passes(e, images, e.states(at)), images,
		func(p *pass[float64], i int) { p.forward(images, i) },
		func(p *pass[float64], i int) { take(i, p.nodes[len(p.nodes)-1].data) })
}

// states are the network's at a point: rounded to float32 once, as for every engine, and
// exact from then on.
func (e *reference) states(at nn.Point) [][]float64 {
	states := make([][]float64, len(e.Graph.Entries))
	for i, entry := range e.Graph.Entries {
		rounded := make([]float32, entry.Shape.Size())
		e.Plane.Entry(rounded, i, at)
		states[i] = make([]float64, len(rounded))
		for k, v := range rounded {
			states[i][k] = float64(v)
		}
	}
	return states
}

// passes are one for each thread that finds an image.
func passes[N number](e *reference, images *nn.Images, states [][]N) []*pass[N] {
	list := make([]*pass[N], min(e.threads, images.Len()))
	for k := range list {
		list[k] = newPass(e.Graph, states)
	}
	return list
}
