package train

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestOptimisersStepAsPyTorchs compares with testdata/optimizers.json, which optimizers.py wrote.
func TestOptimisersStepAsPyTorchs(t *testing.T) {
	text, err := os.ReadFile("testdata/optimizers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Traces []struct {
			Recipe
			Parameters, Gradients [][]float32
			Rates                 []float64
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Traces) < 4 {
		t.Fatalf("only %d traces", len(file.Traces))
	}
	for _, trace := range file.Traces {
		parameters := append([]float32{}, trace.Parameters[0]...)
		o := newOptimizer(trace.Recipe, len(parameters))
		for k, gradient := range trace.Gradients {
			before := append([]float32{}, parameters...)
			half := len(parameters) / 2 // tensor by tensor
			o.step(parameters[:half], gradient[:half], 0, trace.Rates[k], k+1)
			o.step(parameters[half:], gradient[half:], half, trace.Rates[k], k+1)
			var off, moved, size float64
			for i, want := range trace.Parameters[k+1] {
				off = math.Hypot(off, float64(parameters[i]-want))
				moved = math.Hypot(moved, float64(want-before[i]))
				size = math.Hypot(size, float64(want))
			}
			if !(off <= 1e-6*moved+0x1p-23*size) { // where PyTorch fuses, the last bit may differ
				t.Errorf("%s with momentum %v and weight decay %v: step %d is off by %.2g of its length %.2g",
					trace.Optimizer, trace.Momentum, trace.WeightDecay, k+1, off/moved, moved)
			}
		}
	}
}
