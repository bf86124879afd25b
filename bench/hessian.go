package main

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lsrun/hessian"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/engine"
	"lsrun/nn/zoo/formula"
)

//go:embed torch_hessian.py
var torchHessian []byte

// paperBatch is how many images the paper's code differentiates at a time.
const paperBatch = 128

// ends are both ends of a Hessian's spectrum and what they cost.
type ends struct {
	Largest, Smallest float64
	Products          int
	InProducts        float64 `json:"in_products"` // seconds
	Seconds           float64 // of all
	Processor         float64 // seconds of all processors, what others take not included
}

// errors are the distances of both ends from the true ones, relative to the larger magnitude of these.
func (e ends) errors(truth ends) (largest, smallest float64) {
	magnitude := max(math.Abs(truth.Largest), math.Abs(truth.Smallest))
	return math.Abs(e.Largest-truth.Largest) / magnitude, math.Abs(e.Smallest-truth.Smallest) / magnitude
}

// finder is one row of the comparison: what finds both ends.
type finder struct {
	name      string
	tolerance float64 // that it keeps; 0: it cannot tell
	find      func(ctx context.Context, at nn.Point, seed uint64) (ends, error)
	forward   func(ctx context.Context, passes int) (time.Duration, error)

	found    []ends
	errors   [][2]float64 // of both ends
	forwards []float64    // seconds of a pass over the same images
}

// ownHessian is lsrun's Hessian of the mean loss by the tensors of more than one dimension. It is an operator
// on all parameters that takes the time of its products.
type ownHessian struct {
	engine   engine.Differentiator
	set      engine.Set
	gradient []float64
	operator *hessian.Restriction
	spent    time.Duration
}

func newOwnHessian(c *curved, images *nn.Images, threads int) (*ownHessian, error) {
	e, err := cpu.New(c.graph, nn.CrossEntropy, cpu.Options{Threads: threads})
	if err != nil {
		return nil, err
	}
	if err := e.SetPlane(c.plane); err != nil {
		return nil, err
	}
	set, err := e.Load(images)
	if err != nil {
		return nil, err
	}
	o := &ownHessian{engine: e, set: set, gradient: make([]float64, c.graph.Parameters())}
	o.operator, err = hessian.Restrict(o, weightRanges(c.graph))
	return o, err
}

// weightRanges are where the tensors of more than one dimension lie among all parameters.
func weightRanges(g *nn.Graph) (ranges []hessian.Range) {
	at := 0
	for _, e := range g.Entries {
		if e.Role != nn.Learnable {
			continue
		}
		end := at + e.Shape.Size()
		if len(e.Shape) > 1 {
			ranges = append(ranges, hessian.Range{First: at, End: end})
		}
		at = end
	}
	return ranges
}

func (o *ownHessian) Dim() int { return len(o.gradient) }

func (o *ownHessian) Apply(ctx context.Context, vectors, products [][]float64) error {
	began := time.Now()
	defer func() { o.spent += time.Since(began) }()
	return o.engine.Products(ctx, vectors, products)
}

// to finds both ends to a tolerance; moving to the point and its gradient are counted.
func (o *ownHessian) to(tolerance float64) func(context.Context, nn.Point, uint64) (ends, error) {
	return func(ctx context.Context, at nn.Point, seed uint64) (ends, error) {
		o.spent = 0
		began, processor := time.Now(), processorTime()
		if _, err := o.engine.Gradient(ctx, o.set, at, o.gradient); err != nil {
			return ends{}, err
		}
		s, err := hessian.Extremes(ctx, o.operator, hessian.Options{Tolerance: tolerance, Seed: seed})
		if err != nil {
			return ends{}, err
		}
		if s.Status != hessian.Converged {
			return ends{}, fmt.Errorf("the eigenvalues at %v to %g: %s after %d products", at, tolerance, s.Status, s.Products)
		}
		return ends{s.Top[0].Value, s.Bottom[0].Value, s.Products, o.spent.Seconds(), time.Since(began).Seconds(), processorTime() - processor}, nil
	}
}

func (o *ownHessian) forward(ctx context.Context, passes int) (time.Duration, error) {
	outs := []engine.Output{engine.NewOutput(o.set.Len(), 0)}
	began := time.Now()
	for range passes {
		if err := o.engine.Evaluate(ctx, o.set, []nn.Point{{}}, outs); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// forEigsh lets a child find both ends by the paper's method at the cost of lsrun's products.
func (o *ownHessian) forEigsh(c *child, folder string) func(context.Context, nn.Point, uint64) (ends, error) {
	return func(ctx context.Context, at nn.Point, _ uint64) (ends, error) {
		if _, err := o.engine.Gradient(ctx, o.set, at, o.gradient); err != nil {
			return ends{}, err
		}
		product := make([]float64, o.operator.Dim())
		for request := map[string]any{"do": "count"}; ; request = nil {
			var answer struct {
				ends
				Wants bool
			}
			if err := c.ask(request, &answer); err != nil || !answer.Wants {
				return answer.ends, err
			}
			v, err := readRaw[float64](filepath.Join(folder, "vector.f64"))
			if err != nil {
				return ends{}, err
			}
			if err := o.operator.Apply(ctx, [][]float64{v}, [][]float64{product}); err != nil {
				return ends{}, err
			}
			if err := writeRaw(filepath.Join(folder, "product.f64"), product); err != nil {
				return ends{}, err
			}
		}
	}
}

// childFinder lets a child find both ends at θ.
func childFinder(name string, tolerance float64, c *child, images int, request map[string]any) *finder {
	request["images"] = images
	run := c.run("eager")
	return &finder{name: name, tolerance: tolerance,
		find: func(_ context.Context, _ nn.Point, seed uint64) (e ends, err error) {
			if tolerance > 0 {
				request["seed"] = seed
			}
			return e, c.ask(request, &e)
		},
		forward: func(ctx context.Context, passes int) (time.Duration, error) {
			return run(ctx, turn{paperBatch, images, passes})
		},
	}
}

// agreeOnAProduct is an error unless lsrun's product with a vector is that of PyTorch in float64.
func agreeOnAProduct(ctx context.Context, c *curved, child *child) error {
	own, err := newOwnHessian(c, c.first(compared), 1)
	if err != nil {
		return err
	}
	if _, err := own.engine.Gradient(ctx, own.set, nn.Point{}, own.gradient); err != nil {
		return err
	}
	var v []float64
	for _, t := range formula.Vector(c.graph, 1) {
		for _, x := range t.Data {
			if len(t.Shape) > 1 {
				v = append(v, float64(x))
			}
		}
	}
	got := make([]float64, len(v))
	if err := own.operator.Apply(ctx, [][]float64{v}, [][]float64{got}); err != nil {
		return err
	}
	if err := writeRaw(filepath.Join(c.folder, "vector.f64"), v); err != nil {
		return err
	}
	if err := child.ask(map[string]any{"do": "product", "images": compared}, &struct{}{}); err != nil {
		return err
	}
	want, err := readRaw[float64](filepath.Join(c.folder, "product.f64"))
	if err != nil {
		return err
	}
	return near(got, want)
}

// near is an error unless a product differs by less than float32's rounding and a unit here and there that it
// turns on or off explain.
func near(got, want []float64) error {
	const bound = 1e-3
	if len(got) != len(want) {
		return fmt.Errorf("PyTorch's product has %d elements, not %d", len(want), len(got))
	}
	var distance, norm float64
	for i := range want {
		distance, norm = math.Hypot(distance, got[i]-want[i]), math.Hypot(norm, want[i])
	}
	fmt.Fprintf(os.Stderr, "  a product is %.1g of its norm from PyTorch's in float64\n", distance/norm)
	if !(distance <= bound*norm) {
		return fmt.Errorf("lsrun's product differs from PyTorch's by %.2g of its norm", distance/norm)
	}
	return nil
}

// raceHessians writes the report anew after each network.
func raceHessians(ctx context.Context, o options) error {
	if o.images == 0 {
		o.images = paperBatch
	}
	if o.images > paperBatch && o.images%paperBatch != 0 {
		return fmt.Errorf("-images %d: the paper's code sums over batches of %d, so that only whole ones give the mean's Hessian", o.images, paperBatch)
	}
	facts := machine()
	var results []hessianResult
	for _, name := range o.nets {
		r, said, err := raceHessian(ctx, o, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		facts = gather(facts, said)
		results = append(results, r)
		if err := os.WriteFile(o.report, []byte(hessianMarkdown(facts, results)), 0o644); err != nil {
			return err
		}
	}
	fmt.Print(hessianMarkdown(facts, results))
	return nil
}

// raceHessian measures one network. It also tells what the engines say of themselves.
func raceHessian(ctx context.Context, o options, name string) (r hessianResult, facts []string, err error) {
	threads := slices.Max(o.threads)
	fmt.Fprintf(os.Stderr, "Hessian of %s over %d images, %d threads\n", name, o.images, threads)
	c, err := newCurved(name, o.images)
	if err != nil {
		return r, nil, err
	}
	defer os.RemoveAll(c.folder)
	l := &lineup{network: c.network, threads: threads}
	defer l.close()
	startTorch := func(env []string) (*child, error) {
		c, v, err := l.start(ctx, env, debian, filepath.Join(l.folder, "torch_hessian.py"), l.folder, strconv.Itoa(threads))
		l.facts = append(l.facts, fmt.Sprintf("PyTorch %s%s with %s", v.Version, v.malloc(env), strings.Join(v.Libraries, ", ")))
		return c, err
	}
	paper, err := startTorch(nil)
	if err != nil {
		return r, nil, err
	}
	best, err := startTorch(tunedMalloc)
	if err != nil {
		return r, nil, err
	}
	if name == trained {
		if err := c.readPlane(paper); err != nil {
			return r, nil, err
		}
	}
	if err := agreeOnAProduct(ctx, c, paper); err != nil {
		return r, nil, err
	}
	own, err := newOwnHessian(c, c.images, threads)
	if err != nil {
		return r, nil, err
	}
	l.facts = append(l.facts, "lsrun with kernel "+own.engine.Kernel())
	finders := []*finder{
		{name: "lsrun to 1e-2", tolerance: 1e-2, find: own.to(1e-2), forward: own.forward},
		{name: "lsrun to 1e-3", tolerance: 1e-3, find: own.to(1e-3), forward: own.forward},
		childFinder("PyTorch, `eigsh` as the paper", 0, paper, o.images, map[string]any{"do": "eigsh"}),
		childFinder("PyTorch, lsrun's Lanczos to 1e-2", 1e-2, best, o.images, map[string]any{"do": "lanczos", "tolerance": 1e-2}),
	}
	pauses, err := race(ctx, c, own, finders, o.rounds)
	if err != nil {
		return r, nil, err
	}
	counts := []*finder{
		{name: "lsrun to 1e-2", tolerance: 1e-2, find: own.to(1e-2)},
		{name: "lsrun to 1e-3", tolerance: 1e-3, find: own.to(1e-3)},
		{name: "`eigsh` as the paper", find: own.forEigsh(paper, c.folder)},
	}
	for i, at := range c.grid {
		truth, err := c.truth(ctx, own, i)
		if err != nil {
			return r, nil, err
		}
		for _, f := range counts {
			if err := f.measure(ctx, at, uint64(i), truth); err != nil {
				return r, nil, err
			}
		}
	}
	return hessianResult{name, threads, o.images, len(c.grid), finders, counts, pauses}, l.facts, nil
}

// race lets the finders find both ends at θ, one after another, again and again. A forward pass is measured before
// each, after one that is not. It returns how busy the processors were in the pauses.
func race(ctx context.Context, c *curved, own *ownHessian, finders []*finder, rounds int) (pauses []float64, err error) {
	const passes = 3
	truth, err := c.truth(ctx, own, slices.Index(c.grid, nn.Point{}))
	if err != nil {
		return nil, err
	}
	for round := range rounds {
		for _, f := range finders {
			pauses = append(pauses, pause())
			if _, err := f.forward(ctx, 1); err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			took, err := f.forward(ctx, passes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			f.forwards = append(f.forwards, took.Seconds()/passes)
			if err := f.measure(ctx, nn.Point{}, uint64(1+round), truth); err != nil {
				return nil, err
			}
		}
	}
	return pauses, nil
}

// truth is what the reference says of the grid's point i, or else what lsrun finds to a tolerance at which its start
// hardly matters: at θ where there is no grid.
func (c *curved) truth(ctx context.Context, own *ownHessian, i int) (ends, error) {
	if c.known != nil {
		return c.known[i], nil
	}
	at := nn.Point{}
	if c.grid != nil {
		at = c.grid[i]
	}
	return own.to(1e-5)(ctx, at, 1<<32)
}

// measure finds both ends once. It is an error if a finder that promises a tolerance does not keep it.
func (f *finder) measure(ctx context.Context, at nn.Point, seed uint64, truth ends) error {
	e, err := f.find(ctx, at, seed)
	if err != nil {
		return fmt.Errorf("%s at %v: %w", f.name, at, err)
	}
	largest, smallest := e.errors(truth)
	fmt.Fprintf(os.Stderr, "  %-33s at %v: λmax %.6g, λmin %.6g, off by %.1g and %.1g; %d products in %.2f s (%.2f s of processors)\n",
		f.name, at, e.Largest, e.Smallest, largest, smallest, e.Products, e.Seconds, e.Processor)
	if f.tolerance > 0 && !(max(largest, smallest) <= f.tolerance) {
		return fmt.Errorf("%s at %v: its eigenvalues are off by %.2g and %.2g of the larger", f.name, at, largest, smallest)
	}
	f.found = append(f.found, e)
	f.errors = append(f.errors, [2]float64{largest, smallest})
	return nil
}
