package ref

import (
	"math"

	"lsrun/nn"
)

// span is a range of rows or columns of the input: [from, to), inside the picture. Of a
// window that hangs over, padded is the extent with padding.
type span struct{ from, to, padded int }

// spans gives output i's range on axis a (0 rows, 1 columns) of n inputs and m outputs.
type spans func(a, i, n, m int) span

// windows are those of an ordinary pooling.
func windows(w nn.Window) spans {
	return func(a, i, n, _ int) span {
		from := i*w.Stride[a] - w.Pad[a]
		to := min(from+w.Kernel[a], n+w.Pad[a])
		return span{max(from, 0), min(to, n), to - from}
	}
}

// adaptiveWindows cut the picture into m parts that may share a row or column.
func adaptiveWindows(_, i, n, m int) span {
	from, to := i*n/m, ((i+1)*n+m-1)/m
	return span{from, to, to - from}
}

// eachWindow sets every element of out to f of its window: channel is the picture that
// the window lies in, width wide.
func (s spans) eachWindow(out, in tensor, f func(channel []float64, width int, rows, columns span) float64) {
	height, width := in.shape[1], in.shape[2]
	for c := range out.shape[0] {
		channel, dst := in.channel(c), out.channel(c)
		for y := range out.shape[1] {
			rows := s(0, y, height, out.shape[1])
			for x := range out.shape[2] {
				columns := s(1, x, width, out.shape[2])
				dst[y*out.shape[2]+x] = f(channel, width, rows, columns)
			}
		}
	}
}

type maxPool struct{ spans }

func (p maxPool) forward(out tensor, in []tensor, _ [][]float64) {
	p.eachWindow(out, in[0], func(channel []float64, width int, rows, columns span) float64 {
		top := math.Inf(-1)
		for y := rows.from; y < rows.to; y++ {
			for x := columns.from; x < columns.to; x++ {
				top = max(top, channel[y*width+x]) // NaN if either is
			}
		}
		return top
	})
}

type avgPool struct {
	spans
	op nn.AvgPool
}

func (p avgPool) forward(out tensor, in []tensor, _ [][]float64) {
	p.eachWindow(out, in[0], func(channel []float64, width int, rows, columns span) float64 {
		sum, count := sumWindow(channel, width, rows, columns)
		if p.op.CountPad {
			count = rows.padded * columns.padded
		}
		return sum / float64(count)
	})
}

type adaptiveAvgPool struct{}

func (adaptiveAvgPool) forward(out tensor, in []tensor, _ [][]float64) {
	spans(adaptiveWindows).eachWindow(out, in[0], func(channel []float64, width int, rows, columns span) float64 {
		sum, count := sumWindow(channel, width, rows, columns)
		return sum / float64(count)
	})
}

func sumWindow(channel []float64, width int, rows, columns span) (sum float64, count int) {
	for y := rows.from; y < rows.to; y++ {
		for x := columns.from; x < columns.to; x++ {
			sum += channel[y*width+x]
			count++
		}
	}
	return sum, count
}
