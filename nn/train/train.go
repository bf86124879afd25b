// Package train trains networks by stochastic gradient descent, as the paper's main.py does.
//
// Everything that is drawn (initial values, the order of the images, how they are shifted and mirrored, the masks of
// dropout) is a function of the recipe's seed and of where it is used. So a State says all that has to be known to go
// on: a training that was broken off after any step and resumed has the same bits as one that was not.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// Engine differentiates batches, and evaluates sets between epochs.
type Engine interface {
	engine.Engine
	engine.Trainer
}

// ErrDiverged says that a batch's loss is NaN or infinite.
var ErrDiverged = errors.New("the training diverges")

// Summary is what an epoch gave. Losses are means over the images. Those of the training set are taken from the
// batches while the network was changing, but for epoch 0, which is the network before any step.
type Summary struct {
	Epoch               int
	Rate                float64
	TrainLoss, TrainAcc float64 // percent
	TestLoss, TestAcc   float64 // NaN if there is no test set
}

// State is where a training stands.
type State struct {
	Epoch   int // finished epochs; −1 before the first network is evaluated
	Step    int // steps of the next epoch that are done
	States  nn.Params
	Buffers nn.Params // of the optimiser, by buffer and parameter; see Start
	Loss    float64   // sums over the images of these steps
	Correct int
	History []Summary // by epoch, from 0
}

// Start is the state before anything is done.
func Start(g *nn.Graph, r Recipe) *State {
	s := &State{Epoch: -1, States: Initialise(g, r.Seed)}
	for _, b := range newOptimizer(r, 0).buffers() {
		for _, e := range g.Entries {
			if e.Role == nn.Learnable {
				s.Buffers = append(s.Buffers, nn.Tensor{Name: b.name + "." + e.Name, Shape: e.Shape, Data: make([]float32, e.Shape.Size())})
			}
		}
	}
	return s
}

// Loop is a training in progress.
type Loop struct {
	State *State

	engine    Engine
	graph     *nn.Graph
	recipe    Recipe
	black     []float32
	optimizer optimizer
	images    *nn.Images
	train     engine.Set
	test      engine.Set // nil if there is none
	labels    []int32    // of the test set

	epoch    epoch // the one in progress
	room     *nn.Images
	gradient []float32
	moments  []engine.Moments
}

// New prepares to go on from s, which becomes the loop's own. Test may be nil. Black is, by channel, the value of
// a black pixel, which shifted pictures have at their borders.
func New(e Engine, g *nn.Graph, trainImages, test *nn.Images, black []float32, r Recipe, s *State) (*Loop, error) {
	if err := r.Check(g, trainImages); err != nil {
		return nil, err
	}
	t := &Loop{State: s, engine: e, graph: g, recipe: r, black: black, images: trainImages,
		optimizer: newOptimizer(r, g.Parameters()), gradient: make([]float32, g.Parameters()), moments: engine.NewMoments(g)}
	if err := (nn.Plane{Theta: s.States}).Check(g); err != nil {
		return nil, err
	}
	if s.Step > t.Steps() {
		return nil, fmt.Errorf("the state is in step %d of an epoch, which has %d", s.Step, t.Steps())
	}
	if err := t.restoreBuffers(); err != nil {
		return nil, err
	}
	var err error
	if t.train, err = e.Load(trainImages); err != nil {
		return nil, err
	}
	if test != nil {
		t.labels = test.Labels
		if t.test, err = e.Load(test); err != nil {
			return nil, err
		}
	}
	size := min(r.Batch, trainImages.Len())
	t.room = &nn.Images{Pixels: make([]float32, size*g.Input.Size()), Labels: make([]int32, size)}
	return t, nil
}

// restoreBuffers makes the optimiser's buffers and the state's the same memory, with the state's values.
func (t *Loop) restoreBuffers() error {
	k := 0
	for _, b := range t.optimizer.buffers() {
		rest := b.data
		for _, e := range t.graph.Entries {
			if e.Role != nn.Learnable {
				continue
			}
			n := e.Shape.Size()
			if k >= len(t.State.Buffers) || t.State.Buffers[k].Name != b.name+"."+e.Name || len(t.State.Buffers[k].Data) != n {
				return fmt.Errorf("the state of the optimiser is not that of %s for %s: %s.%s is missing", t.recipe.Optimizer, t.graph.Name, b.name, e.Name)
			}
			copy(rest[:n], t.State.Buffers[k].Data)
			t.State.Buffers[k].Data = rest[:n:n]
			rest = rest[n:]
			k++
		}
	}
	return nil
}

// Steps is the number of steps of an epoch.
func (t *Loop) Steps() int { return t.recipe.Steps(t.images.Len()) }

// SoFar are the mean loss and the accuracy in percent of the epoch in progress.
func (t *Loop) SoFar() (loss, accuracy float64) {
	n := float64(min(t.State.Step*t.recipe.Batch, t.images.Len()))
	return t.State.Loss / n, 100 * float64(t.State.Correct) / n
}

// Run goes on until so many epochs are finished. It calls step after every step, and finished after every epoch, the
// zeroth included, whose error ends it. When ctx is cancelled it finishes the step in hand and returns ctx's error: the State
// is then one to go on from. A loss that is not finite ends it with ErrDiverged, before the step that would spoil the network.
func (t *Loop) Run(ctx context.Context, epochs int, step func(), finished func() error) error {
	s := t.State
	for s.Epoch < epochs {
		if s.Epoch >= 0 {
			if err := t.goThrough(ctx, step); err != nil {
				return err
			}
		}
		if err := t.finish(ctx); err != nil {
			return err
		}
		if err := finished(); err != nil {
			return err
		}
	}
	return nil
}

// goThrough makes the steps that are left of the next epoch.
func (t *Loop) goThrough(ctx context.Context, step func()) error {
	s := t.State
	t.epoch = newEpoch(t.recipe, s.Epoch+1, t.images.Len())
	for s.Step < t.Steps() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.step(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		step()
	}
	return nil
}

// step makes one step.
func (t *Loop) step(ctx context.Context) error {
	s, number := t.State, t.State.Epoch+1
	batch := t.epoch.batch(t.room, t.images, t.black, t.recipe.Batch, s.Step)
	masks := draws(t.recipe.Seed, "dropout", number, s.Step).Uint64()
	result, err := t.engine.Train(ctx, s.States, batch, masks, t.gradient, t.moments)
	if err != nil {
		return err
	}
	if result.Loss-result.Loss != 0 {
		return fmt.Errorf("%w: the loss is %v in step %d of epoch %d: begin anew, in another folder, with a smaller learning rate", ErrDiverged, result.Loss, s.Step+1, number)
	}
	update(t.optimizer, t.graph, s.States, t.gradient, t.recipe.RateOf(number), s.Epoch*t.Steps()+s.Step+1)
	t.takeIn()
	s.Loss += float64(result.Loss * float64(batch.Len()))
	s.Correct += result.Correct
	s.Step++
	return nil
}

// momentum is the weight of a new batch in the running statistics: PyTorch's default.
const momentum = 0.1

// takeIn moves the running statistics towards the batch's moments.
func (t *Loop) takeIn() {
	norm := 0
	for i, e := range t.graph.Entries { // in the order of the nodes
		data := t.State.States[i].Data
		switch e.Role {
		case nn.RunningMean:
			approach(data, t.moments[norm].Mean)
		case nn.RunningVar:
			approach(data, t.moments[norm].Variance)
		case nn.BatchCounter:
			data[0]++
			norm++
		}
	}
}

func approach(running, batch []float32) {
	for c, v := range batch {
		running[c] = float32(float64((1-momentum)*float64(running[c])) + float64(momentum*float64(v)))
	}
}

// finish evaluates the network and enters the epoch in the history. The first time this is epoch 0.
func (t *Loop) finish(ctx context.Context) error {
	s := t.State
	summary := Summary{Epoch: s.Epoch + 1}
	summary.TrainLoss, summary.TrainAcc = t.SoFar()
	if err := t.engine.SetPlane(nn.Plane{Theta: s.States}); err != nil {
		return err
	}
	var err error
	if s.Epoch < 0 {
		summary.TrainLoss, summary.TrainAcc, err = t.evaluate(ctx, t.train, t.images.Labels)
	} else {
		summary.Rate = t.recipe.RateOf(summary.Epoch)
	}
	if err != nil {
		return err
	}
	if summary.TestLoss, summary.TestAcc, err = t.evaluate(ctx, t.test, t.labels); err != nil {
		return err
	}
	s.Epoch, s.Step, s.Loss, s.Correct = summary.Epoch, 0, 0, 0
	s.History = append(s.History, summary)
	return nil
}

// evaluate is the mean loss and the accuracy in percent over a set, in eval mode.
func (t *Loop) evaluate(ctx context.Context, set engine.Set, labels []int32) (loss, accuracy float64, err error) {
	if set == nil {
		return math.NaN(), math.NaN(), nil
	}
	out := engine.NewOutput(set.Len(), 0)
	if err := t.engine.Evaluate(ctx, set, []nn.Point{{}}, []engine.Output{out}); err != nil {
		return 0, 0, err
	}
	correct := 0
	for i, l := range out.Loss {
		loss += l
		if out.Predicted[i] == labels[i] {
			correct++
		}
	}
	n := float64(set.Len())
	return loss / n, 100 * float64(correct) / n, nil
}
