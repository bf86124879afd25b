package zoo

import (
	"fmt"
	"strings"

	"lsrun/nn"
)

// Fitting lists the architectures whose entries are exactly those of states, in any order
// and with any number of classes, input channels and hidden widths. Counters of batches
// (num_batches_tracked) do not matter: PyTorch before 0.4.1 had none. Several fit where
// functions differ but entries do not, such as resnet20_noshort and resnet20_a.
func Fitting(states nn.Params) []string {
	shapes := shapesOf(states)
	var fitting []string
	for _, m := range append(models[:len(models):len(models)], likely(shapes)...) {
		if _, ok := m.suits(shapes); ok {
			fitting = append(fitting, m.name)
		}
	}
	return fitting
}

// Suiting returns the options with which the architecture called name has exactly the entries of states, if there are
// any with images of its own size.
func Suiting(name string, states nn.Params) (Options, bool) {
	m, err := find(name)
	if err != nil {
		return Options{}, false
	}
	return m.suits(shapesOf(states))
}

// shapesOf are the shapes of all states but the counters of batches.
func shapesOf(states nn.Params) map[string]nn.Shape {
	shapes := make(map[string]nn.Shape, len(states))
	for _, t := range states {
		if !strings.HasSuffix(t.Name, "num_batches_tracked") {
			shapes[t.Name] = t.Shape
		}
	}
	return shapes
}

// likely are the perceptrons, not among the listed ones, of the widths that states have.
func likely(shapes map[string]nn.Shape) []model {
	widths := ""
	for i := 1; len(shapes[fmt.Sprintf("fc%d.weight", i+1)]) == 2; i++ {
		if s := shapes[fmt.Sprintf("fc%d.weight", i)]; len(s) == 2 {
			widths += fmt.Sprintf("_%d", s[0])
		}
	}
	var list []model
	for _, kind := range []string{"mlp", "snn"} {
		m, ok, err := perceptron(kind + widths)
		if ok && err == nil && !listed(m.name) {
			list = append(list, m)
		}
	}
	return list
}

func listed(name string) bool {
	for _, m := range models {
		if m.name == name {
			return true
		}
	}
	return false
}

// suits returns the number of classes and the images that the entries imply, if they are the model's.
func (m model) suits(shapes map[string]nn.Shape) (opt Options, ok bool) {
	g, err := m.graph(Options{})
	if err != nil {
		return opt, false
	}
	first, last := g.Entries[0], g.Entries[len(g.Entries)-1]
	weight, bias := shapes[first.Name], shapes[last.Name]
	if len(weight) != len(first.Shape) || len(bias) != 1 {
		return opt, false
	}
	opt = Options{Classes: bias[0], Input: append(nn.Shape{weight[1]}, m.input[1:]...)}
	if len(weight) == 2 { // a perceptron may have been given vectors
		opt.Input = nn.Shape{weight[1]}
	}
	if g, err = m.graph(opt); err != nil {
		return opt, false
	}
	count := 0
	for _, e := range g.Entries {
		if e.Role == nn.BatchCounter {
			continue
		}
		if s, ok := shapes[e.Name]; !ok || !s.Equal(e.Shape) {
			return opt, false
		}
		count++
	}
	return opt, count == len(shapes)
}
