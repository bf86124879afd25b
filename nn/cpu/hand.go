package cpu

import (
	"slices"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// hand is one thread's room for derivatives. Between blocks it holds nothing of use.
type hand struct {
	tape   *tape
	kernel *kernel.Kernel
	loss   nn.Loss

	images          int    // in the block in hand
	from, count     int    // those of the round in hand
	room, before    int    // images that planes have room for, and those before the block
	briefAt         [4]int // by plane: where brief pictures are
	block           int    // its number, on a live tape
	batch           []*batch
	seed            uint64
	planes          [4][]float32
	kinks           kinks
	exact           []float64    // the values in float64, while kinks are found
	phi             [2][]float32 // effective parameters of the point, and along the vector in hand
	packed          [2][]float32 // their weights in the order of the kernels
	phi64, packed64 []float64    // of the point

	bare     bool      // compute the base state alone
	gradient []float32 // sums over the block of derivatives by φ
	slope    []float64 // of the loss, by the logits
	logits   [2][]float64

	sums, columns, outer, kept []float32
	sums64                     []float64
	inputs, outputs            []float32 // transformed; products take the place of inputs
	rows                       []int
	ones, zeros                []float32
	pixel                      []float32
	means                      []float64
	fetched                    float32 // so that compilers think that somebody wants it
}

// state is the base state of a block: what products at one point share.
type state struct{ values, adjoints []float32 }

func (t *tape) state() *state {
	return &state{nn.Room(t.planeRoom()), nn.Room(t.planeRoom())}
}

// stateBytes is the size of a state.
func (t *tape) stateBytes() int64 { return 2 * nn.RoomBytes(t.planeRoom()) }

// planeRoom is a plane of a block; kernels read past its end.
func (t *tape) planeRoom() int { return lined(t.block*t.plane + t.slack()) }

func (t *tape) slack() int { return 2*t.channels + 64 }

func (t *tape) hand(loss nn.Loss) *hand {
	h := &hand{tape: t, kernel: t.kernel, loss: loss, room: t.block, slope: make([]float64, t.graph.Classes), rows: make([]int, t.rows),
		means: make([]float64, t.tapeRooms.channels), pixel: make([]float32, t.tapeRooms.channels)}
	for i := range h.logits {
		h.logits[i] = make([]float64, t.graph.Classes)
	}
	if !t.live {
		for _, l := range []plane{tangents, adjointTangents} {
			h.briefAt[l] = t.planeRoom()
			h.planes[l] = nn.Room(t.planeRoom() + t.brief[l] + t.slack())
		}
		h.exact, h.sums64 = make([]float64, t.planeRoom()), make([]float64, t.sums64)
	}
	h.gradient = nn.Room(t.gradient)
	for _, part := range []struct {
		slice *[]float32
		size  int
	}{{&h.sums, t.sums}, {&h.columns, t.columns}, {&h.outer, t.outer}, {&h.kept, t.outerKept}, {&h.inputs, t.inputs},
		{&h.outputs, t.inputs}, {&h.ones, t.tapeRooms.channels}, {&h.zeros, t.tapeRooms.channels}} {
		*part.slice = nn.Room(part.size)
	}
	for i := range h.ones {
		h.ones[i] = 1
	}
	return h
}

// handBytes is what a hand holds.
func (t *tape) handBytes() (bytes int64) {
	for _, size := range []int{t.gradient, t.sums, t.columns, t.outer, t.outerKept, t.inputs, t.inputs} {
		bytes += nn.RoomBytes(size)
	}
	if !t.live {
		for _, l := range []plane{tangents, adjointTangents} {
			bytes += nn.RoomBytes(t.planeRoom() + t.brief[l] + t.slack())
		}
		bytes += 8 * int64(t.planeRoom()+t.sums64)
	}
	return bytes
}

// whole turns to all images of the block.
func (h *hand) whole() { h.from, h.count = 0, h.images }

// ahead calls f for the layers of groups, group by group and round by round.
func (h *hand) ahead(groups []group, f func(l layer)) {
	for _, g := range groups {
		h.rounds(g, func() {
			for _, l := range h.tape.layers[g.first:g.end] {
				f(l)
			}
		})
	}
}

// behind is ahead from the last layer to the first, with brief values computed once more.
func (h *hand) behind(groups []group, f func(l layer)) {
	for _, g := range slices.Backward(groups) {
		h.rounds(g, func() {
			if norm, ok := h.tape.layers[g.first].(*batchNorm); ok && norm.out.brief[values] {
				norm.forward(h, first)
			}
			for _, l := range slices.Backward(h.tape.layers[g.first:g.end]) {
				f(l)
			}
		})
	}
}

func (h *hand) rounds(g group, f func()) {
	for h.from = 0; h.from < h.images; h.from += g.images {
		h.count = min(g.images, h.images-h.from)
		f()
	}
	h.whole()
}

// index is where in plane l pixel (y, x) of image n of the round begins; y and x may point into the border.
func (h *hand) index(l plane, p *picture, n, y, x int) int {
	pixel := (y+p.before[0])*p.row() + (x+p.before[1])*p.channels
	if p.brief[l] {
		return h.briefAt[l] + p.at[l] + n*p.size() + pixel
	}
	return h.room*p.offset + (h.before+h.from+n)*p.size() + pixel
}

// at is plane l from pixel (y, x) of image n on.
func (h *hand) at(l plane, p *picture, n, y, x int) []float32 {
	return h.planes[l][h.index(l, p, n, y, x):]
}

// fetch reads a value of every cache line of x, one after another. A transform reads several rows at once, which no processor foresees: what is
// in no cache, as base states are not, comes three times as fast by this (measured).
func (h *hand) fetch(x []float32) {
	const line = 16
	var a, b, c, d float32
	for len(x) >= 4*line {
		a, b, c, d = a+x[0], b+x[line], c+x[2*line], d+x[3*line]
		x = x[4*line:]
	}
	h.fetched = a + b + c + d
}

// eachRow calls f for every row of every image.
func (h *hand) eachRow(p *picture, f func(n, y int)) {
	for n := range h.count {
		for y := range p.height {
			f(n, y)
		}
	}
}

// eachPixel calls f for every pixel of every image.
func (h *hand) eachPixel(p *picture, f func(n, y, x int)) {
	for n := range h.count {
		for y := range p.height {
			for x := range p.width {
				f(n, y, x)
			}
		}
	}
}

// receive prepares the adjoints of e for being added to.
func (h *hand) receive(e *edge, o order) {
	if !e.adds {
		clear(h.planes[o.behind()][h.index(o.behind(), e.picture, 0, -e.before[0], -e.before[1]):][:h.count*e.size()])
	}
}

// handOn finishes the adjoints of e after they were added to.
func (h *hand) handOn(e *edge, o order) {
	if e.masks {
		h.eachRow(e.picture, func(n, y int) { h.mask(h.at(o.behind(), e.picture, n, y, 0), e.picture, n, y) })
	}
}

// relu rectifies row y of image n of p, just computed: as the kinks say, or on a live tape as it says itself.
func (h *hand) relu(row []float32, p *picture, n, y int) {
	if h.tape.live {
		h.rectify(row, p, n, y, row, p.channels, h.ones[:p.channels], h.zeros[:p.channels], nil)
		return
	}
	h.mask(row, p, n, y)
}

// rectify writes relu(scale·x + shift + residual) to row y of image n of p, and notes the signs.
func (h *hand) rectify(row []float32, p *picture, n, y int, x []float32, stride int, scale, shift, residual []float32) {
	h.kernel.Rectify(row, p.channels, x, stride, p.width, scale, shift, residual, p.channels, h.signsOf(p, n, y, 0), p.signBytes())
}

// mask lets through of a row what ReLU does of row y of image n of p.
func (h *hand) mask(row []float32, p *picture, n, y int) {
	h.maskPixels(row, p, n, y, 0, 1, p.width, 0, p.channels)
}

// maskPixels is mask for pixels from (y, x) on, step apart, and their channels from c on. Pixels that lie together are one.
func (h *hand) maskPixels(pixel []float32, p *picture, n, y, x, step, pixels, c, channels int) {
	signs := h.signsOf(p, n, y, x)[c/8:]
	if step == 1 && channels == p.channels && channels%8 == 0 {
		pixels, channels = 1, pixels*channels
	}
	h.kernel.Mask(pixel, step*p.channels, signs, step*p.signBytes(), pixels, channels)
}

// ending is what is done to sums before they are written to a picture:
//
//	to = sum + shift + residual, or 0 where the ReLU of mask lets nothing through
type ending struct {
	to            *picture
	plane         plane
	shift         []float32 // by channel
	residual      *picture  // or nil
	residualPlane plane
	mask          *picture // or nil

	beside func(chunk) // or what else a tiled correlation's inputs are for
}

// handing is the ending of a sum that goes to the adjoints of e.
func (h *hand) handing(e *edge, o order) ending {
	end := ending{to: e.picture, plane: o.behind(), shift: h.zeros[:e.channels]}
	if e.adds {
		end.residual, end.residualPlane = e.picture, end.plane
	}
	if e.lender != nil {
		end.residual = e.lender
	}
	if e.masks {
		end.mask = e.picture
	}
	return end
}

// finish ends a row of sums, the channels from c on of pixels that begin at (y, x) of image n and are step apart.
func (h *hand) finish(e *ending, n, y, x, step, pixels, c, channels int, sums []float32, stride int) {
	dst := h.at(e.plane, e.to, n, y, x)[c:]
	to := step * e.to.channels
	var residual []float32
	residualStride := 0
	if e.residual != nil {
		residual, residualStride = h.at(e.residualPlane, e.residual, n, y, x)[c:], step*e.residual.channels
	}
	h.kernel.Affine(dst, to, sums, stride, pixels, h.ones[:channels], e.shift[c:][:channels], residual, residualStride, minusInfinity)
	if e.mask != nil {
		h.maskPixels(dst, e.mask, n, y, x, step, pixels, c, channels)
	}
}

// add hands on a row of adjoints: to pixels of e from (y, x) of image n on, step apart, their channels from c on.
func (h *hand) add(e *edge, o order, n, y, x, step, pixels, c, channels int, row []float32, stride int) {
	end := h.handing(e, o)
	h.finish(&end, n, y, x, step, pixels, c, channels, row, stride)
}
