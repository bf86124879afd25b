// Package ref is the plain engine: float64 throughout, obvious loops, one image at a time.
// Every other engine is measured against it.
//
// Each operation of package nn has its wrapper here, and the wrapper's methods are all
// that the engine knows of it.
package ref

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// reference is the engine.
type reference struct {
	engine.Resident
	ops     []operation // ops[n] is that of Graph.Nodes[n]; nil for the input
	loss    nn.Loss
	threads int
}

// New compiles g for evaluation with loss on the given number of threads.
func New(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error) {
	if threads < 1 {
		return nil, fmt.Errorf("the reference engine needs at least one thread, not %d", threads)
	}
	return &reference{Resident: engine.Resident{Graph: g}, ops: lower(g), loss: loss, threads: threads}, nil
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
	e := &reference{Resident: engine.Resident{Graph: g, Plane: &plane}, ops: lower(g), threads: threads}
	logits := make([]float64, images.Len()*g.Classes)
	err := e.eachImage(ctx, images, nn.Point{}, func(i int, z []float64) {
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
		err := e.eachImage(ctx, images, at, func(i int, z []float64) {
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

// eachImage calls f with the index and the logits of every image at a point, from several
// goroutines at once; the logits are f's until it returns.
func (e *reference) eachImage(ctx context.Context, images *nn.Images, at nn.Point, f func(i int, logits []float64)) error {
	entries := e.entries(at)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(e.threads, images.Len()) {
		workers.Go(func() {
			values := e.activations()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= images.Len() {
					return
				}
				f(i, e.forward(values, entries, images, i))
			}
		})
	}
	workers.Wait()
	return ctx.Err()
}

// entries are the network's states at a point: rounded to float32 once, as for every
// engine, and exact from then on.
func (e *reference) entries(at nn.Point) [][]float64 {
	entries := make([][]float64, len(e.Graph.Entries))
	for i, entry := range e.Graph.Entries {
		rounded := make([]float32, entry.Shape.Size())
		e.Plane.Entry(rounded, i, at)
		entries[i] = widen(make([]float64, len(rounded)), rounded)
	}
	return entries
}

// activations has room for the output of every node.
func (e *reference) activations() []tensor {
	values := make([]tensor, len(e.Graph.Nodes))
	for n, node := range e.Graph.Nodes {
		values[n] = tensor{node.Shape, make([]float64, node.Shape.Size())}
	}
	return values
}

// forward fills values with every node's output for image i and returns the last one's.
func (e *reference) forward(values []tensor, entries [][]float64, images *nn.Images, i int) []float64 {
	size := images.Shape.Size()
	widen(values[0].data, images.Pixels[i*size:(i+1)*size])
	for n, node := range e.Graph.Nodes {
		if node.Op == nil {
			continue
		}
		in := make([]tensor, len(node.Inputs))
		for k, from := range node.Inputs {
			in[k] = values[from]
		}
		own := make([][]float64, len(node.Entries))
		for k, entry := range node.Entries {
			own[k] = entries[entry]
		}
		e.ops[n].forward(values[n], in, own)
	}
	return values[e.Graph.Output()].data
}

func widen(dst []float64, src []float32) []float64 {
	for k, v := range src {
		dst[k] = float64(v)
	}
	return dst
}
