package ref

import "lsrun/nn"

type linear struct{ nn.Linear }

func (l linear) forward(out tensor, in []tensor, entries [][]float64) {
	x := in[0].data
	for o := range out.data {
		sum := 0.0
		for d, w := range entries[0][o*len(x) : (o+1)*len(x)] {
			sum += float64(w * x[d])
		}
		if l.Bias {
			sum += entries[1][o]
		}
		out.data[o] = sum
	}
}
