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

	"lsrun/nn/cpu/kernel"
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
			arithmetic := plannedKernel(t, run)
			if other, ok := got[arithmetic]; ok && !slices.Equal(bits, other) {
				t.Errorf("kernel %s gives other bits than another of %s", k.Name, arithmetic)
			}
			got[arithmetic] = bits
		}
	}
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
			t.Errorf("kernel %s gives other bits than before: if that is meant, raise evaluatorVersion and run with -update\n got %v\nwant %v", name, bits, want[name])
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
