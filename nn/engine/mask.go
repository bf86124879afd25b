package engine

import (
	"math"

	"lsrun/nn"
)

// Mask is what dropout keeps of one image's activations. Element k (row-major) is kept if
//
//	mix(key + (k+1)·γ) ≥ p·2⁶⁴,  key = draw(draw(draw(seed) ⊕ node) ⊕ image),  draw(s) = mix(s + γ)
//
// with SplitMix64's mix and γ (Steele, Lea, Flood, OOPSLA 2014): a function of its arguments alone.
type Mask struct{ key, dropped uint64 }

// NewMask is the mask of the dropout at node of a graph with probability p, for the image at the given place of
// the batch.
func NewMask(seed uint64, node, image int, p float64) Mask {
	key := draw(draw(draw(seed)^uint64(node)) ^ uint64(image))
	if p >= 1 {
		return Mask{key, math.MaxUint64}
	}
	return Mask{key, uint64(p * 0x1p64)}
}

// Keeps reports whether element k survives.
func (m Mask) Keeps(k int) bool { return draw(m.key+uint64(k)*gamma) >= m.dropped }

const gamma = 0x9E3779B97F4A7C15

func draw(s uint64) uint64 {
	z := s + gamma
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Dropping says what dropout with probability p makes of activations: kept ones are Scale·x + Shift, dropped
// ones are Dropped.
type Dropping struct{ Scale, Shift, Dropped float64 }

// NewDropping is that of nn.Dropout, x/(1 − p) or 0; or, with alpha, of nn.AlphaDropout, which keeps zero
// mean and unit variance (Klambauer et al., 2017, as in PyTorch): with α = SELUScale·SELUAlpha and
// a = 1/√((1 − p)·(1 + p·α²)), a·x + a·α·p or −a·α + a·α·p. With p = 1 all is 0.
func NewDropping(p float64, alpha bool) Dropping {
	if p >= 1 {
		return Dropping{}
	}
	if !alpha {
		return Dropping{Scale: 1 / (1 - p)}
	}
	const saturation = nn.SELUScale * nn.SELUAlpha
	a := 1 / math.Sqrt((1-p)*(1+float64(p*saturation*saturation)))
	return Dropping{a, a * saturation * p, a * saturation * (p - 1)}
}
