package ref

import "lsrun/nn"

type conv[N number] struct{ nn.Conv }

func (c conv[N]) forward(out tensor[N], in, entries []tensor[N]) {
	clear(out.data)
	if c.Bias {
		for o, b := range entries[1].data {
			fill(out.channel(o).data, b)
		}
	}
	seen := make([]N, out.shape[1]*out.shape[2])
	c.eachTap(out, in[0], func(t tap[N]) {
		gather(seen, t.channel.data, t.places)
		for o := t.from; o < t.to; o++ {
			axpy(out.channel(o).data, entries[0].data[o*t.taps+t.index], seen)
		}
	})
}

func (c conv[N]) backward(out tensor[N], in, entries []tensor[N]) {
	if c.Bias {
		for o := range c.Out {
			entries[1].adjoint[o] += sum(out.channel(o).adjoint)
		}
	}
	weight := entries[0]
	seen := make([]N, out.shape[1]*out.shape[2])
	seenAdjoint := make([]N, len(seen))
	c.eachTap(out, in[0], func(t tap[N]) {
		gather(seen, t.channel.data, t.places)
		clear(seenAdjoint)
		for o := t.from; o < t.to; o++ {
			adjoint := out.channel(o).adjoint
			weight.adjoint[o*t.taps+t.index] += dot(seen, adjoint)
			axpy(seenAdjoint, weight.data[o*t.taps+t.index], adjoint)
		}
		scatter(t.channel.adjoint, seenAdjoint, t.places)
	})
}

// tap is one element of the kernels of a group, index = (c·kh + i)·kw + j of taps, and what
// it meets.
type tap[N number] struct {
	index, taps int
	from, to    int       // the output channels of the group: from, …, to−1
	channel     tensor[N] // of the input
	places      []int     // places[k]: what is seen from the output's place k; −1 outside the picture
}

func (c conv[N]) eachTap(out, in tensor[N], f func(tap[N])) {
	kh, kw := c.Kernel[0], c.Kernel[1]
	channels := in.shape[0] / c.Groups
	outputs := c.Out / c.Groups
	places := make([]int, out.shape[1]*out.shape[2])
	for index := range channels * kh * kw {
		c.see(places, out.shape, in.shape, index/kw%kh, index%kw)
		for g := range c.Groups {
			f(tap[N]{index, channels * kh * kw, g * outputs, (g + 1) * outputs,
				in.channel(g*channels + index/(kh*kw)), places})
		}
	}
}

// see fills places for row i and column j of the kernel.
func (c conv[N]) see(places []int, out, in nn.Shape, i, j int) {
	for k := range places {
		y := k/out[2]*c.Stride[0] + i*c.Dilation[0] - c.Pad[0]
		x := k%out[2]*c.Stride[1] + j*c.Dilation[1] - c.Pad[1]
		if y < 0 || y >= in[1] || x < 0 || x >= in[2] {
			places[k] = -1
		} else {
			places[k] = y*in[2] + x
		}
	}
}

func fill[N number](dst []N, v N) {
	for k := range dst {
		dst[k] = v
	}
}
