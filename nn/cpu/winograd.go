package cpu

import (
	"slices"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// winograd is a convolution by tiles: inputs are transformed, multiplied position by position, and transformed back. Transforms are those of
// small convolutions with stride 1. A larger kernel, or one that goes by a stride, is a sum of pieces as small: their inputs, each from its own
// place on, and their weights follow each other like channels of one.
//
// A chunk's transformed inputs and its products share a place: the products of a position lie where the inputs of the position before did,
// which are not needed any more and still near.
type winograd struct {
	nn.Conv
	kernel.Winograd
	finish
	in *value

	pieces     []piece
	terms      int    // of a sum: channels of all pieces
	sums       []sums // of all positions
	weights    int    // where its panels begin in program.weights
	position   int    // the weights of a position
	tiles      [2]int // of a picture: rows and columns
	rows       int    // rows of tiles in a chunk
	inputRow   int    // of a tile: terms and what is written beyond them, in whole vectors
	outputRow  int    // of a tile: channels in whole vectors
	wholeWidth bool   // the tiles of a row are the picture's width
	kernel     *kernel.Kernel
}

// piece is a part of a kernel: the taps at first, first + stride …, as many as a transform has, in both dimensions. Where the kernel ends
// before the last of them, the piece is not whole, and its weights at ∞ are zero.
type piece struct {
	first [2]int
	whole [2]bool
	taps  [][2]int // the places of each in the kernel and in a transform's
}

// pieces of c for w are in such an order that those whose rows are whole follow each other, those whose columns are, and those of which both are.
func pieces(c nn.Conv, w *kernel.Winograd) (all []piece) {
	var first [2][2][]int // by dimension, and whether pieces are whole
	for a := range 2 {
		for i := range c.Kernel[a] {
			if i/c.Stride[a]%w.Taps == 0 {
				last := i + c.Stride[a]*(w.Taps-1)
				whole := 0
				if last < c.Kernel[a] {
					whole = 1
				}
				first[a][whole] = append(first[a][whole], i)
			}
		}
	}
	for _, whole := range [][2]int{{0, 1}, {1, 1}, {1, 0}, {0, 0}} {
		for _, y := range first[0][whole[0]] {
			for _, x := range first[1][whole[1]] {
				p := piece{first: [2]int{y, x}, whole: [2]bool{whole[0] == 1, whole[1] == 1}}
				for i := range w.Taps * w.Taps {
					if y, x := y+i/w.Taps*c.Stride[0], x+i%w.Taps*c.Stride[1]; y < c.Kernel[0] && x < c.Kernel[1] {
						p.taps = append(p.taps, [2]int{y*c.Kernel[1] + x, i})
					}
				}
				all = append(all, p)
			}
		}
	}
	return all
}

// sums are those of count positions from the first on: over the channels of some pieces that follow each other.
type sums struct{ first, count, piece, pieces int }

// sumsOf cuts the positions of w by the pieces whose weights are not zero there.
func sumsOf(w *kernel.Winograd, pieces []piece) (all []sums) {
	n := w.Inputs()
	for p := range n * n {
		s := sums{first: p, count: 1, piece: -1}
		for i, piece := range pieces {
			if (p/n < n-1 || piece.whole[0]) && (p%n < n-1 || piece.whole[1]) {
				if s.piece < 0 {
					s.piece = i
				}
				s.pieces++
			}
		}
		if k := len(all) - 1; k >= 0 && all[k].piece == s.piece && all[k].pieces == s.pieces {
			all[k].count++
		} else {
			all = append(all, s)
		}
	}
	return all
}

// hanging is how far tiles see behind the rows and columns of pictures of the given shape.
func hanging(c nn.Conv, w *kernel.Winograd, pieces []piece, tiles [2]int, in nn.Shape) (after [2]int) {
	for a := range 2 {
		for _, p := range pieces {
			last := p.first[a] + c.Stride[a]*(tiles[a]*w.Tile+w.Taps-2)
			after[a] = max(after[a], last+1-c.Pad[a]-in[1+a])
		}
	}
	return after
}

// winograd lowers node n to the tiles of w.
func (l *lowering) winograd(n int, c nn.Conv, w kernel.Winograd, in *value, f finish, norms []int) {
	s := &winograd{Conv: c, Winograd: w, finish: f, in: in, kernel: l.kernel}
	s.pieces = pieces(c, &w)
	s.sums = sumsOf(&w, s.pieces)
	s.terms = len(s.pieces) * in.shape[0]
	for a := range 2 {
		s.tiles[a] = (f.out.shape[1+a] + w.Tile - 1) / w.Tile
	}
	in.place().require(c.Pad, hanging(c, &w, s.pieces, s.tiles, in.shape))
	s.inputRow = roundUp(s.terms-in.shape[0]+roundUp(in.shape[0], s.kernel.Lanes), s.kernel.Lanes)
	s.outputRow = roundUp(c.Out, s.kernel.Lanes)
	s.wholeWidth = s.tiles[1]*w.Tile == f.out.shape[2]
	s.position = s.terms * l.columns(c.Out)
	s.weights = l.weigh(n, c, in.shape[0], f, norms, s)
	l.append(s)
}

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
	s.rows = max(1, kernel.Near/s.tiles[1])
	fill := func(rows int) float64 { n := rows * s.tiles[1]; return float64(n) / float64(s.kernel.WholeRows(n)) }
	for r := s.rows; r*s.tiles[1] <= 3*kernel.Near; r++ {
		if fill(r) > fill(s.rows) {
			s.rows = r
		}
	}
	return rooms{
		inputs:   (s.Positions() + 1) * s.stride(s.rows),
		columns:  max(s.Inputs()*(s.Tile*s.tiles[1]+s.Taps-1)*kernel.Line, s.Tile*s.Tile*s.tiles[1]*s.outputRow),
		channels: s.Out,
	}
}

// stride is from a position to the next in a chunk of rows of tiles.
func (s *winograd) stride(rows int) int {
	return s.kernel.WholeRows(rows*s.tiles[1])*max(s.inputRow, s.outputRow) + streamPad
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

func (s *winograd) run(w *worker, n int) {
	total := n * s.tiles[0]
	for first := 0; first < total; first += s.rows {
		s.chunk(w, first, min(s.rows, total-first))
	}
}

// chunk computes count rows of tiles from the first on, those of all images numbered through.
func (s *winograd) chunk(w *worker, first, count int) {
	stride := s.stride(count)
	v, m := w.inputs[stride:], w.inputs
	in := w.view(s.in)
	for r := range count {
		s.forth(w, &in, first+r, v[r*s.tiles[1]*s.inputRow:], stride)
	}
	s.multiply(w, m, v, stride, s.kernel.WholeRows(count*s.tiles[1]))
	f := s.inHand(w)
	for r := range count {
		s.back(w, &f, first+r, m[r*s.tiles[1]*s.outputRow:], stride)
	}
}

// forth transforms the inputs of a row of tiles.
func (s *winograd) forth(w *worker, in *view, row int, v []float32, stride int) {
	n, y, channels := row/s.tiles[0], row%s.tiles[0]*s.Tile*s.Stride[0], s.in.shape[0]
	for i, p := range s.pieces { // what one writes beyond its channels the next one overwrites
		s.Input(v[i*channels:], stride, s.inputRow, in.at(n, y-s.Pad[0]+p.first[0], p.first[1]-s.Pad[1]),
			s.Stride[0]*in.row, s.Stride[1]*in.stride, channels, s.tiles[1], w.columns)
	}
}

// multiply computes the products of a chunk's tiles at all positions.
func (s *winograd) multiply(w *worker, m, v []float32, stride, tiles int) {
	columns := w.kernel.Columns(s.Out)
	whole := s.Out / columns
	for _, sums := range s.sums {
		from, terms := sums.piece*s.in.shape[0], sums.pieces*s.in.shape[0]
		product := func(p, k, columns, count, mStep, vStep, weightStep int) {
			w.kernel.Batched(m[p*stride+k:], mStep, s.outputRow, v[p*stride+from:], vStep, s.inputRow, terms, tiles,
				w.weights[s.weights+p*s.position+k*s.terms+from*columns:], weightStep, columns, count, false)
		}
		if columns >= s.Out {
			product(sums.first, 0, columns, sums.count, stride, stride, s.position)
			continue
		}
		// The panels of a position share its inputs while they are near.
		for p := sums.first; p < sums.first+sums.count; p++ {
			product(p, 0, columns, whole, columns, 0, s.terms*columns)
			if k := whole * columns; k < s.Out {
				product(p, k, w.kernel.Columns(s.Out-k), 1, 0, 0, s.position)
			}
		}
	}
}

// back transforms a row of tiles back and finishes it.
func (s *winograd) back(w *worker, f *finishing, row int, m []float32, stride int) {
	n, y := row/s.tiles[0], row%s.tiles[0]*s.Tile
	rows := min(s.Tile, s.out.shape[1]-y)
	if rows < s.Tile || !s.wholeWidth {
		s.backEdge(w, n, y, rows, m, stride)
		return
	}
	dst := f.out.at(n, y, 0)
	var residual []float32
	if s.residual != nil {
		residual = f.residual.at(n, y, 0)
	}
	s.Output(dst, f.out.row, f.out.stride, m, stride, s.outputRow, s.tiles[1], f.scale, f.shift, residual, f.residual.row, f.residual.stride, f.bound)
	if op := s.rest(); op != nil {
		for i := range rows {
			w.activate(op, dst[i*f.out.row:], f.out.stride, s.out.shape[2], s.Out)
		}
	}
}

// backEdge is back where tiles hang over the picture: they are transformed beside it.
func (s *winograd) backEdge(w *worker, n, y, rows int, m []float32, stride int) {
	row := s.Tile * s.tiles[1] * s.outputRow
	s.Output(w.columns, row, s.outputRow, m, stride, s.outputRow, s.tiles[1], w.ones[:s.Out], w.zeros[:s.Out], nil, 0, 0, minusInfinity)
	for i := range rows {
		s.row(w, n, y+i, 0, s.Out, w.columns[i*row:], s.outputRow)
	}
}
