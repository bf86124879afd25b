package cpu

import (
	"math"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// lattice is every step-th row and column of a picture from first on.
type lattice struct {
	first [2]int
	step  int
}

// everyPixel is the lattice of all pixels.
var everyPixel = lattice{step: 1}

// extent is the number of rows and columns in p.
func (l lattice) extent(p *picture) (height, width int) {
	return (p.height - l.first[0] + l.step - 1) / l.step, (p.width - l.first[1] + l.step - 1) / l.step
}

// phased is the transpose of a convolution with a stride by Winograd's transforms: each phase of its outputs is the correlation with
// a piece of the weights, a small one with stride 1, and all of them see the same inputs.
type phased struct {
	*tiled
	origin [2]int // where the first tile begins to see
}

// phased lowers the transpose of op, from in to out: from the adjoints of op's output to those of its input.
func (t *tape) phased(op nn.Conv, w kernel.Winograd, in, out *picture) *phased {
	s := &phased{tiled: &tiled{Conv: op, Winograd: w, in: in, out: out, turned: true, views: 1, kernel: t.kernel}}
	step := op.Stride[0]
	s.origin = [2]int{math.MaxInt, math.MaxInt}
	for y := range step {
		for x := range step {
			for a, first := range [2]int{y, x} {
				for _, r := range reached(op, a, first) {
					s.origin[a] = min(s.origin[a], r[0])
				}
			}
		}
	}
	for y := range step {
		for x := range step {
			p := piece{first: [2]int{y, x}}
			for _, i := range reached(op, 0, y) {
				for _, j := range reached(op, 1, x) {
					k, l := i[0]-s.origin[0], j[0]-s.origin[1]
					p.whole = [2]bool{p.whole[0] || k == w.Taps-1, p.whole[1] || l == w.Taps-1}
					p.taps = append(p.taps, [2]int{i[1]*op.Kernel[1] + j[1], k*w.Taps + l})
				}
			}
			s.pieces = append(s.pieces, p)
			s.parts = append(s.parts, sumsOf(&w, []piece{p})) // also those of nothing
		}
	}
	height, width := lattice{step: step}.extent(out)
	s.tiles = [2]int{(height + w.Tile - 1) / w.Tile, (width + w.Tile - 1) / w.Tile}
	var before, after [2]int
	for a := range 2 {
		before[a] = -s.origin[a]
		after[a] = s.origin[a] + s.tiles[a]*w.Tile + w.Taps - 1 - in.shape[1+a]
	}
	in.require(before, after)
	s.cut()
	return s
}

// run computes chunk after chunk, and in it phase after phase.
func (s *phased) run(h *hand, sources []source, end *ending) {
	channels, row := s.in.channels, s.inRow(len(sources))
	s.eachChunk(h, func(first, count int) {
		stride := s.stride(count, len(sources))
		v, m := h.inputs, h.outputs
		for i, source := range sources {
			for r := range count {
				n, y := s.row(first + r)
				s.Input(v[r*s.tiles[1]*row+i*channels:], stride, row, h.at(source.plane, s.in, n, y+s.origin[0], s.origin[1]),
					s.in.row(), channels, channels, s.tiles[1], h.columns)
			}
		}
		for i, p := range s.pieces {
			for _, sums := range s.parts[i] {
				s.multiply(m, v, stride, row, sources, sums, i*len(sources)*channels, s.kernel.WholeRows(count*s.tiles[1]))
			}
			for r := range count {
				s.back(h, first+r, m[r*s.tiles[1]*s.outRow:], stride, end, lattice{p.first, s.Stride[0]})
			}
		}
	})
}
