package checkpoint

import (
	"fmt"
	"strings"

	"lsrun/nn"
)

// Fit arranges the file's tensors in the order of g's entries. They keep sharing their
// values with f.States. A missing num_batches_tracked is zero; any other difference is
// reported whole, as a *MismatchError.
func (f *File) Fit(g *nn.Graph) (nn.Params, error) {
	// The names of a network that lies whole in a module called "net" begin like a
	// wrapper's, and Read removed that.
	names := make([]string, len(g.Entries))
	for i, e := range g.Entries {
		names[i] = e.Name
	}
	stripPrefixes(names)

	have := make(map[string]nn.Tensor, len(f.States))
	for _, t := range f.States {
		have[t.Name] = t
	}
	fitted := make(nn.Params, len(g.Entries))
	bad := &MismatchError{Model: g.Name, States: len(f.States), Entries: len(g.Entries)}
	for i, e := range g.Entries {
		t, ok := have[names[i]]
		delete(have, names[i])
		switch {
		case ok && t.Shape.Equal(e.Shape):
			fitted[i] = nn.Tensor{Name: e.Name, Shape: e.Shape, Data: t.Data}
		case ok:
			bad.WrongShape = append(bad.WrongShape, WrongShape{e.Name, t.Shape, e.Shape})
		case e.Role == nn.BatchCounter:
			fitted[i] = nn.Tensor{Name: e.Name, Shape: e.Shape, Data: make([]float32, e.Shape.Size())}
		default:
			bad.Missing = append(bad.Missing, Named{e.Name, e.Shape})
		}
	}
	for _, t := range f.States {
		if _, left := have[t.Name]; left {
			bad.Unexpected = append(bad.Unexpected, Named{t.Name, t.Shape})
		}
	}
	if len(bad.Missing)+len(bad.Unexpected)+len(bad.WrongShape) > 0 {
		return nil, bad
	}
	return fitted, nil
}

// Named is an entry's name and shape.
type Named struct {
	Name  string
	Shape nn.Shape
}

// WrongShape is an entry of one shape in the file and another in the network.
type WrongShape struct {
	Name          string
	File, Network nn.Shape
}

// MismatchError says why a checkpoint does not fit a network.
type MismatchError struct {
	Model           string
	States, Entries int          // how many the file and the network have
	Missing         []Named      // in the network only
	Unexpected      []Named      // in the file only
	WrongShape      []WrongShape // in both
}

func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the checkpoint (%s) does not fit %s (%s)", entriesOf(e.States), e.Model, entriesOf(e.Entries))
	section := func(title string, n int, line func(i int) string) {
		if n == 0 {
			return
		}
		lines := make([]string, n)
		for i := range lines {
			lines[i] = line(i)
		}
		fmt.Fprintf(&b, "\n  %s:\n    %s", title, strings.Join(capped(lines), "\n    "))
	}
	section("missing from the checkpoint", len(e.Missing), func(i int) string {
		return fmt.Sprintf("%s %v", e.Missing[i].Name, e.Missing[i].Shape)
	})
	section("unknown to the network", len(e.Unexpected), func(i int) string {
		return fmt.Sprintf("%s %v", e.Unexpected[i].Name, e.Unexpected[i].Shape)
	})
	section("of another shape", len(e.WrongShape), func(i int) string {
		w := e.WrongShape[i]
		return fmt.Sprintf("%s: %v in the checkpoint, %v in the network", w.Name, w.File, w.Network)
	})
	return b.String()
}
