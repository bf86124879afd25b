package direction

import (
	"fmt"

	"lsrun/nn"
)

// Path is a training path: the networks that an optimiser went through. They are read one
// at a time, again and again, so that memory does not grow with their number.
type Path struct {
	Graph  *nn.Graph
	Theta  nn.Params // the origin, from which differences are taken
	States bool      // differences are of states, not of weights
	// Ignore is IgnoreBiasBN if entries of at most one dimension do not count: principal components
	// are zero there, and their variance is not the path's. (IgnoreNone copies nothing from θ here.)
	Ignore Ignore
	Names  []string // of the networks, for messages
	// Read returns the states of network i, fitted to Graph.
	Read func(i int) (nn.Params, error)
}

// Counted is the number of values that count.
func (p *Path) Counted() int { return p.layout().counted }

// layout is how a difference lies in one vector: the entries that count, in the graph's order, and
// then those that move but do not count.
type layout struct {
	entries      []int
	counted, all int // values
}

func (p *Path) layout() layout {
	var l layout
	for _, counted := range []bool{true, false} {
		for i, e := range p.Graph.Entries {
			ignored := p.Ignore == IgnoreBiasBN && len(e.Shape) <= 1
			if !moves(e.Role, p.States) || ignored == counted {
				continue
			}
			l.entries = append(l.entries, i)
			l.all += e.Shape.Size()
			if counted {
				l.counted = l.all
			}
		}
	}
	return l
}

// difference writes that of network i from θ into d, float32(wᵢ − θ).
func (p *Path) difference(i int, l layout, d []float32) error {
	states, err := p.Read(i)
	if err != nil {
		return err
	}
	if err := (nn.Plane{Theta: states}).Check(p.Graph); err != nil {
		return fmt.Errorf("%s: %w", p.Names[i], err)
	}
	for _, e := range l.entries {
		theta := p.Theta[e].Data
		part := d[:len(theta)]
		for k, w := range states[e].Data {
			part[k] = float32(float64(w) - float64(theta[k]))
		}
		if err := finite(part); err != nil {
			return fmt.Errorf("%s: its difference from the origin, entry %s: %w: leave it out", p.Names[i], p.Graph.Entries[e].Name, err)
		}
		d = d[len(part):]
	}
	return nil
}

// vector is a direction as differences lie, zero where it perturbs nothing.
func (l layout) vector(d nn.Params) []float32 {
	v := make([]float32, l.all)
	at := v
	for _, e := range l.entries {
		copy(at, d[e].Data)
		at = at[d[e].Shape.Size():]
	}
	return v
}

// IgnoredBy is what two directions leave alone: IgnoreBiasBN unless one of them perturbs an
// entry of at most one dimension.
func IgnoredBy(x, y nn.Params) Ignore {
	for i := range x {
		if len(x[i].Shape) <= 1 && (x[i].Data != nil || y[i].Data != nil) {
			return IgnoreNone
		}
	}
	return IgnoreBiasBN
}
