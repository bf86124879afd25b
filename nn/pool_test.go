package nn_test

import (
	"testing"

	"lsrun/nn"
)

// The output sizes are those of PyTorch's max_pool2d.
func TestPoolsHaveTheSizesOfPyTorch(t *testing.T) {
	for _, c := range []struct {
		n, kernel, stride, pad int
		ceil                   bool
		want                   int
	}{
		{7, 2, 2, 0, false, 3},
		{7, 2, 2, 0, true, 4},
		{8, 3, 2, 0, true, 4},
		{8, 3, 2, 1, true, 5},
		{6, 3, 2, 1, true, 4},
		{9, 2, 3, 1, true, 4},
		{10, 2, 3, 1, true, 4},
		{6, 3, 4, 1, true, 2},
		{11, 3, 4, 1, true, 3},
		{5, 4, 3, 2, true, 3},
		{9, 4, 3, 2, true, 4},
		{7, 2, 4, 1, true, 2},
		{3, 2, 2, 1, true, 2}, // a third window would start in the padding on the right
		{4, 1, 3, 0, true, 2},
	} {
		w := nn.Square(c.kernel, c.stride, c.pad)
		w.Ceil = c.ceil
		got, err := nn.MaxPool{Window: w}.Shape([]nn.Shape{{5, c.n, c.n}})
		if want := (nn.Shape{5, c.want, c.want}); err != nil || !got.Equal(want) {
			t.Errorf("%+v on %d: %v and error %v, PyTorch has %v", w, c.n, got, err, want)
		}
	}
}

func TestConvolutionsHaveTheSizesOfPyTorch(t *testing.T) {
	for _, c := range []struct {
		conv nn.Conv
		want nn.Shape
	}{
		{nn.Conv2d(4, 3, 1, 1), nn.Shape{4, 9, 6}},
		{nn.Conv2d(4, 3, 2, 1), nn.Shape{4, 5, 3}},
		{nn.Conv2d(4, 1, 2, 0), nn.Shape{4, 5, 3}},
		{nn.Conv2d(4, 6, 1, 0), nn.Shape{4, 4, 1}},
		{nn.Conv{Out: 2, Kernel: [2]int{3, 2}, Stride: [2]int{2, 3}, Pad: [2]int{0, 2}, Dilation: [2]int{3, 4}, Groups: 2}, nn.Shape{2, 2, 2}},
	} {
		got, err := c.conv.Shape([]nn.Shape{{2, 9, 6}})
		if err != nil || !got.Equal(c.want) {
			t.Errorf("%+v: %v and error %v, not %v", c.conv, got, err, c.want)
		}
	}
}
