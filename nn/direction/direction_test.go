package direction

import (
	"math"
	"testing"

	"lsrun/nn"
)

func TestDifferenceIsThePapersInterpolationDirection(t *testing.T) {
	g, theta, groups := reference(t, "resnet20/model_8.t7", "resnet20_states.h5")
	_, other, _ := reference(t, "resnet20_b/model_4.t7", "resnet20_states.h5")
	got, err := Difference(g, theta, other, true)
	if err != nil {
		t.Fatal(err)
	}
	near(t, got, fits(t, g, groups["xdirection"], true), 1e-7)

	plane := nn.Plane{Theta: theta, X: got}
	for i, e := range g.Entries {
		if e.Role == nn.BatchCounter {
			continue
		}
		end := make([]float32, e.Shape.Size())
		plane.Entry(end, i, nn.Point{Alpha: 1})
		for k, v := range end {
			w := other[i].Data[k]
			// Two roundings to float32: of the difference and of the sum.
			bound := 0x1p-24 * (math.Abs(float64(got[i].Data[k])) + math.Abs(float64(w)))
			if math.Abs(float64(v)-float64(w)) > 1.001*bound {
				t.Fatalf("%s[%d]: θ + δ is %v, not %v", e.Name, k, v, w)
			}
		}
	}
}

func TestDifferenceOfWeightsLeavesTheStatistics(t *testing.T) {
	g := network()
	theta, other := checkpoint(g), checkpoint(g)
	for i := range other {
		for k := range other[i].Data {
			other[i].Data[k] += 1
		}
	}
	d, err := Difference(g, theta, other, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range g.Entries {
		if moved := d[i].Data != nil; moved != (e.Role == nn.Learnable) {
			t.Errorf("%s is moved: %v", e.Name, moved)
		}
	}
}

func TestDifferenceRefuses(t *testing.T) {
	g := network()
	theta := checkpoint(g)
	for what, c := range map[string]struct {
		spoil func(other nn.Params) nn.Params
		words []string
	}{
		"another network": {func(p nn.Params) nn.Params { return p[1:] }, []string{"other checkpoint", "7 entries"}},
		"NaN":             {func(p nn.Params) nn.Params { p[7].Data[2] = float32(math.NaN()); return p }, []string{"fc.bias", "value 2 of 5", "NaN"}},
		"an overflow":     {func(p nn.Params) nn.Params { theta[0].Data[1] = -3e38; p[0].Data[1] = 3e38; return p }, []string{"conv.weight", "Inf"}},
	} {
		_, err := Difference(g, theta, c.spoil(checkpoint(g)), false)
		t.Log(what, err)
		mustFail(t, err, c.words...)
	}
	// Equal but for running statistics: a direction of states only.
	other := clone(theta)
	other[3].Data[0]++
	_, err := Difference(g, theta, other, false)
	mustFail(t, err, "equal")
	if _, err := Difference(g, theta, other, true); err != nil {
		t.Error(err)
	}
}

func TestCosine(t *testing.T) {
	a := nn.Params{{Data: []float32{3, 0}}, {}, {Data: []float32{4}}}
	for _, c := range []struct {
		b    nn.Params
		want float64
	}{
		{a, 1},
		{nn.Params{{Data: []float32{-3, 0}}, {}, {Data: []float32{-4}}}, -1},
		{nn.Params{{Data: []float32{0, 2}}, {Data: []float32{7}}, {}}, 0},
		{nn.Params{{}, {}, {Data: []float32{2}}}, 0.8},
		{nn.Params{{Data: []float32{1e38, 0}}, {Data: []float32{0}}, {}}, 0.6},
		{nn.Params{{Data: []float32{1e-38, 0}}, {Data: []float32{0}}, {}}, 0.6},
	} {
		if got := Cosine(a, c.b); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("cos(%v, %v) = %v, want %v", a, c.b, got, c.want)
		}
	}
	if got := Cosine(a, nn.Params{{}, {}, {}}); !math.IsNaN(got) {
		t.Errorf("the cosine with zero is %v", got)
	}
}
