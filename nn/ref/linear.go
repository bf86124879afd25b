package ref

import "lsrun/nn"

type linear[N number] struct{ nn.Linear }

func (l linear[N]) forward(out tensor[N], in, entries []tensor[N]) {
	for o := range l.Out {
		out.data[o] = dot(entries[0].channel(o).data, in[0].data)
		if l.Bias {
			out.data[o] += entries[1].data[o]
		}
	}
}

func (l linear[N]) backward(out tensor[N], in, entries []tensor[N]) {
	for o, v := range out.adjoint {
		row := entries[0].channel(o)
		axpy(row.adjoint, v, in[0].data)
		axpy(in[0].adjoint, v, row.data)
		if l.Bias {
			entries[1].adjoint[o] += v
		}
	}
}
