package cuda

import (
	"fmt"
	"unsafe"

	"lsrun/nn"
)

// step is one launch for all images of a group of points.
type step interface {
	// values are its output and inputs.
	values() []*value
	// launch gives the kernel and its argument for a pass.
	launch(p *pass) (launch, unsafe.Pointer)
}

// pass is a run through the steps: images of a set at each of several points.
type pass struct {
	*program
	points, images  int
	input, logits   address // of the first image
	imagesOfAPoint  int     // logits of a point
	arena           address
	slots           int64 // images that the arena has room for
	weights, factor address
}

// view is where v lies during the pass.
func (p *pass) view(v *value) view {
	if v == nil {
		return view{}
	}
	root, from := v.root()
	b := root.buffer
	size := int64(b.size)
	w := view{image: size, point: int64(p.images) * size, pixel: int32(b.pixel)}
	switch root {
	case p.program.input:
		w.data, w.point = p.input, 0
	case p.output:
		w.data, w.point = p.logits, int64(p.imagesOfAPoint)*size
	default:
		w.data = p.arena.at(b.offset * p.slots)
	}
	w.data = w.data.at(int64(from))
	switch {
	case from%4 == 0:
		w.even = 2
	case from%2 == 0:
		w.even = 1
	}
	return w
}

// product is a convolution or a linear map.
type product struct {
	conv              nn.Conv
	in, out, residual *value
	bounded           bool
	panel, layer      int
	before            int // layer of a batch norm and ReLU that come before; −1: none
	precision         Precision
	patch             bool // computed by patch.h
}

func (s *product) values() []*value { return given(s.out, s.in, s.residual) }

func given(values ...*value) []*value {
	if values[len(values)-1] == nil {
		return values[:len(values)-1]
	}
	return values
}

// Sizes of the products' tiles, as product.h has them.
const (
	productTerms = 16
	tileRows     = 128
)

// Sizes of patch.h.
const (
	patchChannels = 16
	patchThreads  = 256
)

// patchTiles is how many tiles a block of patch.h computes at most, patchBlocks how many blocks are enough for any card: with more, each
// computes several. A test varies them.
var patchTiles, patchBlocks = 8, 2048

// lines is the order of the products' weights; those of patch.h go by their mode.
const lines = -1

// mode is the kernels' name for a precision.
func (p Precision) mode() int32 { return [...]int32{TF32x3: 2, Float32: 0, TF32: 1, FP16x3: 3}[p] }

// floats is what a number takes for patch.h.
func (p Precision) floats() int {
	if p == TF32x3 {
		return 2
	}
	return 1
}

// patchTile is how many rows of the product a block of patch.h computes, and how many pixels it can read.
func patchTile(channels int) (rows, pixels int) {
	if tileColumns(channels) > 32 {
		return 128, 320
	}
	return 256, 400
}

// reciprocal is what the kernels divide by n with: i·reciprocal(n) >> 16 is i/n while i·n < 2¹⁶.
func reciprocal(n int) uint32 { return uint32(1<<16/n + 1) }

// patchOf divides pictures into tiles of at most so many pixels: a tile is several pictures or one of several equal parts of a picture.
func patchOf(shape nn.Shape, most int) (p patch) {
	height, width := shape[1], shape[2]
	p = patch{pictures: max(1, most/(height*width)), parts: 1, height: height}
	for p.height*width > most && p.height > 1 {
		for p.parts++; height%p.parts != 0; p.parts++ {
		}
		p.height = height / p.parts
	}
	p.pixels = p.pictures * (p.height + 2) * (width + 2)
	return p
}

// patch is how pictures are divided: what a tile has of them, and how many pixels it sees.
type patch struct{ pictures, parts, height, pixels int }

// tileColumns is how many of a layer's channels a block computes.
func tileColumns(channels int) int {
	switch {
	case channels <= 16:
		return 16
	case channels <= 32:
		return 32
	}
	return 64
}

func (s *product) launch(p *pass) (launch, unsafe.Pointer) {
	panel, layer := p.panels[s.panel], p.layers[s.layer]
	a := &convArguments{
		in: p.view(s.in), out: p.view(s.out), residual: p.view(s.residual),
		weights: p.weights.at(panel.packed), weightsPoint: p.packed, factors: p.factor, factorsPoint: p.program.factors,
		scale: int32(layer.scale), shift: int32(layer.shift),
		images: int32(p.images), inputs: int32(s.in.shape[0]), height: int32(s.in.shape[1]), width: int32(s.in.shape[2]),
		outputs: int32(s.out.shape[0]), outHeight: int32(s.out.shape[1]), outWidth: int32(s.out.shape[2]),
		kernel: pair(s.conv.Kernel), stride: pair(s.conv.Stride), pad: pair(s.conv.Pad), dilation: pair(s.conv.Dilation),
		termStride: panel.stride, terms: panel.terms, columns: panel.columns, groups: int32(s.conv.Groups),
	}
	a.inScale, a.inShift = -1, -1
	if s.before >= 0 {
		a.inScale, a.inShift = int32(p.layers[s.before].scale), int32(p.layers[s.before].shift)
	}
	if s.bounded {
		a.bounded = 1
	}
	if a.in.even == 2 {
		a.fours = 1
	}
	if s.conv.Groups > 1 {
		return launch{kernel: "grouped", grid: [3]int{blocks(p.images*s.out.shape.Size(), 256), 1, p.points}, block: 256}, unsafe.Pointer(a)
	}
	if s.patch {
		return patchLaunch(a, s.precision, p.points)
	}
	return productLaunch(a, s.precision.products(), p.points)
}

// productLaunch is that of product.h for a convolution.
func productLaunch(a *convArguments, precision Precision, points int) (launch, unsafe.Pointer) {
	n, rows, stages := tileColumns(int(a.outputs)), int(a.images)*int(a.outHeight)*int(a.outWidth), 3
	planes, _ := precision.planes()
	if n == 64 && planes == 2 {
		stages = 2
	}
	return launch{
		kernel: fmt.Sprintf("product_%s_%d", precision, n),
		grid:   [3]int{blocks(rows, tileRows), int(a.columns) / n, points},
		block:  128,
		shared: 4 * stages * (tileRows*(productTerms+4) + int(planes)*productTerms*(n+8) + 2*productTerms),
	}, unsafe.Pointer(a)
}

// patchLaunch is that of patch.h for a convolution.
func patchLaunch(a *convArguments, precision Precision, points int) (launch, unsafe.Pointer) {
	n := tileColumns(int(a.outputs))
	most, _ := patchTile(int(a.outputs))
	of := patchOf(nn.Shape{int(a.inputs), int(a.height), int(a.width)}, most)
	b := &patchArguments{convArguments: *a, tiling: of.tiling(int(a.images), int(a.width))}
	across := int(a.columns) / n
	ofBlock := max(1, min(patchTiles, int(b.tiles)*across*points/patchBlocks))
	b.tilesOfBlock = int32(ofBlock)
	// Floats of a pixel, split and as it was copied, and of nine places' weights for a column.
	ofPixel, ofColumn := (precision.floats()+1)*patchChannels+4, 9*precision.floats()*patchChannels
	return launch{
		kernel: fmt.Sprintf("patch_%s_%d", precision, n),
		grid:   [3]int{blocks(int(b.tiles), ofBlock), across, points},
		block:  patchThreads,
		shared: 4 * (of.pixels*ofPixel + n*ofColumn),
	}, unsafe.Pointer(b)
}

// tiling is how the kernels divide so many pictures.
func (p patch) tiling(images, width int) tiling {
	return tiling{tiles: int32(blocks(images, p.pictures) * p.parts), pictures: int32(p.pictures), parts: int32(p.parts), height: int32(p.height), pixels: int32(p.pixels),
		perWidth: reciprocal(width), perHeight: reciprocal(p.height), perPatchWidth: reciprocal(width + 2), perPatchHeight: reciprocal(p.height + 2)}
}

func blocks(n, size int) int { return (n + size - 1) / size }

// elements is any other operation.
type elements struct {
	name                string
	in, out, residual   *value
	layer               int // −1: none
	kernel, stride, pad [2]int32
	kind                int32
	a, b                float32
}

// The kinds of pool.
const (
	poolMax = iota
	poolMean
	poolMeanPadded
)

// activation is the kernels' name for op, and its factors.
func activation(op nn.Op) (kind int32, a, b float32) {
	switch op := op.(type) {
	case nil:
		return 0, 0, 0
	case nn.ReLU:
		return 1, 0, 0
	case nn.SELU:
		return 2, nn.SELUScale, nn.SELUScale * nn.SELUAlpha
	case nn.ELU:
		return 2, 1, float32(op.Alpha)
	case nn.Tanh:
		return 3, 0, 0
	case nn.Sigmoid:
		return 4, 0, 0
	case nn.GELU:
		if op.Tanh {
			return 6, 0, 0
		}
		return 5, 0, 0
	}
	panic("cuda: unknown activation")
}

func (s *elements) values() []*value { return given(s.out, s.in, s.residual) }

func (s *elements) launch(p *pass) (launch, unsafe.Pointer) {
	a := &elementArguments{
		in: p.view(s.in), out: p.view(s.out), residual: p.view(s.residual), images: int32(p.images),
		channels: int32(s.in.shape[0]), height: int32(s.in.shape[1]), width: int32(s.in.shape[2]),
		outChannels: int32(s.out.shape[0]), outHeight: int32(s.out.shape[1]), outWidth: int32(s.out.shape[2]),
		kernel: s.kernel, stride: s.stride, pad: s.pad, kind: s.kind, a: s.a, b: s.b,
	}
	if s.layer >= 0 {
		a.factors, a.factorsPoint = p.factor, p.program.factors
		a.scale, a.shift = int32(p.layers[s.layer].scale), int32(p.layers[s.layer].shift)
	}
	count := p.images * s.out.shape.Size()
	switch s.name {
	case "softmax": // a thread a pixel
		count /= s.out.shape[0]
	case "affine": // four channels
		count = count / s.out.shape[0] * blocks(s.out.shape[0], 4)
	}
	return launch{kernel: s.name, grid: [3]int{blocks(count, 256), 1, p.points}, block: 256}, unsafe.Pointer(a)
}
