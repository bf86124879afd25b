package cpu

import (
	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// product is a convolution, or a linear map in its form, as a matrix product of the pixels
// of the output, whose rows the kernels gather from the picture themselves, by the
// weights.
type product struct {
	nn.Conv
	in, out    *value
	residual   *value
	activation nn.Op

	weights      int // where its panels begin in program.weights; see weigh
	scale, shift int
	blocks       []block
}

// block is a part of a sum that is accumulated on its own before it is added to the rest:
// long sums of float32 lose less so, and its weights stay in the first cache.
type block struct {
	taps []int // distances from an output's first input, one a run of consecutive inputs
	run  int
	from int // the index of its first weight among those of one output
}

// blockLength bounds the terms of a block: 18 KB of weights a panel.
const blockLength = 288

// chunkPixels is about how many pixels share the weights of a panel while they are near.
const chunkPixels = 192

// chunkRoom bounds the pixels in a chunk of whole rows of the given length, rounded up to
// tiles.
func chunkRoom(row int) int {
	n := max(chunkPixels, row)
	return (n + kernel.TileRows - 1) / kernel.TileRows * kernel.TileRows
}

func (p *product) values() (*value, []*value) {
	if p.residual == nil {
		return p.out, []*value{p.in}
	}
	return p.out, []*value{p.in, p.residual}
}

// terms is the number of products in one output.
func (p *product) terms() int { return p.in.shape[0] / p.Groups * p.Kernel[0] * p.Kernel[1] }

// plan cuts the sums into blocks. The order is that of rows, columns and channels of the
// kernel; where whole pixels lie together, a row of the kernel is one run.
func (p *product) plan() {
	b := p.in.place()
	run, columns := p.in.shape[0]/p.Groups, p.Kernel[1]
	if run == b.channels && p.Dilation[1] == 1 {
		run, columns = run*columns, 1
	}
	pieces := (run + blockLength - 1) / blockLength
	most := max(1, blockLength/run) // taps in a block
	from := 0
	for i := range p.Kernel[0] {
		for j := range columns {
			tap := i*p.Dilation[0]*b.row() + j*p.Dilation[1]*b.channels
			for k := range pieces {
				first, end := k*run/pieces, (k+1)*run/pieces
				last := len(p.blocks) - 1
				if pieces == 1 && last >= 0 && len(p.blocks[last].taps) < most {
					p.blocks[last].taps = append(p.blocks[last].taps, tap)
				} else {
					p.blocks = append(p.blocks, block{[]int{tap + first}, end - first, from})
				}
				from += end - first
			}
		}
	}
}

func (p *product) run(w *worker, n int) {
	height, width := p.out.shape[1], p.out.shape[2]
	most := max(1, chunkPixels/width)
	for first := 0; first < n*height; first += most {
		p.chunk(w, first, min(most, n*height-first))
	}
}

// chunk computes count rows of the output from the first on, those of all images numbered
// through.
func (p *product) chunk(w *worker, first, count int) {
	width := p.out.shape[2]
	perGroup, inGroup := p.Out/p.Groups, p.in.shape[0]/p.Groups
	tiles := p.gather(w.rows, first, count)
	at := p.weights
	for g := range p.Groups {
		from := w.arena[g*inGroup:]
		for o := g * perGroup; o < (g+1)*perGroup; o += kernel.TileCols {
			panel := w.weights[at:][:p.terms()*kernel.TileCols]
			at += len(panel)
			for i, b := range p.blocks {
				weights := panel[b.from*kernel.TileCols:][:len(b.taps)*b.run*kernel.TileCols]
				for t := range tiles {
					acc := w.acc[t*kernel.TileRows*kernel.TileCols:][:kernel.TileRows*kernel.TileCols]
					w.kernel.Gemm(acc, from, w.rows[t*kernel.TileRows:][:kernel.TileRows], b.taps, b.run, weights, i > 0)
				}
			}
			channels := min(kernel.TileCols, (g+1)*perGroup-o)
			for r := range count {
				p.write(w, first+r, o, channels, w.acc[r*width*kernel.TileCols:])
			}
		}
	}
}

// gather fills rows with where in the arena the inputs of each output pixel begin, up to whole
// tiles, and returns the number of tiles.
func (p *product) gather(rows []int, first, count int) (tiles int) {
	height, width := p.out.shape[1], p.out.shape[2]
	step := p.Stride[1] * p.in.stride()
	k := 0
	for r := first; r < first+count; r++ {
		at := p.in.index(r/height, r%height*p.Stride[0]-p.Pad[0], -p.Pad[1])
		for range width {
			rows[k] = at
			at += step
			k++
		}
	}
	for ; k%kernel.TileRows != 0; k++ {
		rows[k] = rows[k-1]
	}
	return k / kernel.TileRows
}

// write finishes a row of the output, the channels from o on.
func (p *product) write(w *worker, row, o, channels int, acc []float32) {
	height, width := p.out.shape[1], p.out.shape[2]
	n, y := row/height, row%height
	dst := w.pixels(p.out, n, y, 0)[o:]
	var residual []float32
	stride := 0
	if p.residual != nil {
		residual, stride = w.pixels(p.residual, n, y, 0)[o:], p.residual.stride()
	}
	w.kernel.Affine(dst, p.out.stride(), acc, kernel.TileCols, width,
		w.weights[p.scale+o:][:channels], w.weights[p.shift+o:][:channels], residual, stride, isReLU(p.activation))
	activate(p.activation, dst, p.out.stride(), width, channels)
}
