package cpu_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

func TestLogitsAndLossesAreThoseOfThePaperCode(t *testing.T) {
	nets, err := formula.Zoo("../../testdata/reference/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, k := range kernel.Available() {
		if tested[k.Arithmetic] && !long() {
			continue // gives the same bits, as bits_test.go shows
		}
		tested[k.Arithmetic] = true
		worst := map[bool]float64{}
		for _, name := range slices.Sorted(maps.Keys(nets)) {
			g, net := build(t, name), nets[name]
			if k.Name == "plain" && g.MACs() > 100e6 && !long() {
				continue // minutes, for make check-long
			}
			plane := nn.Plane{Theta: formula.States(g, net.Base, net.BNScale)}
			for _, exact := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/exact=%v", k.Name, name, exact), func(t *testing.T) {
					t.Setenv("LSRUN_KERNEL", k.Name)
					worst[exact] = max(worst[exact], check(t, g, net, plane, exact))
				})
			}
		}
		t.Logf("%s: the worst error is %.2f of its bound, %.2f for exact evaluation", k.Name, worst[false], worst[true])
	}
}

// long reports whether there is time for minutes: make check-long sets the variable.
func long() bool { return os.Getenv("LSRUN_LONG") != "" }

// check compares two images with what PyTorch computes in float64. It returns the error of the logits
// as a part of its bound.
func check(t *testing.T, g *nn.Graph, net formula.Network, plane nn.Plane, exact bool) float64 {
	images := formula.Images(net.Base, len(net.Labels), net.Input)
	out := evaluate(t, g, nn.CrossEntropy, plane, images, exact)
	var distance, norm, mse float64
	correct := 0
	for i, want := range net.Logits {
		var largest float64
		logits := make([]float64, len(want))
		for k, z := range want {
			logits[k] = float64(out.Logits[i*g.Classes+k])
			d := logits[k] - z
			distance, norm, largest = math.Hypot(distance, d), math.Hypot(norm, z), max(largest, math.Abs(d))
		}
		mse += nn.MSE.Image(logits, int(net.Labels[i])) / float64(len(net.Logits))
		// A verdict may flip only between two logits that are closer than their errors.
		if said := int(out.Predicted[i]); slices.Max(want)-want[said] > 2*largest {
			t.Errorf("image %d is taken for %d, whose logit is %v less than the largest", i, said, slices.Max(want)-want[said])
		}
		if out.Predicted[i] == net.Labels[i] {
			correct++
		}
	}
	bound := max(20*net.Float32Error, 2e-5)
	if exact {
		bound = max(5*net.Float32Error, 2e-6)
		if correct != net.Correct {
			t.Errorf("%d correct, PyTorch has %d", correct, net.Correct)
		}
	}
	if !(distance <= bound*norm) {
		t.Errorf("logits differ by %.3g of their norm, more than %.3g", distance/norm, bound)
	}
	t.Logf("logits differ by %.2g of their norm, PyTorch's by %.2g", distance/norm, net.Float32Error)
	near(t, "cross entropy", mean(out.Loss), net.CrossEntropy)
	near(t, "mse", mse, net.MSE)
	return distance / norm / bound
}

// TestTheMeanLossIsThatOfFloat64 looks for errors that do not average out: means.json has what
// PyTorch computes in float64 for 2,000 images.
func TestTheMeanLossIsThatOfFloat64(t *testing.T) {
	nets, err := formula.Zoo("../../testdata/reference/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/means.json")
	if err != nil {
		t.Fatal(err)
	}
	var means struct {
		Images       int
		CrossEntropy map[string]float64
	}
	if err := json.Unmarshal(text, &means); err != nil {
		t.Fatal(err)
	}
	for name, want := range means.CrossEntropy {
		if name != "resnet20" && !long() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			g, net := build(t, name), nets[name]
			plane, images := nn.Plane{Theta: formula.States(g, net.Base, net.BNScale)}, formula.Images(net.Base, means.Images, g.Input)
			fast, exact := evaluate(t, g, nn.CrossEntropy, plane, images, false).Loss, evaluate(t, g, nn.CrossEntropy, plane, images, true).Loss
			apart := 0.0 // about the error of an image's loss
			for i := range fast {
				apart += math.Abs(fast[i]-exact[i]) / float64(len(fast))
			}
			for what, got := range map[string]float64{"fast": mean(fast), "exact": mean(exact)} {
				if !(math.Abs(got-want) <= 1e-6*want) {
					t.Errorf("%s: the mean loss is %v, not %v", what, got, want)
				}
				// Errors of 2,000 images that had one sign would not cancel.
				if !(math.Abs(got-want) <= apart/5) {
					t.Errorf("%s: the mean loss is off by %.2g, the losses only by %.2g", what, got-want, apart)
				}
				t.Logf("%s: the mean loss is off by %.2g of it, by %.2g of the images' errors", what, got/want-1, (got-want)/apart)
			}
		})
	}
}

func evaluate(t *testing.T, g *nn.Graph, loss nn.Loss, plane nn.Plane, images *nn.Images, exact bool) engine.Output {
	t.Helper()
	e, set := ready(t, g, loss, cpu.Options{Threads: 2, Exact: exact}, plane, images)
	out := engine.NewOutput(images.Len(), g.Classes)
	if err := e.Evaluate(context.Background(), set, []nn.Point{{}}, []engine.Output{out}); err != nil {
		t.Fatal(err)
	}
	return out
}

func ready(t testing.TB, g *nn.Graph, loss nn.Loss, o cpu.Options, plane nn.Plane, images *nn.Images) (engine.Engine, engine.Set) {
	t.Helper()
	e, err := cpu.New(g, loss, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetPlane(plane); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(images)
	if err != nil {
		t.Fatal(err)
	}
	return e, set
}

func build(t testing.TB, name string) *nn.Graph {
	t.Helper()
	g, err := zoo.New(name, zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-5*math.Abs(want)) {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// BenchmarkImages reports what one and two threads do, the preparation of the weights included.
func BenchmarkImages(b *testing.B) {
	for _, name := range []string{"resnet20", "resnet56", "vgg9", "densenet121", "resnet18", "wrn56_4", "alexnet"} {
		g := build(b, name)
		plane := nn.Plane{Theta: formula.States(g, 1, 1)}
		n := max(16, min(256, int(10e9/g.MACs())))
		images := formula.Images(1, n, g.Input)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%d", name, threads), func(b *testing.B) {
				e, set := ready(b, g, nn.CrossEntropy, cpu.Options{Threads: threads}, plane, images)
				out := []engine.Output{engine.NewOutput(n, 0)}
				for b.Loop() {
					if err := e.Evaluate(context.Background(), set, []nn.Point{{}}, out); err != nil {
						b.Fatal(err)
					}
				}
				rate := float64(b.N*n) / b.Elapsed().Seconds()
				b.ReportMetric(rate, "images/s")
				b.ReportMetric(2e-9*rate*float64(g.MACs()), "GFLOP/s")
			})
		}
	}
}
