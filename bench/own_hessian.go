package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"lsrun/hessian"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/engine"
)

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
	return hessianBy(e, c.graph, c.plane, images)
}

func hessianBy(e engine.Differentiator, g *nn.Graph, plane nn.Plane, images *nn.Images) (*ownHessian, error) {
	if err := e.SetPlane(plane); err != nil {
		return nil, err
	}
	set, err := e.Load(images)
	if err != nil {
		return nil, err
	}
	o := &ownHessian{engine: e, set: set, gradient: make([]float64, g.Parameters())}
	o.operator, err = hessian.Restrict(o, weightRanges(g))
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
	return o.timed(func() error { return o.engine.Products(ctx, vectors, products) })
}

func (o *ownHessian) timed(multiply func() error) error {
	began := time.Now()
	defer func() { o.spent += time.Since(began) }()
	return multiply()
}

// Vectors are those that the engine keeps, if it keeps any.
func (o *ownHessian) Vectors(ranges [][2]int, count int) (hessian.Vectors, error) {
	e, ok := o.engine.(engine.Residence)
	if !ok {
		return nil, nil
	}
	v, err := e.Vectors(ranges, count)
	if err != nil {
		return nil, err
	}
	return &timedVectors{v, o}, nil
}

// timedVectors are vectors whose products are timed.
type timedVectors struct {
	engine.Vectors
	of *ownHessian
}

func (v *timedVectors) Apply(ctx context.Context, from, to int) error {
	return v.of.timed(func() error { return v.Vectors.Apply(ctx, from, to) })
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
