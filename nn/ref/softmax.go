package ref

import "math"

// softmax normalises over the channels at each place of the picture.
type softmax struct{}

func (softmax) forward(out tensor, in []tensor, entries [][]float64) {
	logSoftmax{}.forward(out, in, entries)
	for k, v := range out.data {
		out.data[k] = math.Exp(v)
	}
}

type logSoftmax struct{}

func (logSoftmax) forward(out tensor, in []tensor, _ [][]float64) {
	x := in[0]
	places := len(x.data) / x.shape[0]
	for p := range places {
		top, sum := math.Inf(-1), 0.0
		for k := p; k < len(x.data); k += places {
			top = max(top, x.data[k])
		}
		for k := p; k < len(x.data); k += places {
			sum += math.Exp(x.data[k] - top)
		}
		for k := p; k < len(x.data); k += places {
			out.data[k] = x.data[k] - top - math.Log(sum)
		}
	}
}
