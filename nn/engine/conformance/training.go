package conformance

import (
	"context"
	"fmt"
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/ref"
)

// RunTraining tests the engines that new makes as engine.Trainers: what a tensor's part of a gradient
// may differ by is as in RunDerivatives, and batches are chosen as there.
func RunTraining(t *testing.T, tolerance float64, new func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error)) {
	t.Run("operations", func(t *testing.T) {
		for _, op := range operations() {
			t.Run(op.name(), func(t *testing.T) {
				compareTraining(t, tolerance, new, op.alone().graph(t), nn.MSE)
				compareTraining(t, tolerance, new, op.between().graph(t), nn.CrossEntropy)
			})
		}
	})
	t.Run("networks", func(t *testing.T) {
		for _, net := range networks() {
			t.Run(net.name, func(t *testing.T) {
				compareTraining(t, tolerance, new, net.graph(t), nn.CrossEntropy)
				compareTraining(t, tolerance, new, net.graph(t), nn.MSE)
			})
		}
	})
	t.Run("random networks", func(t *testing.T) {
		for seed := range uint64(60) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				compareTraining(t, tolerance, new, randomNetwork(t, seed), nn.Loss(seed%2))
			})
		}
	})
	t.Run("dropout", func(t *testing.T) {
		for _, p := range []float64{0, 0.05, 0.5, 0.9, 1} {
			for _, op := range []nn.Op{nn.Dropout{P: p}, nn.AlphaDropout{P: p}} {
				t.Run(fmt.Sprintf("%s %v", op.Kind(), p), func(t *testing.T) {
					for _, net := range []network{ofPictures(op), ofVectors(op)} {
						compareTraining(t, tolerance, new, net.graph(t), nn.CrossEntropy)
					}
				})
			}
		}
	})
	t.Run("contract", func(t *testing.T) { trainingContract(t, tolerance, new) })
	t.Run("numbers that are not finite", func(t *testing.T) { trainingNotFinite(t, new) })
}

// ofPictures drops pixels of pictures, and takes some values both dropped and as they are.
func ofPictures(op nn.Op) network {
	return network{"pictures", nn.Shape{3, 7, 6}, func(b *nn.Builder) int {
		d := &draft{Builder: b}
		x := d.chain(0, conv3x3(9), norm, relu)
		return d.chain(d.add(nn.Add{}, d.chain(x, op, conv3x3(9)), x), op, op, nn.Flatten{}, full)
	}}
}

// ofVectors drops flattened pictures and hidden units.
func ofVectors(op nn.Op) network {
	return network{"vectors", nn.Shape{3, 7, 6}, func(b *nn.Builder) int {
		return (&draft{Builder: b}).chain(0, conv3x3(5), nn.SELU{}, nn.Flatten{}, op, nn.Linear{Out: 17, Bias: true}, nn.SELU{}, op, full)
	}}
}

// trained is what an engine says of a batch.
type trained struct {
	engine.TrainResult
	gradient []float64
	moments  []engine.Moments
}

// compareTraining trains with the engine under test and with nn/ref, away from kinks.
func compareTraining(t *testing.T, tolerance float64, new maker, g *nn.Graph, loss nn.Loss) {
	t.Helper()
	const seed = 3
	plane := randomPlane(g, 2)
	batch, want := steadyBatch(t, g, loss, plane, seed)
	closeTraining(t, tolerance, g, train(t, trainer(t, new, g, loss, 2), g, plane.Theta, batch, seed), want)
}

// steadyBatch are seven pictures whose gradient, by nn/ref, does not jump near θ, and what nn/ref says of them there.
func steadyBatch(t *testing.T, g *nn.Graph, loss nn.Loss, plane nn.Plane, masks uint64) (batch *nn.Images, here trained) {
	t.Helper()
	e := trainer(t, ref.New, g, loss, 1)
	for seed := range uint64(100) {
		batch = randomImages(g, 7, seed)
		here = train(t, e, g, plane.Theta, batch, masks)
		steady := true
		for _, to := range []nn.Point{{Alpha: 4e-5}, {Alpha: -4e-5}, {Beta: 4e-5}, {Beta: -4e-5}} {
			steady = steady && distance(g, train(t, e, g, at(g, plane, to), batch, masks).gradient, here.gradient) <= 1e-4
		}
		if steady {
			return batch, here
		}
	}
	t.Fatal("no pictures stay away from kinks")
	return nil, trained{}
}

// at are the states at a point of a plane.
func at(g *nn.Graph, plane nn.Plane, p nn.Point) nn.Params {
	states := make(nn.Params, len(g.Entries))
	for i, e := range g.Entries {
		states[i] = nn.Tensor{Name: e.Name, Shape: e.Shape, Data: make([]float32, e.Shape.Size())}
		plane.Entry(states[i].Data, i, p)
	}
	return states
}

func trainer(t *testing.T, new maker, g *nn.Graph, loss nn.Loss, threads int) engine.Trainer {
	t.Helper()
	e, err := new(g, loss, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	trains, ok := e.(engine.Trainer)
	if !ok {
		t.Fatal("the engine does not train")
	}
	return trains
}

// train takes one batch; what its rooms hold before must not matter.
func train(t *testing.T, e engine.Trainer, g *nn.Graph, states nn.Params, batch *nn.Images, seed uint64) trained {
	t.Helper()
	got := trained{moments: engine.NewMoments(g)}
	gradient := make([]float32, g.Parameters())
	for i := range gradient {
		gradient[i] = nan
	}
	for _, m := range got.moments {
		for c := range m.Mean {
			m.Mean[c], m.Variance[c] = nan, nan
		}
	}
	var err error
	if got.TrainResult, err = e.Train(context.Background(), states, batch, seed, gradient, got.moments); err != nil {
		t.Fatal(err)
	}
	for _, v := range gradient {
		got.gradient = append(got.gradient, float64(v))
	}
	return got
}

func closeTraining(t *testing.T, tolerance float64, g *nn.Graph, got, want trained) {
	t.Helper()
	if !(math.Abs(got.Loss-want.Loss) <= tolerance*(1+want.Loss)) || got.Correct != want.Correct {
		t.Errorf("loss %v, %d right, not %v and %d", got.Loss, got.Correct, want.Loss, want.Correct)
	}
	closeVectors(t, tolerance, g, "the gradient", got.gradient, want.gradient)
	for i, m := range want.moments {
		for c := range m.Mean {
			deviation := math.Sqrt(float64(m.Variance[c])) + math.Abs(float64(m.Mean[c])) + 1e-6
			apart := math.Abs(float64(got.moments[i].Mean[c]) - float64(m.Mean[c]))
			spread := math.Abs(float64(got.moments[i].Variance[c]) - float64(m.Variance[c]))
			if !(apart <= tolerance*deviation) || !(spread <= tolerance*deviation*deviation) {
				t.Fatalf("batch norm %d, channel %d: mean %v and variance %v, not %v and %v", i, c,
					got.moments[i].Mean[c], got.moments[i].Variance[c], m.Mean[c], m.Variance[c])
			}
		}
	}
}
