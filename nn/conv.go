package nn

import "fmt"

// Conv is a two-dimensional cross-correlation over (C, H, W), PyTorch's Conv2d:
//
//	out[o, y, x] = bias[o] + Σ_{c,i,j} weight[o, c, i, j] · in[c', y·stride+i·dilation−pad, x·stride+j·dilation−pad]
//
// with zeros outside the picture. Output channel o of group g = o/(Out/Groups) sees the
// input channels c' = g·C/Groups + c, 0 ≤ c < C/Groups.
type Conv struct {
	Out      int    // output channels
	Kernel   [2]int // height, width
	Stride   [2]int
	Pad      [2]int
	Dilation [2]int
	Groups   int
	Bias     bool
}

// Conv2d is a square, ungrouped convolution without bias.
func Conv2d(out, kernel, stride, pad int) Conv {
	return Conv{Out: out, Kernel: [2]int{kernel, kernel}, Stride: [2]int{stride, stride},
		Pad: [2]int{pad, pad}, Dilation: [2]int{1, 1}, Groups: 1}
}

// WithBias is c with a bias.
func (c Conv) WithBias() Conv { c.Bias = true; return c }

func (c Conv) Kind() string { return "conv" }

func (c Conv) Shape(in []Shape) (Shape, error) {
	s, err := picture(in)
	if err != nil {
		return nil, err
	}
	if s[0]%c.Groups != 0 || c.Out%c.Groups != 0 {
		return nil, fmt.Errorf("%d groups do not divide %d input and %d output channels", c.Groups, s[0], c.Out)
	}
	out := Shape{c.Out, 0, 0}
	for a := range 2 {
		span := s[1+a] + 2*c.Pad[a] - c.Dilation[a]*(c.Kernel[a]-1) - 1
		if span < 0 {
			return nil, fmt.Errorf("a kernel of %v does not fit %v", Shape(c.Kernel[:]), s)
		}
		out[1+a] = span/c.Stride[a] + 1
	}
	return out, nil
}

func (c Conv) Entries(in []Shape) []Entry {
	entries := []Entry{{Name: "weight", Shape: Shape{c.Out, in[0][0] / c.Groups, c.Kernel[0], c.Kernel[1]}}}
	if c.Bias {
		entries = append(entries, Entry{Name: "bias", Shape: Shape{c.Out}})
	}
	return entries
}

func (c Conv) MACs(in []Shape) int64 {
	out, err := c.Shape(in)
	if err != nil {
		return 0
	}
	return int64(out.Size()) * int64(in[0][0]/c.Groups*c.Kernel[0]*c.Kernel[1])
}

// picture returns the only input's shape if it is (C, H, W).
func picture(in []Shape) (Shape, error) {
	if len(in) != 1 || len(in[0]) != 3 {
		return nil, fmt.Errorf("needs one input of channels×height×width, not %v", in)
	}
	return in[0], nil
}
