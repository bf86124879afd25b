// Package cpu is the fast engine: float32, on the processor's vector units.
//
// The graph is lowered once to a list of steps (lower.go): convolutions of 3×3 and more with stride 1, and of 3×3 with
// stride 2, by Winograd's transforms (winograd.go), others and linear maps as matrix products (product.go),
// with batch norm, residual sum and activation where their sums are finished (finish.go),
// and whatever could not be joined to one. Pictures are stored pixel by pixel, the channels of
// one together, with a border of zeros as wide as the steps that read them need (memory.go).
// Every thread takes micro-batches of images through the steps in an arena of its own; the steps
// are divided into stages whose micro-batches are nested, so that large pictures stay in the
// caches and small ones share weights (stage.go).
//
// Every output is one chain of operations whose order is a function of the layer's shape
// and the kernel's arithmetic alone. So results depend neither on threads nor on micro-batches
// nor on caches.
//
// Winograd's transforms subtract: where an activation is infinite they make NaN of its
// neighbours, and near the largest float32 they overflow before the sums would. An image whose logits
// are not all finite is therefore evaluated again without them: for such images the results are those
// of Options.Exact. What goes unseen is an overflow that finite sums beyond some 5e37 cause in a
// transform alone and that the next activation function cuts off.
//
// Derivatives have a lowering of their own, the tape (tape.go, derive.go). A live tape serves training (live.go, train.go).
package cpu

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
)

// Engine evaluates a network on the processor.
type Engine struct {
	engine.Resident
	loss    nn.Loss
	threads int
	exact   bool
	kernel  kernel.Kernel
	fast    *program
	direct  *program // without Winograd's transforms; the same as fast where that has none
	all     *team    // with all threads, made when it is first needed
	single  []*team  // with one thread each, made when they are first needed

	stateBytes int64
	derived    *derivatives // made when they are first needed
	trained    *training    // likewise
}

// Options say how an engine works. Kernel and Exact alone can change results.
type Options struct {
	// StateBytes bounds what Gradient keeps of a point for Products, which compute the rest again for every
	// product. 0 stands for a quarter of the machine's memory, divided by Sharers; negative for nothing.
	StateBytes int64
	Sharers    int // processes like this one that share the machine's memory; 0 counts as 1

	Threads int    // at least one
	Kernel  string // an engine's Kernel, or the name of an instruction set; empty for the fastest. The environment's LSRUN_KERNEL overrules it
	Exact   bool   // compute every sum directly, without Winograd's transforms, and in the graph's order
}

// exactly ends the names of kernels without Winograd's transforms.
const exactly = "-exact"

// New compiles g for evaluation with loss. It is an error if the processor cannot run the kernel.
func New(g *nn.Graph, loss nn.Loss, o Options) (*Engine, error) {
	if o.Threads < 1 {
		return nil, fmt.Errorf("the CPU engine needs at least one thread, not %d", o.Threads)
	}
	k, exact, err := choose(o)
	if err != nil {
		return nil, err
	}
	e := &Engine{Resident: engine.Resident{Graph: g}, loss: loss, threads: o.Threads, exact: exact, kernel: k, stateBytes: o.StateBytes}
	if e.stateBytes == 0 {
		e.stateBytes = defaultStateBytes() / int64(max(o.Sharers, 1))
	}
	e.stateBytes = max(e.stateBytes, 0)
	cache := secondCache()
	e.direct = lower(g, &e.kernel, true, cache)
	e.fast = e.direct
	if !e.exact {
		if p := lower(g, &e.kernel, false, cache); p.transforms() {
			e.fast = p
		}
	}
	return e, nil
}

// choose is the kernel that o and the environment ask for, and whether to do without transforms.
func choose(o Options) (k kernel.Kernel, exact bool, err error) {
	name, exact := strings.CutSuffix(o.Kernel, exactly)
	forced := os.Getenv("LSRUN_KERNEL")
	if forced != "" {
		kind, exactToo := strings.CutSuffix(forced, exactly)
		name, exact = kind, exact || exactToo
	}
	k, err = kernel.Choose(name)
	if err != nil && forced != "" {
		err = fmt.Errorf("the environment's LSRUN_KERNEL=%s: %w", forced, err)
	}
	return k, exact || o.Exact, err
}

// CheckForced is an error if the environment's LSRUN_KERNEL names no kernel that this processor can run.
func CheckForced() error {
	_, _, err := choose(Options{})
	return err
}

// Kernel is the name of the arithmetic: that of the kernels, with "-exact" where it does without Winograd's transforms.
func (e *Engine) Kernel() string {
	if e.exact {
		return e.kernel.Arithmetic + exactly
	}
	return e.kernel.Arithmetic
}

// Memory is what Evaluate takes, in bytes: for each thread its activations, and
// for all of them together the weights in the order of the kernels; where there are fewer images
// than threads, every thread has such weights. It is known without a plane
// and comes on top of what the caller holds, the images and the plane.
func (e *Engine) Memory() (perThread, shared int64) {
	r := e.rooms()
	perThread = nn.RoomBytes(r.floats()) + 8*int64(r.rows+e.Graph.Classes)
	for _, p := range e.programs() {
		perThread += nn.RoomBytes(e.arena(p))
	}
	return perThread, nn.RoomBytes(e.weights())
}

// weights is the number of float32s of prepared weights, those of one program at a time.
func (e *Engine) weights() int { return max(e.fast.weights, e.direct.weights) }

func (e *Engine) rooms() rooms {
	r := e.fast.rooms
	r.grow(e.direct.rooms)
	return r
}

// arena is the size of a thread's arena for p; vectors may be read past the end of the last value.
func (e *Engine) arena(p *program) int { return p.arena + 2*e.kernel.Lanes }

// programs are the ways to evaluate the graph: fast, and direct unless that is the same.
func (e *Engine) programs() []*program {
	if e.fast == e.direct {
		return []*program{e.fast}
	}
	return []*program{e.fast, e.direct}
}

// Evaluate runs the network at the points: one after another with all threads at each, or, where
// there are fewer images than threads, each point on a thread.
func (e *Engine) Evaluate(ctx context.Context, s engine.Set, points []nn.Point, outs []engine.Output) error {
	images, err := e.Accept(s, points, outs)
	if err != nil {
		return err
	}
	teams := e.teams(e.Points(s))
	var next atomic.Int64
	var running sync.WaitGroup
	for _, t := range teams[:min(len(teams), len(points))] {
		running.Go(func() {
			for ctx.Err() == nil {
				p := int(next.Add(1)) - 1
				if p >= len(points) {
					return
				}
				t.evaluate(ctx, images, points[p], outs[p])
			}
		})
	}
	running.Wait()
	return ctx.Err()
}

// Points is one, or the number of threads where there are fewer images than that.
func (e *Engine) Points(s engine.Set) int {
	if s.Len() < e.threads {
		return e.threads
	}
	return 1
}

// teams are those that work on n points at a time. Every team has prepared weights of its own.
func (e *Engine) teams(n int) []*team {
	if n == 1 {
		e.single = nil // Memory counts those of one kind
		if e.all == nil {
			e.all = e.hire(e.threads)
		}
		return []*team{e.all}
	}
	e.all = nil
	for len(e.single) < n {
		e.single = append(e.single, e.hire(1))
	}
	return e.single
}

// Close frees the arenas.
func (e *Engine) Close() error {
	e.all, e.single, e.derived, e.trained = nil, nil, nil, nil
	return nil
}

// evaluate runs the network at a point over all images.
func (t *team) evaluate(ctx context.Context, images *nn.Images, at nn.Point, out engine.Output) {
	e := t.engine
	t.prepare(ctx, e.fast, at)
	t.run(ctx, images, all(images), out)
	if e.fast == e.direct || ctx.Err() != nil {
		return
	}
	var again []int32
	for i, finite := range t.finite[:images.Len()] {
		if !finite {
			again = append(again, int32(i))
		}
	}
	if again != nil {
		t.prepare(ctx, e.direct, at)
		t.run(ctx, images, again, out)
	}
}

// all are the numbers of all images.
func all(images *nn.Images) []int32 {
	numbers := make([]int32, images.Len())
	for i := range numbers {
		numbers[i] = int32(i)
	}
	return numbers
}

// run evaluates the images of the given numbers by the program that was prepared last.
func (t *team) run(ctx context.Context, images *nn.Images, numbers []int32, out engine.Output) {
	if len(t.finite) < images.Len() {
		t.finite = make([]bool, images.Len())
	}
	p := t.workers[0].program
	most := p.batch[len(p.batch)-1]
	count := roundUp((len(numbers)+most-1)/most, len(t.workers))
	count = min(count, len(numbers))
	t.share(ctx, count, func(w *worker, i int) {
		group := numbers[i*len(numbers)/count : (i+1)*len(numbers)/count]
		w.forward(len(p.ends)-1, images, group, 0)
		for k, number := range group {
			t.finite[number] = w.report(out, int(number), k, int(images.Labels[number]))
		}
	})
}

// forward runs the stages up to s over the images of the given numbers, the first of which is
// image `first` of the group.
func (w *worker) forward(s int, images *nn.Images, numbers []int32, first int) {
	p := w.program
	begin := 0
	if s > 0 {
		begin = p.ends[s-1]
		for at := 0; at < len(numbers); at += p.batch[s-1] {
			w.forward(s-1, images, numbers[at:min(at+p.batch[s-1], len(numbers))], first+at)
		}
	}
	for k, batch := range p.batch[s:] {
		w.base[s+k] = first % batch
	}
	if s == 0 {
		w.load(images, numbers)
	}
	for i := begin; i < p.ends[s]; i++ {
		if w.times == nil {
			p.steps[i].run(w, len(numbers))
			continue
		}
		start := time.Now()
		p.steps[i].run(w, len(numbers))
		w.times[i] += time.Since(start)
	}
}

// report writes what the k-th image of the group gave to place i of out, and reports whether all
// logits are finite.
func (w *worker) report(out engine.Output, i, k, label int) bool {
	logits := w.pixels(w.program.output, k, 0, 0)[:len(w.logits)]
	finite := true
	for c, z := range logits {
		w.logits[c] = float64(z)
		finite = finite && !math.IsNaN(w.logits[c]) && !math.IsInf(w.logits[c], 0)
	}
	out.Loss[i] = w.engine.loss.Image(w.logits, label)
	out.Predicted[i] = int32(nn.Predict(w.logits))
	if out.Logits != nil {
		copy(out.Logits[i*len(logits):], logits)
	}
	return finite
}
