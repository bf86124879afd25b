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
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGoldenBits guards evaluatorVersion: whoever changes a bit of what a plan gives
// raises it, so that old runs are not continued with new arithmetic.
func TestGoldenBits(t *testing.T) {
	path := fmt.Sprintf("testdata/golden_bits_v%d.json", evaluatorVersion)
	got := map[string][]string{}
	for _, k := range kernel.Available() {
		t.Setenv("LSRUN_KERNEL", k.Name)
		run := filepath.Join(t.TempDir(), "run")
		lsrunOK(t, "plan", "--model", "resnet20", "--checkpoint", reference+"resnet20/model_8.t7", "--dataset", "cifar10", "--data", pictures,
			"--x=-0.5:1:2", "--y=-0.5:0.5:2", "--subset", "10", run)
		lsrunOK(t, "run", run)
		lsrunOK(t, "merge", run)
		for _, layer := range readSurface(t, filepath.Join(run, surfaceFile)).Layers {
			for _, v := range append(layer.Values, layer.Beside[pairedStandardError]...) {
				got[k.Name] = append(got[k.Name], fmt.Sprintf("%016x", math.Float64bits(v)))
			}
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
