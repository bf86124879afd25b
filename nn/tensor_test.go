package nn_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"lsrun/nn"
)

func one(data ...float32) nn.Params {
	return nn.Params{{Name: "w", Shape: nn.Shape{len(data)}, Data: data}}
}

func entry(p nn.Plane, at nn.Point) []float32 {
	dst := make([]float32, len(p.Theta[0].Data))
	p.Entry(dst, 0, at)
	return dst
}

// The float64 sum is off by 2⁻⁵² or so, which almost never moves its rounding to float32.
func TestAPointIsTheExactSumRoundedOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 10000
	theta, x, y := make([]float32, n), make([]float32, n), make([]float32, n)
	for k := range n {
		theta[k], x[k], y[k] = float32(rng.NormFloat64()), float32(rng.NormFloat64()), float32(rng.NormFloat64())
	}
	at := nn.Point{Alpha: math.Pi / 4, Beta: -math.Phi} // a rational would give ties
	got := entry(nn.Plane{Theta: one(theta...), X: one(x...), Y: one(y...)}, at)
	for k := range n {
		if want, _ := exact(theta[k], at.Alpha, x[k], at.Beta, y[k]).Float32(); got[k] != want {
			t.Errorf("value %d is %v, not %v", k, got[k], want)
		}
	}
}

func exact(theta float32, alpha float64, x float32, beta float64, y float32) *big.Float {
	number := func(v float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(v) }
	sum := number(float64(theta))
	sum.Add(sum, number(0).Mul(number(alpha), number(float64(x))))
	return sum.Add(sum, number(0).Mul(number(beta), number(float64(y))))
}

func TestAPointIsNotRoundedInBetween(t *testing.T) {
	// 1 + 2⁻²⁵ + 2⁻²⁵ is 1 + 2⁻²⁴, halfway, and goes to the even 1; with 2⁻³⁰ more it goes up.
	p := nn.Plane{Theta: one(1, 1), X: one(0x1p-25, 0x1p-25), Y: one(0x1p-25, 0x1p-25+0x1p-30)}
	got := entry(p, nn.Point{Alpha: 1, Beta: 1})
	if got[0] != 1 || got[1] != 1+0x1p-23 {
		t.Errorf("%v, not 1 and 1+2⁻²³", got)
	}
}

func TestTheOriginIsThetaBitForBit(t *testing.T) {
	minusZero, large := float32(math.Copysign(0, -1)), float32(math.Inf(1))
	theta := one(minusZero, 1e-45, large, 3)
	for _, p := range []nn.Plane{
		{Theta: theta},
		{Theta: theta, X: one(1, 1, 1, large)},
		{Theta: theta, Y: one(1, 1, 1, large)},
		{Theta: theta, X: one(1, 1, 1, 1), Y: one(-1, 1, 1, 1)},
	} {
		for k, v := range entry(p, nn.Point{}) {
			if math.Float32bits(v) != math.Float32bits(theta[0].Data[k]) {
				t.Errorf("value %d is %v, not %v", k, v, theta[0].Data[k])
			}
		}
	}
}

func TestEntriesWithoutDataStay(t *testing.T) {
	unmoved := nn.Params{{Name: "w", Shape: nn.Shape{2}}}
	at := nn.Point{Alpha: 2, Beta: 4}
	for _, c := range []struct {
		x, y nn.Params
		want float32
	}{
		{nil, nil, 1}, {unmoved, nil, 1}, {unmoved, unmoved, 1},
		{one(0.5, 0.5), nil, 2}, {one(0.5, 0.5), unmoved, 2},
		{nil, one(0.5, 0.5), 3}, {unmoved, one(0.5, 0.5), 3},
		{one(0.5, 0.5), one(0.5, 0.5), 4},
	} {
		if got := entry(nn.Plane{Theta: one(1, 1), X: c.x, Y: c.y}, at); got[0] != c.want || got[1] != c.want {
			t.Errorf("%v, not twice %v", got, c.want)
		}
	}
}

func TestAPlaneMustFitTheNetwork(t *testing.T) {
	b := nn.NewBuilder("net", nn.Shape{2})
	b.Add("fc", nn.Linear{Out: 3, Bias: true}, 0)
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	fitting := nn.Params{{Name: "fc.weight", Data: make([]float32, 6)}, {Name: "fc.bias", Data: make([]float32, 3)}}
	sparse := nn.Params{fitting[0], {Name: "fc.bias"}}
	wrong := nn.Params{fitting[0], {Name: "fc.bias", Data: make([]float32, 2)}}
	for _, good := range []nn.Plane{{Theta: fitting}, {Theta: fitting, X: fitting}, {Theta: fitting, X: sparse, Y: sparse}} {
		if err := good.Check(g); err != nil {
			t.Error(err)
		}
	}
	for says, bad := range map[string]nn.Plane{
		"the network's states: 0 entries, but net has 2":            {},
		"the network's states: entry fc.bias has 0 values":          {Theta: sparse},
		"the network's states: entry fc.bias has 2 values":          {Theta: wrong},
		"the x direction: 1 entries":                                {Theta: fitting, X: fitting[:1]},
		"the y direction: entry fc.bias has 2 values, but net need": {Theta: fitting, X: fitting, Y: wrong},
	} {
		if err := bad.Check(g); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v does not say %q", err, says)
		}
	}
}

func TestShapesAreWrittenWithTimes(t *testing.T) {
	if s := (nn.Shape{3, 32, 32}).String(); s != "3×32×32" {
		t.Error(s)
	}
	if s := (nn.Shape{}); s.String() != "scalar" || s.Size() != 1 {
		t.Errorf("the empty shape is %v of size %d", s, s.Size())
	}
}

func TestParamsAreFoundByName(t *testing.T) {
	p := nn.Params{{Name: "a", Data: make([]float32, 3)}, {Name: "b"}, {Name: "c", Data: make([]float32, 4)}}
	if got := p.Lookup("b"); got != &p[1] {
		t.Errorf("Lookup(b) = %v", got)
	}
	if got := p.Lookup("d"); got != nil {
		t.Errorf("Lookup(d) = %v", got)
	}
	if p.Elements() != 7 {
		t.Errorf("%d elements, not 7", p.Elements())
	}
}
