package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lsrun/nn/cpu"
)

// lineup is who competes, and the programs behind them.
type lineup struct {
	*network
	threads    int
	engines    []interface{ Close() error } // lsrun's, on a card
	children   []*child
	contenders []*contender
	reference  []float64 // logits, by PyTorch in float64
	facts      []string  // what the engines say of themselves
}

func (l *lineup) close() {
	for _, c := range l.children {
		c.close()
	}
	for _, e := range l.engines {
		e.Close()
	}
}

// assemble fills the lineup: only lsrun and PyTorch as the paper runs it if brief.
func (l *lineup) assemble(ctx context.Context, brief bool) error {
	if err := l.addOwn("lsrun", ours, cpu.Options{Threads: l.threads}); err != nil {
		return err
	}
	if err := l.consult(ctx); err != nil {
		return err
	}
	if brief {
		return l.addPyTorch(ctx, debian, ways[0])
	}
	if err := l.addOwn("lsrun --exact", exact, cpu.Options{Threads: l.threads, Exact: true}); err != nil {
		return err
	}
	if err := l.addEveryPyTorch(ctx); err != nil {
		return err
	}
	if err := l.addONNX(ctx); err != nil {
		return err
	}
	l.addPacer()
	return nil
}

// addOwn adds lsrun's engine.
func (l *lineup) addOwn(name string, g group, o cpu.Options) error {
	c, kernel, err := own(name, g, l.network, o)
	l.contenders = append(l.contenders, c)
	l.facts = append(l.facts, name+" with kernel "+kernel)
	return err
}

func (l *lineup) start(ctx context.Context, env []string, program string, args ...string) (*child, version, error) {
	c, err := start(ctx, append([]string{"OMP_NUM_THREADS=" + strconv.Itoa(l.threads)}, env...), program, args...)
	if err != nil {
		return nil, version{}, err
	}
	l.children = append(l.children, c)
	var v version
	return c, v, c.ask(map[string]any{"do": "version"}, &v)
}

func (l *lineup) startPython(ctx context.Context, python string, env ...string) (*child, version, error) {
	return l.start(ctx, env, python, filepath.Join(l.folder, "torch_contender.py"), l.folder, strconv.Itoa(l.threads))
}

// consult lets a PyTorch that does not compete give the reference and the network as ONNX.
func (l *lineup) consult(ctx context.Context) error {
	c, _, err := l.startPython(ctx, debian)
	if err != nil {
		return err
	}
	defer c.close()
	if l.reference, err = c.logits("")(ctx, compared); err != nil {
		return err
	}
	export := map[string]any{"do": "export", "path": filepath.Join(l.folder, "model.onnx")}
	return c.ask(export, &struct{}{})
}

// addPyTorch adds one way to run PyTorch, in a process of its own: what another way allocated would
// change where glibc's heap ends, and with it how often its pages are given back.
func (l *lineup) addPyTorch(ctx context.Context, python string, w way, env ...string) error {
	c, v, err := l.startPython(ctx, python, env...)
	if err != nil {
		return err
	}
	g := tuned
	if python == debian && w.paper && len(env) == 0 {
		g = eager
	}
	l.facts = append(l.facts, "PyTorch "+v.Version+" with "+strings.Join(v.Libraries, ", "))
	l.contenders = append(l.contenders, &contender{
		name: "PyTorch " + v.Version + v.malloc(env) + ", " + w.name, group: g, sizes: w.sizes,
		run: c.run(w.variant), logits: c.logits(w.variant),
	})
	return nil
}

// addEveryPyTorch adds all ways, with both allocators, of Debian's PyTorch and of a newer one.
func (l *lineup) addEveryPyTorch(ctx context.Context) error {
	pythons := []string{debian}
	if newer := os.Getenv("LSRUN_BENCH_PYTHON"); newer != "" {
		pythons = append(pythons, newer)
	}
	for _, python := range pythons {
		for _, env := range [][]string{nil, tunedMalloc} {
			for _, w := range ways {
				if err := l.addPyTorch(ctx, python, w, env...); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addONNX adds ONNX Runtime.
func (l *lineup) addONNX(ctx context.Context) error {
	c, v, err := l.start(ctx, nil, "node", filepath.Join(l.folder, "ort_contender.mjs"), modules, l.folder, strconv.Itoa(l.threads))
	if err != nil {
		return err
	}
	l.contenders = append(l.contenders, &contender{
		name: "ONNX Runtime " + v.Version + ", its best", group: onnx, sizes: []int{1, 4, 16, 64, 128, 256},
		run: c.run(""), logits: c.logits(""),
	})
	return nil
}

// addPacer adds the stopwatch, where there is one and it knows the network.
func (l *lineup) addPacer() {
	program := os.Getenv("LSRUN_PACER")
	switch l.graph.Name {
	case "resnet20", "resnet56", "vgg9", "wrn56_4":
		if program != "" {
			l.contenders = append(l.contenders, pacemaker(program, l.network, l.threads))
		}
	}
}
