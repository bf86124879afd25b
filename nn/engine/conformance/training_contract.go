package conformance

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/ref"
)

func trainingContract(t *testing.T, tolerance float64, new maker) {
	r := sample(t)
	r.images = randomImages(r.graph, 70, 3)
	theta := r.plane.Theta
	e := trainer(t, new, r.graph, nn.CrossEntropy, 2)
	want := train(t, e, r.graph, theta, r.images, 1)

	t.Run("threads do not change a bit", func(t *testing.T) {
		dropping := ofPictures(nn.Dropout{P: 0.3}).graph(t)
		images, states := randomImages(dropping, 70, 3), randomPlane(dropping, 4).Theta
		first := train(t, trainer(t, new, dropping, nn.CrossEntropy, 1), dropping, states, images, 1)
		for _, threads := range []int{1, 2, 3, 8, 50} {
			sameTraining(t, train(t, trainer(t, new, r.graph, nn.CrossEntropy, threads), r.graph, theta, r.images, 1), want)
			sameTraining(t, train(t, trainer(t, new, dropping, nn.CrossEntropy, threads), dropping, states, images, 1), first)
		}
	})
	t.Run("batches of all sizes, whatever came before", func(t *testing.T) {
		reference := trainer(t, ref.New, r.graph, nn.CrossEntropy, 1)
		for _, size := range []int{2, 3, 16, 17, 33, 64, 70} {
			part := r.part(0, size)
			closeTraining(t, 100*tolerance, r.graph, train(t, e, r.graph, theta, part, 1), train(t, reference, r.graph, theta, part, 1))
			sameTraining(t, train(t, trainer(t, new, r.graph, nn.CrossEntropy, 2), r.graph, theta, part, 1), train(t, e, r.graph, theta, part, 1))
		}
		sameTraining(t, train(t, e, r.graph, theta, r.images, 1), want)
	})
	t.Run("a batch of one image", func(t *testing.T) {
		g := network{"pixels", nn.Shape{3, 8, 8}, func(b *nn.Builder) int {
			return (&draft{Builder: b}).chain(0, conv3x3(9), norm, relu, nn.Flatten{}, full)
		}}.graph(t)
		states := randomPlane(g, 2)
		one := randomImages(g, 1, 5)
		closeTraining(t, tolerance, g, train(t, trainer(t, new, g, nn.CrossEntropy, 2), g, states.Theta, one, 1),
			train(t, trainer(t, ref.New, g, nn.CrossEntropy, 1), g, states.Theta, one, 1))
	})
	t.Run("running statistics do not matter", func(t *testing.T) {
		states := slices.Clone(theta)
		for i, entry := range r.graph.Entries {
			if entry.Role != nn.Learnable {
				states[i].Data = slices.Repeat([]float32{nan}, len(theta[i].Data))
			}
		}
		sameTraining(t, train(t, e, r.graph, states, r.images, 1), want)
	})
	t.Run("states are read only", func(t *testing.T) {
		for i, before := range randomPlane(r.graph, 4).Theta {
			if !slices.Equal(theta[i].Data, before.Data) {
				t.Errorf("entry %s has changed", before.Name)
			}
		}
	})
	t.Run("evaluation goes on beside", func(t *testing.T) {
		both := ready(t, new, r.graph, nn.CrossEntropy, 2, r.plane)
		set := load(t, both, r.part(0, 9))
		before := results(t, both, set, r.graph.Classes, r.points...)
		sameTraining(t, train(t, both.(engine.Trainer), r.graph, theta, r.images, 1), want)
		sameBits(t, results(t, both, set, r.graph.Classes, r.points...), before)
	})
	t.Run("masks are the seed's", func(t *testing.T) {
		g := ofVectors(nn.AlphaDropout{P: 0.3}).graph(t)
		images, states := randomImages(g, 20, 3), randomPlane(g, 4).Theta
		e := trainer(t, new, g, nn.CrossEntropy, 2)
		one := train(t, e, g, states, images, 1)
		if other := train(t, e, g, states, images, 2); other.Loss == one.Loss {
			t.Error("two seeds drop the same")
		}
		sameTraining(t, train(t, e, g, states, images, 1), one)
	})
	t.Run("a single class has no derivatives", func(t *testing.T) {
		g := network{"sure", nn.Shape{3, 5, 5}, func(b *nn.Builder) int {
			return (&draft{Builder: b}).chain(0, conv3x3(4), norm, relu, nn.Flatten{}, nn.Linear{Out: 1, Bias: true})
		}}.graph(t)
		got := train(t, trainer(t, new, g, nn.CrossEntropy, 2), g, randomPlane(g, 1).Theta, randomImages(g, 3, 1), 1)
		if got.Loss != 0 || got.Correct != 3 || norm2(got.gradient) != 0 {
			t.Errorf("loss %v, %d right, a gradient of norm %v", got.Loss, got.Correct, norm2(got.gradient))
		}
	})
	t.Run("cancelled work returns an error soon", func(t *testing.T) {
		run := func(ctx context.Context, batch *nn.Images) error {
			_, err := e.Train(ctx, theta, batch, 1, make([]float32, r.graph.Parameters()), engine.NewMoments(r.graph))
			return err
		}
		before, cancel := context.WithCancel(context.Background())
		cancel()
		if err := run(before, r.images); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before it began: error %v", err)
		}
		during, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if err := run(during, randomImages(r.graph, 3000, 5)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled while it ran: error %v", err)
		}
		sameTraining(t, train(t, e, r.graph, theta, r.images, 1), want)
	})
	t.Run("what does not fit is an error", func(t *testing.T) { misfitTraining(t, e, r) })
}

func misfitTraining(t *testing.T, e engine.Trainer, r resident) {
	fit := func() (nn.Params, *nn.Images, []float32, []engine.Moments) {
		return slices.Clone(r.plane.Theta), r.part(0, 4), make([]float32, r.graph.Parameters()), engine.NewMoments(r.graph)
	}
	states, batch, gradient, moments := fit()
	fail := func(says string, states nn.Params, batch *nn.Images, gradient []float32, moments []engine.Moments) {
		t.Helper()
		if _, err := e.Train(context.Background(), states, batch, 1, gradient, moments); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, which does not say %q", err, says)
		}
	}
	fail("no images", states, r.part(0, 0), gradient, moments)
	fail("entries", states[1:], batch, gradient, moments)
	short := slices.Clone(states)
	short[0].Data = short[0].Data[1:]
	fail("conv1.weight", short, batch, gradient, moments)
	fail("derivatives", states, batch, gradient[1:], moments)
	fail("moments", states, batch, gradient, moments[1:])
	fail("moments", states, batch, gradient, append(moments, moments[0]))
	_, _, _, narrow := fit()
	narrow[0].Variance = narrow[0].Variance[1:]
	fail("moments", states, batch, gradient, narrow)
	fail("two images", states, r.part(0, 1), gradient, moments) // the head's batch norm
	wrong := r.part(0, 4)
	wrong.Labels = []int32{0, 1, 2, 99}
	fail("label 99", states, wrong, gradient, moments)
	if _, err := e.Train(context.Background(), states, batch, 1, gradient, moments); err != nil {
		t.Errorf("after all these mistakes: %v", err)
	}
}

// trainingNotFinite checks that a network that leaves the numbers says so, and that nothing hangs or panics.
func trainingNotFinite(t *testing.T, new maker) {
	r := sample(t)
	e := trainer(t, new, r.graph, nn.CrossEntropy, 2)
	want := train(t, e, r.graph, r.plane.Theta, r.images, 1)
	with := func(entry int, v float32) trained {
		return train(t, e, r.graph, with(r.plane.Theta, entry, 0, v), r.images, 1)
	}
	for i, entry := range r.graph.Entries {
		if entry.Role != nn.Learnable {
			continue
		}
		if got := with(i, nan); !math.IsNaN(got.Loss) || !slices.ContainsFunc(got.gradient, math.IsNaN) {
			t.Errorf("NaN in %s: the loss is %v, the norm of the gradient %v", entry.Name, got.Loss, norm2(got.gradient))
		}
		with(i, inf)
		with(i, math.MaxFloat32)
		with(i, -math.MaxFloat32)
	}
	bad := r.part(0, 21)
	bad.Pixels = slices.Clone(bad.Pixels)
	bad.Pixels[r.graph.Input.Size()+7] = nan
	if got := train(t, e, r.graph, r.plane.Theta, bad, 1); !math.IsNaN(got.Loss) || finite(norm2(got.gradient)) {
		t.Errorf("NaN in an image: the loss is %v, the norm of the gradient %v", got.Loss, norm2(got.gradient))
	}
	sameTraining(t, train(t, e, r.graph, r.plane.Theta, r.images, 1), want)
}

// sameTraining compares bit by bit; any NaN equals any other.
func sameTraining(t *testing.T, got, want trained) {
	t.Helper()
	if !equal(got.Loss, want.Loss) || got.Correct != want.Correct {
		t.Fatalf("loss %v, %d right, not %v and %d", got.Loss, got.Correct, want.Loss, want.Correct)
	}
	sameVectors(t, "gradient", [][]float64{got.gradient}, [][]float64{want.gradient})
	for i, m := range want.moments {
		for c := range m.Mean {
			if !equal(float64(got.moments[i].Mean[c]), float64(m.Mean[c])) || !equal(float64(got.moments[i].Variance[c]), float64(m.Variance[c])) {
				t.Fatalf("moments of batch norm %d, channel %d: %v and %v, not %v and %v", i, c,
					got.moments[i].Mean[c], got.moments[i].Variance[c], m.Mean[c], m.Variance[c])
			}
		}
	}
}
