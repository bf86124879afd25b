package ref

import (
	"math"

	"lsrun/nn"
)

type batchNorm struct{ nn.BatchNorm }

func (b batchNorm) forward(out tensor, in []tensor, entries [][]float64) {
	weight, bias, mean, variance := entries[0], entries[1], entries[2], entries[3]
	for c := range out.shape[0] {
		scale := weight[c] / math.Sqrt(variance[c]+b.Eps)
		dst := out.channel(c)
		for k, v := range in[0].channel(c) {
			dst[k] = float64((v-mean[c])*scale) + bias[c]
		}
	}
}
