package cpu

import (
	"context"
	"sync"
	"sync/atomic"

	"lsrun/nn/cpu/kernel"
)

// team is some threads that work on one point together.
type team struct {
	engine  *Engine
	workers []*worker
	weights map[*program][]float32 // prepared for the point in hand
	finite  []bool                 // by image: whether its logits are
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

	sums     []float32 // of a product's chunk
	rows     []int     // where the inputs of its pixels begin
	inputs   []float32 // of a chunk, transformed
	products []float32
	columns  []float32 // halfway through a transform
	source   []float32 // weights in the order of the graph
	channels []float64
	logits   []float64
	ones     []float32
	zeros    []float32
}

// onesRoom is the most channels that a transform finishes beside the picture.
const onesRoom = 64

func (e *Engine) hire(threads int) *team {
	t := &team{engine: e, weights: map[*program][]float32{}}
	r := e.rooms()
	for range threads {
		w := &worker{
			engine: e, kernel: &e.kernel, arenas: map[*program][]float32{},
			sums: make([]float32, r.sums), rows: make([]int, r.rows),
			inputs: make([]float32, r.inputs), products: make([]float32, r.products), columns: make([]float32, r.columns),
			source: make([]float32, r.source), channels: make([]float64, r.channels), logits: make([]float64, e.Graph.Classes),
			ones: make([]float32, onesRoom), zeros: make([]float32, onesRoom),
		}
		for i := range w.ones {
			w.ones[i] = 1
		}
		t.workers = append(t.workers, w)
	}
	return t
}

// use turns the team to p. What only p needs is made when it is first used: the program without
// Winograd's transforms may never be.
func (t *team) use(p *program) {
	if t.weights[p] == nil {
		t.weights[p] = make([]float32, p.weights)
	}
	for _, w := range t.workers {
		if w.arenas[p] == nil {
			w.arenas[p] = make([]float32, p.arena+2*w.kernel.Lanes)
		}
		w.program, w.weights, w.arena, w.base = p, t.weights[p], w.arenas[p], make([]int, len(p.ends))
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
