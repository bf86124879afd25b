package cuda

import (
	"unsafe"

	"lsrun/nn"
)

// What tensor cores compute of a tape's convolutions: with the kernels of evaluations, each of two products after the other, where the
// weights are packed for them; and by weigh.h.

// direction is a convolution of the input or, mirrored, of what there is of the output.
type direction struct {
	nn.Conv
	patch           bool // computed by patch.h, else by product.h
	panel           int
	scaled, shifted int // layers, without the bias and with it
}

// ahead is c itself.
func (t *tape) ahead(c *conv) *direction {
	bias := int64(-1)
	if c.Bias {
		bias = int64(c.bias)
	}
	return t.direction(c.Conv, c.in.picture, panel{source: int64(c.at), outputs: int32(c.Out), channels: int32(c.in.channels), places: int32(c.places()),
		outputStep: 1, channelStep: int32(c.columns), placeStep: int32(c.channels * c.columns)}, bias)
}

// back takes the output to the input: nil if the input is constant, or if that is no convolution of product.h.
func (t *tape) back(c *conv) *direction {
	mirrored := c.Conv
	mirrored.Out = c.in.channels
	for i := range mirrored.Pad {
		mirrored.Pad[i] = c.Dilation[i]*(c.Kernel[i]-1) - c.Pad[i]
	}
	if c.in.constant || c.Stride != [2]int{1, 1} || min(mirrored.Pad[0], mirrored.Pad[1]) < 0 {
		return nil
	}
	place := c.channels * c.columns
	return t.direction(mirrored, c.out, panel{source: int64(c.at + (c.places()-1)*place), outputs: int32(c.in.channels), channels: int32(c.Out), places: int32(c.places()),
		outputStep: int32(c.columns), channelStep: 1, placeStep: int32(-place)}, -1)
}

func (t *tape) direction(c nn.Conv, from *picture, w panel, bias int64) *direction {
	k := &t.packing
	d := &direction{Conv: c, panel: len(k.panels), scaled: k.addLayer(c.Out, -1), shifted: k.addLayer(c.Out, bias)}
	w.units = -1
	if d.patch = patches(c, nn.Shape{from.channels, from.height, from.width}); d.patch {
		k.addPatch(w, t.precision, &k.layers[d.scaled])
		k.layers[d.shifted].units = k.layers[d.scaled].units
	} else {
		k.addLines(w, 1, t.precision)
	}
	return d
}

// direct launches a direction of a convolution, with its bias or without, adding to what is there or not.
func (h *hand) direct(d *direction, w packedWeights, shifted bool, from, to *picture, in, out address, adds bool) {
	k := &h.tape.packing
	panel, layer := &k.panels[d.panel], &k.layers[d.scaled]
	if shifted {
		layer = &k.layers[d.shifted]
	}
	a := &convArguments{
		in: view{data: in, image: from.size(), pixel: int32(from.pixel), even: 2}, out: view{data: out, image: to.size(), pixel: int32(to.pixel), even: 2},
		weights: w.weights.at(panel.packed), factors: w.factors, scale: int32(layer.scale), shift: int32(layer.shift), inScale: -1, inShift: -1,
		images: int32(h.count), inputs: int32(from.pixel), height: int32(from.height), width: int32(from.width),
		outputs: int32(to.channels), outHeight: int32(to.height), outWidth: int32(to.width),
		kernel: pair(d.Kernel), stride: pair(d.Stride), pad: pair(d.Pad), dilation: pair(d.Dilation),
		termStride: panel.stride, terms: panel.terms, columns: panel.columns, groups: 1, fours: 1,
	}
	if adds {
		a.residual = a.out
	}
	if d.patch {
		h.launch(patchLaunch(a, h.tape.precision, 1))
		return
	}
	h.launch(productLaunch(a, h.tape.precision.products(), 1))
}

// Sizes of weigh.h: channels and columns of a block, floats of a pixel, split and as it was copied, and those of all warps' sums.
const (
	weighSide = 16
	weighRow  = 40 + weighSide
	weighSums = 8 * 9 * weighSide * weighSide
)

// weighed is how weigh.h divides c's pictures, or nil.
func weighed(c *conv) *patch {
	square, from := c.Conv, nn.Shape{c.in.channels, c.in.height, c.in.width}
	square.Out = weighSide
	if !patches(square, from) || c.pairs() > mostBlocks {
		return nil
	}
	rows, _ := patchTile(weighSide)
	of := patchOf(from, rows)
	return &of
}

// wantedRuns is how many blocks of weigh.h there should be: three for every place of a large card.
const wantedRuns = 792

// tileRuns cuts a set of tiles into splits of so many tiles, as long as those of runs.
func (c *conv) tileRuns(images int) (splits, tiles int) {
	all := blocks(images, c.tiles.pictures) * c.tiles.parts
	tiles = min(max(blocks(all, max(1, wantedRuns/c.pairs())), c.tilesIn(shortestRun)), c.tilesIn(longestRun))
	return blocks(all, tiles), tiles
}

// mostTileRuns bounds splits for that many images and all fewer.
func (c *conv) mostTileRuns(images int) int {
	all := blocks(images, c.tiles.pictures) * c.tiles.parts
	return max(wantedRuns/c.pairs(), all/c.tilesIn(longestRun)) + 1
}

// pairs is how many blocks of weigh.h it takes for a run.
func (c *conv) pairs() int { return blocks(c.channels, weighSide) * blocks(c.columns, weighSide) }

// tilesIn is how many tiles have so many pixels.
func (c *conv) tilesIn(pixels int) int {
	return max(1, pixels/(c.tiles.pictures*c.tiles.height*c.out.width))
}

// weighShared is how many bytes of shared memory weigh.h takes.
func (c *conv) weighShared() int { return 4 * max(c.tiles.pixels*weighRow, weighSums) }

// weighTiles is weigh by weigh.h.
func (c *conv) weighTiles(h *hand, p pairs) {
	splits, tiles := c.tileRuns(h.count)
	a := &weighArguments{out: h.parts, sources: int32(len(p)), images: int32(h.count), height: int32(c.out.height), width: int32(c.out.width),
		pixel: int32(c.in.pixel), rowPixel: int32(c.out.pixel), channels: int32(c.channels), columns: int32(c.columns), tiling: c.tiles.tiling(h.count, c.out.width)}
	a.tilesOfBlock = int32(tiles)
	for i := range p {
		a.x[i], a.g[i] = p[i][0], p[i][1]
	}
	h.launch(launch{kernel: "weighPatches", grid: [3]int{splits, c.pairs(), 1}, block: patchThreads, shared: c.weighShared()}, unsafe.Pointer(a))
	h.reduce(h.parts, c.at, c.size(), c.size(), splits)
}
