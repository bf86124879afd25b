package main

import (
	"context"
	_ "embed"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lsrun/nn"
	"lsrun/nn/cuda"
	"lsrun/nn/engine"
)

//go:embed torch_gpu.py
var torchOnCard []byte

// waysOnCard are the ways to run PyTorch on a card, named as torch_gpu.py knows them.
var waysOnCard = []struct {
	name, variant string
	sizes         []int
	group         group
	rough         bool
}{
	{"eager,", "eager_tf32", []int{128}, eager, true},
	{"float32 eager,", "eager_fp32", []int{128}, tuned, false},
	{"channels_last and CUDA graphs,", "graph_tf32", []int{2048}, tuned, true},
	{"float32 channels_last and CUDA graphs,", "graph_fp32", []int{2048}, tuned, false},
	{"torch.compile, its best", "compiled_tf32", []int{2048}, tuned, true},
	{"float32 torch.compile, its best", "compiled_fp32", []int{2048}, tuned, false},
}

// assembleOnCard fills the lineup with lsrun's precisions and every way to run PyTorch, all on the first card.
func (l *lineup) assembleOnCard(ctx context.Context, compile bool) error {
	for i, p := range []cuda.Precision{cuda.FP16x3, cuda.TF32x3, cuda.Float32, cuda.TF32} {
		if err := l.onCard(p, i == 0 && l.graph.Name == "resnet56"); err != nil {
			return err
		}
	}
	child, v, err := l.start(ctx, nil, "python3", filepath.Join(l.folder, "torch_gpu.py"), l.folder)
	if err != nil {
		return err
	}
	l.facts = append(l.facts, "PyTorch "+v.Version+" with "+strings.Join(v.Libraries, ", "))
	if l.reference, err = child.logits("")(ctx, compared); err != nil {
		return err
	}
	for _, w := range waysOnCard {
		if strings.HasPrefix(w.variant, "compiled") && !compile {
			continue
		}
		l.contenders = append(l.contenders, &contender{name: "PyTorch " + w.name, group: w.group, sizes: w.sizes,
			run: child.run(w.variant), logits: child.logits(w.variant), rough: w.rough})
	}
	return nil
}

// inFlight are the images at a time that lsrun is tried with, if not only with its own choice.
var inFlight = []int{4096, 8192, 16384, 32768}

// pointsOnCard are those of a turn over a set of a given size.
const pointsOnCard = 32

// onCard is lsrun's engine on a card: a pass is a point, the preparation of its weights included.
func (l *lineup) onCard(p cuda.Precision, sweep bool) error {
	n := l.network
	engines, sets := map[int]*cuda.Engine{}, map[turn]engine.Set{}
	load := func(batch, images int) (*cuda.Engine, engine.Set, error) {
		e := engines[batch]
		if e == nil {
			var err error
			if e, err = cuda.New(n.graph, nn.CrossEntropy, cuda.Options{Precision: p, InFlight: batch}); err != nil {
				return nil, nil, err
			}
			engines[batch] = e
			l.engines = append(l.engines, e)
			if err := e.SetPlane(nn.Plane{Theta: n.states, X: n.states, Y: n.states}); err != nil {
				return nil, nil, err
			}
		}
		key := turn{Batch: batch, Images: images}
		if sets[key] == nil {
			var err error
			if sets[key], err = e.Load(n.first(images)); err != nil {
				return nil, nil, err
			}
		}
		return e, sets[key], nil
	}
	run := func(ctx context.Context, t turn) (time.Duration, error) {
		images := min(t.Images, n.images.Len())
		e, set, err := load(t.Batch, images)
		if err != nil {
			return 0, err
		}
		points := max(1, t.Images*t.Passes/images)
		outs := make([]engine.Output, points)
		for i := range outs {
			outs[i] = engine.NewOutput(images, 0)
		}
		began := time.Now()
		err = e.Evaluate(ctx, set, make([]nn.Point, points), outs)
		return time.Since(began), err
	}
	const own = 0 // its own choice of images in flight
	logits := func(ctx context.Context, images int) ([]float64, error) {
		e, set, err := load(own, images)
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
	images := min(8192, n.images.Len())
	e, set, err := load(own, images)
	if err != nil {
		return err
	}
	sizes := []int{1 << (bits.Len(uint(e.InFlight())) - 1)}
	engines[sizes[0]] = e
	if sweep {
		sizes = inFlight
	}
	name := "lsrun " + e.Kernel()
	l.facts = append(l.facts, name+" on "+e.Device())
	l.contenders = append(l.contenders, &contender{name: name, group: ours, sizes: sizes, pool: 1 << 30, run: run, logits: logits, rough: p == cuda.TF32})
	if l.graph.Name != "resnet56" {
		return nil
	}
	layers, err := e.Profile(set)
	if err != nil {
		return err
	}
	for _, layer := range layers {
		s := layer.Time.Seconds()
		fmt.Fprintf(os.Stderr, "  %-18s %-10s %6.0f µs %6.0f GFLOP/s %5.0f GB/s\n", layer.Kernel, layer.Shape, 1e6*s,
			2e-9*float64(layer.MACs)*float64(layer.Images)/s, 1e-9*float64(layer.Bytes)*float64(layer.Images)/s)
	}
	return nil
}
