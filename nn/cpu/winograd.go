package cpu

import (
	"slices"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// winograd is a convolution with stride 1 by tiles: inputs are transformed, multiplied position by position, and transformed back.
// Transforms are those of 3×3 convolutions. A larger kernel is the sum of pieces of 3×3, the last ones filled up with zeros: their inputs, each
// from its own place on, and their weights follow each other like channels of one.
type winograd struct {
	nn.Conv
	kernel.Winograd
	finish
	in *value

	pieces     [2]int // of the kernel: rows and columns
	terms      int    // of a sum: channels of all pieces
	weights    int    // where its panels begin in program.weights
	position   int    // the weights of a position
	tiles      [2]int // of a picture: rows and columns
	rows       int    // rows of tiles in a chunk
	outputs    int    // channels that are transformed back at a time
	inputRow   int    // terms and what is written beyond them, in whole vectors
	wholeWidth bool   // the tiles of a row are the picture's width
	kernel     *kernel.Kernel
}

// winograd lowers node n to the tiles of w.
func (l *lowering) winograd(n int, c nn.Conv, w kernel.Winograd, in *value, f finish, norms []int) {
	s := &winograd{Conv: c, Winograd: w, finish: f, in: in, kernel: l.kernel}
	s.pieces = pieces(c.Kernel)
	s.terms = s.pieces[0] * s.pieces[1] * in.shape[0]
	var after [2]int
	for a := range 2 {
		s.tiles[a] = (f.out.shape[1+a] + w.Tile - 1) / w.Tile
		after[a] = s.tiles[a]*w.Tile + 3*s.pieces[a] - 1 - c.Pad[a] - in.shape[1+a]
	}
	in.place().require(c.Pad, after)
	s.inputRow = roundUp(s.terms-in.shape[0]+roundUp(in.shape[0], s.kernel.Lanes), s.kernel.Lanes)
	s.wholeWidth = s.tiles[1]*w.Tile == f.out.shape[2]
	s.position = s.terms * l.columns(c.Out)
	s.weights = l.weigh(n, c, in.shape[0], f, norms, &s.Winograd)
	l.append(s)
}

// pieces is how many rows and columns of pieces of 3×3 cover a kernel.
func pieces(kernel [2]int) [2]int { return [2]int{(kernel[0] + 2) / 3, (kernel[1] + 2) / 3} }

func (s *winograd) values() (*value, []*value) { return s.finish.values(s.in) }

func (s *winograd) work() (weights, rows int) {
	return s.Positions() * s.terms * s.Out, s.tiles[0] * s.tiles[1]
}

// transforms reports whether p has a step by tiles.
func (p *program) transforms() bool {
	return slices.ContainsFunc(p.steps, func(s step) bool { _, ok := s.(*winograd); return ok })
}

// streamPad keeps the positions of a transform from sharing the sets of the first cache.
const streamPad = 16

// plan chooses chunks of the tiles that the kernel likes near, or of up to three times as many where these fill products better.
func (s *winograd) plan(int) rooms {
	s.outputs = min(roundUp(s.Out, s.kernel.Lanes), 128)
	s.rows = max(1, s.kernel.Near/s.tiles[1])
	fill := func(rows int) float64 { n := rows * s.tiles[1]; return float64(n) / float64(s.kernel.WholeRows(n)) }
	for r := s.rows; r*s.tiles[1] <= 3*s.kernel.Near; r++ {
		if fill(r) > fill(s.rows) {
			s.rows = r
		}
	}
	tiles := s.chunkTiles()
	return rooms{
		inputs:   s.Positions() * s.inputStride(tiles),
		products: s.Positions() * s.outputStride(tiles),
		columns:  max((s.Tile+2)*(s.Tile*s.tiles[1]+2)*kernel.Line, s.Tile*s.Tile*s.tiles[1]*s.outputs),
	}
}

// chunkTiles is the most tiles in a chunk, in whole products.
func (s *winograd) chunkTiles() int { return s.kernel.WholeRows(s.rows * s.tiles[1]) }

func (s *winograd) inputStride(tiles int) int  { return tiles*s.inputRow + streamPad }
func (s *winograd) outputStride(tiles int) int { return tiles*s.outputs + streamPad }

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

func (s *winograd) run(w *worker, n int) {
	total := n * s.tiles[0]
	for first := 0; first < total; first += s.rows {
		s.chunk(w, first, min(s.rows, total-first))
	}
}

// chunk computes count rows of tiles from the first on, those of all images numbered through.
func (s *winograd) chunk(w *worker, first, count int) {
	tiles := s.kernel.WholeRows(count * s.tiles[1])
	mStride := s.outputStride(tiles)
	for r := range count {
		s.forth(w, first+r, w.inputs[r*s.tiles[1]*s.inputRow:], s.inputStride(tiles))
	}
	for o := 0; o < s.Out; o += s.outputs {
		outputs := min(s.outputs, s.Out-o)
		s.multiply(w, o, outputs, tiles)
		for r := range count {
			s.back(w, first+r, o, outputs, w.products[r*s.tiles[1]*s.outputs:], mStride)
		}
	}
}

// forth transforms the inputs of a row of tiles.
func (s *winograd) forth(w *worker, row int, v []float32, vStride int) {
	n, y, channels := row/s.tiles[0], row%s.tiles[0]*s.Tile, s.in.shape[0]
	for i := range s.pieces[0] {
		for j := range s.pieces[1] { // what one writes beyond its channels the next one overwrites
			s.Input(v[(i*s.pieces[1]+j)*channels:], vStride, s.inputRow, w.pixels(s.in, n, y-s.Pad[0]+3*i, 3*j-s.Pad[1]),
				s.in.row(), s.in.stride(), channels, s.tiles[1], w.columns)
		}
	}
}

// multiply computes the products of a chunk's tiles at all positions, the given number of channels from o on.
func (s *winograd) multiply(w *worker, o, outputs, tiles int) {
	vStride, mStride := s.inputStride(tiles), s.outputStride(tiles)
	weights := w.weights[s.weights+o*s.terms:]
	if columns := w.kernel.Columns(outputs); columns >= outputs {
		w.kernel.Batched(w.products, mStride, s.outputs, w.inputs, vStride, s.inputRow, s.terms, tiles,
			weights, s.position, columns, s.Positions(), false)
		return
	}
	// The panels of a position share its inputs while they are near.
	for p := range s.Positions() {
		for k := 0; k < outputs; {
			columns := w.kernel.Columns(outputs - k)
			w.kernel.Batched(w.products[p*mStride+k:], mStride, s.outputs, w.inputs[p*vStride:], vStride, s.inputRow, s.terms, tiles,
				weights[p*s.position+k*s.terms:], s.position, columns, 1, false)
			k += columns
		}
	}
}

// back transforms a row of tiles back and finishes it, the given number of channels from o on.
func (s *winograd) back(w *worker, row, o, channels int, m []float32, mStride int) {
	n, y := row/s.tiles[0], row%s.tiles[0]*s.Tile
	scale, shift := s.factors(w, o, channels)
	rows := min(s.Tile, s.out.shape[1]-y)
	if rows < s.Tile || !s.wholeWidth {
		s.backEdge(w, n, y, rows, o, channels, m, mStride)
		return
	}
	dst := w.pixels(s.out, n, y, 0)[o:]
	var residual []float32
	residualRow, residualPixel := 0, 0
	if s.residual != nil {
		residual, residualRow, residualPixel = w.pixels(s.residual, n, y, 0)[o:], s.residual.row(), s.residual.stride()
	}
	s.Output(dst, s.out.row(), s.out.stride(), m, mStride, s.outputs, s.tiles[1], scale, shift,
		residual, residualRow, residualPixel, s.bound())
	for i := range rows {
		w.activate(s.activation, dst[i*s.out.row():], s.out.stride(), s.out.shape[2], channels)
	}
}

// backEdge is back where tiles hang over the picture: they are transformed beside it.
func (s *winograd) backEdge(w *worker, n, y, rows, o, channels int, m []float32, mStride int) {
	row := s.Tile * s.tiles[1] * s.outputs
	s.Output(w.columns, row, s.outputs, m, mStride, s.outputs, s.tiles[1], w.ones[:channels], w.zeros[:channels],
		nil, 0, 0, minusInfinity)
	for i := range rows {
		s.row(w, n, y+i, o, channels, w.columns[i*row:], s.outputs)
	}
}
