// Package cpu is the fast engine: float32, on the processor's vector units.
//
// The graph is lowered once to a list of steps (lower.go): convolutions and linear maps as
// matrix products with batch norm, residual sum and activation in their epilogue, and
// whatever could not be joined to one. Pictures are stored pixel by pixel, the channels of
// one together, with a border of zeros as wide as the convolutions that read them need.
// Steps work on micro-batches of images in an arena that every thread has of its own;
// its layout and size are fixed by the lowering (memory.go).
//
// Every output is one chain of float32 operations whose order is a function of the layer's
// shape and the kernel alone: sums over rows, columns and channels of a kernel, in
// this order, in blocks. So results depend neither on threads nor on micro-batches.
package cpu

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
)

// Engine evaluates a network on the processor.
type Engine struct {
	engine.Resident
	loss    nn.Loss
	threads int
	kernel  kernel.Kernel
	program program
	workers []*worker // made by the first Evaluate
}

// Options say how an engine works. The kernel alone can change results.
type Options struct {
	Threads int    // at least one
	Kernel  string // by name; empty for the fastest. The environment's LSRUN_KERNEL overrules it
}

// New compiles g for evaluation with loss. It is an error if the processor cannot run the kernel.
func New(g *nn.Graph, loss nn.Loss, o Options) (*Engine, error) {
	if o.Threads < 1 {
		return nil, fmt.Errorf("the CPU engine needs at least one thread, not %d", o.Threads)
	}
	if forced := os.Getenv("LSRUN_KERNEL"); forced != "" {
		o.Kernel = forced
	}
	k, err := kernel.Choose(o.Kernel)
	if err != nil {
		return nil, err
	}
	return &Engine{Resident: engine.Resident{Graph: g}, loss: loss, threads: o.Threads, kernel: k, program: lower(g)}, nil
}

// Kernel is the name of the kernels in use.
func (e *Engine) Kernel() string { return e.kernel.Name }

// Memory is what Evaluate takes, in bytes: for each thread its activations, and
// for all of them together the weights in the order of the kernels. It is known without a plane
// and comes on top of what the caller holds, the images and the plane.
func (e *Engine) Memory() (perThread, shared int64) {
	p := &e.program
	perThread = 4*int64(p.arena+p.prepare+kernel.TileCols*chunkRoom(p.row)) + 8*int64(chunkRoom(p.row)+p.channels+e.Graph.Classes)
	return perThread, 4 * int64(p.weights)
}

// Evaluate runs the network at the points one after another, with all threads at each.
func (e *Engine) Evaluate(ctx context.Context, s engine.Set, points []nn.Point, outs []engine.Output) error {
	images, err := e.Accept(s, points, outs)
	if err != nil {
		return err
	}
	if e.workers == nil {
		e.hire()
	}
	for p, at := range points {
		e.prepare(ctx, at)
		e.run(ctx, images, outs[p])
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Close frees the arenas.
func (e *Engine) Close() error {
	e.workers = nil
	return nil
}

// worker is one thread's room. Between micro-batches it holds nothing of use.
type worker struct {
	*Engine
	weights []float32 // shared: see program.weights
	arena   []float32
	acc     []float32 // a chunk of sums: see product
	rows    []int     // where the pixels of a chunk begin
	scratch []float32 // weights in the order of the graph
	sums    []float64 // one a channel
	logits  []float64
}

func (e *Engine) hire() {
	p := &e.program
	weights := make([]float32, p.weights)
	room := chunkRoom(p.row)
	for range e.threads {
		e.workers = append(e.workers, &worker{
			Engine: e, weights: weights,
			arena:   make([]float32, p.arena),
			acc:     make([]float32, room*kernel.TileCols),
			rows:    make([]int, room),
			scratch: make([]float32, p.prepare),
			sums:    make([]float64, p.channels),
			logits:  make([]float64, e.Graph.Classes),
		})
	}
}

// share calls f for 0 … n−1 from all threads until ctx is cancelled.
func (e *Engine) share(ctx context.Context, n int, f func(w *worker, i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for _, w := range e.workers[:min(len(e.workers), n)] {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(w, i)
			}
		})
	}
	running.Wait()
}

// run evaluates the images with the weights that prepare left.
func (e *Engine) run(ctx context.Context, images *nn.Images, out engine.Output) {
	batch := e.program.batch
	e.share(ctx, (images.Len()+batch-1)/batch, func(w *worker, i int) {
		first := i * batch
		n := min(batch, images.Len()-first)
		w.forward(images, first, n)
		for k := range n {
			w.report(out, first+k, k, int(images.Labels[first+k]))
		}
	})
}

// forward runs the steps over n images.
func (w *worker) forward(images *nn.Images, first, n int) {
	p := &w.program
	w.load(images, first, n)
	for i, s := range p.steps {
		for _, b := range p.opened[i] {
			w.clearBorder(b, n)
		}
		s.run(w, n)
	}
}

// report writes what the k-th image of the micro-batch gave to place i of out.
func (w *worker) report(out engine.Output, i, k, label int) {
	logits := w.pixels(w.program.output, k, 0, 0)[:len(w.logits)]
	for c, z := range logits {
		w.logits[c] = float64(z)
	}
	out.Loss[i] = w.loss.Image(w.logits, label)
	out.Predicted[i] = int32(nn.Predict(w.logits))
	if out.Logits != nil {
		copy(out.Logits[i*len(logits):], logits)
	}
}
