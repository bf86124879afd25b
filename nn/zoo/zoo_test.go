package zoo_test

import (
	"context"
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/ref"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

func reference(t *testing.T) map[string]formula.Network {
	t.Helper()
	nets, err := formula.Zoo("../../testdata/reference/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	return nets
}

func TestEntriesAreThoseOfThePaperCodeInOrder(t *testing.T) {
	for name, net := range reference(t) {
		g := build(t, name, zoo.Options{})
		if len(g.Entries) != len(net.Entries) {
			t.Errorf("%s: %d entries, PyTorch has %d", name, len(g.Entries), len(net.Entries))
			continue
		}
		for i, e := range g.Entries {
			if want := net.Entries[i]; e.Name != want.Name || !e.Shape.Equal(want.Shape) {
				t.Errorf("%s: entry %d is %s %v, PyTorch has %s %v", name, i, e.Name, e.Shape, want.Name, want.Shape)
			}
		}
		if g.Parameters() != net.Parameters {
			t.Errorf("%s: %d parameters, PyTorch has %d", name, g.Parameters(), net.Parameters)
		}
		if !g.Input.Equal(net.Input) || g.Classes != 10 {
			t.Errorf("%s: input %v and %d classes", name, g.Input, g.Classes)
		}
	}
}

func TestLogitsAndLossesAreThoseOfThePaperCode(t *testing.T) {
	for name, net := range reference(t) {
		t.Run(name, func(t *testing.T) {
			g := build(t, name, zoo.Options{})
			states := formula.States(g, net.Base, net.BNScale)
			images := formula.Images(net.Base, len(net.Labels), net.Input)
			logits, err := ref.Logits(context.Background(), g, states, images, 2)
			if err != nil {
				t.Fatal(err)
			}
			var distance, size, crossEntropy, mse float64
			correct := 0
			for i, want := range net.Logits {
				if images.Labels[i] != net.Labels[i] {
					t.Fatalf("label %d is %d, not %d", i, images.Labels[i], net.Labels[i])
				}
				z := logits[i*g.Classes : (i+1)*g.Classes]
				for k := range want {
					distance, size = math.Hypot(distance, z[k]-want[k]), math.Hypot(size, want[k])
				}
				n := float64(len(net.Labels))
				crossEntropy += nn.CrossEntropy.Image(z, int(images.Labels[i])) / n
				mse += nn.MSE.Image(z, int(images.Labels[i])) / n
				if nn.Predict(z) == int(images.Labels[i]) {
					correct++
				}
			}
			t.Logf("logits differ by %.2g", distance/size)
			if !(distance <= 1e-9*size) {
				t.Errorf("logits differ by %.3g of their norm", distance/size)
			}
			near(t, "cross entropy", crossEntropy, net.CrossEntropy)
			near(t, "mse", mse, net.MSE)
			if correct != net.Correct {
				t.Errorf("%d correct, PyTorch has %d", correct, net.Correct)
			}
		})
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9*math.Abs(want)) {
		t.Errorf("%s is %v, PyTorch has %v", what, got, want)
	}
}

func build(t *testing.T, name string, opt zoo.Options) *nn.Graph {
	t.Helper()
	g, err := zoo.New(name, opt)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
