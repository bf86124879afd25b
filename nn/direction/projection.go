package direction

import (
	"errors"
	"math"

	"lsrun/nn"
)

// Projection is where the networks of a path lie in a plane.
type Projection struct {
	X, Y     []float64 // coordinates, in units of the directions
	Distance []float64 // from the plane
	// Held is the share of the path's variance that the plane holds, from 0 to 1; NaN if it has none.
	Held float64
}

// Project finds for every network the point of the plane θ + α·x + β·y that is nearest to it, by least squares:
//
//	α, β = argmin ‖d − α·x − β·y‖, the solution of (x·x x·y; x·y y·y)·(α; β) = (x·d; y·d)
//
// and the distance that is left, over all weights or states, those that do not count too. For orthonormal
// directions α and β are the paper's projections by cosine, x·d/‖x‖ and y·d/‖y‖; for others those do not lead to the network
// even where it lies in the plane.
//
// Held is Σ‖α'ᵢ·x + β'ᵢ·y‖²/Σ‖d'ᵢ‖² over the values that count, primes for differences from the means; x and y must be
// zero elsewhere (see IgnoredBy). All sums are of float64.
//
// It is an error if x and y are parallel, or one is zero, or if a network does not fit.
func (p *Path) Project(x, y nn.Params) (*Projection, error) {
	l := p.layout()
	vx, vy, d := l.vector(x), l.vector(y), make([]float32, l.all)
	xx, xy, yy := dot(vx, vx), dot(vx, vy), dot(vy, vy)
	determinant := xx*yy - xy*xy
	if !(determinant > 1e-12*xx*yy) {
		return nil, errors.New("the two directions are parallel, or one is zero: they span no plane")
	}
	out := &Projection{}
	sums, squares := make([]float64, l.counted), 0.0 // Σd and Σ‖d‖², of the values that count
	for i := range p.Names {
		if err := p.difference(i, l, d); err != nil {
			return nil, err
		}
		xd, yd := dot(vx, d), dot(vy, d)
		a, b := (yy*xd-xy*yd)/determinant, (xx*yd-xy*xd)/determinant
		left := 0.0
		for k, v := range d {
			r := float64(v) - a*float64(vx[k]) - b*float64(vy[k])
			left += r * r
		}
		out.X, out.Y, out.Distance = append(out.X, a), append(out.Y, b), append(out.Distance, math.Sqrt(left))
		for k, v := range d[:l.counted] {
			sums[k] += float64(v)
			squares += float64(v) * float64(v)
		}
	}
	variance := squares
	for _, s := range sums {
		variance -= s * s / float64(len(p.Names))
	}
	if variance <= 1e-12*squares { // nothing but rounding
		variance = math.NaN()
	}
	meanX, meanY := mean(out.X), mean(out.Y)
	inPlane := 0.0
	for i := range out.X {
		a, b := out.X[i]-meanX, out.Y[i]-meanY
		inPlane += xx*a*a + 2*xy*a*b + yy*b*b
	}
	out.Held = inPlane / variance
	return out, nil
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
