package cpu

import (
	"lsrun/nn"
)

// product is a convolution, or a linear map in its form, as a matrix product of the pixels
// of the output, whose rows the kernels gather from the picture themselves, by the
// weights.
type product struct {
	nn.Conv
	finish
	in *value

	before                   bool // in is scaled, shifted and bounded by zero before it is used
	beforeScale, beforeShift int
	weights                  int // where its panels begin in program.weights
	blocks                   []block
	pixels                   int // about how many share the weights of a block while they are near
	multiple                 int // of pixels in a product
	columns                  func(channels int) int
}

// block is a part of a sum that is accumulated on its own before it is added to the rest:
// long sums of float32 lose less so, and its weights stay in the first cache.
type block struct {
	taps []int // distances from an output's first input, one a run of consecutive inputs
	run  int
	from int // the index of its first weight among those of one output
}

// blockLength bounds the terms of a block.
const blockLength = 288

// product lowers node n; norms come before it.
func (l *lowering) product(n int, c nn.Conv, in *value, f finish, after, before []int) {
	in.place().require(c.Pad, c.Pad)
	p := &product{Conv: c, finish: f, in: in, multiple: l.kernel.Rows, columns: l.kernel.Columns}
	if before != nil {
		p.before = true
		p.beforeScale, p.beforeShift = l.scaling(in.shape[0])
		l.fold(p.beforeScale, p.beforeShift, in.shape[0], before)
	}
	p.weights = l.weigh(n, c, in.shape[0]/c.Groups, f, after, nil)
	l.append(p)
}

func (p *product) values() (*value, []*value) { return p.finish.values(p.in) }

func (p *product) work() (weights, rows int) {
	return p.terms() * p.Out, p.out.shape[1] * p.out.shape[2]
}

// terms is the number of products in one output.
func (p *product) terms() int { return p.in.shape[0] / p.Groups * p.Kernel[0] * p.Kernel[1] }

// plan cuts the sums into blocks and the pixels into chunks. The order of a sum is that of rows,
// columns and channels of the kernel; where whole pixels lie together, a row of the kernel is one run.
func (p *product) plan(cache int) rooms {
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
	p.pixels = 192
	if p.before {
		for p.pixels > 48 && 4*p.pixels*p.in.shape[0] > cache/2 {
			p.pixels /= 2
		}
	}
	room := roundUp(p.chunkPixels(), p.multiple)
	r := rooms{rows: 2 * room, sums: room * p.columns(p.Out)}
	if p.before {
		r.inputs = room * p.in.shape[0]
	}
	return r
}

// chunkPixels bounds the pixels in a chunk of whole rows.
func (p *product) chunkPixels() int { return max(p.pixels, p.out.shape[2]) }

func (p *product) run(w *worker, n int) {
	height, width := p.out.shape[1], p.out.shape[2]
	most := max(1, p.pixels/width)
	for first := 0; first < n*height; first += most {
		p.chunk(w, first, min(most, n*height-first))
	}
}

// chunk computes count rows of the output from the first on, those of all images numbered
// through.
func (p *product) chunk(w *worker, first, count int) {
	perGroup, inGroup := p.Out/p.Groups, p.in.shape[0]/p.Groups
	rows, to := p.gather(w, first, count)
	inputs := w.arena
	if p.before {
		p.prepare(w, first, count)
		inputs = w.inputs
	}
	at := p.weights
	for g := range p.Groups {
		from := inputs[g*inGroup:]
		for o := g * perGroup; o < (g+1)*perGroup; {
			channels := (g+1)*perGroup - o
			columns := p.columns(channels)
			channels = min(channels, columns)
			panel := w.weights[at:][:p.terms()*columns]
			at += len(panel)
			straight := p.residual == nil && channels == columns // from the kernel to where they belong
			for i, b := range p.blocks {
				weights := panel[b.from*columns:]
				if straight && i == len(p.blocks)-1 {
					scale, shift := p.factors(w, o, channels)
					w.kernel.GemmTo(w.arena[o:], to, w.sums, from, rows, b.taps, b.run, weights, columns, i > 0, scale, shift, p.bound())
				} else {
					w.kernel.Gemm(w.sums, from, rows, b.taps, b.run, weights, columns, i > 0)
				}
			}
			if !straight || p.rest() != nil {
				p.finishRows(w, first, count, o, channels, columns, straight)
			}
			o += channels
		}
	}
}

// finishRows finishes what the kernel has not: the sums of some channels, or their activation where they are straight where they belong.
func (p *product) finishRows(w *worker, first, count, o, channels, columns int, straight bool) {
	width := p.out.shape[2]
	for r := range count {
		n, y := (first+r)/p.out.shape[1], (first+r)%p.out.shape[1]
		if straight {
			w.activate(p.activation, w.pixels(p.out, n, y, 0)[o:], p.out.stride(), width, channels)
		} else {
			p.row(w, n, y, o, channels, w.sums[r*width*columns:], columns)
		}
	}
}

// gather lists where the inputs of each output pixel of a chunk begin, in the arena or prepared, and where in the arena the pixel does, up to
// whole tiles.
func (p *product) gather(w *worker, first, count int) (rows, to []int) {
	height, width := p.out.shape[1], p.out.shape[2]
	in, out := w.view(p.in), w.view(p.out)
	step, begin := p.Stride[1]*in.stride, func(r int) int {
		return in.index((first+r)/height, (first+r)%height*p.Stride[0]-p.Pad[0], -p.Pad[1])
	}
	if p.before {
		step, begin = p.in.shape[0], func(r int) int { return r * width * step }
	}
	rows = listed(w.rows[:0], p.multiple, count, width, step, begin)
	to = listed(rows[len(rows):], p.multiple, count, width, out.stride, func(r int) int {
		return out.index((first+r)/height, (first+r)%height, 0)
	})
	return rows, to
}

// listed appends to places, which are none, count rows of width each, step apart from where begin says, and the last one again
// until they are a multiple.
func listed(places []int, multiple, count, width, step int, begin func(row int) int) []int {
	for r := range count {
		at := begin(r)
		for range width {
			places = append(places, at)
			at += step
		}
	}
	for len(places)%multiple != 0 {
		places = append(places, places[len(places)-1])
	}
	return places
}

// prepare applies what comes before the product to the inputs of a chunk, a pixel an output.
func (p *product) prepare(w *worker, first, count int) {
	height, width, channels := p.out.shape[1], p.out.shape[2], p.in.shape[0]
	scale, shift := w.weights[p.beforeScale:][:channels], w.weights[p.beforeShift:][:channels]
	for r := range count {
		n, y := (first+r)/height, (first+r)%height
		w.kernel.Affine(w.inputs[r*width*channels:], channels, w.pixels(p.in, n, y*p.Stride[0], 0), p.Stride[1]*p.in.stride(), width,
			scale, shift, nil, 0, 0)
	}
}
