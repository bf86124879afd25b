package ref

import (
	"math"

	"lsrun/nn"
)

// batchNorm is frozen: its running statistics are constants.
type batchNorm[N number] struct{ nn.BatchNorm }

func (b batchNorm[N]) forward(out tensor[N], in, entries []tensor[N]) {
	weight, bias, mean := entries[0].data, entries[1].data, entries[2].data
	for c := range out.shape[0] {
		scale := over(weight[c], b.deviation(entries, c))
		dst := out.channel(c).data
		for k, x := range in[0].channel(c).data {
			dst[k] = mul(x-mean[c], scale) + bias[c]
		}
	}
}

func (b batchNorm[N]) backward(out tensor[N], in, entries []tensor[N]) {
	weight, bias, mean := entries[0], entries[1], entries[2].data
	for c := range out.shape[0] {
		deviation := b.deviation(entries, c)
		x, adjoint := in[0].channel(c), out.channel(c).adjoint
		axpy(x.adjoint, over(weight.data[c], deviation), adjoint)
		for k, v := range adjoint {
			weight.adjoint[c] += over(mul(v, x.data[k]-mean[c]), deviation)
		}
		bias.adjoint[c] += sum(adjoint)
	}
}

func (b batchNorm[N]) deviation(entries []tensor[N], c int) float64 {
	return math.Sqrt(value(entries[3].data[c]) + b.Eps)
}
