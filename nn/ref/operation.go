package ref

import (
	"math"

	"lsrun/nn"
)

// tensor is one image's activation, row-major.
type tensor struct {
	shape nn.Shape
	data  []float64
}

// channel is the part of t that belongs to index c of its first axis.
func (t tensor) channel(c int) []float64 {
	size := len(t.data) / t.shape[0]
	return t.data[c*size : (c+1)*size]
}

// operation is what the engine knows of an nn.Op.
type operation interface {
	// forward computes out from the inputs and the operation's own entries, in the order
	// of nn.Op.Entries. It overwrites all of out, which overlaps no input.
	forward(out tensor, in []tensor, entries [][]float64)
}

// lower finds the operation of each node.
func lower(g *nn.Graph) []operation {
	ops := make([]operation, len(g.Nodes))
	for n, node := range g.Nodes {
		if node.Op != nil {
			ops[n] = wrap(node.Op)
		}
	}
	return ops
}

func wrap(op nn.Op) operation {
	switch op := op.(type) {
	case nn.Conv:
		return conv{op}
	case nn.Linear:
		return linear{op}
	case nn.BatchNorm:
		return batchNorm{op}
	case nn.ReLU:
		return activation{relu}
	case nn.SELU:
		return activation{selu}
	case nn.ELU:
		return activation{elu(op.Alpha)}
	case nn.Tanh:
		return activation{math.Tanh}
	case nn.Sigmoid:
		return activation{sigmoid}
	case nn.GELU:
		if op.Tanh {
			return activation{geluTanh}
		}
		return activation{gelu}
	case nn.MaxPool:
		return maxPool{windows(op.Window)}
	case nn.AvgPool:
		return avgPool{windows(op.Window), op}
	case nn.AdaptiveMaxPool:
		return maxPool{adaptiveWindows}
	case nn.AdaptiveAvgPool:
		return adaptiveAvgPool{}
	case nn.Add:
		return add{}
	case nn.Concat:
		return concat{}
	case nn.Flatten, nn.Dropout, nn.AlphaDropout:
		return identity{}
	case nn.Subsample:
		return subsample{op}
	case nn.Softmax:
		return softmax{}
	case nn.LogSoftmax:
		return logSoftmax{}
	}
	panic("ref: unknown operation")
}
