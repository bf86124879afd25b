package hessian

import "math"

// stream is the state of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
type stream uint64

// newStream is stream number index of a seed.
func newStream(seed, index uint64) stream {
	s := stream(seed)
	s = stream(s.next() ^ index)
	return stream(s.next())
}

func (s *stream) next() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// uniform is on [−1, 1).
func (s *stream) uniform() float64 { return float64(s.next()>>11)*0x1p-52 - 1 } // exact, fused or not

// gaussian fills x with independent N(0, 1) values by the polar method (Marsaglia, Bray,
// SIAM Review 1964).
func (s *stream) gaussian(x []float64) {
	for i := 0; i < len(x); {
		u, v := s.uniform(), s.uniform()
		q := float64(u*u) + float64(v*v)
		if q == 0 || q >= 1 {
			continue
		}
		f := math.Sqrt(-2 * math.Log(q) / q)
		x[i] = u * f
		if i+1 < len(x) {
			x[i+1] = v * f
		}
		i += 2
	}
}

// signs fills x with independent ±1 of equal probability.
func (s *stream) signs(x []float64) {
	for i := 0; i < len(x); i += 64 {
		bits := s.next()
		for k := i; k < min(i+64, len(x)); k++ {
			x[k] = 1 - 2*float64(bits&1)
			bits >>= 1
		}
	}
}
