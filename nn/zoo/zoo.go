// Package zoo builds the architectures that lsrun knows by name, a file a family. Their
// entries are named, shaped and ordered as PyTorch's state_dict() of the code that each
// family follows.
package zoo

import (
	"fmt"
	"slices"
	"strings"

	"lsrun/nn"
)

// Options are what one may choose about an architecture.
type Options struct {
	Classes int      // 0: 10
	Input   nn.Shape // nil: the architecture's own
}

// model is an architecture.
type model struct {
	name  string
	input nn.Shape // its own
	build func(b *nn.Builder, classes int)
}

var (
	cifar = nn.Shape{3, 32, 32}
	mnist = nn.Shape{1, 28, 28}
)

// models are all but the perceptrons of other widths than the listed ones.
var models = slices.Concat(vggs, densenets, resnets, alexnets, lenets, perceptrons, selfNormalising)

// Names lists the architectures by family. Perceptrons exist in all widths (see New).
func Names() []string {
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = m.name
	}
	return names
}

// New builds the architecture called name: one of Names, or mlp_W1_W2_… and snn_W1_W2_…,
// perceptrons whose hidden layers have the given widths. The error for an unknown name
// suggests the nearest ones.
func New(name string, opt Options) (*nn.Graph, error) {
	m, err := find(name)
	if err != nil {
		return nil, err
	}
	return m.graph(opt)
}

func find(name string) (model, error) {
	for _, m := range models {
		if m.name == name {
			return m, nil
		}
	}
	if m, ok, err := perceptron(name); ok || err != nil {
		return m, err
	}
	return model{}, fmt.Errorf("unknown model %q: did you mean %s?", name, strings.Join(nearest(name), ", "))
}

func (m model) graph(opt Options) (*nn.Graph, error) {
	if opt.Classes == 0 {
		opt.Classes = 10
	}
	if opt.Input == nil {
		opt.Input = m.input
	}
	if opt.Classes < 0 {
		return nil, fmt.Errorf("model %s cannot tell %d classes apart", m.name, opt.Classes)
	}
	if n := len(opt.Input); n != 1 && n != 3 || slices.Min(opt.Input) < 1 {
		return nil, fmt.Errorf("model %s cannot take %v input: give channels×height×width or one length", m.name, opt.Input)
	}
	b := nn.NewBuilder(m.name, slices.Clone(opt.Input))
	m.build(b, opt.Classes)
	return b.Graph()
}

// nearest are the names of the fewest edits from name.
func nearest(name string) []string {
	var best []string
	least := -1
	for _, candidate := range Names() {
		d := edits(strings.ToLower(name), candidate)
		if least < 0 || d < least {
			least, best = d, nil
		}
		if d == least && len(best) < 5 {
			best = append(best, candidate)
		}
	}
	return best
}

// edits is Levenshtein's distance between a and b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// norm is batch norm with PyTorch's default ε.
var norm = nn.BatchNorm{Eps: 1e-5}

// chain appends ops one after another as name.0, name.1, …, as PyTorch's Sequential does.
func chain(b *nn.Builder, name string, x int, ops ...nn.Op) int {
	for i, op := range ops {
		x = b.Add(fmt.Sprintf("%s.%d", name, i), op, x)
	}
	return x
}

// globalMean averages every channel and leaves a vector.
func globalMean(b *nn.Builder, x int) int {
	return b.Add("flatten", nn.Flatten{}, b.Add("avgpool", nn.AdaptiveAvgPool{Out: [2]int{1, 1}}, x))
}

func linear(out int) nn.Linear { return nn.Linear{Out: out, Bias: true} }

// channels is the first extent of node x; 0 once the builder has failed.
func channels(b *nn.Builder, x int) int {
	if s := b.Shape(x); s != nil {
		return s[0]
	}
	return 0
}
