package direction

import (
	"fmt"
	"math"
	"testing"

	"lsrun/nn"
)

func TestCosinesOfTheReferenceDirections(t *testing.T) {
	g, theta, groups := reference(t, "resnet20/model_8.t7", "resnet20_filter.h5")
	filter := Scaling{NormFilter, IgnoreBiasBN}
	naive, effective := ExpectedCosine(g, theta, false, filter, filter)
	seen := Cosine(fits(t, g, groups["xdirection"], false), fits(t, g, groups["ydirection"], false))
	// By NumPy in float64, from the same files.
	for _, c := range []struct {
		what      string
		got, want float64
	}{{"naive", naive, 0.0015329880353859824}, {"effective", effective, 0.0027886209175988284}, {"seen", seen, -0.004356525125230547}} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

// The mean of |cos| over many pairs of directions of a small network.
func TestExpectedCosineIsWhatRandomDirectionsShow(t *testing.T) {
	const pairs = 3000
	g := graph("small", []nn.Entry{
		{Name: "conv.weight", Shape: nn.Shape{12, 6, 3, 3}},
		{Name: "bn.weight", Shape: nn.Shape{12}},
		{Name: "bn.running_var", Shape: nn.Shape{12}},
		{Name: "fc.weight", Shape: nn.Shape{8, 40}},
	})
	theta := checkpoint(g)
	for k := range 12 { // long enough to leave a cosine where both axes copy them
		theta[1].Data[k] *= 4
		theta[2].Data[k] *= 40
	}
	for _, i := range []int{0, 3} { // rows of many lengths
		rows := g.Entries[i].Shape[0]
		for k := range theta[i].Data {
			row := k * rows / len(theta[i].Data)
			theta[i].Data[k] *= float32(math.Exp(math.Sin(float64(3*row + i))))
		}
	}
	biasbn := func(n Norm) Scaling { return Scaling{n, IgnoreBiasBN} }
	for _, c := range []struct {
		x, y   Scaling
		states bool
	}{
		{biasbn(NormFilter), biasbn(NormFilter), false},
		{biasbn(NormLayer), biasbn(NormLayer), false},
		{biasbn(NormWeight), biasbn(NormWeight), false},
		{biasbn(NormDFilter), biasbn(NormDFilter), false},
		{biasbn(NormDLayer), biasbn(NormDLayer), false},
		{biasbn(NormNone), biasbn(NormNone), false},
		{biasbn(NormFilter), biasbn(NormWeight), false},
		{biasbn(NormLayer), Scaling{NormFilter, IgnoreNone}, false},
		{Scaling{NormFilter, IgnoreNone}, Scaling{NormFilter, IgnoreNone}, false},
		{Scaling{NormFilter, IgnoreNone}, Scaling{NormWeight, IgnoreNone}, true},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			sum, squares := 0.0, 0.0
			for k := range pairs {
				x := Random(g, c.states, Key{Seed: 1, Index: k, Axis: "x"})
				y := Random(g, c.states, Key{Seed: 1, Index: k, Axis: "y"})
				mustNormalize(t, g, x, theta, c.x.Norm, c.x.Ignore)
				mustNormalize(t, g, y, theta, c.y.Norm, c.y.Ignore)
				cosine := math.Abs(Cosine(x, y))
				sum += cosine
				squares += cosine * cosine
			}
			mean := sum / pairs
			sigma := math.Sqrt((squares/pairs - mean*mean) / pairs)
			naive, effective := ExpectedCosine(g, theta, c.states, c.x, c.y)
			t.Logf("naive %.4f effective %.4f seen %.4f ± %.4f", naive, effective, mean, sigma)
			if math.Abs(effective-mean) > 3*sigma+0.02*mean {
				t.Errorf("expected %v, seen %v ± %v", effective, mean, sigma)
			}
		})
	}
}

func TestNaiveCosineCountsThePerturbedValues(t *testing.T) {
	g := network()
	theta := checkpoint(g)
	for _, c := range []struct {
		x, y   Ignore
		states bool
		n      float64
	}{
		{IgnoreBiasBN, IgnoreBiasBN, false, 108 + 80},
		{IgnoreNone, IgnoreNone, false, 108 + 80 + 13},
		{IgnoreNone, IgnoreNone, true, 108 + 80 + 21},
		{IgnoreNone, IgnoreBiasBN, false, 108 + 80 + 13}, // only one axis has the 13: (188+13)·188/188
	} {
		naive, _ := ExpectedCosine(g, theta, c.states, Scaling{NormFilter, c.x}, Scaling{NormFilter, c.y})
		if want := math.Sqrt(2 / math.Pi / c.n); math.Abs(naive-want) > 1e-15 {
			t.Errorf("%v: %v, want %v", c, naive, want)
		}
	}
}

func TestExpectedCosineOfNothingIsNaN(t *testing.T) {
	g := graph("biases", []nn.Entry{{Name: "bias", Shape: nn.Shape{3}}})
	s := Scaling{NormFilter, IgnoreBiasBN}
	if naive, effective := ExpectedCosine(g, checkpoint(g), false, s, s); !math.IsNaN(naive) || !math.IsNaN(effective) {
		t.Errorf("%v, %v", naive, effective)
	}
}
