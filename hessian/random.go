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

const increment = 0x9E3779B97F4A7C15

func (s *stream) next() uint64 {
	*s += increment
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// uniform is on [−1, 1).
func (s *stream) uniform() float64 { return float64(s.next()>>11)*0x1p-52 - 1 } // exact, fused or not

// gaussian fills x with independent N(0, 1) values by the polar method (Marsaglia, Bray,
// SIAM Review 1964), of which every pair of uniform numbers gives two or none.
func (s *stream) gaussian(x []float64) {
	for len(x) > 0 {
		tries := len(x)/2*5/4 + 8 // π/4 of them succeed: with this, the second round is a short one
		counts, found := make([]int, blocks(tries)), make([]float64, 2*tries)
		each(tries, func(block, first, end int) {
			own, from := found[2*first:2*end], s.after(2*first)
			for range end - first {
				if u, v, ok := from.polar(); ok {
					own[2*counts[block]], own[2*counts[block]+1] = u, v
					counts[block]++
				}
			}
		})
		for b, count := range counts {
			first := b * blockSize
			if 2*count >= len(x) {
				copy(x, found[2*first:])
				*s = s.after(2 * first)
				for wanted := (len(x) + 1) / 2; wanted > 0; {
					if _, _, ok := s.polar(); ok {
						wanted--
					}
				}
				return
			}
			x = x[copy(x, found[2*first:][:2*count]):]
		}
		*s = s.after(2 * tries)
	}
}

// polar takes two uniform numbers and makes two normal ones of them, or fails.
func (s *stream) polar() (u, v float64, ok bool) {
	u, v = s.uniform(), s.uniform()
	q := float64(u*u) + float64(v*v)
	if q == 0 || q >= 1 {
		return 0, 0, false
	}
	f := math.Sqrt(-2 * math.Log(q) / q)
	return u * f, v * f, true
}

// after is the stream after n more numbers.
func (s *stream) after(n int) stream { return *s + stream(n)*increment }

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
