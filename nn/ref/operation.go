package ref

import "lsrun/nn"

// tensor is one image's activation or an entry of the network, row-major, with its
// derivative.
type tensor[N number] struct {
	shape   nn.Shape
	data    []N
	adjoint []N // ∂loss/∂data
}

func newTensor[N number](shape nn.Shape) tensor[N] {
	return tensor[N]{shape, make([]N, shape.Size()), make([]N, shape.Size())}
}

// channel is the part of t that belongs to index c of its first axis.
func (t tensor[N]) channel(c int) tensor[N] {
	size := len(t.data) / t.shape[0]
	return tensor[N]{t.shape[1:], t.data[c*size : (c+1)*size], t.adjoint[c*size : (c+1)*size]}
}

// operation is what the engine knows of an nn.Op: a function of its inputs and of its own
// entries, which come in the order of nn.Op.Entries.
type operation[N number] interface {
	// forward computes out's data. It overwrites all of it; it overlaps no input.
	forward(out tensor[N], in, entries []tensor[N])
	// backward adds to the adjoints of the inputs and of the learnable entries what out's
	// adjoint makes of them: the transposed derivative times it.
	backward(out tensor[N], in, entries []tensor[N])
}

func lower[N number](op nn.Op) operation[N] {
	switch op := op.(type) {
	case nn.Conv:
		return conv[N]{op}
	case nn.Linear:
		return linear[N]{op}
	case nn.BatchNorm:
		return batchNorm[N]{op}
	case nn.ReLU:
		return activation[N]{relu}
	case nn.SELU:
		return activation[N]{elu(nn.SELUScale, nn.SELUAlpha)}
	case nn.ELU:
		return activation[N]{elu(1, op.Alpha)}
	case nn.Tanh:
		return activation[N]{tanh}
	case nn.Sigmoid:
		return activation[N]{sigmoid}
	case nn.GELU:
		if op.Tanh {
			return activation[N]{geluTanh}
		}
		return activation[N]{gelu}
	case nn.MaxPool:
		return maxPool[N]{windows(op.Window)}
	case nn.AvgPool:
		return avgPool[N]{windows(op.Window), op.CountPad}
	case nn.AdaptiveMaxPool:
		return maxPool[N]{adaptiveWindows}
	case nn.AdaptiveAvgPool:
		return avgPool[N]{adaptiveWindows, false}
	case nn.Add:
		return add[N]{}
	case nn.Concat:
		return concat[N]{}
	case nn.Flatten, nn.Dropout, nn.AlphaDropout:
		return identity[N]{}
	case nn.Subsample:
		return subsample[N]{op}
	case nn.Softmax:
		return softmax[N]{}
	case nn.LogSoftmax:
		return logSoftmax[N]{}
	}
	panic("ref: unknown operation")
}
