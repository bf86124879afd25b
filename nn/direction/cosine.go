package direction

import (
	"math"

	"lsrun/nn"
)

// Scaling is how one axis is normalised.
type Scaling struct {
	Norm   Norm
	Ignore Ignore
}

// ExpectedCosine is E|cos| of two independent random directions around θ, normalised as x
// and y say: what the cosine of two actual directions is to be held against.
//
// Naive is √(2/(π·n)), n the number of perturbed values, as for raw Gaussians: x and y
// of n values have a cosine of mean 0 and variance 1/n, nearly normal. Normalisation makes
// long filters count more, as if there were fewer values. If value k has the mean squares
// s² in x and t² in y, independent of x, then
//
//	Var cos ≈ Σ s²·t² / (Σ s² · Σ t²) = 1/n_eff
//
// A filter of n_f values that is given the length r has s² = r²/n_f in each, whatever its
// orientation, so for two filter-normalised axes n_eff = (Σ‖w_f‖²)² / Σ(‖w_f‖⁴/n_f).
// Likewise s² is ‖w‖²/n of the layer for layer, 1/n_f for dfilter, 1/n of the layer for
// dlayer, w² for weight and 1 for none; for equal axes n_eff = (Σ s²)²/Σ s⁴.
// The approximation is that Σ x² and Σ y² are near their means (they are equal to them for
// all norms but weight and none) and that n_eff is large.
//
// Where neither axis ignores biases and batch norm, both hold the same copy c of θ there.
// The cosine then has the mean μ = Σ c² / √(Σ(s²+c²)·Σ(t²+c²)), and effective is the mean
// of |N(μ, σ²)|.
//
// Both are NaN if there is nothing to perturb. θ must fit g.
func ExpectedCosine(g *nn.Graph, theta nn.Params, states bool, x, y Scaling) (naive, effective float64) {
	var raw, scaled moments
	for i, e := range g.Entries {
		if !moves(e.Role, states) {
			continue
		}
		w := theta[i].Data
		if len(e.Shape) <= 1 {
			inX, inY := indicator(x.Ignore == IgnoreNone), indicator(y.Ignore == IgnoreNone)
			n, square := float64(len(w)), dot(w, w)
			raw.add(inX*n, inY*n, inX*inY*n)
			scaled.add(inX*square, inY*square, 0)
			scaled.mean += inX * inY * square
			continue
		}
		s, t := meanSquares(w, e.Shape[0], x.Norm), meanSquares(w, e.Shape[0], y.Norm)
		for k := range s {
			raw.add(1, 1, 1)
			scaled.add(s[k], t[k], s[k]*t[k])
		}
	}
	return raw.absolute(), scaled.absolute()
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// moments are those of the product Σ x·y.
type moments struct {
	xx, yy   float64 // expected squared lengths
	variance float64
	mean     float64
}

func (m *moments) add(xx, yy, variance float64) {
	m.xx += xx
	m.yy += yy
	m.variance += variance
}

// absolute is the mean of |N(μ, σ²)|, with the moments of the cosine.
func (m *moments) absolute() float64 {
	lengths := math.Sqrt(m.xx) * math.Sqrt(m.yy)
	mu, sigma := m.mean/lengths, math.Sqrt(m.variance)/lengths
	z := mu / sigma / math.Sqrt2
	return sigma*math.Sqrt(2/math.Pi)*math.Exp(-z*z) + mu*math.Erf(z)
}

// meanSquares is E d[k]² of a Gaussian tensor normalised against w of so many filters.
func meanSquares(w []float32, filters int, norm Norm) []float64 {
	squares := make([]float64, 0, len(w))
	n := norm.parts(filters)
	for p := range n {
		w := part(w, p, n)
		same := 1.0
		switch norm {
		case NormFilter, NormLayer:
			same = dot(w, w) / float64(len(w))
		case NormDFilter, NormDLayer:
			same = 1 / float64(len(w))
		}
		for _, v := range w {
			if norm == NormWeight {
				same = float64(v) * float64(v)
			}
			squares = append(squares, same)
		}
	}
	return squares
}
