package cpu

import (
	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// tiled is a correlation by Winograd's transforms, in pieces as they are winograd's, or the transpose of one with stride 1: that is
// a correlation too, with weights turned around and channels exchanged.
type tiled struct {
	nn.Conv
	kernel.Winograd
	in, out *picture
	turned  bool
	pieces  []piece
	views   int      // pieces that see inputs of their own
	parts   [][]sums // of what is computed one after another, all outputs or phases of them: the sums of each
	tiles   [2]int   // of a picture: rows and columns
	rows    int      // rows of tiles in a chunk
	kernel  *kernel.Kernel
	outRow  int    // of a tile: channels in whole vectors
	sources [2]int // by order
	widths  int    // columns of all panels
}

// tiled lowers op from in to out. It is a convolution, or what turned makes of one.
func (t *tape) tiled(op nn.Conv, w kernel.Winograd, in, out *picture, turned bool) *tiled {
	s := &tiled{Conv: op, Winograd: w, in: in, out: out, turned: turned, kernel: t.kernel}
	s.pieces = pieces(op, &w)
	s.views = len(s.pieces)
	s.parts = [][]sums{sumsOf(&w, s.pieces)}
	if turned {
		for _, p := range s.pieces {
			for i := range p.taps {
				p.taps[i][0] = op.Kernel[0]*op.Kernel[1] - 1 - p.taps[i][0]
			}
		}
	}
	var outAfter [2]int
	for a := range 2 {
		s.tiles[a] = (out.shape[1+a] + w.Tile - 1) / w.Tile
		outAfter[a] = s.tiles[a]*w.Tile - out.shape[1+a]
	}
	in.require(op.Pad, hanging(op, &w, s.pieces, s.tiles, in.shape))
	if !turned {
		out.require([2]int{}, outAfter) // tiles of adjoints hang over
	}
	s.cut()
	return s
}

// cut finds the sizes of what a chunk takes.
func (s *tiled) cut() {
	s.rows = max(1, chunkTiles/s.views/s.tiles[1])
	s.outRow = roundUp(s.out.channels, s.kernel.Lanes)
	s.sources = [2]int{1, 2}
	if s.in.constant {
		s.sources[second] = 1
	}
	s.widths = widths(s.out.channels, s.kernel.Columns)
}

// chunkTiles is about how many tiles there are in a chunk: those of the images of a group.
const chunkTiles = groupPixels / 16

func (s *tiled) size(o order) int { return s.Positions() * s.position(o) }

// terms are those of a sum: channels of all pieces of so many sources.
func (s *tiled) terms(sources int) int { return len(s.pieces) * sources * s.in.channels }

// position is the weights of one.
func (s *tiled) position(o order) int { return s.terms(s.sources[o]) * s.widths }

// pack brings G·g·Gᵀ, computed in float64 and rounded once, into the order [position][panel][piece][source][channel][column].
func (s *tiled) pack(packed, weights []float32, o order) {
	g := make([]float32, s.Taps*s.Taps*2*s.kernel.Lanes)
	places := s.Kernel[0] * s.Kernel[1]
	panels(s.out.channels, s.kernel.Columns, func(first, count, columns int) {
		for i, piece := range s.pieces {
			own := packed[first*s.terms(s.sources[o])+i*s.sources[o]*s.in.channels*columns:]
			clear(g)
			for c := range s.in.channels {
				for o := range count {
					at := (first+o)*s.in.channels + c
					if s.turned {
						at = c*s.out.channels + first + o
					}
					taps := weights[at*places:][:places]
					for _, tap := range piece.taps {
						g[tap[1]*columns+o] = taps[tap[0]]
					}
				}
				s.Filter(own[c*columns:], s.position(o), g, columns, columns)
			}
		}
	})
}

// join copies the point's weights to where the second source's are.
func (s *tiled) join(packed, point []float32) {
	if s.sources[second] == 1 {
		return
	}
	for p := range s.Positions() {
		panels(s.out.channels, s.kernel.Columns, func(o, _, columns int) {
			size := s.in.channels * columns
			to, from := packed[p*s.position(second)+o*s.terms(2):], point[p*s.position(first)+o*s.terms(1):]
			for i := range s.pieces {
				copy(to[(2*i+1)*size:], from[i*size:][:size])
			}
		})
	}
}

// inRow is from a tile to the next: the inputs of its terms. The last are written in whole vectors.
func (s *tiled) inRow(sources int) int {
	return (s.views*sources-1)*s.in.channels + roundUp(s.in.channels, s.kernel.Lanes)
}

func stream(tiles, row int) int { return tiles*row + streamPad }

// stride is from a position to the next in a chunk of rows of tiles.
func (s *tiled) stride(rows, sources int) int {
	return stream(s.kernel.WholeRows(rows*s.tiles[1]), max(s.inRow(sources), s.outRow))
}

func (s *tiled) plan(*tape) tapeRooms {
	return tapeRooms{
		inputs:  (s.Positions() + 1) * s.stride(s.rows, 2),
		columns: max(s.Inputs()*(s.Tile*s.tiles[1]+s.Taps-1)*kernel.Line, s.Tile*s.Tile*s.tiles[1]*s.outRow),
	}
}

// eachChunk calls f for the rows of tiles of all images, numbered through.
func (s *tiled) eachChunk(h *hand, f func(first, count int)) {
	for first, total := 0, h.count*s.tiles[0]; first < total; first += s.rows {
		f(first, min(s.rows, total-first))
	}
}

// row is the image and the first row of pixels of a row of tiles.
func (s *tiled) row(i int) (n, y int) { return i / s.tiles[0], i % s.tiles[0] * s.Tile }

// tiles are transformed inputs, and the distances from a position, a panel of channels and a tile to the next.
type tiles struct {
	floats                []float32
	position, panel, tile int
}

// chunk is count rows of tiles from the first on, with those of the last source.
type chunk struct {
	first, count int
	tiles
}

// run computes chunk after chunk. The products of a position take the place of the inputs of the one before.
func (s *tiled) run(h *hand, sources []source, end *ending) {
	channels, row := s.in.channels, s.inRow(len(sources))
	s.eachChunk(h, func(first, count int) {
		stride := s.stride(count, len(sources))
		v, m := h.inputs[stride:], h.inputs
		at := 0
		for _, p := range s.pieces { // one after another: whole vectors of the next cover what is too much of one
			for k, source := range sources {
				for r := range count {
					n, y := s.row(first + r)
					if k == 0 && len(sources) == 2 {
						s.fetch(h, source.plane, s.in, n, y*s.Stride[0], s.Tile*s.Stride[0])
					}
					s.Input(v[r*s.tiles[1]*row+at:], stride, row, h.at(source.plane, s.in, n, y*s.Stride[0]-s.Pad[0]+p.first[0], p.first[1]-s.Pad[1]),
						s.Stride[0]*s.in.row(), s.Stride[1]*channels, channels, s.tiles[1], h.columns)
				}
				at += channels
			}
		}
		if end.beside != nil {
			end.beside(chunk{first, count, tiles{v[(len(sources)-1)*channels:], stride, kernel.Line, row}})
		}
		for _, sums := range s.parts[0] {
			from := sums.piece * len(sources) * channels
			s.multiply(m, v[from:], stride, row, sources, sums, from, s.kernel.WholeRows(count*s.tiles[1]))
		}
		for r := range count {
			s.back(h, first+r, m[r*s.tiles[1]*s.outRow:], stride, end, everyPixel)
		}
	})
}

// fetch brings near so many rows of plane l of p, as far as there are some.
func (s *tiled) fetch(h *hand, l plane, p *picture, n, y, rows int) {
	h.fetch(h.at(l, p, n, y, 0)[:max(0, min(rows, p.height-y))*p.row()])
}

// multiply computes the products of a chunk at the positions of some sums, whose weights are those of the terms from the given one on.
func (s *tiled) multiply(m, v []float32, stride, row int, sources []source, sums sums, from, tiles int) {
	of, terms, weights := s.terms(len(sources)), sums.pieces*len(sources)*s.in.channels, sources[0].weights
	product := func(p, k, columns, positions int) {
		s.kernel.Batched(m[p*stride+k:], stride, s.outRow, v[p*stride:], stride, row, terms, tiles,
			weights[(p*s.widths+k)*of+from*columns:], of*s.widths, columns, positions, false)
	}
	if columns := s.kernel.Columns(s.out.channels); columns >= s.out.channels {
		product(sums.first, 0, columns, sums.count)
		return
	}
	for p := sums.first; p < sums.first+sums.count; p++ { // whose panels share its inputs while they are near
		panels(s.out.channels, s.kernel.Columns, func(k, _, columns int) { product(p, k, columns, 1) })
	}
}

// back transforms a row of tiles back and ends it: of all pixels, or of a phase of them.
func (s *tiled) back(h *hand, row int, m []float32, stride int, e *ending, l lattice) {
	n, y := s.row(row)
	height, width := l.extent(e.to)
	rows, channels := min(s.Tile, height-y), s.out.channels
	top, left := l.first[0]+y*l.step, l.first[1]
	if rows < s.Tile || s.tiles[1]*s.Tile != width { // tiles hang over: they are transformed beside the picture
		line := s.Tile * s.tiles[1] * s.outRow
		s.Output(h.columns, line, s.outRow, m, stride, s.outRow, s.tiles[1], h.ones[:channels], h.zeros[:channels], nil, 0, 0, minusInfinity)
		for i := range rows {
			h.finish(e, n, top+i*l.step, left, l.step, width, 0, channels, h.columns[i*line:], s.outRow)
		}
		return
	}
	dst, dstRow := h.at(e.plane, e.to, n, top, left), l.step*e.to.row()
	var residual []float32
	residualRow, residualPixel := 0, 0
	if e.residual != nil {
		residual, residualRow, residualPixel = h.at(e.residualPlane, e.residual, n, top, left), l.step*e.residual.row(), l.step*e.residual.channels
	}
	s.Output(dst, dstRow, l.step*e.to.channels, m, stride, s.outRow, s.tiles[1], h.ones[:channels], e.shift[:channels],
		residual, residualRow, residualPixel, minusInfinity)
	if e.mask != nil {
		for i := range rows {
			h.maskPixels(dst[i*dstRow:], e.mask, n, top+i*l.step, left, l.step, width, 0, channels)
		}
	}
}

// tiledProducts are the products of a tiled correlation's inputs by its outputs' adjoints, in the transforms' space:
//
//	W̄ = Gᵀ·(Σ (Bᵀ·d·B) ⊙ (A·d̄·Aᵀ))·G
//
// the transpose of Winograd's algorithm. Tiles are in the order [position][panel][tile][channel of the panel]: a panel of each
// side, all of which is used again and again, fits the first cache.
type tiledProducts struct {
	*tiled
	rows int // channels of the input in whole products
	kept int // where sums that outlast a round are, or −1
}

func (t *tape) tiledProducts(s *tiled) *tiledProducts {
	p := &tiledProducts{tiled: s, kept: -1}
	p.eachKind(func(_, rows, panels int) { p.rows += rows * panels })
	return p
}

// eachKind calls f for the whole panels of the input, and for the last where it is narrower: the first channel of the first one, the rows of
// each in whole products, and their number.
func (s *tiledProducts) eachKind(f func(first, rows, panels int)) {
	whole := s.in.channels / kernel.Line
	if whole > 0 {
		f(0, kernel.Line, whole)
	}
	if rest := s.in.channels % kernel.Line; rest > 0 {
		f(whole*kernel.Line, s.kernel.WholeRows(rest), 1)
	}
}

// keep makes room for sums that outlast a round.
func (s *tiledProducts) keep(t *tape) {
	s.kept = t.outerKept
	t.outerKept += lined(s.Positions() * s.position())
}

// extent is that of sums in the order [input][place][output].
func (s *tiledProducts) extent() int { return s.in.channels * 9 * s.widths }

func (s *tiledProducts) index(channel, term int) int { return term*s.widths + channel }

// position is from a position of the sums in the transforms' space to the next.
func (s *tiledProducts) position() int { return s.rows*s.widths + streamPad }

func (s *tiledProducts) plan(*tape) tapeRooms {
	return tapeRooms{
		inputs:  s.Positions() * stream(2*s.tiled.rows*s.tiles[1], max(roundUp(s.in.channels, kernel.Line), s.widths)),
		columns: (s.Tile + 2) * s.Tile * s.tiles[1] * kernel.Line,
		outer:   s.Positions() * s.position(),
	}
}

func (s *tiledProducts) multiply(h *hand, pairs []pair, weights []float32, when turn) {
	s.eachChunk(h, func(first, count int) {
		each := count * s.tiles[1] // tiles of a pair; those of all pairs follow each other
		terms := len(pairs) * each
		v := tiles{h.inputs, stream(terms, roundUp(s.in.channels, kernel.Line)), kernel.Line * terms, kernel.Line}
		for i, p := range pairs {
			s.spreadInputs(h, p.in, first, count, i*each, v)
			s.spreadAdjoints(h, p.out, first, count, i*each, terms, i > 0)
		}
		s.outer(h, v, terms, !when.first || first > 0)
	})
	if !when.last {
		return
	}
	sums := s.sums(h)
	for c := range s.in.channels {
		s.Weights(weights[c*9*s.widths:], s.widths, sums[c*s.widths:], s.position(), s.widths)
	}
}

// beside is multiply for the pair of tangents and adjoints, where the tangents' tiles are at hand.
func (s *tiledProducts) beside(h *hand, c chunk, when turn) {
	terms := c.count * s.tiled.tiles[1]
	s.spreadAdjoints(h, adjoints, c.first, c.count, 0, terms, true)
	s.outer(h, c.tiles, terms, !when.first || c.first > 0)
}

// sums are those of the block in the transforms' space.
func (s *tiledProducts) sums(h *hand) []float32 {
	n := s.Positions() * s.position()
	if s.kept >= 0 {
		return h.kept[s.kept:][:n]
	}
	return h.outer[:n]
}

// outer sums the products of so many tiles of inputs by those of adjoints in hand.
func (s *tiledProducts) outer(h *hand, v tiles, terms int, accumulate bool) {
	sums, yStride := s.sums(h), stream(terms, s.widths)
	for p := range s.Positions() {
		panels(s.out.channels, s.kernel.Columns, func(o, _, columns int) {
			s.eachKind(func(c, rows, panels int) {
				h.kernel.Outer(sums[p*s.position()+c*s.widths+o:], kernel.Line*s.widths, s.widths,
					v.floats[p*v.position+c/kernel.Line*v.panel:], v.panel, 0, v.tile,
					h.outputs[p*yStride+o*terms:], 0, 0, columns, rows, columns, terms, 1, panels, accumulate)
			})
		})
	}
}

// spreadInputs transforms a chunk's inputs to the tiles of v from the given one on.
func (s *tiledProducts) spreadInputs(h *hand, l plane, first, count, tile int, v tiles) {
	for r := range count {
		n, y := s.row(first + r)
		s.fetch(h, l, s.in, n, y, s.Tile)
		for c := 0; c < s.in.channels; c += kernel.Line {
			s.Input(v.floats[c/kernel.Line*v.panel+(tile+r*s.tiles[1])*v.tile:], v.position, v.tile, h.at(l, s.in, n, y-s.Pad[0], -s.Pad[1])[c:],
				s.in.row(), s.in.channels, min(kernel.Line, s.in.channels-c), s.tiles[1], h.columns)
		}
	}
}

// spreadAdjoints transforms a chunk's adjoints, which may be far, to the tiles in hand, so many in all, from the given one on.
func (s *tiledProducts) spreadAdjoints(h *hand, l plane, first, count, tile, of int, far bool) {
	for r := range count {
		n, y := s.row(first + r)
		if far {
			s.fetch(h, l, s.out, n, y, s.Tile)
		}
		panels(s.out.channels, s.kernel.Columns, func(o, channels, columns int) {
			s.Adjoint(h.outputs[o*of+(tile+r*s.tiles[1])*columns:], stream(of, s.widths), columns, h.at(l, s.out, n, y, 0)[o:],
				s.out.row(), s.out.channels, channels, s.tiles[1], h.columns)
		})
	}
}
