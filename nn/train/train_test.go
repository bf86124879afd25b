package train

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/ref"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// reference is the plain engine.
func reference(t *testing.T, g *nn.Graph, threads int) Engine {
	t.Helper()
	e, err := ref.New(g, nn.CrossEntropy, threads)
	if err != nil {
		t.Fatal(err)
	}
	return e.(Engine)
}

func build(t *testing.T, name string, input nn.Shape) *nn.Graph {
	t.Helper()
	g, err := zoo.New(name, zoo.Options{Input: input})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// lesson is a small training.
type lesson struct {
	graph        *nn.Graph
	images, test *nn.Images
	recipe       Recipe
}

// newLesson has everything that a training remembers or draws: batch norms, dropout, augmentation.
func newLesson(t *testing.T) lesson {
	t.Helper()
	shape := nn.Shape{2, 6, 5}
	b := nn.NewBuilder("lesson", shape)
	x := b.Add("bn1", nn.BatchNorm{Eps: 1e-5}, b.Add("conv1", nn.Conv2d(3, 3, 1, 1), 0))
	x = b.Add("flatten", nn.Flatten{}, b.Add("relu1", nn.ReLU{}, x))
	x = b.Add("fc1", nn.Linear{Out: 5, Bias: true}, b.Add("dropout", nn.Dropout{P: 0.3}, x))
	x = b.Add("relu2", nn.ReLU{}, b.Add("bn2", nn.BatchNorm{Eps: 1e-5}, x))
	b.Add("fc2", nn.Linear{Out: 10, Bias: true}, x)
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	r := Paper()
	r.Batch, r.DecayEpochs, r.Seed = 7, []int{1}, 3
	return lesson{g, formula.Images(1, 24, shape), formula.Images(2, 9, shape), r}
}

func (l lesson) loop(t *testing.T, threads int, s *State) *Loop {
	t.Helper()
	loop, err := New(reference(t, l.graph, threads), l.graph, l.images, l.test, []float32{-1, -1}, l.recipe, s)
	if err != nil {
		t.Fatal(err)
	}
	return loop
}

// run goes on from s until the given epoch, or until it has made so many steps.
func (l lesson) run(t *testing.T, threads int, s *State, epochs, steps int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return l.loop(t, threads, s).Run(ctx, epochs, func() {
		if steps--; steps == 0 {
			cancel()
		}
	}, func() error { return nil })
}

func sameState(t *testing.T, name string, a, b *State) {
	t.Helper()
	same := func(x, y nn.Params) bool {
		return slices.EqualFunc(x, y, func(x, y nn.Tensor) bool {
			return x.Name == y.Name && slices.EqualFunc(x.Data, y.Data, func(v, w float32) bool { return math.Float32bits(v) == math.Float32bits(w) })
		})
	}
	if !same(a.States, b.States) {
		t.Errorf("%s: the networks differ", name)
	}
	if !same(a.Buffers, b.Buffers) {
		t.Errorf("%s: the optimisers differ", name)
	}
	if !maps.Equal(a.Texts(), b.Texts()) {
		t.Errorf("%s: %v\nand %v", name, a.Texts(), b.Texts())
	}
}

// again is s as it is read from what is written of it.
func again(t *testing.T, s *State) *State {
	t.Helper()
	copied := func(p nn.Params) nn.Params {
		c := slices.Clone(p)
		for i := range c {
			c[i].Data = slices.Clone(c[i].Data)
		}
		return c
	}
	r, err := Restore(copied(s.States), copied(s.Buffers), s.Texts())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestATrainingThatWasBrokenOffAnywhereHasTheBitsOfOneThatWasNot(t *testing.T) {
	for _, optimizer := range []string{"sgd", "adam"} {
		l := newLesson(t)
		l.recipe.Optimizer = optimizer
		const epochs = 3
		whole := Start(l.graph, l.recipe)
		if err := l.run(t, 1, whole, epochs, 0); err != nil {
			t.Fatal(err)
		}
		all := epochs * l.recipe.Steps(l.images.Len())
		for k := 1; k < all; k++ {
			part := Start(l.graph, l.recipe)
			if err := l.run(t, 1+k%3, part, epochs, k); !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled after %d of %d steps: %v", k, all, err)
			}
			part = again(t, part)
			if err := l.run(t, 2, part, epochs, 0); err != nil {
				t.Fatal(err)
			}
			sameState(t, optimizer, part, whole)
		}
	}
}

func TestALongerTrainingBeginsAsAShorterOne(t *testing.T) {
	l := newLesson(t)
	two, three := Start(l.graph, l.recipe), Start(l.graph, l.recipe)
	for epochs, s := range map[int]*State{2: two, 3: three} {
		if err := l.run(t, 1, s, epochs, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.run(t, 1, two, 3, 0); err != nil {
		t.Fatal(err)
	}
	sameState(t, "two epochs and one more", two, three)
}

func TestASeedIsAnotherTraining(t *testing.T) {
	l := newLesson(t)
	a, b := Start(l.graph, l.recipe), Start(l.graph, l.recipe)
	l.recipe.Seed++
	c := Start(l.graph, l.recipe)
	sameState(t, "one seed", a, b)
	if slices.Equal(a.States[0].Data, c.States[0].Data) {
		t.Error("another seed begins with the same weights")
	}
}

func TestTheLearningRateFallsAfterItsEpochs(t *testing.T) {
	r := Paper()
	for epoch, want := range map[int]float64{1: 0.1, 150: 0.1, 151: 0.01, 225: 0.01, 226: 0.001, 276: 1e-4, 300: 1e-4} {
		if got := r.RateOf(epoch); math.Abs(got/want-1) > 1e-12 {
			t.Errorf("epoch %d has the rate %v, not %v", epoch, got, want)
		}
	}
}

// script is an engine that answers as it was told.
type script struct {
	Engine
	loss    float64
	moments engine.Moments
	seeds   *[]uint64
}

func (s script) Train(_ context.Context, _ nn.Params, batch *nn.Images, seed uint64, gradient []float32, moments []engine.Moments) (engine.TrainResult, error) {
	*s.seeds = append(*s.seeds, seed)
	clear(gradient)
	for _, m := range moments {
		copy(m.Mean, s.moments.Mean)
		copy(m.Variance, s.moments.Variance)
	}
	return engine.TrainResult{Loss: s.loss, Correct: batch.Len()}, nil
}

// normed is a network with one batch norm over two channels.
func normed(t *testing.T) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder("normed", nn.Shape{2})
	b.Add("fc", nn.Linear{Out: 10, Bias: true}, b.Add("bn", nn.BatchNorm{Eps: 1e-5}, 0))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRunningStatisticsApproachThoseOfTheBatches(t *testing.T) {
	g := normed(t)
	images := formula.Images(1, 20, g.Input)
	r := Recipe{Optimizer: "sgd", Batch: 4}
	var seeds []uint64
	e := script{reference(t, g, 1), 1, engine.Moments{Mean: []float32{2, -1}, Variance: []float32{3, 0}}, &seeds}
	s := Start(g, r)
	loop, err := New(e, g, images, nil, nil, r, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := loop.Run(t.Context(), 2, func() {}, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	kept := math.Pow(0.9, 10)
	for name, want := range map[string][]float64{"bn.running_mean": {2 * (1 - kept), -(1 - kept)}, "bn.running_var": {3 - 2*kept, kept}, "bn.num_batches_tracked": {10}} {
		for c, v := range s.States.Lookup(name).Data {
			if math.Abs(float64(v)-want[c]) > 1e-6 {
				t.Errorf("%s is %v, not %v", name, s.States.Lookup(name).Data, want)
			}
		}
	}
	slices.Sort(seeds)
	if len(slices.Compact(seeds)) != 10 {
		t.Errorf("10 steps drop by the seeds %v", seeds)
	}
	if e := s.History[2]; e.TrainLoss != 1 || e.TrainAcc != 100 || !math.IsNaN(e.TestLoss) {
		t.Errorf("the second epoch is %+v", e)
	}
}

func TestADivergingTrainingEndsBeforeItSpoilsTheNetwork(t *testing.T) {
	l := newLesson(t)
	s, untouched := Start(l.graph, l.recipe), Start(l.graph, l.recipe)
	var seeds []uint64
	for _, loss := range []float64{math.NaN(), math.Inf(1)} {
		loop, err := New(script{reference(t, l.graph, 1), loss, engine.Moments{}, &seeds}, l.graph, l.images, l.test, []float32{0, 0}, l.recipe, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := loop.Run(t.Context(), 1, func() {}, func() error { return nil }); !errors.Is(err, ErrDiverged) {
			t.Errorf("loss %v: %v", loss, err)
		}
	}
	if s.Step != 0 || !slices.Equal(s.States[0].Data, untouched.States[0].Data) {
		t.Error("a step was made")
	}
}

func TestRecipesThatCannotBeFollowedAreRefused(t *testing.T) {
	l := newLesson(t)
	for says, change := range map[string]func(*Recipe){
		"optimizer":     func(r *Recipe) { r.Optimizer = "lbfgs" },
		"learning rate": func(r *Recipe) { r.Rate = math.NaN() },
		"decay of":      func(r *Recipe) { r.Decay = -1 },
		"momentum":      func(r *Recipe) { r.Momentum = 1 },
		"weight decay":  func(r *Recipe) { r.WeightDecay = math.Inf(1) },
		"batches of 0":  func(r *Recipe) { r.Batch = 0 },
		"do not rise":   func(r *Recipe) { r.DecayEpochs = []int{2, 1} },
	} {
		r := l.recipe
		change(&r)
		expect(t, r.Check(l.graph, l.images), says)
	}
	g := normed(t)
	r := Recipe{Optimizer: "sgd", Batch: 4}
	expect(t, r.Check(g, formula.Images(1, 21, g.Input)), "one of 21 images, over which bn cannot normalise")
	r.Augment = true
	expect(t, r.Check(g, formula.Images(1, 20, g.Input)), "cannot be shifted")
	expect(t, l.recipe.Check(l.graph, formula.Images(1, 20, nn.Shape{3})), "images are 3")
	if err := l.recipe.Check(l.graph, l.images); err != nil {
		t.Error(err)
	}
}

func TestStatesThatDoNotFitAreRefused(t *testing.T) {
	l := newLesson(t)
	for says, spoil := range map[string]func(*State){
		"momentum_buffer.conv1.weight": func(s *State) { s.Buffers = nil },
		"momentum_buffer.bn1.bias":     func(s *State) { s.Buffers[2].Data = s.Buffers[2].Data[1:] },
		"entry conv1.weight":           func(s *State) { s.States[0].Data = nil },
		"step 9 of an epoch":           func(s *State) { s.Step = 9 },
	} {
		s := Start(l.graph, l.recipe)
		spoil(s)
		_, err := New(reference(t, l.graph, 1), l.graph, l.images, l.test, []float32{0, 0}, l.recipe, s)
		expect(t, err, says)
	}
	s := Start(l.graph, l.recipe)
	if err := l.run(t, 1, s, 1, 0); err != nil {
		t.Fatal(err)
	}
	for key, text := range map[string]string{stepKey: "x", lossKey: "", historyKey: tableHead, epochKey: "7", correctKey: "1.5"} {
		texts := s.Texts()
		texts[key] = text
		if _, err := Restore(s.States, s.Buffers, texts); err == nil {
			t.Errorf("%s %q is restored", key, text)
		}
	}
}
