package direction

import (
	"fmt"
	"slices"

	"lsrun/nn"
)

// Norm says how the tensors of more than one dimension are rescaled. A filter is a slice
// along the first axis: an output channel of a convolution, a row of a linear map. A
// layer is a whole tensor.
type Norm string

// With d the direction and w the same part of θ:
const (
	NormFilter  Norm = "filter"  // each filter: d·‖w‖/‖d‖
	NormLayer   Norm = "layer"   // each layer: d·‖w‖/‖d‖
	NormWeight  Norm = "weight"  // each value: d·w
	NormDFilter Norm = "dfilter" // each filter: d/‖d‖
	NormDLayer  Norm = "dlayer"  // each layer: d/‖d‖
	NormNone    Norm = "none"    // as it is
)

// Norms lists the names that ParseNorm knows.
var Norms = []Norm{NormFilter, NormLayer, NormWeight, NormDFilter, NormDLayer, NormNone}

// ParseNorm is the norm of the given name.
func ParseNorm(name string) (Norm, error) {
	if !slices.Contains(Norms, Norm(name)) {
		return "", fmt.Errorf("unknown norm %q: there are %v", name, Norms)
	}
	return Norm(name), nil
}

// Ignore says what becomes of entries of at most one dimension: biases, and all that
// batch norm has.
type Ignore string

const (
	IgnoreBiasBN Ignore = "biasbn" // they are not perturbed
	IgnoreNone   Ignore = "none"   // their direction is a copy of θ
)

// Ignores lists the names that ParseIgnore knows.
var Ignores = []Ignore{IgnoreBiasBN, IgnoreNone}

// ParseIgnore is the rule of the given name.
func ParseIgnore(name string) (Ignore, error) {
	if !slices.Contains(Ignores, Ignore(name)) {
		return "", fmt.Errorf("unknown rule %q for biases and batch norm: there are %v", name, Ignores)
	}
	return Ignore(name), nil
}

// Report counts what Normalize saw.
type Report struct {
	Filters     int // of all perturbed tensors of more than one dimension
	ZeroFilters int // those where the direction is now zero, because θ is or the direction was
}

// Normalize rescales d in place against θ, as the paper's net_plotter.py does. Entries
// that d does not perturb stay so; entries of at most one dimension follow ignore,
// whatever norm is. (A difference of checkpoints that is to be taken as it is must
// therefore not be normalised at all.)
//
// The paper adds 1e-10 to the norms that it divides by. Here nothing is added, so that
// the norms are right however short d is; where ‖d‖ or ‖w‖ is 0, the direction is 0.
//
// It is an error if d or θ does not fit g, or if a value that is used or comes out is not
// finite; d then holds nothing of use.
func Normalize(g *nn.Graph, d, theta nn.Params, norm Norm, ignore Ignore) (Report, error) {
	var report Report
	if err := (nn.Plane{Theta: theta, X: d}).Check(g); err != nil {
		return report, err
	}
	for i := range d {
		shape, w := g.Entries[i].Shape, theta[i].Data
		if d[i].Data == nil {
			continue
		}
		if len(shape) <= 1 && ignore == IgnoreBiasBN {
			d[i].Data = nil
			continue
		}
		if err := finite(w); err != nil {
			return report, fmt.Errorf("normalising a direction: the network's entry %s: %w: give a checkpoint of finite values", g.Entries[i].Name, err)
		}
		if len(shape) <= 1 {
			copy(d[i].Data, w)
			continue
		}
		if err := finite(d[i].Data); err != nil {
			return report, fmt.Errorf("normalising a direction: its entry %s: %w", g.Entries[i].Name, err)
		}
		rescale(d[i].Data, w, shape[0], norm)
		if err := finite(d[i].Data); err != nil {
			return report, fmt.Errorf("normalising a direction: its entry %s is too large for float32: %w: use another norm than %s", g.Entries[i].Name, err, norm)
		}
		report.Filters += shape[0]
		for f := range shape[0] {
			if length(part(d[i].Data, f, shape[0])) == 0 {
				report.ZeroFilters++
			}
		}
	}
	return report, nil
}

// rescale normalises one tensor of the given number of filters.
func rescale(d, w []float32, filters int, norm Norm) {
	n := norm.parts(filters)
	for p := range n {
		d, w := part(d, p, n), part(w, p, n)
		switch norm {
		case NormFilter, NormLayer:
			stretch(d, length(w))
		case NormDFilter, NormDLayer:
			stretch(d, 1)
		case NormWeight:
			for k := range d {
				d[k] *= w[k]
			}
		case NormNone:
		default:
			panic("direction: unknown norm")
		}
	}
}

// parts is how many parts of a tensor are normalised each on its own.
func (n Norm) parts(filters int) int {
	if n == NormFilter || n == NormDFilter {
		return filters
	}
	return 1
}

// part is the f-th of n equal parts of data.
func part(data []float32, f, n int) []float32 {
	size := len(data) / n
	return data[f*size : (f+1)*size]
}

// stretch gives d the norm to, unless d is zero.
func stretch(d []float32, to float64) {
	from := length(d)
	if from == 0 {
		return
	}
	for k, v := range d {
		d[k] = float32(float64(v) * (to / from))
	}
}
