package nn

import "fmt"

// Linear is PyTorch's Linear over (D): out[o] = bias[o] + Σ_d weight[o, d] · in[d].
type Linear struct {
	Out  int
	Bias bool
}

func (l Linear) Kind() string { return "linear" }

func (l Linear) Shape(in []Shape) (Shape, error) {
	if len(in) != 1 || len(in[0]) != 1 {
		return nil, fmt.Errorf("needs one flat input, not %v", in)
	}
	return Shape{l.Out}, nil
}

func (l Linear) Entries(in []Shape) []Entry {
	entries := []Entry{{Name: "weight", Shape: Shape{l.Out, in[0][0]}}}
	if l.Bias {
		entries = append(entries, Entry{Name: "bias", Shape: Shape{l.Out}})
	}
	return entries
}

func (l Linear) MACs(in []Shape) int64 { return int64(l.Out) * int64(in[0].Size()) }
