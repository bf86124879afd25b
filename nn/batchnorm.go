package nn

import "fmt"

// BatchNorm is PyTorch's BatchNorm1d over (D) or BatchNorm2d over (C, H, W), in eval mode:
//
//	out[c] = (in[c] − running_mean[c]) / √(running_var[c] + Eps) · weight[c] + bias[c]
//
// A running variance under −Eps gives NaN, as it should.
type BatchNorm struct{ Eps float64 }

func (n BatchNorm) Kind() string { return "batchnorm" }

func (n BatchNorm) Shape(in []Shape) (Shape, error) {
	if len(in) != 1 || len(in[0]) != 1 && len(in[0]) != 3 {
		return nil, fmt.Errorf("needs one input of channels or channels×height×width, not %v", in)
	}
	return in[0], nil
}

func (n BatchNorm) Entries(in []Shape) []Entry {
	c := Shape{in[0][0]}
	return []Entry{
		{Name: "weight", Shape: c},
		{Name: "bias", Shape: c},
		{Name: "running_mean", Shape: c, Role: RunningMean},
		{Name: "running_var", Shape: c, Role: RunningVar},
		{Name: "num_batches_tracked", Shape: Shape{}, Role: BatchCounter},
	}
}

func (n BatchNorm) MACs([]Shape) int64 { return 0 }
