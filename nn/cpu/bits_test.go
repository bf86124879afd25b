package cpu

import (
	"context"
	"fmt"
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
	"lsrun/nn/zoo/formula"
)

// bitNetworks have between them every kind of step, and pictures that tiles hang over.
func bitNetworks(t *testing.T) []*nn.Graph {
	graphs := []*nn.Graph{ragged(t)}
	for _, name := range []string{"lenet5", "resnet20", "resnet20_a", "densenet_cifar", "scnn"} {
		graphs = append(graphs, network(t, name))
	}
	return graphs
}

// ragged is a small AlexNet: large kernels, odd sizes, overlapping pools, a depthwise convolution.
func ragged(t *testing.T) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder("ragged", nn.Shape{3, 117, 109})
	relu, half := nn.ReLU{}, nn.MaxPool{Window: nn.Square(3, 2, 0)}
	depthwise := nn.Conv2d(24, 3, 1, 1)
	depthwise.Groups = 24
	x := 0
	for i, op := range []nn.Op{nn.Conv2d(24, 11, 4, 2).WithBias(), relu, nn.Conv2d(40, 5, 1, 2).WithBias(), relu, half,
		nn.Conv2d(24, 3, 1, 1), nn.BatchNorm{Eps: 1e-5}, relu, depthwise, nn.SELU{}, nn.Conv2d(17, 3, 1, 1), relu,
		nn.Conv2d(22, 3, 2, 2), relu, nn.Conv2d(20, 3, 1, 0), nn.Flatten{}, nn.Linear{Out: 10, Bias: true}} {
		x = b.Add(fmt.Sprint("layer", i), op, x)
	}
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// way is a way to evaluate that must not change a bit.
type way struct {
	kernel  string
	cache   int   // bytes; 0: as it is here
	batches []int // the last serves all further stages; nil: as chosen
	threads int
}

func (w way) logits(t *testing.T, g *nn.Graph, exact bool) []float32 {
	t.Helper()
	return logits(t, func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error) {
		e, err := New(g, loss, Options{Threads: threads, Kernel: w.kernel, Exact: exact})
		if err != nil {
			return nil, err
		}
		if w.cache > 0 {
			e.fast, e.direct = lower(g, &e.kernel, exact, w.cache), lower(g, &e.kernel, true, w.cache)
		}
		for _, p := range e.programs() {
			for s := range p.batch {
				if w.batches != nil {
					p.batch[s] = w.batches[min(s, len(w.batches)-1)]
				}
			}
			p.arena = layout(p.buffers, p.batch)
		}
		return e, nil
	}, g, w.threads)
}

func TestNoMachineChangesABit(t *testing.T) {
	var ways []way
	for _, k := range kernel.Available() {
		if k.Arithmetic != kernel.Available()[0].Arithmetic {
			continue
		}
		for _, c := range []int{0, 32 << 10, 256 << 10, 16 << 20} {
			ways = append(ways, way{k.Name, c, nil, 2})
		}
		for threads := 1; threads <= 5; threads++ {
			ways = append(ways, way{k.Name, 0, nil, threads})
		}
		for _, batches := range [][]int{{1, 2, 4}, {3, 6, 12}, {1, 1, 7}, {5}} {
			ways = append(ways, way{k.Name, 0, batches, 1})
		}
	}
	for _, g := range bitNetworks(t) {
		for _, exact := range []bool{false, true} {
			want := ways[0].logits(t, g, exact)
			for _, w := range ways[1:] {
				sameBits(t, fmt.Sprintf("%s, exact %v: %+v", g.Name, exact, w), w.logits(t, g, exact), want)
			}
		}
	}
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, z := range got {
		if math.Float32bits(z) != math.Float32bits(want[i]) {
			t.Fatalf("%s: logit %d is %v, not %v", what, i, z, want[i])
		}
	}
}

// TestImagesThatOverflowAreComputedExactly spoils single images, single pixels of them, and weights.
func TestImagesThatOverflowAreComputedExactly(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, g := range []*nn.Graph{network(t, "resnet20_noshort"), ragged(t)} {
		images := formula.Images(1, 12, g.Input)
		clean := evaluated(t, g, formula.States(g, 1, 1), images, false)
		for i, v := range []float32{inf, -inf, float32(math.NaN()), 3e38} {
			images.Pixels[(2*i+1)*g.Input.Size()+700] = v
		}
		got, want := evaluated(t, g, formula.States(g, 1, 1), images, false), evaluated(t, g, formula.States(g, 1, 1), images, true)
		spoilt := 0
		for i := range images.Len() {
			logits := func(o engine.Output) []float32 { return o.Logits[i*g.Classes:][:g.Classes] }
			sum := float32(0)
			for _, z := range logits(got) {
				sum += z * 0
			}
			if i%2 == 0 || i > 7 || sum == 0 {
				if i%2 == 0 || i > 7 {
					sameBits(t, fmt.Sprintf("%s: image %d beside a spoilt one", g.Name, i), logits(got), logits(clean))
				}
				continue
			}
			spoilt++
			sameBits(t, fmt.Sprintf("%s: image %d", g.Name, i), logits(got), logits(want))
		}
		if spoilt < 2 {
			t.Errorf("%s: %d images are not finite: this test tests nothing", g.Name, spoilt)
		}

		states := formula.States(g, 1, 1)
		for i := range states[0].Data {
			states[0].Data[i] *= 1e38
		}
		sameBits(t, g.Name+" with huge weights", evaluated(t, g, states, images, false).Logits, evaluated(t, g, states, images, true).Logits)
	}
}

// TestAnInfiniteActivationIsNotSpread has −∞ before a ReLU in one pixel: the sums are finite, though tiles
// of the transforms are not.
func TestAnInfiniteActivationIsNotSpread(t *testing.T) {
	b := nn.NewBuilder("cut", nn.Shape{8, 8, 8})
	x := b.Add("conv1", nn.Conv2d(8, 1, 1, 0), 0)
	x = b.Add("conv2", nn.Conv2d(8, 3, 1, 1), x)
	x = b.Add("relu", nn.ReLU{}, x)
	x = b.Add("conv3", nn.Conv2d(8, 3, 1, 1), x)
	b.Add("linear", nn.Linear{Out: 3}, b.Add("flatten", nn.Flatten{}, x))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	states := formula.States(g, 1, 1)
	for i, w := range states[1].Data {
		states[1].Data[i] = -max(w, -w) - 0.01 // all outputs that see the pixel are −∞
	}
	for i, w := range states[0].Data {
		states[0].Data[i] = max(w, -w)
	}
	images := formula.Images(1, 2, g.Input)
	clear(images.Labels)
	for i, v := range images.Pixels {
		images.Pixels[i] = max(v, -v)
	}
	images.Pixels[27] = float32(math.Inf(1))
	got, want := evaluated(t, g, states, images, false), evaluated(t, g, states, images, true)
	if loss := want.Loss[0]; math.IsNaN(loss) || math.IsInf(loss, 0) {
		t.Fatalf("the exact loss is %v: this test tests nothing", loss)
	}
	sameBits(t, "an image with −∞ before a ReLU", got.Logits[:3], want.Logits[:3])
}

func evaluated(t *testing.T, g *nn.Graph, states nn.Params, images *nn.Images, exact bool) engine.Output {
	t.Helper()
	e, err := New(g, nn.CrossEntropy, Options{Threads: 2, Exact: exact})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetPlane(nn.Plane{Theta: states}); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(images)
	if err != nil {
		t.Fatal(err)
	}
	out := engine.NewOutput(images.Len(), g.Classes)
	if err := e.Evaluate(context.Background(), set, []nn.Point{{}}, []engine.Output{out}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFewImagesDivideThePoints gives more threads than images: every point is then one thread's.
func TestFewImagesDivideThePoints(t *testing.T) {
	g := network(t, "resnet20")
	states := formula.States(g, 1, 1)
	points := []nn.Point{{}, {Alpha: 0.1}, {Alpha: -0.2}, {Alpha: 0.5}, {Alpha: 1}}
	evaluate := func(threads int) []float32 {
		e, err := New(g, nn.CrossEntropy, Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetPlane(nn.Plane{Theta: states, X: formula.States(g, 7, 1)}); err != nil {
			t.Fatal(err)
		}
		set, err := e.Load(formula.Images(1, 3, g.Input))
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: threads, false: 1}[threads > 3]; e.Points(set) != want {
			t.Errorf("%d threads want %d points, not %d", threads, want, e.Points(set))
		}
		var outs []engine.Output
		for range points {
			outs = append(outs, engine.NewOutput(3, g.Classes))
		}
		if err := e.Evaluate(context.Background(), set, points, outs); err != nil {
			t.Fatal(err)
		}
		var all []float32
		for _, out := range outs {
			all = append(all, out.Logits...)
		}
		return all
	}
	sameBits(t, "4 threads for 3 images", evaluate(4), evaluate(1))
}
