package cpu

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// team is some threads that work on one point together.
type team struct {
	engine  *Engine
	workers []*worker
	weights []float32 // prepared for the point and the program in hand
	finite  []bool    // by image: whether its logits are
}

// worker is one thread's room. Between micro-batches it holds nothing of use.
type worker struct {
	engine  *Engine
	kernel  *kernel.Kernel
	program *program
	weights []float32 // the team's for program
	base    []int     // by stage: where in its micro-batch the images in hand begin
	arenas  map[*program][]float32
	arena   []float32 // for program

	sums    []float32 // of a product's chunk
	rows    []int     // where the inputs of its pixels begin, and the pixels
	inputs  []float32 // of a chunk, transformed; its products take their place
	columns []float32 // halfway through a transform
	source  []float32 // weights in the order of the graph
	logits  []float64
	ones    []float32
	zeros   []float32

	times []time.Duration // by step, or nil where nobody wants to know
}

// lined is n rounded up to whole cache lines, in which vectors are read fastest.
func lined(n int) int { return roundUp(n, 16) }

// floats is the number of float32s.
func (r *rooms) floats() int {
	return lined(r.sums) + lined(r.inputs) + lined(r.columns) + lined(r.source) + 2*lined(r.channels)
}

func (e *Engine) hire(threads int) *team {
	t := &team{engine: e, weights: nn.Room(e.weights())}
	r := e.rooms()
	for range threads {
		w := &worker{engine: e, kernel: &e.kernel, arenas: map[*program][]float32{},
			rows: make([]int, r.rows), base: make([]int, max(len(e.fast.ends), len(e.direct.ends))), logits: make([]float64, e.Graph.Classes)}
		room := nn.Room(r.floats())
		for _, part := range []struct {
			slice *[]float32
			size  int
		}{{&w.sums, r.sums}, {&w.inputs, r.inputs}, {&w.columns, r.columns}, {&w.source, r.source},
			{&w.ones, r.channels}, {&w.zeros, r.channels}} {
			*part.slice = room[:part.size:part.size]
			room = room[lined(part.size):]
		}
		for i := range w.ones {
			w.ones[i] = 1
		}
		t.workers = append(t.workers, w)
	}
	return t
}

// use turns the team to p. Its arenas are made when it is first used: the program without Winograd's transforms may never be.
func (t *team) use(p *program) {
	for _, w := range t.workers {
		if w.arenas[p] == nil {
			w.arenas[p] = nn.Room(t.engine.arena(p))
		}
		w.program, w.weights, w.arena = p, t.weights, w.arenas[p]
	}
}

// share calls f for 0 … n−1 from all threads until ctx is cancelled.
func (t *team) share(ctx context.Context, n int, f func(w *worker, i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for _, w := range t.workers[:min(len(t.workers), n)] {
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
