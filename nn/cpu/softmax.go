package cpu

import "math"

// softmax is that of the channels of each pixel, or its logarithm, in float64.
type softmax struct {
	in, out   *value
	logarithm bool
}

func (s *softmax) values() (*value, []*value) { return s.out, []*value{s.in} }

func (s *softmax) run(w *worker, n int) {
	channels := s.in.shape[0]
	for i := range n {
		for y := range s.in.shape[1] {
			for x := range s.in.shape[2] {
				s.pixel(w.pixels(s.out, i, y, x)[:channels], w.pixels(s.in, i, y, x)[:channels])
			}
		}
	}
}

func (s *softmax) pixel(dst, z []float32) {
	top, sum := float32(math.Inf(-1)), 0.0
	for _, v := range z {
		top = max(top, v) // NaN if either is
	}
	for _, v := range z {
		sum += math.Exp(float64(v) - float64(top))
	}
	for c, v := range z {
		y := float64(v) - float64(top) - math.Log(sum)
		if !s.logarithm {
			y = math.Exp(y)
		}
		dst[c] = float32(y)
	}
}
