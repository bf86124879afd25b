package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/checkpoint"
	"lsrun/io/dataset"
	"lsrun/io/figure"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/train"
	"lsrun/shard"
	"lsrun/slurm"
)

// trainerVersion is raised whenever the same command would train to other bits than before.
// TestGoldenTraining guards it.
const trainerVersion = 2

// The names in a folder of lsrun train, beside those of checkpoints.
const (
	trainingName = "training.json" // what the training is of; immutable
	lastName     = "last.safetensors"
	labelsName   = "labels.txt"
	historyName  = "history.csv"
	curveName    = "training.png"
)

// modelName is the checkpoint of an epoch, named as the paper's code names its own.
func modelName(epoch int) string { return fmt.Sprintf("model_%d.safetensors", epoch) }

// training is a training as the flags describe it, and its folder.
type training struct {
	subject
	recipe train.Recipe
	labels []byte // content of labelsName; nil if none was corrupted
	dir    string
	epochs int // how far to train
	every  int // epochs from checkpoint to checkpoint
	id     string
}

// trainingText is what two trainings differ in: the content of trainingName.
type trainingText struct {
	Format    int           `json:"format"`
	Trainer   int           `json:"trainer"`
	Evaluator int           `json:"evaluator"` // of the history's arithmetic
	Network   shard.Network `json:"network"`
	Loss      string        `json:"loss"`
	Data      shard.Data    `json:"data"`
	Recipe    train.Recipe  `json:"recipe"`
	Kernel    string        `json:"kernel"`
}

func (t *training) path(name string) string { return filepath.Join(t.dir, name) }

// text is the canonical form of what the training is of.
func (t *training) text(kernel string) ([]byte, error) {
	data := t.data
	data.Path, data.LabelsFile = "", "" // their digests say more
	text, err := json.MarshalIndent(trainingText{Format: 1, Trainer: trainerVersion, Evaluator: evaluatorVersion, Loss: t.loss.String(), Data: data, Recipe: t.recipe, Kernel: kernel,
		Network: shard.Network{Model: t.graph.Name, Classes: t.graph.Classes, Input: t.graph.Input}}, "", "  ")
	return append(text, '\n'), err
}

// open makes the folder, or finds in it where the training stands.
func (t *training) open(kernel string) (*train.State, error) {
	text, err := t.text(kernel)
	if err != nil {
		return nil, err
	}
	t.id = digest(text)
	there, err := files.ReadFile(t.path(trainingName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = t.make(text)
	case err == nil && !bytes.Equal(text, there):
		err = fmt.Errorf("%w: %s holds another training:\n  %s\ntrain in another folder", shard.ErrRefused, t.dir, strings.Join(shard.Differences(text, there), "\n  "))
	}
	if err != nil {
		return nil, err
	}
	if t.labels != nil {
		if err := files.Publish(t.path(labelsName), t.labels); err != nil {
			return nil, err
		}
	}
	return t.restore()
}

// make makes the folder, which must not hold anything else.
func (t *training) make(text []byte) error {
	names, err := files.ReadDir(t.dir + "/.")
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, shard.TemporaryPrefix) {
			return fmt.Errorf("%w: %s holds no training and is not empty (it holds %q): train in another folder", shard.ErrRefused, t.dir, name)
		}
	}
	if err := files.MkdirAll(t.dir); err != nil {
		return err
	}
	return files.PublishNew(t.path(trainingName), text)
}

// trainingKey is the metadata of a checkpoint that says which training it is of: the SHA-256 of its trainingName.
const trainingKey = "lsrun.training"

// restore is where the training in the folder stands.
func (t *training) restore() (*train.State, error) {
	path := t.path(lastName)
	if !exists(path) {
		return train.Start(t.graph, t.recipe), nil
	}
	file, err := checkpoint.Read(path)
	if err != nil {
		return nil, fmt.Errorf("%w: without it the training begins anew", err)
	}
	if file.Metadata[trainingKey] != t.id {
		return nil, fmt.Errorf("%w: %s is of another training than %s: without it the training begins anew", shard.ErrRefused, path, t.path(trainingName))
	}
	states, err := file.Fit(t.graph)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, path, err)
	}
	state, err := train.Restore(states, file.Optimizer, file.Metadata)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w: without it the training begins anew", shard.ErrCorrupt, path, err)
	}
	return state, nil
}

// keep writes what belongs on the disk after an epoch: its checkpoint before the state, so that none is missing where
// a training goes on.
func (t *training) keep(s *train.State) error {
	if s.Epoch%t.every == 0 || s.Epoch == t.epochs {
		if err := t.publish(modelName(s.Epoch), s); err != nil {
			return err
		}
	}
	if err := t.publish(lastName, s); err != nil {
		return err
	}
	return files.Publish(t.path(historyName), []byte(train.Table(s.History)))
}

// publish writes a state as a checkpoint.
func (t *training) publish(name string, s *train.State) error {
	tensors := slices.Clone(s.States)
	for _, t := range s.Buffers {
		t.Name = checkpoint.OptimizerPrefix + t.Name
		tensors = append(tensors, t)
	}
	metadata := map[string]string{"format": "pt", "model": t.graph.Name, trainingKey: t.id}
	maps.Copy(metadata, s.Texts())
	data, err := checkpoint.Encode(tensors, metadata)
	if err != nil {
		return err
	}
	return files.Publish(t.path(name), data)
}

// conclude draws the curve of a finished training and says what to do next.
func (t *training) conclude(c *cli.Context, s *train.State) error {
	picture, err := figure.Draw(curves(s.History), figure.Options{XLabel: "epoch", Caption: t.describe()}, "png")
	if err != nil {
		return fmt.Errorf("drawing %s: %w", t.path(curveName), err)
	}
	if err := files.Publish(t.path(curveName), picture); err != nil {
		return err
	}
	if err := files.Publish(t.path(historyName), []byte(train.Table(s.History))); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "curve       %s\nnext        %s\n", t.path(curveName), t.planning(c, s.Epoch))
	return nil
}

// planning is the command that plans a landscape around the network after an epoch, over the images that it was trained on.
func (t *training) planning(c *cli.Context, epoch int) string {
	words := []string{"lsrun", "plan", "--checkpoint", t.path(modelName(epoch)), "--model", t.graph.Name, "--dataset", t.data.Dataset, "--data", t.data.Path}
	for _, flag := range []string{"classes", "loss", "preprocess", "raw-data", "mean", "std", "data-split", "split-idx", "subset", "subset-seed", "labels"} {
		if c.IsSet(flag) && !(flag == "labels" && t.labels != nil) {
			words = append(words, fmt.Sprintf("--%s=%v", flag, c.Value(flag)))
		}
	}
	if t.labels != nil {
		words = append(words, "--labels="+t.path(labelsName))
	}
	for i, word := range words {
		words[i] = slurm.ShellQuote(word)
	}
	return strings.Join(words, " ") + " RUN"
}

// curves are a history as something to draw.
func curves(history []train.Summary) *shard.Surface {
	s := &shard.Surface{Layers: []shard.Layer{{Name: "train_loss"}, {Name: "train_acc"}}}
	for _, e := range history {
		s.X = append(s.X, float64(e.Epoch))
		s.Layers[0].Values = append(s.Layers[0].Values, e.TrainLoss)
		s.Layers[1].Values = append(s.Layers[1].Values, e.TrainAcc)
	}
	if len(history) == 0 || history[0].TestLoss != history[0].TestLoss {
		return s
	}
	s.Layers = append(s.Layers, shard.Layer{Name: "test_loss"}, shard.Layer{Name: "test_acc"})
	for _, e := range history {
		s.Layers[2].Values = append(s.Layers[2].Values, e.TestLoss)
		s.Layers[3].Values = append(s.Layers[3].Values, e.TestAcc)
	}
	return s
}

// describe is the training in a sentence.
func (t *training) describe() string {
	r := t.recipe
	rate := fmt.Sprintf("lr %g", r.Rate)
	if len(r.DecayEpochs) > 0 {
		rate += fmt.Sprintf(" (× %g after epochs %s)", r.Decay, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(r.DecayEpochs)), ", "), "[]"))
	}
	method := r.Optimizer
	if r.Optimizer == "sgd" {
		method += fmt.Sprintf(", momentum %g", r.Momentum)
	}
	augmented := "without augmentation"
	if r.Augment {
		augmented = "shifted and mirrored"
	}
	images := fmt.Sprintf("%s images of %s", count(int64(t.images.train.Len())), t.data.Dataset)
	return fmt.Sprintf("%s; %s, %s; %s, %s, weight decay %g, batches of %d; %s; seed %d.", t.graph.Name, images, augmented, method, rate, r.WeightDecay, r.Batch, t.loss, r.Seed)
}

// loop prepares to go on from a state.
func (t *training) loop(e train.Engine, state *train.State) (*train.Loop, error) {
	black, err := dataset.Preprocess{Name: t.data.Preprocess, Mean: t.data.Mean, Std: t.data.Std}.Black(t.graph.Input[0])
	if err != nil {
		return nil, err
	}
	loop, err := train.New(e, t.graph, t.images.train, t.images.test, black, t.recipe, state)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, t.path(lastName), err)
	}
	return loop, nil
}

// newTrainer makes the engine that trains.
func newTrainer(graph *nn.Graph, loss nn.Loss, threads int) (train.Engine, error) {
	return cpu.New(graph, loss, cpu.Options{Threads: threads})
}
