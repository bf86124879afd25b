package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/engine"
	"lsrun/nn/zoo/formula"
)

const trainingAbout = `
Gradients of batches of 128 in train mode, forwards and backwards, before any optimiser: medians over the rounds, every
engine in turn, with the same weights and images; gradients were compared with PyTorch's in float64, dropout off. A ratio is
lsrun's images/s by the other's; GFLOP/s count three times the multiply-adds of evaluation. Where others keep
the processors busy in the pauses, the numbers mean little: engines with OpenMP suffer most.

`

// raceTraining writes the report anew after each network.
func raceTraining(ctx context.Context, o options) error {
	facts := machine()
	var results []result
	report := func() string { return markdown("Training: lsrun beside PyTorch", trainingAbout, facts, results) }
	for _, threads := range o.threads {
		for _, name := range o.nets {
			fmt.Fprintf(os.Stderr, "training %s, %d threads\n", name, threads)
			r, said, err := competeInTraining(ctx, o, name, threads)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			facts, results = gather(facts, said), append(results, r)
			if err := os.WriteFile(o.report, []byte(report()), 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Print(report())
	return nil
}

// competeInTraining measures one network. It also tells what the engines say of themselves.
func competeInTraining(ctx context.Context, o options, name string, threads int) (r result, facts []string, err error) {
	n, err := newNetwork(name, 0)
	if err != nil {
		return r, nil, err
	}
	defer os.RemoveAll(n.folder)
	n.graph = formula.WithoutDropout(n.graph)
	if err := n.write(); err != nil {
		return r, nil, err
	}
	l := &lineup{network: n, threads: threads}
	defer l.close()
	if err := l.addOwnTraining(); err != nil {
		return r, nil, err
	}
	for _, env := range [][]string{nil, tunedMalloc} {
		if err := l.addPyTorchTraining(ctx, env); err != nil {
			return r, nil, err
		}
	}
	if err := agreeOnTraining(ctx, n, l.children[0]); err != nil {
		return r, nil, err
	}
	for _, c := range l.contenders {
		if err := c.prepare(ctx, n.images.Len(), o.length); err != nil {
			return r, nil, err
		}
	}
	pauses, err := alternate(ctx, l.contenders, o.rounds)
	return result{name, 3 * n.graph.MACs(), threads, l.contenders, pauses}, l.facts, err
}

// addOwnTraining adds lsrun's engine. A step prepares the weights anew.
func (l *lineup) addOwnTraining() error {
	e, err := cpu.New(l.graph, nn.CrossEntropy, cpu.Options{Threads: l.threads})
	if err != nil {
		return err
	}
	gradient, moments := make([]float32, l.graph.Parameters()), engine.NewMoments(l.graph)
	run := func(ctx context.Context, t turn) (time.Duration, error) {
		began := time.Now()
		for range t.Passes {
			for first := 0; first < t.Images; first += t.Batch {
				if _, err := e.Train(ctx, l.states, l.part(first, min(first+t.Batch, t.Images)), 1, gradient, moments); err != nil {
					return 0, err
				}
			}
		}
		return time.Since(began), nil
	}
	l.contenders = append(l.contenders, &contender{name: "lsrun", group: ours, sizes: []int{paperBatch}, run: run})
	l.facts = append(l.facts, "lsrun with kernel "+e.Kernel())
	return nil
}

// addPyTorchTraining adds PyTorch as the paper trains, in a process of its own for addPyTorch's reason.
func (l *lineup) addPyTorchTraining(ctx context.Context, env []string) error {
	c, v, err := l.startPython(ctx, debian, env...)
	if err != nil {
		return err
	}
	run := func(_ context.Context, t turn) (time.Duration, error) {
		var answer struct{ Seconds float64 }
		err := c.ask(request{Do: "train", turn: t}, &answer)
		return time.Duration(answer.Seconds * float64(time.Second)), err
	}
	g := eager
	if env != nil {
		g = tuned
	}
	l.facts = append(l.facts, "PyTorch "+v.Version+" with "+strings.Join(v.Libraries, ", "))
	l.contenders = append(l.contenders, &contender{name: "PyTorch " + v.Version + v.malloc(env) + ", eager,", group: g, sizes: []int{paperBatch}, run: run})
	return nil
}

// agreeOnTraining is an error unless lsrun's gradient is that of PyTorch in float64.
func agreeOnTraining(ctx context.Context, n *network, c *child) error {
	e, err := cpu.New(n.graph, nn.CrossEntropy, cpu.Options{Threads: 1})
	if err != nil {
		return err
	}
	gradient := make([]float32, n.graph.Parameters())
	if _, err := e.Train(ctx, n.states, n.first(compared), 1, gradient, engine.NewMoments(n.graph)); err != nil {
		return err
	}
	got := make([]float64, len(gradient))
	for i, v := range gradient {
		got[i] = float64(v)
	}
	if err := c.ask(map[string]any{"do": "gradient", "images": compared}, &struct{}{}); err != nil {
		return err
	}
	want, err := readRaw[float64](filepath.Join(n.folder, "gradient.f64"))
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("PyTorch's gradient has %d elements, not %d", len(want), len(got))
	}
	if d := distance(got, want); !(d <= gradientTolerance) {
		return fmt.Errorf("lsrun's gradient differs from PyTorch's by %.2g of its norm", d)
	}
	return nil
}
