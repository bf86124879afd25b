package ref

import "lsrun/nn"

type add struct{}

func (add) forward(out tensor, in []tensor, _ [][]float64) {
	copy(out.data, in[0].data)
	for _, t := range in[1:] {
		axpy(out.data, 1, t.data)
	}
}

type concat struct{}

func (concat) forward(out tensor, in []tensor, _ [][]float64) {
	rest := out.data
	for _, t := range in {
		rest = rest[copy(rest, t.data):]
	}
}

// identity is what flatten and the dropouts are to row-major data in evaluation.
type identity struct{}

func (identity) forward(out tensor, in []tensor, _ [][]float64) { copy(out.data, in[0].data) }

type subsample struct{ nn.Subsample }

func (s subsample) forward(out tensor, in []tensor, _ [][]float64) {
	clear(out.data)
	before := (s.Out - in[0].shape[0]) / 2
	width := in[0].shape[2]
	for c := range in[0].shape[0] {
		src, dst := in[0].channel(c), out.channel(before+c)
		for k := range dst {
			y, x := k/out.shape[2], k%out.shape[2]
			dst[k] = src[y*s.Stride*width+x*s.Stride]
		}
	}
}
