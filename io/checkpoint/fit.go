package checkpoint

import (
	"fmt"
	"slices"
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

// mostReplacements is how many make a short program.
const mostReplacements = 8

// Renaming returns texts and what replaces them, one after another, in the names of f's entries so that they become g's. It is
// nil unless names are all that differ: the shapes are the same, in the same order.
func (f *File) Renaming(g *nn.Graph) [][2]string {
	var have, want []Named
	for _, t := range f.States {
		if !strings.HasSuffix(t.Name, batchCounter) {
			have = append(have, Named{t.Name, t.Shape})
		}
	}
	for _, e := range g.Entries {
		if e.Role != nn.BatchCounter {
			want = append(want, Named{e.Name, e.Shape})
		}
	}
	if !slices.EqualFunc(have, want, func(a, b Named) bool { return a.Shape.Equal(b.Shape) }) {
		return nil
	}
	var pairs [][2]string
	for i := range have {
		if pair := difference(have[i].Name, want[i].Name); pair != [2]string{} && !slices.Contains(pairs, pair) {
			pairs = append(pairs, pair)
		}
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return len(b[0]) - len(a[0]) }) // none comes before one that holds it
	for i, entry := range have {
		for _, pair := range pairs {
			if pair[0] == "" {
				return nil
			}
			entry.Name = strings.ReplaceAll(entry.Name, pair[0], pair[1])
		}
		if entry.Name != want[i].Name || len(pairs) > mostReplacements {
			return nil
		}
	}
	return pairs
}

// difference is what two names do not share, of whole parts between their dots: that of conv.1.weight and conv.a.weight
// is 1. and a.; where only the second has something, it is {"", …}.
func difference(a, b string) [2]string {
	from, to := strings.Split(a, "."), strings.Split(b, ".")
	dot := ""
	for len(from) > 0 && len(to) > 0 && from[len(from)-1] == to[len(to)-1] {
		from, to, dot = from[:len(from)-1], to[:len(to)-1], "."
	}
	for len(from) > 0 && len(to) > 0 && from[0] == to[0] {
		from, to = from[1:], to[1:]
	}
	join := func(parts []string) string {
		if len(parts) == 0 {
			return ""
		}
		return strings.Join(parts, ".") + dot
	}
	return [2]string{join(from), join(to)}
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
