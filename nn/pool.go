package nn

import "fmt"

// Window is the geometry of a pooling operation, as in PyTorch.
type Window struct {
	Kernel [2]int // height, width
	Stride [2]int
	Pad    [2]int
	Ceil   bool // ceil_mode: a last window may hang over, but must start inside the padded picture's left part
}

// Square is a window of kernel×kernel.
func Square(kernel, stride, pad int) Window {
	return Window{Kernel: [2]int{kernel, kernel}, Stride: [2]int{stride, stride}, Pad: [2]int{pad, pad}}
}

func (w Window) Entries([]Shape) []Entry { return nil }
func (w Window) MACs([]Shape) int64      { return 0 }

func (w Window) Shape(in []Shape) (Shape, error) {
	s, err := picture(in)
	if err != nil {
		return nil, err
	}
	out := Shape{s[0], 0, 0}
	for a := range 2 {
		if 2*w.Pad[a] > w.Kernel[a] {
			return nil, fmt.Errorf("a padding of %d is more than half the window of %d", w.Pad[a], w.Kernel[a])
		}
		span := s[1+a] + 2*w.Pad[a] - w.Kernel[a]
		if span < 0 {
			return nil, fmt.Errorf("a window of %v does not fit %v", Shape(w.Kernel[:]), s)
		}
		n := span/w.Stride[a] + 1
		if w.Ceil && span%w.Stride[a] != 0 && n*w.Stride[a] < s[1+a]+w.Pad[a] {
			n++
		}
		out[1+a] = n
	}
	return out, nil
}

// MaxPool is the largest value in each window; padding never wins, NaN always does.
type MaxPool struct{ Window }

// AvgPool is the mean of each window. The divisor counts padding if CountPad (PyTorch's
// default) but never what hangs over the padded picture.
type AvgPool struct {
	Window
	CountPad bool
}

func (MaxPool) Kind() string { return "maxpool" }
func (AvgPool) Kind() string { return "avgpool" }

// AdaptiveAvgPool is the mean over windows [⌊i·H/Out⌋, ⌈(i+1)·H/Out⌉) that cut the picture
// into Out[0]×Out[1]; Out = 1×1 is global pooling.
type AdaptiveAvgPool struct{ Out [2]int }

// AdaptiveMaxPool is the largest value over the windows of AdaptiveAvgPool.
type AdaptiveMaxPool struct{ Out [2]int }

func (AdaptiveAvgPool) Kind() string { return "adaptiveavgpool" }
func (AdaptiveMaxPool) Kind() string { return "adaptivemaxpool" }

func (p AdaptiveAvgPool) Shape(in []Shape) (Shape, error) {
	s, err := picture(in)
	if err != nil {
		return nil, err
	}
	return Shape{s[0], p.Out[0], p.Out[1]}, nil
}
func (p AdaptiveAvgPool) Entries([]Shape) []Entry { return nil }
func (p AdaptiveAvgPool) MACs([]Shape) int64      { return 0 }

func (p AdaptiveMaxPool) Shape(in []Shape) (Shape, error) { return AdaptiveAvgPool(p).Shape(in) }
func (p AdaptiveMaxPool) Entries([]Shape) []Entry         { return nil }
func (p AdaptiveMaxPool) MACs([]Shape) int64              { return 0 }
