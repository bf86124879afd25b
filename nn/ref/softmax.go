package ref

import "math"

// softmax normalises over the channels at each place of the picture.
type softmax[N number] struct{}

func (softmax[N]) forward(out tensor[N], in, entries []tensor[N]) {
	logSoftmax[N]{}.forward(out, in, entries)
	for k, v := range out.data {
		out.data[k] = exp(v)
	}
}

// backward is p∘(p̄ − p·p̄) for the probabilities p at a place.
func (softmax[N]) backward(out tensor[N], in, _ []tensor[N]) {
	eachPlace(out, func(channels []int) {
		var mean N
		for _, k := range channels {
			mean += mul(out.data[k], out.adjoint[k])
		}
		for _, k := range channels {
			in[0].adjoint[k] += mul(out.data[k], out.adjoint[k]-mean)
		}
	})
}

type logSoftmax[N number] struct{}

func (logSoftmax[N]) forward(out tensor[N], in, _ []tensor[N]) {
	x := in[0].data
	eachPlace(out, func(channels []int) {
		top := join[N](value(x[largest(x, channels)]), 0)
		var sum N
		for _, k := range channels {
			sum += exp(x[k] - top)
		}
		s := value(sum)
		for _, k := range channels {
			out.data[k] = x[k] - top - lift(sum, math.Log(s), 1/s)
		}
	})
}

// backward is l̄ − p·Σl̄ for the logarithms l of the probabilities p at a place.
func (logSoftmax[N]) backward(out tensor[N], in, _ []tensor[N]) {
	eachPlace(out, func(channels []int) {
		var sum N
		for _, k := range channels {
			sum += out.adjoint[k]
		}
		for _, k := range channels {
			in[0].adjoint[k] += out.adjoint[k] - mul(exp(out.data[k]), sum)
		}
	})
}

// eachPlace calls f for every place of the picture with the elements that lie there.
func eachPlace[N number](t tensor[N], f func(channels []int)) {
	places := len(t.data) / t.shape[0]
	channels := make([]int, t.shape[0])
	for p := range places {
		for c := range channels {
			channels[c] = c*places + p
		}
		f(channels)
	}
}

func exp[N number](x N) N {
	e := math.Exp(value(x))
	return lift(x, e, e)
}
