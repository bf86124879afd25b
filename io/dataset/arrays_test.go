package dataset

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lsrun/nn"
	"lsrun/shard"
)

func pixels(dims ...int) Array {
	return Array{Shape: dims, Bytes: make([]uint8, nn.Shape(dims).Size())}
}

func classes(values ...int64) Array { return Array{Shape: []int{len(values)}, Ints: values} }

func TestArraysOfTwoToFourAxesAreImages(t *testing.T) {
	for _, c := range []struct{ array, image []int }{
		{[]int{1, 7}, []int{7}},
		{[]int{1, 8, 9}, []int{1, 8, 9}},
		{[]int{1, 3, 8, 9}, []int{3, 8, 9}},
		{[]int{1, 16, 3, 3}, []int{16, 3, 3}},
		{[]int{1, 3, 2, 1}, []int{3, 2, 1}},
	} {
		set, err := FromArrays("t", map[string]Array{"X": pixels(c.array...), "y": classes(2)})
		if err != nil {
			t.Errorf("%v: %v", c.array, err)
		} else if !slices.Equal(set.Shape, c.image) || set.Classes != 3 || set.Test != nil {
			t.Errorf("%v are %d classes of %v", c.array, set.Classes, set.Shape)
		}
	}
}

func TestArraysThatMakeNoSetAreRefused(t *testing.T) {
	nan := Array{Shape: []int{3, 2}, Floats: []float32{0, 0, 0, float32(math.NaN()), 0, 0}}
	inf := Array{Shape: []int{1, 1}, Floats: []float32{float32(math.Inf(-1))}}
	for _, c := range []struct {
		says   string
		arrays map[string]Array
	}{
		{"neither training nor test images", map[string]Array{}},
		{"X and y go together, but it holds X", map[string]Array{"X": pixels(1, 2)}},
		{"X_test and y_test go together, but it holds y_test", map[string]Array{"y_test": classes(1)}},
		{"X holds 2 images, but y 3 labels", map[string]Array{"X": pixels(2, 2), "y": classes(1, 2, 3)}},
		{"save X.transpose(0, 3, 1, 2)", map[string]Array{"X": pixels(1, 8, 9, 3), "y": classes(0)}},
		{"save X.transpose(0, 3, 1, 2)", map[string]Array{"X": pixels(1, 32, 32, 1), "y": classes(0)}},
		{"images×channels×height×width", map[string]Array{"X": pixels(5), "y": classes(0)}},
		{"not uint8", map[string]Array{"X": {Shape: []int{1, 2}, Ints: []int64{1, 2}}, "y": classes(0)}},
		{"y.argmax(1)", map[string]Array{"X": pixels(1, 2), "y": pixels(1, 10)}},
		{"y holds floats", map[string]Array{"X": pixels(1, 2), "y": {Shape: []int{1}, Floats: []float32{1}}}},
		{"the label -1 at 1", map[string]Array{"X": pixels(2, 2), "y": classes(1, -1)}},
		{"the label 4294967296 at 0", map[string]Array{"X": pixels(1, 2), "y": classes(1 << 32)}},
		{"those of X_test 3", map[string]Array{"X": pixels(1, 2), "y": classes(0), "X_test": pixels(1, 3), "y_test": classes(0)}},
		{"one is uint8", map[string]Array{"X": pixels(1, 1), "y": classes(0), "X_test": {Shape: []int{1, 1}, Floats: []float32{0}}, "y_test": classes(0)}},
		{"image 1 holds NaN", map[string]Array{"X": nan, "y": classes(0, 0, 0)}},
		{"image 0 holds -Inf", map[string]Array{"X": inf, "y": classes(0)}},
		{"no images", map[string]Array{"X": pixels(0, 2), "y": classes()}},
		{"no images", map[string]Array{"X": pixels(1, 0), "y": classes(0)}},
	} {
		if _, err := FromArrays("t", c.arrays); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, which does not say %q", err, c.says)
		}
	}
}

func TestTheDigestSeesPixelsLabelsOrderTypeAndPart(t *testing.T) {
	one, zero := Array{Shape: []int{2, 1}, Bytes: []uint8{1, 0}}, Array{Shape: []int{2, 1}, Bytes: []uint8{0, 1}}
	digests := map[string]bool{}
	for _, arrays := range []map[string]Array{
		{"X": one, "y": classes(0, 1)},
		{"X": zero, "y": classes(0, 1)},
		{"X": one, "y": classes(1, 0)},
		{"X_test": one, "y_test": classes(0, 1)},
		{"X": {Shape: []int{2, 1, 1}, Bytes: []uint8{1, 0}}, "y": classes(0, 1)},
		{"X": {Shape: []int{2, 1}, Floats: []float32{1, 0}}, "y": classes(0, 1)},
	} {
		set, err := FromArrays("t", arrays)
		if err != nil {
			t.Fatal(err)
		}
		digests[set.SHA256] = true
	}
	if len(digests) != 6 {
		t.Errorf("six sets have %d digests", len(digests))
	}
}

func TestLabelFilesAreTextOrArrays(t *testing.T) {
	folder := python(t, "np.save('l', np.array([3, 0, 7], dtype='>i2')); np.save('m', np.array([0, -1])); np.save('f', np.zeros(2))")
	in := func(name, text string) string {
		path := filepath.Join(folder, name)
		if text != "" {
			write(t, path, []byte(text))
		}
		return path
	}
	for _, path := range []string{in("l.npy", ""), in("plain", "3\n0\n7"), in("windows", "3\r\n0\r\n7\r\n\r\n"), in("spaces", " 3\n0 \n7\n\n")} {
		if got, err := ReadLabels(path); err != nil || !slices.Equal(got, []int32{3, 0, 7}) {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	for _, c := range []struct{ path, says string }{
		{in("m.npy", ""), "label -1 at 1"},
		{in("f.npy", ""), "holds floats"},
		{in("words", "1\ncat\n"), `line 2 is "cat"`},
		{in("gap", "1\n\n2\n"), `line 2 is ""`},
		{in("empty", "\n"), "no labels"},
		{in("negative", "1\n-2\n"), "label -2 at 1"},
	} {
		if _, err := ReadLabels(c.path); !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, which does not say %q", err, c.says)
		}
	}
}
