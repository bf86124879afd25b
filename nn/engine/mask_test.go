package engine

import (
	"math"
	"testing"
)

// The values are PyTorch 1.13's dropout and alpha_dropout of 0 and 1, in float64.
func TestDroppingIsThatOfPyTorch(t *testing.T) {
	for _, c := range []struct {
		p             float64
		alpha         bool
		zero, one, no float64 // what 0 and 1 become where they are kept, and where not
	}{
		{0.05, false, 0, 1.0526315789473684, 0},
		{0.5, false, 0, 2, 0},
		{1, false, 0, 0, 0},
		{0.05, true, 0.08393557219381019, 1.0387800481988412, -1.5947758716823934},
		{0.5, true, 0.7791939305180315, 1.6655988251839635, -0.7791939305180315},
		{0.9, true, 2.5729738994273568, 4.199082175467488, -0.2858859888252616},
		{1, true, 0, 0, 0},
	} {
		d := NewDropping(c.p, c.alpha)
		for _, pair := range [][2]float64{{d.Shift, c.zero}, {d.Scale + d.Shift, c.one}, {d.Dropped, c.no}} {
			if !(math.Abs(pair[0]-pair[1]) <= 1e-14*math.Abs(pair[1])) {
				t.Errorf("p = %v, alpha %v: %v, PyTorch has %v", c.p, c.alpha, pair[0], pair[1])
			}
		}
	}
}

// The bits were computed by the formula in Python.
func TestMasksAreThoseOfTheFormula(t *testing.T) {
	const want = 0b1000111101111010
	m, got := NewMask(7, 3, 5, 0.5), 0
	for k := range 16 {
		if m.Keeps(k) {
			got |= 1 << k
		}
	}
	if got != want {
		t.Errorf("the mask is %016b, not %016b", got, want)
	}
}

func TestMasksKeepTheirShareAndDifferBySeedNodeAndImage(t *testing.T) {
	const n = 100000
	for _, p := range []float64{0, 0.05, 0.5, 0.9, 1} {
		base, kept := NewMask(1, 2, 3, p), 0
		others := []Mask{NewMask(2, 2, 3, p), NewMask(1, 3, 3, p), NewMask(1, 2, 4, p)}
		alike := make([]int, len(others))
		for k := range n {
			if base.Keeps(k) {
				kept++
			}
			for i, m := range others {
				if m.Keeps(k) == base.Keeps(k) {
					alike[i]++
				}
			}
		}
		deviation := 5 * math.Sqrt(n*p*(1-p)) // five standard deviations
		if math.Abs(float64(kept)-n*(1-p)) > deviation {
			t.Errorf("p = %v: %d of %d are kept", p, kept, n)
		}
		both := 1 - 2*p*(1-p) // the share of independent masks that agrees
		for i, a := range alike {
			if math.Abs(float64(a)-n*both) > 5*math.Sqrt(n*both*(1-both)) {
				t.Errorf("p = %v: mask %d is like the first in %d of %d places", p, i, a, n)
			}
		}
	}
}
