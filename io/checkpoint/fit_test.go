package checkpoint

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"lsrun/nn"
)

// smallNet is the graph of the module in testdata/make.py.
func smallNet(t *testing.T, prefix string, hidden int) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder("small", nn.Shape{2, 3, 3})
	x := b.Add(prefix+"conv", nn.Conv2d(hidden, 3, 1, 0), 0)
	x = b.Add(prefix+"bn", nn.BatchNorm{Eps: 1e-5}, x)
	x = b.Add("flatten", nn.Flatten{}, x)
	b.Add(prefix+"fc", nn.Linear{Out: 2, Bias: true}, x)
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func read(t *testing.T, name string) *File {
	t.Helper()
	f, err := Read("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFitGivesTheEntriesInTheNetworksOrder(t *testing.T) {
	f, g := read(t, "bare_zip.pth"), smallNet(t, "", 3)
	shuffled := &File{}
	for i := range f.States {
		shuffled.States = append(shuffled.States, f.States[len(f.States)-1-i])
	}
	for _, file := range []*File{f, shuffled} {
		p, err := file.Fit(g)
		if err != nil {
			t.Fatal(err)
		}
		if !sameBits(p, f.States) {
			t.Errorf("fitted states are %v", p)
		}
	}
}

func TestFitTakesMissingBatchCountersAsZero(t *testing.T) {
	p, err := read(t, "before_0_4_1_zip.pth").Fit(smallNet(t, "", 3))
	if err != nil {
		t.Fatal(err)
	}
	counter := p.Lookup("bn.num_batches_tracked")
	if counter == nil || len(counter.Data) != 1 || counter.Data[0] != 0 {
		t.Errorf("the counter is %v", counter)
	}
}

func TestFitKnowsNetworksWhoseOwnNamesLookLikeAWrappers(t *testing.T) {
	g := smallNet(t, "net.", 3)
	p, err := read(t, "bare_zip.pth").Fit(g)
	if err != nil {
		t.Fatal(err)
	}
	if p[0].Name != "net.conv.weight" {
		t.Errorf("the first entry is %s", p[0].Name)
	}
}

func TestFitListsEveryMismatchWithNamesAndShapes(t *testing.T) {
	f := read(t, "bare_zip.pth")
	f.States[0].Name = "stem.weight" // conv.weight is missing, stem.weight unexpected
	_, err := f.Fit(smallNet(t, "", 4))
	var bad *MismatchError
	if !errors.As(err, &bad) {
		t.Fatalf("the error is %v", err)
	}
	if len(bad.Missing) != 1 || len(bad.Unexpected) != 1 || len(bad.WrongShape) != 5 {
		t.Errorf("missing %v, unexpected %v, wrong shape %v", bad.Missing, bad.Unexpected, bad.WrongShape)
	}
	for _, line := range []string{
		"the checkpoint (8 entries) does not fit small (8 entries)",
		"missing from the checkpoint:\n    conv.weight 4×2×3×3\n",
		"unknown to the network:\n    stem.weight 3×2×3×3\n",
		"of another shape:\n    bn.weight: 3 in the checkpoint, 4 in the network\n",
		"fc.weight: 2×3 in the checkpoint, 2×4 in the network",
	} {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("%q is not in:\n%v", line, err)
		}
	}
}

func TestOnlyNamesThatReplacementsMendAreRenamed(t *testing.T) {
	for _, c := range []struct {
		old, new string // in the file's names
		want     string
	}{
		{"fc.", "linear.", "[[linear. fc.]]"},
		{"conv.", "stem.0.conv.", "[[stem.0. ]]"},
		{"bn.", "norms.0.", "[[norms.0. bn.]]"},
		{"weight", "kernel", "[[kernel weight]]"},
		{"", "", "[]"},
		{"fc.weight", "weight", "[]"},    // nothing to replace
		{"conv.weight", "bn.bias", "[]"}, // two entries of one name
	} {
		f := read(t, "bare_zip.pth")
		for i := range f.States {
			f.States[i].Name = strings.Replace(f.States[i].Name, c.old, c.new, 1)
		}
		if got := fmt.Sprint(f.Renaming(smallNet(t, "", 3))); got != c.want {
			t.Errorf("%q for %q: %s, want %s", c.new, c.old, got, c.want)
		}
	}
	if got := read(t, "bare_zip.pth").Renaming(smallNet(t, "", 4)); got != nil {
		t.Errorf("other shapes: %v", got)
	}
}

func TestLongListsOfMismatchesAreCut(t *testing.T) {
	f := &File{}
	for i := range 100 {
		f.States = append(f.States, nn.Tensor{Name: fmt.Sprint("x", i), Shape: nn.Shape{1}, Data: []float32{0}})
	}
	_, err := f.Fit(smallNet(t, "", 3))
	if err == nil || !strings.Contains(err.Error(), "x19 1\n    … and 80 more") || strings.Contains(err.Error(), "x20") {
		t.Errorf("the error is %v", err)
	}
}
