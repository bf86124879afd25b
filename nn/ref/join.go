package ref

import "lsrun/nn"

type add[N number] struct{}

func (add[N]) forward(out tensor[N], in, _ []tensor[N]) {
	copy(out.data, in[0].data)
	for _, t := range in[1:] {
		plus(out.data, t.data)
	}
}

func (add[N]) backward(out tensor[N], in, _ []tensor[N]) {
	for _, t := range in {
		plus(t.adjoint, out.adjoint)
	}
}

type concat[N number] struct{}

func (concat[N]) forward(out tensor[N], in, _ []tensor[N]) {
	rest := out.data
	for _, t := range in {
		rest = rest[copy(rest, t.data):]
	}
}

func (concat[N]) backward(out tensor[N], in, _ []tensor[N]) {
	rest := out.adjoint
	for _, t := range in {
		plus(t.adjoint, rest[:len(t.adjoint)])
		rest = rest[len(t.adjoint):]
	}
}

// identity is what flatten and the dropouts are to row-major data in evaluation.
type identity[N number] struct{}

func (identity[N]) forward(out tensor[N], in, _ []tensor[N])  { copy(out.data, in[0].data) }
func (identity[N]) backward(out tensor[N], in, _ []tensor[N]) { plus(in[0].adjoint, out.adjoint) }

type subsample[N number] struct{ nn.Subsample }

func (s subsample[N]) forward(out tensor[N], in, _ []tensor[N]) {
	clear(out.data)
	s.eachChannel(out, in[0], func(dst, src tensor[N], places []int) { gather(dst.data, src.data, places) })
}

func (s subsample[N]) backward(out tensor[N], in, _ []tensor[N]) {
	s.eachChannel(out, in[0], func(dst, src tensor[N], places []int) { scatter(src.adjoint, dst.adjoint, places) })
}

// eachChannel calls f with every channel of the input, the one that it becomes, and the
// places that are kept of it.
func (s subsample[N]) eachChannel(out, in tensor[N], f func(dst, src tensor[N], places []int)) {
	places := make([]int, out.shape[1]*out.shape[2])
	for k := range places {
		y, x := k/out.shape[2], k%out.shape[2]
		places[k] = y*s.Stride*in.shape[2] + x*s.Stride
	}
	before := (s.Out - in.shape[0]) / 2
	for c := range in.shape[0] {
		f(out.channel(before+c), in.channel(c), places)
	}
}
