package figure

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// scale maps values from lo to hi to 0 … 1, linearly or logarithmically.
type scale struct {
	lo, hi float64 // lo < hi; 0 < lo where log
	log    bool
}

// newScale covers lo ≤ hi, a little more where they are equal. vmin and vmax take their place where given.
func newScale(name string, lo, hi float64, log bool, vmin, vmax *float64) (scale, error) {
	if vmin != nil {
		lo = *vmin
		hi = max(hi, lo)
	}
	if vmax != nil {
		hi = *vmax
		if vmin == nil {
			lo = min(lo, hi)
		}
	}
	const most = 1e300 // differences of larger values overflow
	switch {
	case math.IsNaN(lo) || math.IsNaN(hi) || math.IsInf(lo, 0) || math.IsInf(hi, 0):
		return scale{}, fmt.Errorf("cannot draw %s from vmin %g to vmax %g: they must be finite", name, lo, hi)
	case lo > hi || vmin != nil && vmax != nil && lo == hi:
		return scale{}, unsuitable("cannot draw %s from vmin %g to vmax %g: vmin must be under vmax", name, lo, hi)
	case log && lo <= 0:
		return scale{}, unsuitable("cannot draw %s on a logarithmic scale from %g: give a positive vmin, or draw it on a linear scale", name, lo)
	case !log && max(-lo, hi) > most:
		return scale{}, fmt.Errorf("cannot draw %s from %g to %g on a linear scale: draw it on a logarithmic one, or give vmin and vmax", name, lo, hi)
	}
	if hi-lo <= max(1e-12*max(-lo, hi), 1/most) {
		return around(lo, log), nil
	}
	return scale{lo, hi, log}, nil
}

// around is a scale with the only value in its middle.
func around(v float64, log bool) scale {
	if log {
		return scale{v / 2, v * 2, true}
	}
	d := max(math.Abs(v)/2, 1e-3)
	return scale{v - d, v + d, false}
}

// padded adds a twentieth at the ends asked for.
func (s scale) padded(below, above bool) scale {
	d := (s.of(s.hi) - s.of(s.lo)) / 20
	add := func(v, d float64) float64 {
		if s.log {
			return v * math.Pow(10, d)
		}
		return v + d
	}
	if below {
		s.lo = add(s.lo, -d)
	}
	if above {
		s.hi = add(s.hi, d)
	}
	return s
}

// of is v on the straight line along which the scale runs.
func (s scale) of(v float64) float64 {
	if s.log {
		return math.Log10(v)
	}
	return v
}

// norm is the place of v, 0 at lo and 1 at hi.
func (s scale) norm(v float64) float64 {
	return (s.of(v) - s.of(s.lo)) / (s.of(s.hi) - s.of(s.lo))
}

// high is norm for lines that leave the frame: far outside is as good as anywhere outside, and a value without a logarithm is far below.
func (s scale) high(v float64) float64 {
	if s.log && v <= 0 {
		return -10
	}
	return min(max(s.norm(v), -10), 10)
}

// fraction is norm for values that may lie outside, or have no logarithm: at most 1, at least 0.
func (s scale) fraction(v float64) float64 {
	return s.norm(min(max(v, s.lo), s.hi))
}

// ticks are about most round values within the scale: steps of 1, 2 or 5 times a
// power of ten; on a logarithmic scale 1, 2, 5, 10, …, or whole decades.
func (s scale) ticks(most int) []float64 {
	if !s.log {
		return steps(s.lo, s.hi, most)
	}
	var fine []float64
	first, last := int(math.Floor(math.Log10(s.lo))), int(math.Ceil(math.Log10(s.hi)))
	for e := first; e <= last; e++ {
		for _, m := range []int{1, 2, 5} {
			if v := decimal(m, e); s.lo <= v && v <= s.hi {
				fine = append(fine, v)
			}
		}
	}
	switch {
	case len(fine) < 3:
		return steps(s.lo, s.hi, most)
	case len(fine) <= most:
		return fine
	}
	var decades []float64
	for _, e := range steps(math.Log10(s.lo), math.Log10(s.hi), most) {
		if e == math.Trunc(e) {
			decades = append(decades, decimal(1, int(e)))
		}
	}
	return decades
}

// steps are at most most+1 multiples of a round number from lo to hi.
func steps(lo, hi float64, most int) []float64 {
	raw := (hi - lo) / float64(most)
	e := int(math.Floor(math.Log10(raw)))
	m := 10
	for _, c := range []int{1, 2, 5} {
		if decimal(c, e) >= raw*(1-1e-9) {
			m = c
			break
		}
	}
	step := decimal(m, e)
	var s []float64
	first, last := math.Ceil(lo/step-1e-9), math.Floor(hi/step+1e-9)
	for k := 0.0; k <= last-first; k++ {
		v := (first + k) * step
		if e < 0 { // dividing rounds once: 3/10 is 0.3, 3·0.1 is not
			v = (first + k) * float64(m) / math.Pow10(-e)
		}
		s = append(s, v+0) // no −0
	}
	return s
}

// decimal is m·10^e, correctly rounded.
func decimal(m, e int) float64 {
	v, _ := strconv.ParseFloat(fmt.Sprintf("%de%d", m, e), 64)
	return v
}

// minor are the unlabelled ticks of a logarithmic scale of few decades: 1, 2, …, 9, 20, ….
func (s scale) minor() []float64 {
	first, last := int(math.Floor(math.Log10(s.lo))), int(math.Floor(math.Log10(s.hi)))
	if !s.log || last-first > 8 {
		return nil
	}
	var t []float64
	for e := first; e <= last; e++ {
		for m := 1; m <= 9; m++ {
			if v := decimal(m, e); s.lo <= v && v <= s.hi {
				t = append(t, v)
			}
		}
	}
	return t
}

// maxLevels bounds what VLevel can ask for.
const maxLevels = 200

// levels are the values of contour lines: steps of vlevel from the scale's lower end if given, else round ones.
func (s scale) levels(vlevel *float64) ([]float64, error) {
	if vlevel == nil {
		return s.ticks(12), nil
	}
	if !(*vlevel > 0) || (s.hi-s.lo) / *vlevel > maxLevels {
		return nil, unsuitable("contour levels from %g to %g in steps of vlevel %g: the step must be positive and make at most %d levels", s.lo, s.hi, *vlevel, maxLevels)
	}
	var l []float64
	for k := 0.0; s.lo+k**vlevel <= s.hi+1e-9**vlevel; k++ {
		l = append(l, s.lo+k**vlevel)
	}
	return l, nil
}

// number writes v for people: 0.05, −2, 10^5, 2×10^−7 (the text routine raises what follows ^).
func number(v float64) string {
	text := strconv.FormatFloat(v, 'g', 10, 64)
	if a := math.Abs(v); a == 0 || 1e-3 <= a && a < 1e4 {
		r, _ := strconv.ParseFloat(text, 64)
		text = strconv.FormatFloat(r, 'f', -1, 64)
		return strings.ReplaceAll(text, "-", "−")
	}
	text = strconv.FormatFloat(v, 'e', 9, 64)
	mantissa, exponent, _ := strings.Cut(text, "e")
	mantissa = strings.TrimSuffix(strings.TrimRight(mantissa, "0"), ".")
	e, _ := strconv.Atoi(exponent)
	power := fmt.Sprintf("10^%d", e)
	switch mantissa {
	case "1":
	case "-1":
		power = "-" + power
	default:
		power = mantissa + "×" + power
	}
	return strings.ReplaceAll(power, "-", "−")
}
