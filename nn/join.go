package nn

import "fmt"

// Add is the sum of its inputs, all of one shape.
type Add struct{}

func (Add) Kind() string { return "add" }

func (Add) Shape(in []Shape) (Shape, error) {
	if len(in) < 2 {
		return nil, fmt.Errorf("needs at least two inputs, not %d", len(in))
	}
	for _, s := range in[1:] {
		if !s.Equal(in[0]) {
			return nil, fmt.Errorf("cannot add %v and %v", in[0], s)
		}
	}
	return in[0], nil
}
func (Add) Entries([]Shape) []Entry { return nil }
func (Add) MACs([]Shape) int64      { return 0 }

// Concat joins its inputs along the channels, in order.
type Concat struct{}

func (Concat) Kind() string { return "concat" }

func (Concat) Shape(in []Shape) (Shape, error) {
	if len(in) < 2 {
		return nil, fmt.Errorf("needs at least two inputs, not %d", len(in))
	}
	out := append(Shape{}, in[0]...)
	for _, s := range in[1:] {
		if len(s) != len(out) || !s[1:].Equal(out[1:]) {
			return nil, fmt.Errorf("cannot join %v and %v along the channels", in[0], s)
		}
		out[0] += s[0]
	}
	return out, nil
}
func (Concat) Entries([]Shape) []Entry { return nil }
func (Concat) MACs([]Shape) int64      { return 0 }

// Flatten turns (C, H, W) into (C·H·W), row-major.
type Flatten struct{}

func (Flatten) Kind() string { return "flatten" }

func (Flatten) Shape(in []Shape) (Shape, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("needs one input, not %d", len(in))
	}
	return Shape{in[0].Size()}, nil
}
func (Flatten) Entries([]Shape) []Entry { return nil }
func (Flatten) MACs([]Shape) int64      { return 0 }

// Subsample is the parameter-free shortcut of He et al. 2016 (option A): every Stride-th
// row and column, starting at 0, with zero channels put around the old ones so that there
// are Out of them, (Out−C)/2 (rounded down) in front.
type Subsample struct{ Out, Stride int }

func (Subsample) Kind() string { return "subsample" }

func (s Subsample) Shape(in []Shape) (Shape, error) {
	p, err := picture(in)
	if err != nil {
		return nil, err
	}
	if s.Out < p[0] {
		return nil, fmt.Errorf("cannot pad %d channels to %d", p[0], s.Out)
	}
	return Shape{s.Out, (p[1] + s.Stride - 1) / s.Stride, (p[2] + s.Stride - 1) / s.Stride}, nil
}
func (Subsample) Entries([]Shape) []Entry { return nil }
func (Subsample) MACs([]Shape) int64      { return 0 }
