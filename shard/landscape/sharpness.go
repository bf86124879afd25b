package landscape

import "math"

// around is the number of equidistant places at which a circle is looked at.
const around = 720

// Sharpness compares L near p with L(p): on the plane within the circle of radius r, on a line within the distance r.
//
//	Rise = mean of L on the circle (on a line: at both ends) − L(p)
//	Sharpness = 100 · (max of L within − L(p)) / (1 + L(p))     (Keskar et al. 2017, equation 4, as a percentage)
//
// The maximum is over the vertices within and 720 places of the circle. Both are NaN where L does not exist somewhere
// within, or the circle leaves the grid.
func (l *Landscape) Sharpness(p Point, r float64) (sharpness, rise float64) {
	if !(r >= 0) || !l.Has(p) || r > l.Radius(p)*(1+1e-12) {
		return math.NaN(), math.NaN()
	}
	here := l.At(p)
	rim := []Point{{X: max(p.X-r, l.x[0])}, {X: min(p.X+r, l.x[len(l.x)-1])}}
	if !l.Line() {
		rim = nil
		for n := range around {
			sin, cos := math.Sincos(2 * math.Pi * float64(n) / around)
			rim = append(rim, l.inside(Point{p.X + r*cos, p.Y + r*sin}))
		}
	}
	top, sum := here, 0.
	for _, q := range rim {
		v := l.At(q)
		sum += v
		top = math.Max(top, v) // NaN stays
	}
	for k, v := range l.z {
		if q := l.grid(k); math.Hypot(q.X-p.X, q.Y-p.Y) <= r {
			top = math.Max(top, v)
		}
	}
	return 100 * (top - here) / (1 + here), sum/float64(len(rim)) - here
}

// inside moves what rounding put off the grid back onto it.
func (l *Landscape) inside(p Point) Point {
	return Point{min(max(p.X, l.x[0]), l.x[len(l.x)-1]), min(max(p.Y, l.y[0]), l.y[len(l.y)-1])}
}
