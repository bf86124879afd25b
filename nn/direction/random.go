package direction

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"lsrun/nn"
)

// Key selects one random direction. Any change gives another, independent one.
type Key struct {
	Seed  uint64
	Index int    // --idx: which of the directions of a seed
	Axis  string // "x" or "y"
}

// Random is the Gaussian direction of key: every value that it moves is drawn from N(0, 1).
//
// The values of an entry depend on key and the entry's name alone:
//
//	s  = the first 8 bytes, little-endian, of SHA-256("lsrun direction 1 seed=S idx=I axis=A entry=NAME")
//	zᵢ = mix(s + i·0x9E3779B97F4A7C15 mod 2⁶⁴), i = 1, 2, …  (SplitMix64: Steele, Lea, Flood, OOPSLA 2014)
//	uᵢ = ⌊zᵢ/2¹¹⌋·2⁻⁵² − 1, uniform on [−1, 1)
//
// Pairs (u₁, u₂), (u₃, u₄), … become normal by the polar method (Marsaglia, Bray, SIAM
// Review 1964): with q = u² + v², those with q ≥ 1 or q = 0 are left out, and the others
// give u·f and v·f, f = √(−2·ln q / q), rounded to float32. They fill the tensor in
// row-major order.
//
// All of it is integer arithmetic or single operations of IEEE float64, so that every
// machine draws the same bits.
func Random(g *nn.Graph, states bool, key Key) nn.Params {
	d := still(g)
	for i, e := range g.Entries {
		if !moves(e.Role, states) {
			continue
		}
		d[i].Data = make([]float32, e.Shape.Size())
		fill(d[i].Data, newStream(key, e.Name))
	}
	return d
}

// stream is the state of SplitMix64.
type stream uint64

func newStream(key Key, entry string) stream {
	sum := sha256.Sum256(fmt.Appendf(nil, "lsrun direction 1 seed=%d idx=%d axis=%s entry=%s", key.Seed, key.Index, key.Axis, entry))
	return stream(binary.LittleEndian.Uint64(sum[:]))
}

// uniform is the next uᵢ.
func (s *stream) uniform() float64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	z ^= z >> 31
	return float64(z>>11)*0x1p-52 - 1 // exact, fused or not
}

// pair is the next two normal values. The conversions forbid the compiler to fuse.
func (s *stream) pair() (float64, float64) {
	for {
		u, v := s.uniform(), s.uniform()
		q := float64(u*u) + float64(v*v)
		if q > 0 && q < 1 {
			f := math.Sqrt(-2 * logarithm(q) / q)
			return u * f, v * f
		}
	}
}

func fill(data []float32, s stream) {
	for k := 0; k < len(data); k += 2 {
		a, b := s.pair()
		data[k] = float32(a)
		if k+1 < len(data) {
			data[k+1] = float32(b)
		}
	}
}

// logarithm is ln q for a positive, normal q, within a few units in the last place.
// math.Log has other last bits on other processors. With q = m·2ᵉ, √½ ≤ m < √2:
//
//	ln q = e·ln 2 + 2·(t + t³/3 + t⁵/5 + … + t²³/23), t = (m − 1)/(m + 1), |t| < 0.172
func logarithm(q float64) float64 {
	m, e := math.Frexp(q)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	t := (m - 1) / (m + 1)
	square := float64(t * t)
	series := 0.0
	for n := 23; n > 1; n -= 2 {
		series = float64((series + 1/float64(n)) * square)
	}
	return float64(float64(e)*math.Ln2) + (2*t + float64(2*t*series))
}
