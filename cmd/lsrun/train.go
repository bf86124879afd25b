package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"lsrun/io/dataset"
	"lsrun/nn/train"
	"lsrun/nn/zoo"
	"lsrun/shard"
)

var trainCommand = &cli.Command{
	Name:      "train",
	Usage:     "train a network from scratch, as the paper's code does",
	ArgsUsage: "DIR",
	Description: `Writes DIR/model_E.safetensors, a checkpoint, for epoch 0, for every --save-epoch and for the last,
and at the end a picture of loss and accuracy, DIR/training.png, over the epochs in DIR/history.csv.
After every epoch, and when it is interrupted, it keeps where it stands in DIR/last.safetensors: the same command
goes on from there, and with more --epochs goes on further. The result is the same to the last bit, however often it
was broken off and whatever --threads.

   lsrun train --model resnet20 --dataset shapes --epochs 20 --lr-epochs 10,15 DIR
   lsrun plan --checkpoint DIR/model_20.safetensors --model resnet20 --dataset shapes RUN

What differs in more than --epochs, --save-epoch and --threads is another training and needs another DIR.`,
	Flags: slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: "model", Usage: "the architecture, by `NAME`: lsrun models lists them"},
		&cli.IntFlag{Name: "classes", Usage: "number of labels", DefaultText: "what the data has"},
		&cli.IntFlag{Name: "epochs", Usage: "train until the end of epoch `N`", Value: 300},
		&cli.IntFlag{Name: "save-epoch", Usage: "write a checkpoint every `N` epochs", Value: 10},
		&cli.StringFlag{Name: "optimizer", Usage: "sgd, with Nesterov's momentum, or adam", Value: train.Paper().Optimizer},
		&cli.Float64Flag{Name: "lr", Usage: "learning rate at the start", DefaultText: "0.1; 0.001 for adam"},
		&cli.Float64Flag{Name: "lr-decay", Usage: "what the learning rate is multiplied by", Value: train.Paper().Decay},
		&cli.StringFlag{Name: "lr-epochs", Usage: "after which epochs, `E1,E2,…`; '' for none", Value: "150,225,275"},
		&cli.Float64Flag{Name: "momentum", Usage: "of sgd", Value: train.Paper().Momentum},
		&cli.Float64Flag{Name: "weight-decay", Usage: "what every parameter is multiplied by and added to its gradient", Value: train.Paper().WeightDecay},
		&cli.IntFlag{Name: "batch-size", Usage: "images of a step", Value: train.Paper().Batch},
		&cli.StringFlag{Name: "loss", Usage: "crossentropy, or mse (on the softmax, as in the paper)", Value: "crossentropy"},
		&cli.BoolFlag{Name: "noaug", Usage: "do not shift and mirror the training pictures"},
		&cli.Float64Flag{Name: "label-corrupt-prob", Usage: "the `PROBABILITY` with which a training label is replaced by a random one; DIR/labels.txt then holds all of them, for lsrun plan --labels"},
		&cli.Uint64Flag{Name: "seed", Usage: "of all that is drawn: initial weights, order, augmentation, dropout, labels"},
		&cli.IntFlag{Name: "threads", Usage: "threads", DefaultText: "all cores"},
	}, slices.DeleteFunc(slices.Clone(dataFlags), func(f cli.Flag) bool { return f.Names()[0] == "expect-acc" })),
	Action: trainAction,
}

func trainAction(c *cli.Context) error {
	dir, err := oneArgument(c, "the folder for the checkpoints")
	if err != nil {
		return err
	}
	t, err := newTraining(c, dir)
	if err != nil {
		return err
	}
	e, err := newTrainer(t.graph, t.loss, threads(c))
	if err != nil {
		return err
	}
	defer e.Close()
	state, err := t.open(e.Kernel())
	if err != nil {
		return err
	}
	if state.Epoch > t.epochs || state.Epoch == t.epochs && state.Step > 0 {
		return usagef("--epochs %d: %s is %s already", t.epochs, dir, position(state))
	}
	loop, err := t.loop(e, state)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "network     %s: %s parameters, %s multiply-adds an image\n", t.graph.Name, count(int64(t.graph.Parameters())), magnitude(float64(t.graph.MACs())))
	fmt.Fprintf(c.App.Writer, "training    %s\n", t.describe())
	if state.Epoch >= 0 {
		fmt.Fprintf(c.App.Writer, "going on    %s\n", position(state))
	}
	return t.run(c, loop)
}

// position is where a training stands.
func position(s *train.State) string {
	if s.Epoch < 0 {
		return "at its beginning"
	}
	return fmt.Sprintf("after epoch %d and %s", s.Epoch, plural(s.Step, "step"))
}

// recipeOf reads the flags that say how to train.
func recipeOf(c *cli.Context) (train.Recipe, error) {
	r := train.Recipe{Optimizer: c.String("optimizer"), Rate: c.Float64("lr"), Decay: c.Float64("lr-decay"), Momentum: c.Float64("momentum"),
		WeightDecay: c.Float64("weight-decay"), Batch: c.Int("batch-size"), Augment: !c.Bool("noaug"), Seed: c.Uint64("seed")}
	if !c.IsSet("lr") {
		r.Rate = train.Paper().Rate
		if r.Optimizer == "adam" {
			r.Rate = 1e-3
		}
	}
	if r.Optimizer == "adam" {
		if c.IsSet("momentum") {
			return r, usagef("--momentum is for --optimizer sgd")
		}
		r.Momentum = 0
	}
	for _, word := range strings.FieldsFunc(c.String("lr-epochs"), func(r rune) bool { return r == ',' }) {
		e, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || e < 1 {
			return r, usagef("--lr-epochs %s: %q is not an epoch, a number from 1", c.String("lr-epochs"), word)
		}
		r.DecayEpochs = append(r.DecayEpochs, e)
	}
	if n := c.Int("epochs"); n < 0 {
		return r, usagef("--epochs %d: at least 0", n)
	}
	if n := c.Int("save-epoch"); n < 1 {
		return r, usagef("--save-epoch %d: at least 1", n)
	}
	if p := c.Float64("label-corrupt-prob"); !(p >= 0 && p <= 1) {
		return r, usagef("--label-corrupt-prob %v: from 0 to 1", p)
	}
	return r, nil
}

// newTraining reads what the flags name and checks that it goes together.
func newTraining(c *cli.Context, dir string) (*training, error) {
	if err := needFlags(c, "model", "dataset", "data"); err != nil {
		return nil, err
	}
	t := &training{dir: dir, epochs: c.Int("epochs"), every: c.Int("save-epoch")}
	var err error
	if t.recipe, err = recipeOf(c); err != nil {
		return nil, err
	}
	if err := t.readData(c); err != nil {
		return nil, err
	}
	if t.set.Train == nil {
		return nil, usagef("--data %s: the data has no training images", t.data.Path)
	}
	classes := c.Int("classes")
	if classes == 0 {
		classes = t.set.Classes
	}
	if t.graph, err = zoo.New(c.String("model"), zoo.Options{Classes: classes, Input: t.set.Shape}); err != nil {
		return nil, usagef("--model %s: %v; lsrun models lists them", c.String("model"), err)
	}
	if err := mustFit(t.graph.Parameters()); err != nil {
		return nil, err
	}
	if err := t.corruptLabels(c.Float64("label-corrupt-prob")); err != nil {
		return nil, err
	}
	if t.images, err = selectImages(t.set, t.data, t.graph, true, t.set.Test != nil, images{}); err != nil {
		return nil, fmt.Errorf("%s: %w", t.data.Path, err)
	}
	if err := t.recipe.Check(t.graph, t.images.train); err != nil {
		return nil, usageError{err.Error()}
	}
	return t, nil
}

// mustFit is an error unless there is memory for so many parameters in training: themselves, their gradient in float32 and
// float64, an optimiser's buffer, and what the kernels read.
func mustFit(parameters int) error {
	const bytes = 4 + 4 + 8 + 4 + 4
	if free, by := freeMemory(); int64(parameters) > free/bytes {
		return usagef("%s parameters take at least %s to train, and %s has %s: fewer --classes, or a smaller --model",
			count(int64(parameters)), megabytes(bytes*int64(parameters)), by, megabytes(free))
	}
	return nil
}

// corruptLabels replaces some labels of the training set where that is asked for.
func (t *training) corruptLabels(probability float64) error {
	if probability == 0 {
		return nil
	}
	labels := t.set.Train.Labels
	if t.data.LabelsFile != "" {
		var err error
		if labels, err = dataset.ReadLabels(t.data.LabelsFile); err != nil {
			return err
		}
	}
	t.set.Train.Labels = train.Corrupt(labels, t.graph.Classes, probability, t.recipe.Seed)
	for _, label := range t.set.Train.Labels {
		t.labels = fmt.Appendf(t.labels, "%d\n", label)
	}
	t.data.LabelsFile, t.data.LabelsSHA256 = "", digest(t.labels)
	return nil
}

// run trains until the last epoch and says what became of it.
func (t *training) run(c *cli.Context, loop *train.Loop) error {
	progress := newTrainingProgress(c.App.ErrWriter, loop, t.epochs)
	err := loop.Run(c.Context, t.epochs, progress.step, func() error {
		progress.epoch(c.App.Writer)
		return t.keep(loop.State)
	})
	progress.end()
	if errors.Is(err, context.Canceled) {
		if err := t.publish(lastName, loop.State); err != nil {
			return err
		}
		return fmt.Errorf("%w %s: the same command goes on from there", shard.ErrInterrupted, position(loop.State))
	}
	if err != nil {
		return err
	}
	return t.conclude(c, loop.State)
}

// trainingProgress shows how far a training is: a bar on a terminal, else a line every ten seconds.
type trainingProgress struct {
	out    io.Writer
	bar    *progressbar.ProgressBar
	loop   *train.Loop
	epochs int
	steps  int // made here
	start  time.Time
	told   time.Time
}

func newTrainingProgress(out io.Writer, loop *train.Loop, epochs int) *trainingProgress {
	p := &trainingProgress{out: out, loop: loop, epochs: epochs, start: time.Now(), told: time.Now()}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(loop.Steps()*epochs, progressbar.OptionSetWriter(out), progressbar.OptionSetPredictTime(false), progressbar.OptionFullWidth())
	}
	return p
}

// step is called after every step.
func (p *trainingProgress) step() {
	p.steps++
	now := time.Now()
	if p.bar != nil {
		p.bar.Describe(p.text(now))
		p.bar.Set(p.done())
	} else if now.Sub(p.told) >= lineInterval {
		p.told = now
		fmt.Fprintf(p.out, "lsrun: %s\n", p.text(now))
	}
}

// done is the number of steps since the beginning of the training.
func (p *trainingProgress) done() int { return p.loop.State.Epoch*p.loop.Steps() + p.loop.State.Step }

// text is what the epoch in progress gave so far, and the time that is left at the speed of the steps made here.
func (p *trainingProgress) text(now time.Time) string {
	s := p.loop.State
	left := time.Duration(float64(now.Sub(p.start)) / float64(p.steps) * float64(p.epochs*p.loop.Steps()-p.done()))
	loss, accuracy := p.loop.SoFar()
	return fmt.Sprintf("epoch %d/%d, step %d/%d: loss %.4f, accuracy %.2f %%, %s left", s.Epoch+1, p.epochs, s.Step, p.loop.Steps(), loss, accuracy, lasting(left))
}

// epoch tells of the one that is finished.
func (p *trainingProgress) epoch(out io.Writer) {
	if p.bar != nil {
		p.bar.Clear()
	}
	h := p.loop.State.History
	e := h[len(h)-1]
	fmt.Fprintf(out, "epoch %-5d lr %-8.4g training: loss %.4f, accuracy %.2f %%", e.Epoch, e.Rate, e.TrainLoss, e.TrainAcc)
	if !math.IsNaN(e.TestAcc) {
		fmt.Fprintf(out, "   test: loss %.4f, accuracy %.2f %%", e.TestLoss, e.TestAcc)
	}
	fmt.Fprintln(out)
}

func (p *trainingProgress) end() {
	if p.bar != nil {
		p.bar.Exit()
		fmt.Fprintln(p.out)
	}
}
