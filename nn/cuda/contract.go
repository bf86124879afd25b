package cuda

import (
	"fmt"
	"unsafe"

	"lsrun/nn"
)

// conv is a convolution or a linear map:
//
//	forward:  dout = W·din + dW·in + db
//	backward: in̄ = Wᵀ·out̄, din̄ = Wᵀ·dout̄ + dWᵀ·out̄;  W̄ = out̄·inᵀ, dW̄ = dout̄·inᵀ + out̄·dinᵀ
type conv struct {
	nn.Conv
	in                *edge
	out               *picture
	channels, columns int        // of a group, padded where it is the only one
	at, bias          int        // in φ: [group][place][channel][column], and the bias
	weight, biasFrom  int        // in the parameters
	ahead, back       *direction // what tensor cores compute of it, from the input and from the output; or nil
	tiles             *patch     // how weigh.h divides pictures for its derivatives by the weights; nil if it does not compute them
}

func (t *tape) conv(op nn.Conv, in *edge, out *picture, entries, first []int) *conv {
	c := &conv{Conv: op, in: in, out: out, channels: in.channels / op.Groups, columns: op.Out / op.Groups, weight: first[entries[0]]}
	if op.Groups == 1 {
		c.channels, c.columns = in.pixel, out.pixel
	}
	c.at = t.takePhi(padded(c.size()))
	if op.Bias {
		c.bias, c.biasFrom = t.takePhi(out.pixel), first[entries[1]]
	}
	if t.precision != Float32 && c.Groups == 1 {
		c.ahead, c.back, c.tiles = t.ahead(c), t.back(c), weighed(c)
	}
	return c
}

func (c *conv) inputs() []*edge  { return []*edge{c.in} }
func (c *conv) output() *picture { return c.out }

func (c *conv) places() int { return c.Kernel[0] * c.Kernel[1] }

// size is that of its weights in φ.
func (c *conv) size() int { return c.Groups * c.places() * c.channels * c.columns }

// effective lists φ's [group][place][channel][column].
func (c *conv) effective(p *parameters) {
	of, outputs := c.in.channels/c.Groups, c.Out/c.Groups
	for o := range c.Out {
		for i := range of {
			own, at := c.weight+(o*of+i)*c.places(), c.at+(o/outputs*c.places()*c.channels+i)*c.columns+o%outputs
			for k := range c.places() {
				p.places[own+k] = int32(at + k*c.channels*c.columns)
			}
		}
		if c.Bias {
			p.places[c.biasFrom+o] = int32(c.bias + o)
		}
	}
}

// pairs are what is multiplied: the first product of a first order, and both of a second.
type pairs [][2]address

// weights are c's, and their derivatives along the vector in hand.
func (h *hand) weights(c *conv) (w, dw address) {
	return h.phi.at(int64(c.at)), h.dPhi.at(int64(c.at))
}

func (c *conv) forward(h *hand) {
	shift := address(0)
	if c.Bias {
		shift = h.phi64.at(2 * int64(c.bias))
	}
	c.contract(h, "forward64", c.in.picture, c.out, c.channels, c.columns, pairs{{h.at64(c.in.picture), h.phi64.at(2 * int64(c.at))}}, h.at64(c.out), shift, false, 8)
}

func (c *conv) tangent(h *hand) {
	if c.ahead != nil {
		to := h.at(tangents, c.out)
		h.direct(c.ahead, h.along, true, c.in.picture, c.out, h.at(values, c.in.picture), to, false)
		if !c.in.constant {
			h.direct(c.ahead, h.own, false, c.in.picture, c.out, h.at(tangents, c.in.picture), to, true)
		}
		return
	}
	w, dw := h.weights(c)
	p := pairs{{h.at(values, c.in.picture), dw}}
	if !c.in.constant {
		p = append(p, [2]address{h.at(tangents, c.in.picture), w})
	}
	shift := address(0)
	if c.Bias {
		shift = h.dPhi.at(int64(c.bias))
	}
	c.contract(h, "forward", c.in.picture, c.out, c.channels, c.columns, p, h.at(tangents, c.out), shift, false, 4)
}

func (c *conv) backward(h *hand, second bool) {
	if !h.bare {
		c.weigh(h, second)
		if c.Bias {
			sums := &combineArguments{gy: h.at(adjoints, c.out), second: flag(second)}
			if second {
				sums.dgy = h.at(adjointTangents, c.out)
			}
			splits := h.sums(sums, c.out)
			h.reduce(h.parts.at(2*int64(c.out.pixel)), c.bias, c.out.pixel, 2*c.out.pixel, splits)
		}
	}
	if c.in.constant {
		return
	}
	if c.back != nil {
		to := h.at(behind(second), c.in.picture)
		h.direct(c.back, h.own, false, c.out, c.in.picture, h.at(behind(second), c.out), to, c.in.adds)
		if second {
			h.direct(c.back, h.along, false, c.out, c.in.picture, h.at(adjoints, c.out), to, true)
		}
		return
	}
	w, dw := h.weights(c)
	p := pairs{{h.at(behind(second), c.out), w}}
	if second {
		p = append(p, [2]address{h.at(adjoints, c.out), dw})
	}
	c.contract(h, "back", c.out, c.in.picture, c.columns, c.channels, p, h.at(behind(second), c.in.picture), 0, c.in.adds, 4)
}

// Sizes of derive.h.
const contractTerms = 16

func contractRows(columns int) int {
	if tileColumns(columns) == 16 {
		return 256
	}
	return 128
}

// arguments are those of a product that gathers from a picture; rows are the pixels of another.
func (c *conv) arguments(h *hand, from, rows *picture, channels, columns int, p pairs) *contractArguments {
	a := &contractArguments{
		sources: int32(len(p)), images: int32(h.count), height: int32(from.height), width: int32(from.width), pixel: int32(from.pixel),
		rowHeight: int32(rows.height), rowWidth: int32(rows.width), rowPixel: int32(rows.pixel), channels: int32(channels), columns: int32(columns),
		kernel: pair(c.Kernel), stride: pair(c.Stride), pad: pair(c.Pad), dilation: pair(c.Dilation), fours: flag(c.Groups == 1), groups: int32(c.Groups),
		splits: 1,
	}
	for i := range p {
		a.a[i], a.b[i] = p[i][0], p[i][1]
	}
	return a
}

// contraction is the launch of a kernel for a product of so many rows and columns, in each of so many layers of blocks; bytes are an element's.
func contraction(kernel string, rows, columns, layers, bytes int) launch {
	n, m := tileColumns(columns), contractRows(columns)
	return launch{kernel: fmt.Sprintf("%s_%d", kernel, n), grid: [3]int{blocks(rows, m), blocks(columns, n), layers}, block: 256,
		shared: bytes * contractTerms * (m + 4 + n + 4)}
}

// contract launches a product whose rows are pixels.
func (c *conv) contract(h *hand, kernel string, from, to *picture, channels, columns int, p pairs, out, shift address, adds bool, bytes int) {
	a := c.arguments(h, from, to, channels, columns, p)
	a.out, a.shift, a.adds = out, shift, flag(adds)
	k := contraction(kernel, h.count*to.height*to.width, columns, c.Groups, bytes)
	if kernel == "back" {
		k.grid[0] = c.blocksBack(h.count, contractRows(columns))
	}
	h.launch(k, unsafe.Pointer(a))
}

// blocksBack is how many blocks of so many rows have the input's pixels, each those of one remainder by the stride.
func (c *conv) blocksBack(images, rows int) (n int) {
	for y := range c.Stride[0] {
		for x := range c.Stride[1] {
			n += blocks(images*blocks(max(0, c.in.height-y), c.Stride[0])*blocks(max(0, c.in.width-x), c.Stride[1]), rows)
		}
	}
	return n
}

// Sums over pixels are cut into runs, enough to fill a card; of their lengths, in float32, the error depends.
const (
	wantedBlocks = 396
	shortestRun  = 512
	longestRun   = 4096
)

// runs cuts the sum over so many pixels into splits of chunk pixels, longer than longestRun only where there are too many groups
// for a grid of all their runs.
func (c *conv) runs(pixels int) (splits, chunk int) {
	chunk = min(max(blocks(pixels, max(1, wantedBlocks/c.blocksOfRun())), shortestRun), longestRun)
	chunk = int(roundUp(int64(max(chunk, blocks(pixels, mostBlocks/c.Groups))), contractTerms))
	return blocks(pixels, chunk), chunk
}

// room is how many partial sums there are at most.
func (c *conv) room(images int) int64 {
	pixels := images * c.out.height * c.out.width
	splits := min(max(wantedBlocks/c.blocksOfRun(), pixels/longestRun), pixels/shortestRun) + 1
	if c.tiles != nil {
		splits = c.mostTileRuns(images)
	}
	return max(int64(splits)*int64(c.size()), sumsRoom(c.out, images))
}

// blocksOfRun is how many blocks of threads a run takes.
func (c *conv) blocksOfRun() int {
	return blocks(c.places()*c.channels, contractRows(c.columns)) * blocks(c.columns, tileColumns(c.columns)) * c.Groups
}

// weigh adds up the derivatives by the weights.
func (c *conv) weigh(h *hand, second bool) {
	x, g := h.at(values, c.in.picture), h.at(behind(second), c.out)
	p := pairs{{x, g}}
	if second && !c.in.constant {
		p = append(p, [2]address{h.at(tangents, c.in.picture), h.at(adjoints, c.out)})
	}
	if c.tiles != nil {
		c.weighTiles(h, p)
		return
	}
	a := c.arguments(h, c.in.picture, c.out, c.channels, c.columns, p)
	splits, chunk := c.runs(h.count * c.out.height * c.out.width)
	a.out, a.splits, a.chunk = h.parts, int32(splits), int32(chunk)
	h.launch(contraction("weigh", c.places()*c.channels, c.columns, c.Groups*splits, 4), unsafe.Pointer(a))
	h.reduce(h.parts, c.at, c.size(), c.size(), splits)
}
