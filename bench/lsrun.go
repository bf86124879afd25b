package main

import (
	"context"
	"time"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/engine"
)

// own is lsrun's engine as a user gets it, and the name of its kernel: a pass is a point, the
// preparation of its weights included.
func own(name string, g group, n *network, o cpu.Options) (*contender, string, error) {
	e, err := cpu.New(n.graph, nn.CrossEntropy, o)
	if err != nil {
		return nil, "", err
	}
	if err := e.SetPlane(nn.Plane{Theta: n.states}); err != nil {
		return nil, "", err
	}
	run := func(ctx context.Context, t turn) (time.Duration, error) {
		set, err := e.Load(n.first(t.Images))
		if err != nil {
			return 0, err
		}
		outs := []engine.Output{engine.NewOutput(t.Images, 0)}
		began := time.Now()
		for range t.Passes {
			if err := e.Evaluate(ctx, set, []nn.Point{{}}, outs); err != nil {
				return 0, err
			}
		}
		return time.Since(began), nil
	}
	logits := func(ctx context.Context, images int) ([]float64, error) {
		set, err := e.Load(n.first(images))
		if err != nil {
			return nil, err
		}
		out := engine.NewOutput(images, n.graph.Classes)
		if err := e.Evaluate(ctx, set, []nn.Point{{}}, []engine.Output{out}); err != nil {
			return nil, err
		}
		var z []float64
		for _, v := range out.Logits {
			z = append(z, float64(v))
		}
		return z, nil
	}
	return &contender{name: name, group: g, run: run, logits: logits}, e.Kernel(), nil
}
