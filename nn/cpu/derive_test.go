package cpu_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
	"lsrun/nn/zoo/formula"
)

// TestDerivativesAreThoseOfThePaperCode demands more than float32 would give if it decided what ReLU lets through.
func TestDerivativesAreThoseOfThePaperCode(t *testing.T) {
	nets, err := formula.Zoo("../../testdata/reference/zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]bool{}
	for _, k := range kernel.Available() {
		if tested[k.Arithmetic] && !long() {
			continue // gives the same bits
		}
		tested[k.Arithmetic] = true
		for _, name := range slices.Sorted(maps.Keys(nets)) {
			g, net := build(t, name), nets[name]
			most := int64(200e6)
			if k.Name == "plain" {
				most = 10e6
			}
			if g.MACs() > most && !long() {
				continue // minutes, for make check-long
			}
			t.Run(k.Name+"/"+name, func(t *testing.T) {
				t.Setenv("LSRUN_KERNEL", k.Name)
				checkDerivatives(t, g, net)
			})
		}
	}
}

func checkDerivatives(t *testing.T, g *nn.Graph, net formula.Network) {
	plane := nn.Plane{Theta: formula.States(g, net.Base, net.BNScale)}
	images := formula.Images(net.Base, len(net.Labels), net.Input)
	e, set := ready(t, g, nn.CrossEntropy, cpu.Options{Threads: 2}, plane, images)
	defer e.Close()
	t.Cleanup(debug.FreeOSMemory)
	d := e.(engine.Differentiator)
	v := vector(g, net.Base)
	gradient, product := make([]float64, len(v)), make([]float64, len(v))
	loss, err := d.Gradient(context.Background(), set, nn.Point{}, gradient)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Products(context.Background(), [][]float64{v}, [][]float64{product}); err != nil {
		t.Fatal(err)
	}
	near(t, "cross entropy", loss, net.CrossEntropy)
	agree(t, "the gradient", norms(g, gradient), net.GradNorms)
	agree(t, "Hv", norms(g, product), net.HvNorms)
	along(t, "g·v", dot(gradient, v), net.GradDotV, math.Sqrt(dot(v, v)*dot(gradient, gradient)))
	along(t, "v·Hv", dot(product, v), net.VHV, math.Sqrt(dot(v, v)*dot(product, product)))
}

// agree compares the norms of all tensors, as parts of the largest.
func agree(t *testing.T, what string, got, want []float64) {
	t.Helper()
	worst, largest := 0.0, slices.Max(want)
	for i := range want {
		if d := math.Abs(got[i]-want[i]) / largest; !(d <= worst) {
			worst = d
		}
	}
	if !(worst <= 1e-4) {
		t.Errorf("%s: norms differ by %.2g of the largest", what, worst)
	}
	t.Logf("%s: norms differ by %.2g of the largest", what, worst)
}

// along compares products of vectors, one of whose norms is size, where they do not cancel.
func along(t *testing.T, what string, got, want, size float64) {
	t.Helper()
	d := math.Abs(got-want) / max(math.Abs(want), 1e-3*size)
	if !(d <= 1e-4) {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
	t.Logf("%s differs by %.2g of itself", what, d)
}

// vector is the formula's v over the parameters of g.
func vector(g *nn.Graph, base uint64) (v []float64) {
	for _, entry := range formula.Vector(g, base) {
		for _, x := range entry.Data {
			v = append(v, float64(x))
		}
	}
	return v
}

// norms are those of the parts of v that belong to the learnable entries of g.
func norms(g *nn.Graph, v []float64) (list []float64) {
	for _, e := range g.Entries {
		if e.Role == nn.Learnable {
			part := v[:e.Shape.Size()]
			v = v[len(part):]
			list = append(list, math.Sqrt(dot(part, part)))
		}
	}
	return list
}

func dot(a, b []float64) (sum float64) {
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// What a cancelled product has prepared, or has not, is nothing to the next.
func TestAProductAfterACancelledOneIsThatOfAFreshEngine(t *testing.T) {
	g := build(t, "resnet20")
	v := vector(g, 1)
	product := func(cancelled bool) []float64 {
		e, set := ready(t, g, nn.CrossEntropy, cpu.Options{Threads: 2}, nn.Plane{Theta: formula.States(g, 1, 1)}, formula.Images(1, 4, g.Input))
		defer e.Close()
		d, out := e.(engine.Differentiator), make([]float64, len(v))
		if _, err := d.Gradient(context.Background(), set, nn.Point{}, out); err != nil {
			t.Fatal(err)
		}
		if cancelled {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := d.Products(ctx, [][]float64{v}, [][]float64{out}); !errors.Is(err, context.Canceled) {
				t.Fatalf("a cancelled product says %v", err)
			}
		}
		if err := d.Products(context.Background(), [][]float64{v}, [][]float64{out}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if !slices.Equal(product(true), product(false)) {
		t.Error("it is another one")
	}
}

// BenchmarkProduct reports what derivatives cost in forward passes over the same images, in processor time: where the
// base state is kept, and where it is not.
func BenchmarkProduct(b *testing.B) {
	for _, name := range []string{"resnet20", "resnet56", "vgg9"} {
		g := build(b, name)
		plane := nn.Plane{Theta: formula.States(g, 1, 1)}
		n := max(16, min(128, int(25e9/g.MACs())/16*16))
		images := formula.Images(1, n, g.Input)
		for what, state := range map[string]int64{"kept": 0, "again": -1} {
			b.Run(name+"/"+what, func(b *testing.B) {
				e, set := ready(b, g, nn.CrossEntropy, cpu.Options{Threads: 1, StateBytes: state}, plane, images)
				defer e.Close()
				d := e.(engine.Differentiator)
				v := vector(g, 1)
				product := make([]float64, len(v))
				out := []engine.Output{engine.NewOutput(n, 0)}
				var total [3]time.Duration
				cpuTime := func() time.Duration {
					var r syscall.Rusage
					syscall.Getrusage(0, &r)
					return time.Duration(r.Utime.Nano() + r.Stime.Nano())
				}
				run := func(i int, f func() error) {
					start := cpuTime()
					if err := f(); err != nil {
						b.Fatal(err)
					}
					total[i] += cpuTime() - start
				}
				for b.Loop() {
					run(0, func() error { return e.Evaluate(context.Background(), set, []nn.Point{{}}, out) })
					run(1, func() error { _, err := d.Gradient(context.Background(), set, nn.Point{}, product); return err })
					run(2, func() error { return d.Products(context.Background(), [][]float64{v}, [][]float64{product}) })
				}
				b.ReportMetric(float64(b.N*n)/total[0].Seconds(), "images/s")
				b.ReportMetric(float64(total[1])/float64(total[0]), "passes/gradient")
				b.ReportMetric(float64(total[2])/float64(total[0]), "passes/product")
			})
		}
	}
}
