package cuda

import (
	"unsafe"

	"lsrun/nn"
)

// The kinds of move, as derive.h has them.
const (
	movePart = iota
	moveSubsample
	moveFlatten
)

// move brings values to other places: a part of a concatenation, every so many pixels, or all into one.
type move struct {
	in     *edge
	out    *picture
	kind   int32
	from   int // channel, of a part
	stride int
}

// pool is a maximum or a mean over windows; without a kernel they are adaptive.
type pool struct {
	in     *edge
	out    *picture
	kind   int32
	window nn.Window
}

func (l *move) inputs() []*edge  { return []*edge{l.in} }
func (l *move) output() *picture { return l.out }
func (l *pool) inputs() []*edge  { return []*edge{l.in} }
func (l *pool) output() *picture { return l.out }

func windows(h *hand, in *edge, out *picture, kind int32) *windowArguments {
	return &windowArguments{images: int32(h.count), height: int32(in.height), width: int32(in.width), pixel: int32(in.pixel), channels: int32(in.channels),
		outHeight: int32(out.height), outWidth: int32(out.width), outPixel: int32(out.pixel), outChannels: int32(out.channels), kind: kind}
}

func (l *move) run(h *hand, kernel string, from, to address, count int64) {
	a := windows(h, l.in, l.out, l.kind)
	a.in, a.out, a.from, a.stride = from, to, int32(l.from), [2]int32{int32(l.stride), int32(l.stride)}
	a.adds = flag(l.in.adds)
	h.each(kernel, int64(h.count)*count, unsafe.Pointer(a))
}

func (l *move) forward(h *hand) {
	l.run(h, "move64", h.at64(l.in.picture), h.at64(l.out), l.out.size())
}

func (l *move) tangent(h *hand) {
	l.run(h, "move32", h.at(tangents, l.in.picture), h.at(tangents, l.out), l.out.size())
}

func (l *move) backward(h *hand, second bool) {
	l.run(h, "moveBack", h.at(behind(second), l.out), h.at(behind(second), l.in.picture), l.in.size())
}

func (l *pool) run(h *hand, kernel string, guide, from, to address, count int64) {
	a := windows(h, l.in, l.out, l.kind)
	a.guide, a.in, a.out, a.adds = guide, from, to, flag(l.in.adds)
	a.kernel, a.stride, a.pad = pair(l.window.Kernel), pair(l.window.Stride), pair(l.window.Pad)
	h.each(kernel, int64(h.count)*count, unsafe.Pointer(a))
}

func (l *pool) forward(h *hand) {
	in := h.at64(l.in.picture)
	l.run(h, "pool64", in, in, h.at64(l.out), l.out.size())
}

func (l *pool) tangent(h *hand) {
	l.run(h, "pool32", h.at(values, l.in.picture), h.at(tangents, l.in.picture), h.at(tangents, l.out), l.out.size())
}

func (l *pool) backward(h *hand, second bool) {
	l.run(h, "poolBack", h.at(values, l.in.picture), h.at(behind(second), l.out), h.at(behind(second), l.in.picture), l.in.size())
}

// normalise is the softmax of the channels of each pixel, or its logarithm.
type normalise struct {
	in        *edge
	out       *picture
	logarithm bool
}

func (l *normalise) inputs() []*edge  { return []*edge{l.in} }
func (l *normalise) output() *picture { return l.out }

func (l *normalise) run(h *hand, kernel string, second bool) {
	in, out, pixels := l.in.picture, l.out, h.count*l.out.height*l.out.width
	h.each(kernel, int64(pixels), unsafe.Pointer(&normaliseArguments{x64: h.at64(in), y64: h.at64(out), y: h.at(values, out), dx: h.at(tangents, in),
		dy: h.at(tangents, out), gy: h.at(adjoints, out), dgy: h.at(adjointTangents, out), gx: h.at(behind(second), in),
		pixels: int32(pixels), pixel: int32(out.pixel), channels: int32(out.channels), logarithm: flag(l.logarithm), adds: flag(l.in.adds), second: flag(second)}))
}

func (l *normalise) forward(h *hand)               { l.run(h, "normalise64", false) }
func (l *normalise) tangent(h *hand)               { l.run(h, "normaliseTangent", true) }
func (l *normalise) backward(h *hand, second bool) { l.run(h, "normaliseBack", second) }
