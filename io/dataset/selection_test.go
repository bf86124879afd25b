package dataset

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lsrun/nn"
)

// numbered is a set whose image i has the pixel and the label i.
func numbered(n int) *Set {
	part := func() *Part {
		p := &Part{}
		for i := range n {
			p.Bytes = append(p.Bytes, uint8(i))
			p.Labels = append(p.Labels, int32(i))
		}
		return p
	}
	return &Set{Name: "numbered", Shape: nn.Shape{1}, Train: part(), Test: part()}
}

func trainLabels(t *testing.T, s *Set, sel Selection) []int32 {
	t.Helper()
	images, err := s.TrainImages(sel, Preprocess{})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range images.Labels {
		if sel.Labels == nil && images.Pixels[i] != float32(l)/255 {
			t.Fatalf("image %d has the label of another", i)
		}
	}
	return images.Labels
}

const drawInPython = `
import json
M = (1 << 64) - 1
def mix(z):
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & M
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & M
    return z ^ z >> 31
def draw(n, k, seed):
    rows = list(range(n))
    for i in range(k):
        j = i + mix((seed + (i + 1) * 0x9E3779B97F4A7C15) & M) * (n - i) // 2**64
        rows[i], rows[j] = rows[j], rows[i]
    return sorted(rows[:k])
json.dump([draw(200, 50, 1), draw(200, 50, 2**64 - 1)], open('rows', 'w'))
`

func TestASubsetIsDrawnAsDocumented(t *testing.T) {
	var want [][]int32
	if err := json.Unmarshal(readBytes(t, filepath.Join(python(t, drawInPython), "rows")), &want); err != nil {
		t.Fatal(err)
	}
	for i, seed := range []uint64{1, 1<<64 - 1} {
		if got := trainLabels(t, numbered(200), Selection{Subset: 50, Seed: seed}); !slices.Equal(got, want[i]) {
			t.Errorf("seed %d draws %v, not %v", seed, got, want[i])
		}
	}
}

func TestASubsetLargerThanTheSetIsTheSet(t *testing.T) {
	if got := trainLabels(t, numbered(5), Selection{Subset: 9, Seed: 3}); !slices.Equal(got, []int32{0, 1, 2, 3, 4}) {
		t.Error(got)
	}
}

func TestASubsetCutsTheTestSetTooButASplitDoesNot(t *testing.T) {
	images, err := numbered(10).TestImages(Selection{Splits: 5, Subset: 7}, Preprocess{})
	if err != nil || images.Len() != 7 || len(images.Pixels) != 7 {
		t.Errorf("%v, %v", images, err)
	}
}

func TestSplitsAreContiguousAndLoseNothing(t *testing.T) {
	var joined []int32
	for i, want := range [][]int32{{0, 1, 2}, {3, 4, 5}, {6, 7, 8, 9}} {
		got := trainLabels(t, numbered(10), Selection{Splits: 3, SplitIndex: i})
		if !slices.Equal(got, want) {
			t.Errorf("part %d is %v, not %v", i, got, want)
		}
		joined = append(joined, got...)
	}
	if len(joined) != 10 {
		t.Error(joined)
	}
}

func TestASubsetIsDrawnFromTheSplit(t *testing.T) {
	got := trainLabels(t, numbered(10), Selection{Splits: 2, SplitIndex: 1, Subset: 3})
	if len(got) != 3 || got[0] < 5 || !slices.IsSorted(got) {
		t.Error(got)
	}
}

func TestLabelsOfAFileReplaceThoseOfTheTrainingSet(t *testing.T) {
	set := numbered(4)
	sel := Selection{Labels: []int32{7, 8, 9, 6}, Splits: 2, SplitIndex: 1}
	if got := trainLabels(t, set, sel); !slices.Equal(got, []int32{9, 6}) {
		t.Error(got)
	}
	if got := trainLabels(t, set, Selection{}); !slices.Equal(got, []int32{0, 1, 2, 3}) {
		t.Errorf("the set itself was changed: %v", got)
	}
}

func TestImpossibleSelectionsAreRefused(t *testing.T) {
	for _, c := range []struct {
		sel  Selection
		says string
	}{
		{Selection{Splits: 11}, "cannot be cut into 11"},
		{Selection{Splits: -1}, "cannot be cut into -1"},
		{Selection{Splits: 2, SplitIndex: 2}, "no part 2 of 2"},
		{Selection{SplitIndex: 1}, "no part 1 of 1"},
		{Selection{SplitIndex: -1}, "no part -1"},
		{Selection{Subset: -5}, "a subset of -5"},
		{Selection{Labels: []int32{1}}, "1 labels are to replace those of 10"},
	} {
		if _, err := numbered(10).TrainImages(c.sel, Preprocess{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, which does not say %q", c.sel, err, c.says)
		}
	}
	if _, err := (&Set{Name: "half"}).TrainImages(Selection{}, Preprocess{}); err == nil {
		t.Error("a set without training images gave some")
	}
}
