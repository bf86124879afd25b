package cpu

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/zoo/formula"
)

// derived is what an engine says of a few blocks of images.
type derived struct {
	loss              float64
	gradient, product []float64
}

func derive(t *testing.T, g *nn.Graph, o Options) derived {
	t.Helper()
	e, err := New(g, nn.CrossEntropy, o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.SetPlane(nn.Plane{Theta: formula.States(g, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(formula.Images(1, derivedImages(g), g.Input))
	if err != nil {
		t.Fatal(err)
	}
	d := derived{gradient: make([]float64, g.Parameters()), product: make([]float64, g.Parameters())}
	if d.loss, err = e.Gradient(context.Background(), set, nn.Point{}, d.gradient); err != nil {
		t.Fatal(err)
	}
	v := make([]float64, 0, g.Parameters())
	for _, entry := range formula.Vector(g, 1) {
		for _, x := range entry.Data {
			v = append(v, float64(x))
		}
	}
	if err := e.Products(context.Background(), [][]float64{v}, [][]float64{d.product}); err != nil {
		t.Fatal(err)
	}
	return d
}

// derivedImages are three blocks, the last of them not full.
func derivedImages(g *nn.Graph) int {
	k := kernel.Available()[0]
	return 2*record(g, &k, false).block + 1
}

func (d derived) same(other derived) bool {
	for i := range d.gradient {
		if math.Float64bits(d.gradient[i]) != math.Float64bits(other.gradient[i]) || math.Float64bits(d.product[i]) != math.Float64bits(other.product[i]) {
			return false
		}
	}
	return d.loss == other.loss
}

func TestNothingThatIsKeptChangesABitOfDerivatives(t *testing.T) {
	for _, g := range bitNetworks(t) {
		t.Run(g.Name, func(t *testing.T) {
			fastest := kernel.Available()[0]
			state := record(g, &fastest, false).stateBytes()
			want := derive(t, g, Options{Threads: 1, Kernel: fastest.Name})
			for _, k := range kernel.Available() {
				if k.Arithmetic != fastest.Arithmetic {
					continue
				}
				for _, bytes := range []int64{-1, state, 2 * state} {
					if got := derive(t, g, Options{Threads: 2, Kernel: k.Name, StateBytes: bytes}); !got.same(want) {
						t.Errorf("%s with %d bytes of states gives other bits", k.Name, bytes)
					}
				}
			}
		})
	}
}

func TestDerivativesTakeTheMemoryThatIsAnnounced(t *testing.T) {
	for _, name := range []string{"resnet20", "vgg9"} {
		for _, o := range []Options{{Threads: 1}, {Threads: 2, StateBytes: -1}} {
			t.Run(fmt.Sprint(name, " on ", o.Threads), func(t *testing.T) {
				g := network(t, name)
				e, err := New(g, nn.CrossEntropy, o)
				if err != nil {
					t.Fatal(err)
				}
				said := e.DerivativeMemory(derivedImages(g))
				// There is one vector.
				tape := record(g, &e.kernel, false)
				said -= int64(tape.vectors()-1) * (tape.sideBytes(second) + 8*int64(tape.gradient))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				derive(t, g, o)
				runtime.ReadMemStats(&after)
				taken := int64(after.TotalAlloc - before.TotalAlloc)
				// The test itself holds the plane, the images and, as formula has it and in float64, vectors.
				taken -= 4*int64(derivedImages(g)*g.Input.Size()) + (4+4+3*8)*int64(g.Parameters())
				if math.Abs(float64(taken-said)) > 0.05*float64(said) {
					t.Errorf("%d MB were taken, %d announced", taken>>20, said>>20)
				}
			})
		}
	}
}
