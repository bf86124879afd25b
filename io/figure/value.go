package figure

import (
	"math"

	"lsrun/shard"
)

// class is what kind of value a point has.
type class int

const (
	finite class = iota
	notANumber
	plusInf
	minusInf
	missing
	classes
)

var classNames = [classes]string{notANumber: "NaN", plusInf: "+∞", minusInf: "−∞", missing: "missing"}

// classOf is the class of the layer's value at point k.
func classOf(l *shard.Layer, k int) class {
	if !l.Computed(k) {
		return missing
	}
	v := l.Values[k]
	switch {
	case math.IsNaN(v):
		return notANumber
	case math.IsInf(v, 1):
		return plusInf
	case math.IsInf(v, -1):
		return minusInf
	}
	return finite
}

// bounds are the smallest and the largest finite value; ok tells whether there is any.
func bounds(l *shard.Layer) (lo, hi float64, ok bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for k, v := range l.Values {
		if classOf(l, k) == finite {
			lo, hi, ok = min(lo, v), max(hi, v), true
		}
	}
	return lo, hi, ok
}
