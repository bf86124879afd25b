package ref

import "lsrun/nn"

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

// eachWindow calls f for every element k of the output, with the elements of the input that
// lie in its window, row by row, and their number with padding.
func (s spans) eachWindow(out, in nn.Shape, f func(k int, window []int, padded int)) {
	var window []int
	k := 0
	for c := range out[0] {
		for i := range out[1] {
			rows := s(0, i, in[1], out[1])
			for j := range out[2] {
				columns := s(1, j, in[2], out[2])
				window = window[:0]
				for y := rows.from; y < rows.to; y++ {
					for x := columns.from; x < columns.to; x++ {
						window = append(window, (c*in[1]+y)*in[2]+x)
					}
				}
				f(k, window, rows.padded*columns.padded)
				k++
			}
		}
	}
}

type maxPool[N number] struct{ spans }

func (p maxPool[N]) forward(out tensor[N], in, _ []tensor[N]) {
	p.eachWindow(out.shape, in[0].shape, func(k int, window []int, _ int) {
		out.data[k] = in[0].data[largest(in[0].data, window)]
	})
}

func (p maxPool[N]) backward(out tensor[N], in, _ []tensor[N]) {
	p.eachWindow(out.shape, in[0].shape, func(k int, window []int, _ int) {
		in[0].adjoint[largest(in[0].data, window)] += out.adjoint[k]
	})
}

// largest is the place of the largest value in the window, the first of equals; NaN is
// larger than any number.
func largest[N number](data []N, window []int) int {
	best := window[0]
	for _, k := range window[1:] {
		top, v := value(data[best]), value(data[k])
		if v > top || v != v && top == top {
			best = k
		}
	}
	return best
}

type avgPool[N number] struct {
	spans
	countPad bool
}

func (p avgPool[N]) forward(out tensor[N], in, _ []tensor[N]) {
	p.eachWindow(out.shape, in[0].shape, func(k int, window []int, padded int) {
		var sum N
		for _, i := range window {
			sum += in[0].data[i]
		}
		out.data[k] = over(sum, p.divisor(window, padded))
	})
}

func (p avgPool[N]) backward(out tensor[N], in, _ []tensor[N]) {
	p.eachWindow(out.shape, in[0].shape, func(k int, window []int, padded int) {
		for _, i := range window {
			in[0].adjoint[i] += over(out.adjoint[k], p.divisor(window, padded))
		}
	})
}

func (p avgPool[N]) divisor(window []int, padded int) float64 {
	if p.countPad {
		return float64(padded)
	}
	return float64(len(window))
}
