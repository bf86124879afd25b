package conformance

import (
	"maps"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// TrainingOfPyTorch compares one step from the same state on the same batch with PyTorch's, tensor by tensor, relative in norm: that of
// SGD with Nesterov's momentum and weight decay, and what the batch adds to the running statistics. path is that of training.json.
func TrainingOfPyTorch(t *testing.T, tolerance float64, path string, new func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error)) {
	steps, err := formula.ReadTraining(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(steps)) {
		t.Run(name, func(t *testing.T) {
			g, err := zoo.New(name, zoo.Options{})
			if err != nil {
				t.Fatal(err)
			}
			g = formula.WithoutDropout(g)
			stepOfPyTorch(t, tolerance, steps[name], g, trainer(t, new, g, nn.CrossEntropy, 2))
		})
	}
}

func stepOfPyTorch(t *testing.T, tolerance float64, want formula.Training, g *nn.Graph, e engine.Trainer) {
	states := want.States(g)
	got := train(t, e, g, states, want.Batch(g), 1)
	if !(math.Abs(got.Loss-want.Loss) <= tolerance*want.Loss) || got.Correct != want.Correct {
		t.Errorf("loss %v and %d right, PyTorch has %v and %d", got.Loss, got.Correct, want.Loss, want.Correct)
	}
	worst := 0.0
	near := func(what string, entry int, s formula.Sketch, x []float64) {
		off := s.Distance(entry, x)
		worst = max(worst, off/s.Norm)
		if !(off <= tolerance*s.Norm) {
			t.Errorf("%s of %s differs from PyTorch's by %.2g of it", what, g.Entries[entry].Name, off/s.Norm)
		}
	}
	gradient := got.gradient
	moments := got.moments
	for i, entry := range g.Entries {
		switch entry.Role {
		case nn.Learnable:
			step := make([]float64, entry.Shape.Size())
			for k, v := range gradient[:len(step)] {
				step[k] = -want.Rate * (1 + want.Momentum) * (v + want.Decay*float64(states[i].Data[k]))
			}
			near("the step", i, want.Step[entry.Name], step)
			gradient = gradient[len(step):]
		case nn.RunningMean:
			near("the change", i, want.Statistics[entry.Name], change(states[i].Data, moments[0].Mean))
		case nn.RunningVar:
			near("the change", i, want.Statistics[entry.Name], change(states[i].Data, moments[0].Variance))
			moments = moments[1:]
		}
	}
	t.Logf("steps and statistics differ from PyTorch's by at most %.2g; its own float32 by %.2g", worst, want.Float32Error)
}

// change is what running statistics take in of a batch's moments.
func change(running, moment []float32) []float64 {
	d := make([]float64, len(running))
	for c := range d {
		d[c] = 0.1 * (float64(moment[c]) - float64(running[c]))
	}
	return d
}
