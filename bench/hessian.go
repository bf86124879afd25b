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

	"lsrun/nn"
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

// childFinder lets a child find both ends at θ: by lsrun's method to a tolerance, or by the paper's if it is 0.
func childFinder(name string, tolerance float64, c *child, images int) *finder {
	return &finder{name: name, tolerance: tolerance,
		find: func(_ context.Context, _ nn.Point, seed uint64) (e ends, err error) {
			request := map[string]any{"do": "eigsh", "images": images}
			if tolerance > 0 {
				request = map[string]any{"do": "lanczos", "images": images, "tolerance": tolerance, "seed": seed}
			}
			return e, c.ask(request, &e)
		},
		forward: func(ctx context.Context, passes int) (time.Duration, error) {
			return c.run("eager")(ctx, turn{paperBatch, images, passes})
		},
	}
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
	r = hessianResult{network: name, threads: slices.Max(o.threads), images: o.images}
	fmt.Fprintf(os.Stderr, "Hessian of %s over %d images, %d threads\n", name, r.images, r.threads)
	c, err := newCurved(name, r.images)
	if err != nil {
		return r, nil, err
	}
	defer os.RemoveAll(c.folder)
	l := &lineup{network: c.network, threads: r.threads}
	defer l.close()
	paper, err := l.startHessians(ctx)
	if err != nil {
		return r, nil, err
	}
	best, err := l.startHessians(ctx, tunedMalloc...)
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
	own, err := newOwnHessian(c, c.images, r.threads)
	if err != nil {
		return r, nil, err
	}
	l.facts = append(l.facts, "lsrun with kernel "+own.engine.Kernel())
	r.finders = []*finder{
		{name: "lsrun to 1e-2", tolerance: 1e-2, find: own.to(1e-2), forward: own.forward},
		{name: "lsrun to 1e-3", tolerance: 1e-3, find: own.to(1e-3), forward: own.forward},
		childFinder("PyTorch, `eigsh` as the paper", 0, paper, r.images),
		childFinder("PyTorch, lsrun's Lanczos to 1e-2", 1e-2, best, r.images),
	}
	if r.pauses, err = race(ctx, c, own, r.finders, o.rounds); err != nil {
		return r, nil, err
	}
	r.counts, err = count(ctx, c, own, paper)
	return r, l.facts, err
}

// startHessians starts a PyTorch that differentiates, in a process of its own for addPyTorch's reason.
func (l *lineup) startHessians(ctx context.Context, env ...string) (*child, error) {
	c, v, err := l.start(ctx, env, debian, filepath.Join(l.folder, "torch_hessian.py"), l.folder, strconv.Itoa(l.threads))
	l.facts = append(l.facts, "PyTorch "+v.Version+v.malloc(env)+" with "+strings.Join(v.Libraries, ", "))
	return c, err
}

// count counts products over the grid, if there is one. To save time eigsh is given lsrun's, which are PyTorch's
// but for rounding.
func count(ctx context.Context, c *curved, own *ownHessian, paper *child) ([]*finder, error) {
	finders := []*finder{
		{name: "lsrun to 1e-2", tolerance: 1e-2, find: own.to(1e-2)},
		{name: "lsrun to 1e-3", tolerance: 1e-3, find: own.to(1e-3)},
		{name: "`eigsh` as the paper", find: own.forEigsh(paper, c.folder)},
	}
	for i, at := range c.grid {
		truth, err := c.truth(ctx, own, i)
		if err != nil {
			return nil, err
		}
		for _, f := range finders {
			if err := f.measure(ctx, at, uint64(i), truth); err != nil {
				return nil, err
			}
		}
	}
	return finders, nil
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
