package ref

import "lsrun/nn"

type conv struct{ nn.Conv }

func (c conv) forward(out tensor, in []tensor, entries [][]float64) {
	for o := range c.Out {
		bias := 0.0
		if c.Bias {
			bias = entries[1][o]
		}
		fill(out.channel(o), bias)
	}
	weight := entries[0]
	perGroup := in[0].shape[0] / c.Groups
	taps := perGroup * c.Kernel[0] * c.Kernel[1] // of one output channel
	seen := make([]float64, out.shape[1]*out.shape[2])
	for tap := range taps {
		for g := range c.Groups {
			c.see(seen, out.shape, in[0], g*perGroup, tap)
			for o := g * c.Out / c.Groups; o < (g+1)*c.Out/c.Groups; o++ {
				axpy(out.channel(o), weight[o*taps+tap], seen)
			}
		}
	}
}

// see fills seen, a picture of the output's size, with what tap (c·kh + i)·kw + j of a
// kernel over the input channels from first on sees at every place, zeros outside.
func (c conv) see(seen []float64, out nn.Shape, in tensor, first, tap int) {
	kh, kw := c.Kernel[0], c.Kernel[1]
	channel := in.channel(first + tap/(kh*kw))
	i, j := tap/kw%kh, tap%kw
	height, width := in.shape[1], in.shape[2]
	for y := range out[1] {
		row := seen[y*out[2] : (y+1)*out[2]]
		fromY := y*c.Stride[0] + i*c.Dilation[0] - c.Pad[0]
		if fromY < 0 || fromY >= height {
			clear(row)
			continue
		}
		from := channel[fromY*width : (fromY+1)*width]
		for x := range row {
			fromX := x*c.Stride[1] + j*c.Dilation[1] - c.Pad[1]
			if fromX < 0 || fromX >= width {
				row[x] = 0
			} else {
				row[x] = from[fromX]
			}
		}
	}
}

// axpy adds a·x to y.
func axpy(y []float64, a float64, x []float64) {
	y = y[:len(x)]
	for k, v := range x {
		y[k] += float64(a * v)
	}
}

func fill(dst []float64, v float64) {
	for k := range dst {
		dst[k] = v
	}
}
