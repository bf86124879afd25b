package cpu

import (
	"context"
	"fmt"
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/zoo/formula"
)

// TestSpoiltImagesAreThoseOfExactForAnyThreadsAndPoints has every second image, then every image, leave the numbers.
func TestSpoiltImagesAreThoseOfExactForAnyThreadsAndPoints(t *testing.T) {
	g := network(t, "resnet20")
	plane := nn.Plane{Theta: formula.States(g, 1, 1), X: formula.States(g, 7, 1)}
	points := []nn.Point{{}, {Alpha: 0.25}, {Alpha: -0.1}}
	for _, every := range []int{2, 1} {
		images := formula.Images(1, 7, g.Input)
		for i := 0; i < images.Len(); i += every {
			v := []float64{math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat32}[i/every%4]
			images.Pixels[i*g.Input.Size()+100*i] = float32(v)
		}
		want := atPoints(t, g, plane, images, points, Options{Threads: 1, Exact: true})
		clean := atPoints(t, g, plane, formula.Images(1, 7, g.Input), points, Options{Threads: 1})
		for _, threads := range []int{1, 2, 5, 9} {
			for n := 1; n <= len(points); n++ {
				got := atPoints(t, g, plane, images, points[:n], Options{Threads: threads})
				for p := range n {
					for i := range images.Len() {
						what := fmt.Sprintf("%d threads, point %d of %d, image %d", threads, p, n, i)
						expected := clean[p]
						if i%every == 0 && !allFinite(logitsAt(want[p], g, i)) {
							expected = want[p]
						} else if i%every == 0 {
							continue // by either arithmetic
						}
						sameBits(t, what, logitsAt(got[p], g, i), logitsAt(expected, g, i))
						if l := got[p].Loss[i]; math.Float64bits(l) != math.Float64bits(expected.Loss[i]) {
							t.Errorf("%s: loss %v, not %v", what, l, expected.Loss[i])
						}
					}
				}
			}
		}
	}
}

// TestNaNInTheWeightsIsThatOfExact spoils one value of each entry.
func TestNaNInTheWeightsIsThatOfExact(t *testing.T) {
	g := ragged(t)
	images := formula.Images(1, 4, g.Input)
	for i, e := range g.Entries {
		if e.Role == nn.BatchCounter {
			continue
		}
		states := formula.States(g, 1, 1)
		states[i].Data[e.Shape.Size()/2] = float32(math.NaN())
		plane := nn.Plane{Theta: states}
		got := atPoints(t, g, plane, images, []nn.Point{{}}, Options{Threads: 2})[0]
		want := atPoints(t, g, plane, images, []nn.Point{{}}, Options{Threads: 2, Exact: true})[0]
		sameBits(t, e.Name, got.Logits, want.Logits)
		for image, loss := range got.Loss {
			if !math.IsNaN(loss) {
				t.Errorf("NaN in %s: the loss of image %d is %v", e.Name, image, loss)
			}
		}
	}
}

// TestOneTileOfNaNIsFoundBehindAResidualSum has an infinity that a ReLU removes from the exact sums in one corner of a
// residual network.
func TestOneTileOfNaNIsFoundBehindAResidualSum(t *testing.T) {
	b := nn.NewBuilder("corner", nn.Shape{8, 16, 16})
	x := b.Add("conv1", nn.Conv2d(8, 3, 1, 1), 0)
	x = b.Add("relu1", nn.ReLU{}, b.Add("bn1", nn.BatchNorm{Eps: 1e-5}, x))
	y := b.Add("bn2", nn.BatchNorm{Eps: 1e-5}, b.Add("conv2", nn.Conv2d(8, 3, 1, 1), x))
	x = b.Add("relu2", nn.ReLU{}, b.Add("add", nn.Add{}, x, y))
	x = b.Add("pool", nn.AdaptiveAvgPool{Out: [2]int{1, 1}}, x)
	b.Add("fc", nn.Linear{Out: 10, Bias: true}, b.Add("flatten", nn.Flatten{}, x))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	states := formula.States(g, 1, 1)
	for o := range 8 { // channel 0 of the input counts negatively
		for k := range 9 {
			w := &states[0].Data[o*72+k]
			*w = -max(*w, -*w) - 0.01
		}
	}
	images := formula.Images(1, 9, g.Input)
	clean := evaluated(t, g, states, images, false)
	const spoilt = 4
	images.Pixels[spoilt*g.Input.Size()+15*16+15] = float32(math.Inf(1))
	got, want := evaluated(t, g, states, images, false), evaluated(t, g, states, images, true)
	if !allFinite(logitsAt(want, g, spoilt)) {
		t.Fatalf("the exact logits are %v: this test tests nothing", logitsAt(want, g, spoilt))
	}
	for i := range images.Len() {
		expected := clean
		if i == spoilt {
			expected = want
		}
		sameBits(t, fmt.Sprint("image ", i), logitsAt(got, g, i), logitsAt(expected, g, i))
	}
}

func logitsAt(o engine.Output, g *nn.Graph, i int) []float32 {
	return o.Logits[i*g.Classes:][:g.Classes]
}

func allFinite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

func atPoints(t *testing.T, g *nn.Graph, plane nn.Plane, images *nn.Images, points []nn.Point, o Options) []engine.Output {
	t.Helper()
	e, err := New(g, nn.CrossEntropy, o)
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
	var outs []engine.Output
	for range points {
		outs = append(outs, engine.NewOutput(images.Len(), g.Classes))
	}
	if err := e.Evaluate(context.Background(), set, points, outs); err != nil {
		t.Fatal(err)
	}
	return outs
}
