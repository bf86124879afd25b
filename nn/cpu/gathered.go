package cpu

import (
	"slices"

	"lsrun/nn"
)

// gathered is a correlation as products of matrices, whose rows the kernels gather from the picture
// themselves. It serves all convolutions and, in phases, their transposes.
type gathered struct {
	in, out         *picture
	groups          int
	from, to        int                         // channels of a group: of the input and of the output
	inStep, outStep [2]int                      // from an output of a phase to its next, in pixels of both pictures
	index           func(from, to, tap int) int // of a weight of a group, in the order of the graph
	perGroup        int                         // weights
	phases          []phase
	multiple        int // of rows in a product
	columns         func(channels int) int
}

// phase is the outputs at every outStep-th row and column from first on: they have the same taps.
type phase struct {
	first  [2]int
	origin [2]int // the input that the first output's taps count from
	taps   []tap
	blocks []block
	packed int // where its weights begin
}

// tap is an input of an output, by its distance from the origin.
type tap struct{ y, x, index int }

// gathered is op itself.
func (t *tape) gathered(op nn.Conv, in, out *picture) *gathered {
	g := t.product(op, in, out)
	g.from, g.to = in.channels/op.Groups, op.Out/op.Groups
	g.inStep, g.outStep = op.Stride, [2]int{1, 1}
	places := op.Kernel[0] * op.Kernel[1]
	g.index = func(from, to, tap int) int { return (to*g.from+from)*places + tap }
	p := phase{origin: [2]int{-op.Pad[0], -op.Pad[1]}}
	for i := range op.Kernel[0] {
		for j := range op.Kernel[1] {
			p.taps = append(p.taps, tap{i * op.Dilation[0], j * op.Dilation[1], i*op.Kernel[1] + j})
		}
	}
	g.phases = []phase{p}
	in.require(op.Pad, op.Pad)
	return g
}

// scattered is the transpose of op. An input (y, x) of op got to the outputs ((y + pad − i·dilation)/stride, …)
// where that is whole: which i these are depends on y mod stride alone.
func (t *tape) scattered(op nn.Conv, in, out *picture) *gathered {
	g := t.product(op, out, in)
	g.from, g.to = op.Out/op.Groups, in.channels/op.Groups
	g.inStep, g.outStep = [2]int{1, 1}, op.Stride
	places := op.Kernel[0] * op.Kernel[1]
	g.index = func(from, to, tap int) int { return (from*g.to+to)*places + tap }
	for y := range min(op.Stride[0], in.height) {
		for x := range min(op.Stride[1], in.width) {
			p := phase{first: [2]int{y, x}}
			for _, i := range reached(op, 0, y) {
				for _, j := range reached(op, 1, x) {
					p.taps = append(p.taps, tap{i[0], j[0], i[1]*op.Kernel[1] + j[1]})
				}
			}
			height, width := g.extent(&p)
			for _, tap := range p.taps {
				out.require([2]int{-tap.y, -tap.x}, [2]int{tap.y + height - out.height, tap.x + width - out.width})
			}
			g.phases = append(g.phases, p)
		}
	}
	return g
}

// reached are the outputs of op, by their distance on an axis, that its first inputs of a phase got to, and by which place of the kernel.
func reached(op nn.Conv, axis, first int) (list [][2]int) {
	for i := range op.Kernel[axis] {
		if d := first + op.Pad[axis] - i*op.Dilation[axis]; d%op.Stride[axis] == 0 {
			list = append(list, [2]int{d / op.Stride[axis], i})
		}
	}
	return list
}

func (t *tape) product(op nn.Conv, in, out *picture) *gathered {
	return &gathered{in: in, out: out, groups: op.Groups, multiple: t.kernel.Rows, columns: t.kernel.Columns,
		perGroup: in.channels / op.Groups * (out.channels / op.Groups) * op.Kernel[0] * op.Kernel[1]}
}

// extent is the number of rows and columns of outputs of a phase.
func (g *gathered) extent(p *phase) (height, width int) {
	return (g.out.height - p.first[0] + g.outStep[0] - 1) / g.outStep[0], (g.out.width - p.first[1] + g.outStep[1] - 1) / g.outStep[1]
}

// panels calls f for each panel of a group: its first output channel, their number, and that of columns.
func panels(channels int, columns func(int) int, f func(first, count, columns int)) {
	for o := 0; o < channels; {
		width := columns(channels - o)
		count := min(width, channels-o)
		f(o, count, width)
		o += count
	}
}

// widths is the number of columns of all panels of a group.
func widths(channels int, columns func(int) int) (n int) {
	panels(channels, columns, func(_, _, width int) { n += width })
	return n
}

func (g *gathered) size(order) (n int) {
	for i := range g.phases {
		n += g.phaseSize(&g.phases[i])
	}
	return n
}

func (g *gathered) phaseSize(p *phase) int {
	return g.groups * len(p.taps) * g.from * widths(g.to, g.columns)
}

// pack writes [phase][group][panel][tap][channel][column]; the columns that a panel lacks stay zero.
func (g *gathered) pack(packed, weights []float32, _ order) { pack(g, packed, weights) }

func pack[T float32 | float64](g *gathered, packed, weights []T) {
	for _, p := range g.phases {
		at := packed[p.packed:]
		for group := range g.groups {
			own := weights[group*g.perGroup:][:g.perGroup]
			panels(g.to, g.columns, func(first, count, columns int) {
				for _, tap := range p.taps {
					for c := range g.from {
						for o := range count {
							at[o] = own[g.index(c, first+o, tap.index)]
						}
						at = at[columns:]
					}
				}
			})
		}
	}
}

// plan cuts the sums into blocks, and the packed weights into phases.
func (g *gathered) plan(*tape) tapeRooms {
	rows, packed := 0, 0
	for i := range g.phases {
		p := &g.phases[i]
		p.packed = packed
		packed += g.phaseSize(p)
		p.blocks = blocks(p.taps, g.in, g.from)
		_, width := g.extent(p)
		rows = max(rows, roundUp(g.chunkRows(width)*width, g.multiple))
	}
	return tapeRooms{rows: 3 * rows, sums: rows * g.columns(g.to)}
}

// blocks cuts the sum over channels inputs at each tap of p into blocks. Where inputs lie together, they are one run.
func blocks(taps []tap, p *picture, channels int) (list []block) {
	type run struct{ at, length int }
	var runs []run
	for _, tap := range taps {
		at := tap.y*p.row() + tap.x*p.channels
		if last := len(runs) - 1; last >= 0 && runs[last].at+runs[last].length == at {
			runs[last].length += channels
			continue
		}
		runs = append(runs, run{at, channels})
	}
	from := 0
	for _, r := range runs {
		pieces := (r.length + blockLength - 1) / blockLength
		for k := range pieces {
			first, end := k*r.length/pieces, (k+1)*r.length/pieces
			last := len(list) - 1
			if last >= 0 && list[last].run == end-first && (len(list[last].taps)+1)*list[last].run <= blockLength {
				list[last].taps = append(list[last].taps, r.at+first)
			} else {
				list = append(list, block{[]int{r.at + first}, end - first, from})
			}
			from += end - first
		}
	}
	return list
}

// chunkPixels is about how many pixels share the weights of a block while they are near.
const chunkPixels = 192

// chunkRows is the number of rows of outputs in a chunk.
func (g *gathered) chunkRows(width int) int { return max(1, chunkPixels/width) }

func (g *gathered) run(h *hand, sources []source, end *ending) {
	nothing := func(p phase) bool { return len(p.taps) == 0 && end.residual == nil } // a transpose's, whose shifts are zero
	if slices.ContainsFunc(g.phases, nothing) {
		for n := range h.count {
			clear(h.at(end.plane, g.out, n, 0, 0)[:g.out.height*g.out.row()])
		}
	}
	for i := range g.phases {
		p := &g.phases[i]
		if nothing(*p) {
			continue
		}
		height, width := g.extent(p)
		most := g.chunkRows(width)
		for first := 0; first < h.count*height; first += most {
			g.chunk(h, p, first, min(most, h.count*height-first), sources, end)
		}
	}
}

// chunk computes count rows of outputs of a phase from the first on, those of all images numbered through.
func (g *gathered) chunk(h *hand, p *phase, first, count int, sources []source, end *ending) {
	height, width := g.extent(p)
	place := func(r int) (n, y int) { return (first + r) / height, p.first[0] + (first+r)%height*g.outStep[0] }
	bare := end.residual == nil && end.mask == nil
	var to []int
	if bare {
		to = listed(h.rows[:0], g.multiple, count, width, g.outStep[1]*g.out.channels, func(r int) int {
			n, y := place(r)
			return h.index(end.plane, end.to, n, y, p.first[1])
		})
	}
	var rows [2][]int
	room := h.rows[len(to):][:0]
	for s, source := range sources {
		rows[s] = g.gather(h, room, source.plane, p, first, count)
		room = rows[s][len(rows[s]):]
	}
	terms, at := len(p.taps)*g.from, p.packed
	for group := range g.groups {
		panels(g.to, g.columns, func(o, channels, columns int) {
			sums := h.sums[:len(rows[0])*columns]
			if len(p.blocks) == 0 {
				clear(sums)
			}
			c := group*g.to + o
			straight := bare && channels == columns && len(p.blocks) > 0 // from the kernel to where they belong
			for s, source := range sources {
				in := h.planes[source.plane][group*g.from:]
				for i, b := range p.blocks {
					weights := source.weights[at+b.from*columns:]
					if straight && s == len(sources)-1 && i == len(p.blocks)-1 {
						h.kernel.GemmTo(h.planes[end.plane][c:], to, sums, in, rows[s], b.taps, b.run, weights, columns, s+i > 0,
							h.ones[:channels], end.shift[c:][:channels], minusInfinity)
						continue
					}
					h.kernel.Gemm(sums, in, rows[s], b.taps, b.run, weights, columns, s+i > 0)
				}
			}
			at += terms * columns
			for r := 0; r < count && !straight; r++ {
				n, y := place(r)
				h.finish(end, n, y, p.first[1], g.outStep[1], width, c, channels, sums[r*width*columns:], columns)
			}
		})
	}
}

// gather lists, in the room of rows, where in plane l the inputs of each output of a chunk begin, up to whole products.
func (g *gathered) gather(h *hand, rows []int, l plane, p *phase, first, count int) []int {
	height, width := g.extent(p)
	return listed(rows, g.multiple, count, width, g.inStep[1]*g.in.channels, func(r int) int {
		return h.index(l, g.in, (first+r)/height, p.origin[0]+(first+r)%height*g.inStep[0], p.origin[1])
	})
}

// gatheredProducts are the products of a convolution's inputs by its outputs' adjoints, output by output.
type gatheredProducts struct {
	nn.Conv
	in, out  *picture
	from, to int // channels of a group
	places   int // of a row of the kernel that are taken one by one: 1 where its inputs lie together
	run      int // inputs of a place
	rows     int // run in whole products
	columns  int // of all panels
	kernel   func(channels int) int
}

func (t *tape) gatheredProducts(op nn.Conv, in, out *picture) *gatheredProducts {
	g := &gatheredProducts{Conv: op, in: in, out: out, from: in.channels / op.Groups, to: op.Out / op.Groups, kernel: t.kernel.Columns}
	g.places, g.run = op.Kernel[1], g.from
	if op.Groups == 1 && op.Dilation[1] == 1 {
		g.places, g.run = 1, op.Kernel[1]*g.from
	}
	g.rows = t.kernel.WholeRows(g.run)
	g.columns = widths(g.to, g.kernel)
	return g
}

// groupSize is the room for the products of a group: [row of the kernel][place][input][output].
func (g *gatheredProducts) groupSize() int { return g.Kernel[0] * g.places * g.rows * g.columns }

func (g *gatheredProducts) extent() int { return g.Groups * g.groupSize() }

func (g *gatheredProducts) index(channel, term int) int {
	c, i, j := term/(g.Kernel[0]*g.Kernel[1]), term/g.Kernel[1]%g.Kernel[0], term%g.Kernel[1]
	row := (i*g.places+j)*g.rows + c
	if g.places == 1 {
		row = i*g.rows + j*g.from + c
	}
	return channel/g.to*g.groupSize() + row*g.columns + channel%g.to
}

func (g *gatheredProducts) multiply(h *hand, pairs []pair, sums []float32, when turn) {
	if when.first {
		clear(sums)
	}
	for _, p := range pairs {
		g.add(h, p, sums)
	}
}

// add adds the products of a pair to sums.
func (g *gatheredProducts) add(h *hand, p pair, sums []float32) {
	in, out := h.planes[p.in], h.planes[p.out]
	inStep, outStep := g.Stride[1]*g.in.channels, g.out.channels
	height, width, images := g.out.height, g.out.width, h.count
	if g.in.height*g.in.width*height*width == 1 { // a linear map: images lie like pixels
		inStep, outStep, width, images = g.in.size(), g.out.size(), h.count, 1
	}
	most := max(1, sweepFloats/(width*g.run))
	for n := range images {
		for y := 0; y < height; y += most {
			to, lines := h.index(p.out, g.out, n, y, 0), min(most, height-y)
			for i := range g.Kernel[0] {
				from := h.index(p.in, g.in, n, y*g.Stride[0]-g.Pad[0]+i*g.Dilation[0], -g.Pad[1])
				for group := range g.Groups {
					own := sums[group*g.groupSize()+i*g.places*g.rows*g.columns:]
					at := 0
					panels(g.to, g.kernel, func(o, count, columns int) {
						h.kernel.Outer(own[at:], g.rows*g.columns, g.columns,
							in[from+group*g.from:], g.Dilation[1]*g.in.channels, g.Stride[0]*g.in.row(), inStep,
							out[to+group*g.to+o:], 0, g.out.row(), outStep, g.rows, columns, width, lines, g.places, true)
						at += columns
					})
				}
			}
		}
	}
}

// sweepFloats is about how many inputs the kernels go through for some sums, and again for the next.
const sweepFloats = 1 << 16
