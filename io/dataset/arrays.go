package dataset

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"lsrun/nn"
	"lsrun/shard"
)

// ArrayNames are the arrays that make a data set: pixels X and labels y of the training
// set, X_test and y_test of the test set.
var ArrayNames = []string{"X", "y", "X_test", "y_test"}

// FromArrays makes a data set of the arrays ArrayNames, wherever they come from; other
// arrays are ignored. X is N×C×H×W, N×H×W (one channel: a network takes no other images of
// two axes) or N×D, of uint8 or floats; y is N or N×1 integers. The set owns the arrays.
func FromArrays(name string, arrays map[string]Array) (*Set, error) {
	set := &Set{Name: name}
	for _, p := range []struct {
		x, y string
		part **Part
	}{{"X", "y", &set.Train}, {"X_test", "y_test", &set.Test}} {
		x, hasX := arrays[p.x]
		y, hasY := arrays[p.y]
		if !hasX && !hasY {
			continue
		}
		if !hasX || !hasY {
			return nil, fmt.Errorf("%s and %s go together, but it holds %s", p.x, p.y, few(slices.Sorted(maps.Keys(arrays))))
		}
		shape, err := imageShape(x)
		if err != nil {
			return nil, fmt.Errorf("%s %w", p.x, err)
		}
		labels, err := labelsOf(y)
		if err != nil {
			return nil, fmt.Errorf("%w: %s %w", shard.ErrCorrupt, p.y, err)
		}
		if len(labels) != x.Shape[0] {
			return nil, fmt.Errorf("%w: %s holds %d images, but %s %d labels", shard.ErrCorrupt, p.x, x.Shape[0], p.y, len(labels))
		}
		if set.Shape != nil && !set.Shape.Equal(shape) {
			return nil, fmt.Errorf("the images of X are %v, those of X_test %v", set.Shape, shape)
		}
		set.Shape = shape
		*p.part = &Part{Bytes: x.Bytes, Floats: x.Floats, Labels: labels}
	}
	if set.Train != nil && set.Test != nil && (set.Train.Bytes == nil) != (set.Test.Bytes == nil) {
		return nil, errors.New("of X and X_test one is uint8 and the other floats: save both alike, or they would be scaled differently")
	}
	return set.finish()
}

// imageShape is the shape of one image.
func imageShape(x Array) (nn.Shape, error) {
	if x.Bytes == nil && x.Floats == nil {
		return nil, errors.New("holds integers that are not uint8: save it as uint8, to be scaled to [0, 1], or as float32, to be taken as it is")
	}
	d := x.Shape
	switch len(d) {
	case 2:
		return nn.Shape{d[1]}, nil
	case 3:
		return nn.Shape{1, d[1], d[2]}, nil
	case 4:
		coloured := func(n int) bool { return n == 1 || n == 3 }
		if coloured(d[3]) && !coloured(d[1]) && d[2] != d[3] {
			return nil, fmt.Errorf("has shape %v, channels last: save X.transpose(0, 3, 1, 2)", nn.Shape(d))
		}
		return nn.Shape{d[1], d[2], d[3]}, nil
	}
	return nil, fmt.Errorf("has shape %v: it must be images×channels×height×width, images×height×width or images×values", nn.Shape(d))
}

// labelsOf takes a vector or a column of integers.
func labelsOf(y Array) ([]int32, error) {
	if len(y.Shape) != 1 && !(len(y.Shape) == 2 && y.Shape[1] == 1) {
		return nil, fmt.Errorf("has shape %v: it must be a vector of class numbers (of one-hot rows save y.argmax(1))", nn.Shape(y.Shape))
	}
	values, err := y.integers()
	if err != nil {
		return nil, err
	}
	return toLabels(values)
}

// integers are the values of an array of integers of any width.
func (a Array) integers() ([]int64, error) {
	switch {
	case a.Floats != nil:
		return nil, errors.New("holds floats: save integers, y.astype('int64')")
	case a.Bytes == nil:
		return a.Ints, nil
	}
	values := make([]int64, len(a.Bytes))
	for i, b := range a.Bytes {
		values[i] = int64(b)
	}
	return values, nil
}

func toLabels(values []int64) ([]int32, error) {
	labels := make([]int32, len(values))
	for i, v := range values {
		if v < 0 || v >= math.MaxInt32 {
			return nil, fmt.Errorf("has the label %d at %d: labels count from 0", v, i)
		}
		labels[i] = int32(v)
	}
	return labels, nil
}
