package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"lsrun/io/checkpoint"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
	"lsrun/shard"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGoldenBits guards evaluatorVersion: whoever changes a bit of what a plan gives
// raises it, so that old runs are not continued with new arithmetic. Kernels of one arithmetic have the same bits.
func TestGoldenBits(t *testing.T) {
	path := fmt.Sprintf("testdata/golden_bits_v%d.json", evaluatorVersion)
	got := map[string][]string{}
	for _, k := range kernel.Available() {
		for _, mode := range []string{"--exact=false", "--exact"} {
			t.Setenv("LSRUN_KERNEL", k.Name)
			run := filepath.Join(t.TempDir(), "run")
			lsrunOK(t, "plan", "--model", "resnet20", "--checkpoint", reference+"resnet20/model_8.t7", "--dataset", "cifar10", "--data", pictures,
				"--x=-0.5:1:2", "--y=-0.5:0.5:2", "--subset", "10", mode, run)
			lsrunOK(t, "run", run)
			lsrunOK(t, "merge", run)
			surface := readSurface(t, filepath.Join(run, surfaceFile))
			var bits []string
			for _, layer := range surface.Layers {
				for _, v := range append(layer.Values, layer.Beside[pairedStandardError]...) {
					bits = append(bits, fmt.Sprintf("%016x", math.Float64bits(v)))
				}
			}
			for _, network := range []string{"densenet121", "lenet5", "snn_7"} { // with operations that resnet20 lacks
				bits = append(bits, network+" "+evaluatedDigest(t, network, cpu.Options{Threads: 1, Exact: mode == "--exact", Kernel: k.Name}))
			}
			arithmetic := plannedKernel(t, run)
			if other, ok := got[arithmetic]; ok && !slices.Equal(bits, other) {
				t.Errorf("kernel %s gives other bits than another of %s", k.Name, arithmetic)
			}
			got[arithmetic] = bits
		}
	}
	checkGolden(t, path, "evaluatorVersion", got)
}

// evaluatedDigest is that of the logits of a network's formula images.
func evaluatedDigest(t *testing.T, network string, options cpu.Options) string {
	t.Helper()
	g, err := zoo.New(network, zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := cpu.New(g, nn.CrossEntropy, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetPlane(nn.Plane{Theta: formula.States(g, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	images := formula.Images(1, 2, g.Input)
	set, err := e.Load(images)
	if err != nil {
		t.Fatal(err)
	}
	out := engine.NewOutput(images.Len(), g.Classes)
	if err := e.Evaluate(t.Context(), set, []nn.Point{{}}, []engine.Output{out}); err != nil {
		t.Fatal(err)
	}
	return digest(fmt.Appendf(nil, "%x", out.Logits))
}

// TestGoldenTraining guards trainerVersion in the same way: a training is not continued with other arithmetic.
func TestGoldenTraining(t *testing.T) {
	got := map[string][]string{}
	for _, k := range kernel.Available() {
		t.Setenv("LSRUN_KERNEL", k.Name)
		var digests []string
		for network, optimizer := range map[string]string{"resnet20": "sgd", "snn_7": "adam"} {
			dir := filepath.Join(t.TempDir(), network)
			lsrunOK(t, "train", "--model", network, "--optimizer", optimizer, "--dataset", "shapes", "--data", "train=10,test=4", "--batch-size", "5", "--epochs", "1", "--lr", "0.01", dir)
			file, err := checkpoint.Read(filepath.Join(dir, lastName))
			if err != nil {
				t.Fatal(err)
			}
			states, err := checkpoint.Encode(file.States, nil)
			if err != nil {
				t.Fatal(err)
			}
			digests = append(digests, network+" "+digest(states))
		}
		slices.Sort(digests)
		if other, ok := got[k.Arithmetic]; ok && !slices.Equal(digests, other) {
			t.Errorf("kernel %s trains to other bits than another of %s", k.Name, k.Arithmetic)
		}
		got[k.Arithmetic] = digests
	}
	checkGolden(t, fmt.Sprintf("testdata/golden_training_v%d.json", trainerVersion), "trainerVersion", got)
}

// checkGolden compares what kernels gave with a golden file, or writes it.
func checkGolden(t *testing.T, path, version string, got map[string][]string) {
	t.Helper()
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err == nil {
			err = os.WriteFile(path, append(text, '\n'), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for name, bits := range got {
		if !slices.Equal(bits, want[name]) {
			t.Errorf("kernel %s gives other bits than before: if that is meant, raise %s and run with -update\n got %v\nwant %v", name, version, bits, want[name])
		}
	}
}

func plannedKernel(t *testing.T, dir string) string {
	t.Helper()
	run, err := shard.Open(files, dir)
	if err != nil {
		t.Fatal(err)
	}
	return run.Plan.Kernel
}
