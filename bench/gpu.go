package main

import (
	"context"
	_ "embed"
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
	{"channels_last and CUDA graphs, its best", "graph_tf32", []int{512, 2048}, tuned, true},
	{"float32 channels_last and CUDA graphs, its best", "graph_fp32", []int{512, 2048}, tuned, false},
	{"torch.compile, its best", "compiled_tf32", []int{2048}, tuned, true},
	{"float32 torch.compile, its best", "compiled_fp32", []int{2048}, tuned, false},
}

// assembleOnCard fills the lineup with lsrun's precisions and every way to run PyTorch, all on the first card.
func (l *lineup) assembleOnCard(ctx context.Context, compile bool) error {
	for _, p := range []cuda.Precision{cuda.TF32x3, cuda.Float32, cuda.TF32} {
		c, e, err := onCard(p, l.network)
		if err != nil {
			return err
		}
		l.engines = append(l.engines, e)
		l.contenders = append(l.contenders, c)
		l.facts = append(l.facts, c.name+" on "+e.Device())
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

// onCard is lsrun's engine on a card: a pass is a point, the preparation of its weights included.
func onCard(p cuda.Precision, n *network) (*contender, *cuda.Engine, error) {
	e, err := cuda.New(n.graph, nn.CrossEntropy, cuda.Options{Precision: p})
	if err != nil {
		return nil, nil, err
	}
	if err := e.SetPlane(nn.Plane{Theta: n.states, X: n.states, Y: n.states}); err != nil {
		return nil, nil, err
	}
	sets := map[int]engine.Set{}
	load := func(images int) (set engine.Set, err error) {
		if sets[images] == nil {
			sets[images], err = e.Load(n.first(images))
		}
		return sets[images], err
	}
	run := func(ctx context.Context, t turn) (time.Duration, error) {
		set, err := load(t.Images)
		if err != nil {
			return 0, err
		}
		outs := make([]engine.Output, t.Passes)
		for i := range outs {
			outs[i] = engine.NewOutput(t.Images, 0)
		}
		began := time.Now()
		err = e.Evaluate(ctx, set, make([]nn.Point, t.Passes), outs)
		return time.Since(began), err
	}
	logits := func(ctx context.Context, images int) ([]float64, error) {
		set, err := load(images)
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
	return &contender{name: "lsrun " + e.Kernel(), group: ours, run: run, logits: logits, rough: p == cuda.TF32}, e, nil
}
