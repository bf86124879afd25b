package cpu

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
	"lsrun/nn/engine/conformance"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// setBatch lays out the arena for micro-batches of n images in all stages.
func (p *program) setBatch(n int) {
	for s := range p.batch {
		p.batch[s] = n
	}
	p.arena = layout(p.buffers, p.batch)
}

// inBatches makes engines with micro-batches of n images.
func inBatches(n int) func(*nn.Graph, nn.Loss, int) (engine.Engine, error) {
	return func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error) {
		e, err := New(g, loss, Options{Threads: threads})
		if err == nil {
			e.fast.setBatch(n)
			e.direct.setBatch(n)
		}
		return e, err
	}
}

func TestEveryMicroBatchConforms(t *testing.T) {
	for _, n := range []int{1, 3, 16} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { conformance.Run(t, 1e-4, inBatches(n)) })
	}
}

func TestTheMicroBatchDoesNotChangeABit(t *testing.T) {
	for _, k := range kernel.Available() {
		for _, g := range bitNetworks(t) {
			most := 17
			if k.Name == "plain" { // slow
				most = 3
				if g.MACs() > 100e6 {
					continue
				}
			}
			t.Run(k.Name+"/"+g.Name, func(t *testing.T) {
				t.Setenv("LSRUN_KERNEL", k.Name)
				want := logits(t, inBatches(1), g, 1)
				for n := 2; n <= most; n++ {
					sameBits(t, fmt.Sprintf("micro-batches of %d", n), logits(t, inBatches(n), g, 1+n%2), want)
				}
			})
		}
	}
}

func network(t *testing.T, name string) *nn.Graph {
	t.Helper()
	g, err := zoo.New(name, zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// logits are those of 19 images.
func logits(t *testing.T, new func(*nn.Graph, nn.Loss, int) (engine.Engine, error), g *nn.Graph, threads int) []float32 {
	t.Helper()
	e, err := new(g, nn.CrossEntropy, threads)
	if err != nil {
		t.Fatal(err)
	}
	out := engine.NewOutput(19, g.Classes)
	run(t, e, g, out)
	return out.Logits
}

func run(t *testing.T, e engine.Engine, g *nn.Graph, out engine.Output) {
	t.Helper()
	if err := e.SetPlane(nn.Plane{Theta: formula.States(g, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(formula.Images(1, len(out.Loss), g.Input))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Evaluate(context.Background(), set, []nn.Point{{}}, []engine.Output{out}); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryIsWhatIsTaken(t *testing.T) {
	for _, name := range []string{"resnet20", "vgg9", "densenet121"} {
		g := network(t, name)
		for _, threads := range []int{1, 3} {
			e, err := New(g, nn.CrossEntropy, Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			perThread, shared := e.Memory()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			team := e.hire(threads)
			team.use(e.fast)
			team.use(e.direct)
			runtime.ReadMemStats(&after)
			taken, said := float64(after.TotalAlloc-before.TotalAlloc), float64(shared+int64(threads)*perThread)
			if math.Abs(taken-said) > 0.01*said {
				t.Errorf("%s on %d threads: %.0f bytes were taken, %.0f announced", name, threads, taken, said)
			}
		}
	}
}

func TestEvaluationTakesNoMoreMemoryPerImage(t *testing.T) {
	g := network(t, "resnet20_a")
	e, err := New(g, nn.CrossEntropy, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	out := engine.NewOutput(64, 0)
	run(t, e, g, out)
	set, err := e.Load(formula.Images(1, 64, g.Input))
	if err != nil {
		t.Fatal(err)
	}
	count := testing.AllocsPerRun(3, func() {
		if err := e.Evaluate(context.Background(), set, []nn.Point{{}}, []engine.Output{out}); err != nil {
			t.Error(err)
		}
	})
	if count > 32 {
		t.Errorf("%v allocations for 64 images", count)
	}
}

func TestSetsOnBothSidesOfTheThreadsKeepOneKindOfTeam(t *testing.T) {
	g := network(t, "lenet5")
	e, err := New(g, nn.CrossEntropy, Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{5, 2, 4, 1} {
		run(t, e, g, engine.NewOutput(n, 0))
		if few := n < 3; few != (e.all == nil) || few != (e.single != nil) {
			t.Errorf("after %d images there are the whole team %v and %d single ones", n, e.all != nil, len(e.single))
		}
	}
}

func TestTheEnvironmentMayAskForExactness(t *testing.T) {
	for _, k := range kernel.Available() {
		t.Setenv("LSRUN_KERNEL", k.Name+exactly)
		e, err := New(network(t, "lenet5"), nn.CrossEntropy, Options{Threads: 1})
		if err != nil || e.Kernel() != k.Arithmetic+exactly {
			t.Errorf("%s-exact: kernel %v, error %v", k.Name, e.Kernel(), err)
		}
	}
}

func TestWithoutTransformsThereIsOneProgram(t *testing.T) {
	for name, want := range map[string]int{"lenet5": 1, "mlp_300_100": 1, "resnet20": 2} {
		e, err := New(network(t, name), nn.CrossEntropy, Options{Threads: 1})
		if err != nil || len(e.programs()) != want {
			t.Errorf("%s: %d programs, error %v", name, len(e.programs()), err)
		}
	}
}

func TestAProfileNamesTheAlgorithms(t *testing.T) {
	g := ragged(t)
	e, err := New(g, nn.CrossEntropy, Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	run(t, e, g, engine.NewOutput(1, 0))
	set, err := e.Load(formula.Images(1, 3, g.Input))
	if err != nil {
		t.Fatal(err)
	}
	layers, prepare, err := e.Profile(context.Background(), set, nn.Point{})
	if err != nil || prepare <= 0 {
		t.Fatalf("preparation took %v, error %v", prepare, err)
	}
	var macs int64
	found := map[string]bool{}
	for _, l := range layers {
		found[l.Algorithm] = true
		macs += l.MACs
		if l.Time <= 0 {
			t.Errorf("%s took %v", l.Name, l.Time)
		}
	}
	for _, want := range []string{"direct", "depthwise", "winograd 4×4", "maxpool"} {
		if !found[want] {
			t.Errorf("no layer is %s: %v", want, found)
		}
	}
	if macs != g.MACs() {
		t.Errorf("%d multiply-adds, the graph has %d", macs, g.MACs())
	}
}

func TestAnUnknownKernelIsAnError(t *testing.T) {
	t.Setenv("LSRUN_KERNEL", "abacus")
	_, err := New(network(t, "lenet5"), nn.CrossEntropy, Options{Threads: 1})
	if err == nil || !strings.Contains(err.Error(), "LSRUN_KERNEL=abacus") || !strings.Contains(err.Error(), "plain]") {
		t.Errorf("error %v", err)
	}
	if CheckForced() == nil {
		t.Error("CheckForced finds nothing wrong with the variable")
	}
}

func TestNoThreadsAreAnError(t *testing.T) {
	if _, err := New(network(t, "lenet5"), nn.CrossEntropy, Options{Threads: 0}); err == nil {
		t.Error("no error")
	}
}

func TestBuffersThatAreNeededAtOneTimeDoNotOverlap(t *testing.T) {
	for _, name := range zoo.Names() {
		k := kernel.Available()[0]
		for _, exact := range []bool{false, true} {
			checkLayout(t, name, lower(network(t, name), &k, exact, secondCache()))
		}
	}
}

func checkLayout(t *testing.T, name string, p *program) {
	end := func(b *buffer) int { return b.offset + p.batch[b.stage]*b.size() }
	for i, a := range p.buffers {
		if end(a) > p.arena {
			t.Errorf("%s: buffer %d ends outside the arena", name, i)
		}
		for j, b := range p.buffers[:i] {
			together := a.first <= b.last && b.first <= a.last
			inPlace := a.over == b && b.last == a.first || b.over == a && a.last == b.first
			if apart := end(a) <= b.offset || end(b) <= a.offset; together && !apart && !inPlace {
				t.Errorf("%s: buffers %d and %d overlap in steps %d–%d and %d–%d", name, j, i, b.first, b.last, a.first, a.last)
			}
			if a.offset == b.offset && a.geometry != b.geometry {
				t.Errorf("%s: buffers %d and %d share a place, but not a border", name, j, i)
			}
		}
	}
}

// BenchmarkPrepare reports the time to move to a point with two directions on one thread.
func BenchmarkPrepare(b *testing.B) {
	for _, name := range []string{"resnet20", "vgg9", "resnet18"} {
		b.Run(name, func(b *testing.B) {
			g, err := zoo.New(name, zoo.Options{})
			if err != nil {
				b.Fatal(err)
			}
			e, err := New(g, nn.CrossEntropy, Options{Threads: 1})
			if err != nil {
				b.Fatal(err)
			}
			states := formula.States(g, 1, 1)
			if err := e.SetPlane(nn.Plane{Theta: states, X: states, Y: states}); err != nil {
				b.Fatal(err)
			}
			team := e.hire(1)
			team.use(e.fast)
			for b.Loop() {
				team.prepare(context.Background(), e.fast, nn.Point{Alpha: 0.5, Beta: 0.5})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*g.Parameters()), "ns/parameter")
		})
	}
}

func TestMemoryIsBoundedForEveryNetwork(t *testing.T) {
	const megabyte = 1 << 20
	for _, name := range zoo.Names() {
		g := network(t, name)
		e, err := New(g, nn.CrossEntropy, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		perThread, shared := e.Memory()
		if perThread > 64*megabyte {
			t.Errorf("%s takes %d MB a thread", name, perThread/megabyte)
		}
		// With θ and two directions, eight times the parameters; small networks round up to huge pages.
		parameters := 4 * int64(g.Parameters())
		if whole := shared + 3*parameters; whole > 8*parameters+8*megabyte {
			t.Errorf("%s takes %d MB for %d MB of parameters", name, whole/megabyte, parameters/megabyte)
		}
	}
}
