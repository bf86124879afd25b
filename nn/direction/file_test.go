package direction

import (
	"math"
	"testing"

	"lsrun/nn"

	"pgregory.net/rapid"
)

// without is file without num_batches_tracked, as PyTorch wrote it before 0.4.1.
func without(g *nn.Graph, file nn.Params) nn.Params {
	var short nn.Params
	for i, e := range g.Entries {
		if e.Role != nn.BatchCounter {
			short = append(short, file[i])
		}
	}
	return short
}

func TestFitTellsWeightsFromStates(t *testing.T) {
	g := network()
	weights, states := Random(g, false, Key{}), Random(g, true, Key{})
	near(t, fits(t, g, FileOrder(g, weights, false), false), weights, 0)
	near(t, fits(t, g, FileOrder(g, states, true), true), states, 0)
	near(t, fits(t, g, without(g, FileOrder(g, states, true)), true), states, 0)
	near(t, fits(t, g, FileOrder(g, weights, true), true), weights, 0)
}

func TestFitReadsThePapersStates(t *testing.T) {
	g, _, groups := reference(t, "resnet20/model_8.t7", "resnet20_states.h5")
	file := groups["xdirection"]
	if len(file) != 128 {
		t.Fatalf("the file has %d tensors", len(file))
	}
	full := fits(t, g, file, true)
	near(t, fits(t, g, without(g, file), true), full, 0)
	for i, e := range g.Entries {
		if moved := full[i].Data != nil; moved != (e.Role != nn.BatchCounter) {
			t.Errorf("%s is moved: %v", e.Name, moved)
		}
	}
}

func TestFileOrderWritesZerosForWhatIsNotMoved(t *testing.T) {
	g := network()
	d := still(g)
	d[6].Data = make([]float32, 80)
	d[6].Data[0] = 5
	for states, names := range map[bool][]string{
		false: {"conv.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias"},
		true:  {"conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "fc.weight", "fc.bias"},
	} {
		file := FileOrder(g, d, states)
		if len(file) != len(names) {
			t.Fatalf("states %v: %d tensors", states, len(file))
		}
		for i, tensor := range file {
			if tensor.Name != names[i] || len(tensor.Data) != tensor.Shape.Size() || zero(tensor.Data) != (tensor.Name != "fc.weight") {
				t.Errorf("states %v: tensor %d is %s %v %v", states, i, tensor.Name, tensor.Shape, tensor.Data)
			}
		}
	}
}

func TestFitUndoesFileOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
		var entries []nn.Entry
		for _, module := range rapid.SliceOfN(rapid.StringMatching(`[a-z]\d`), 0, 4).Draw(t, "modules") {
			for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "entries") {
				entries = append(entries, nn.Entry{Name: module + "." + name, Shape: rapid.SliceOfN(rapid.IntRange(1, 3), 0, 3).Draw(t, "shape")})
			}
		}
		g := graph("drawn", entries)
		states := rapid.Bool().Draw(t, "states") && len(FileOrder(g, still(g), false)) < len(without(g, still(g)))
		d := Random(g, states, Key{Seed: rapid.Uint64().Draw(t, "seed")})
		for i := range d {
			if rapid.Bool().Draw(t, "still") {
				d[i].Data = nil
			}
		}
		back, of, err := Fit(g, FileOrder(g, d, states))
		if err != nil || of != states {
			t.Fatalf("states %v: Fit says %v, %v", states, of, err)
		}
		for i := range d {
			if (back[i].Data == nil) != (d[i].Data == nil) || back[i].Data != nil && Cosine(back[i:i+1], d[i:i+1]) < 1-1e-12 {
				t.Fatalf("%s: %v became %v", d[i].Name, d[i].Data, back[i].Data)
			}
		}
	})
}

func TestFitRefuses(t *testing.T) {
	g := network()
	file := func() nn.Params { return clone(FileOrder(g, Random(g, true, Key{}), true)) }

	_, _, err := Fit(g, nil)
	mustFail(t, err, "0 tensors")
	_, _, err = Fit(g, file()[:6])
	mustFail(t, err, "6 tensors", "5 parameters (weights)", "8 states (7 without num_batches_tracked)", "small")

	bad := file()
	bad[0].Shape = nn.Shape{3, 4, 3, 3}
	bad[7].Shape = nn.Shape{}
	_, _, err = Fit(g, bad)
	mustFail(t, err, "tensor 0 should be conv.weight 4×3×3×3, but is 3×4×3×3", "tensor 7 should be fc.bias 5, but is scalar")

	bad = file()
	bad[6].Data = bad[6].Data[:79]
	_, _, err = Fit(g, bad)
	mustFail(t, err, "tensor 6", "fc.weight")

	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		bad = file()
		bad[4].Data[1] = v
		_, _, err = Fit(g, bad)
		mustFail(t, err, "tensor 4, bn.running_var", "value 1 of 4")
	}
}
