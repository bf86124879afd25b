package cuda

import (
	"math"
	"math/bits"
	"unsafe"

	"lsrun/nn"
)

// combine is y = f(scale·x + shift + residual), with a batch norm's scale and shift, a residual or an activation f, and with all
// of them if f is ReLU; Combine in derive.h has the derivatives.
type combine struct {
	in, residual *edge // residual may be nil
	out          *picture
	norm         *frozen // or nil
	kind         int32
	a, b         float32
}

// frozen is a batch norm in evaluation, scale = weight/√(variance + ε) and shift = bias − mean·scale: linear in the parameters.
type frozen struct {
	op             nn.BatchNorm
	weight, bias   int // in the parameters
	mean, variance int // entries
	at             int // in φ: the scales, then the shifts
	pixel          int
}

func (t *tape) norm(op nn.BatchNorm, entries, first []int, pixel int) *frozen {
	return &frozen{op: op, weight: first[entries[0]], bias: first[entries[1]], mean: entries[2], variance: entries[3], at: t.takePhi(2 * pixel), pixel: pixel}
}

func (l *combine) effective(p *parameters) {
	if n := l.norm; n != nil {
		for c := range l.out.channels {
			p.norms = append(p.norms, norming{int32(n.weight + c), int32(n.bias + c), int32(n.at + c), int32(n.at + n.pixel + c)})
		}
	}
}

// statistics appends 1/√(variance + ε) and the means at a point.
func (l *combine) statistics(slopes, means []float64, entries [][]float32) (_, _ []float64) {
	if n := l.norm; n != nil {
		for c, m := range entries[n.mean] {
			slopes, means = append(slopes, 1/math.Sqrt(float64(entries[n.variance][c])+n.op.Eps)), append(means, float64(m))
		}
	}
	return slopes, means
}

func (l *combine) inputs() []*edge {
	if l.residual != nil {
		return []*edge{l.in, l.residual}
	}
	return []*edge{l.in}
}

func (l *combine) output() *picture { return l.out }

func (l *combine) room(images int) int64 { return sumsRoom(l.out, images) }

// arguments are what all kernels of the layer take.
func (l *combine) arguments(h *hand, second bool) *combineArguments {
	in := l.in.picture
	a := &combineArguments{x64: h.at64(in), y64: h.at64(l.out), x: h.at(values, in), y: h.at(values, l.out), dx: h.at(tangents, in),
		dy: h.at(tangents, l.out), gy: h.at(adjoints, l.out), dgy: h.at(adjointTangents, l.out), gx: h.at(behind(second), in),
		pixels: int64(h.count * l.out.height * l.out.width), pixel: int32(l.out.pixel), kind: l.kind, a: l.a, b: l.b,
		addsX: flag(l.in.adds), second: flag(second)}
	if n := l.norm; n != nil {
		at := int64(n.at)
		a.scale64, a.shift64 = h.phi64.at(2*at), h.phi64.at(2*(at+int64(n.pixel)))
		a.scale, a.dScale, a.dShift = h.phi.at(at), h.dPhi.at(at), h.dPhi.at(at+int64(n.pixel))
	}
	if r := l.residual; r != nil {
		a.r64, a.dr, a.gr, a.addsR = h.at64(r.picture), h.at(tangents, r.picture), h.at(behind(second), r.picture), flag(r.adds)
	}
	return a
}

func (l *combine) run(h *hand, kernel string, a *combineArguments) {
	h.each(kernel, a.pixels*int64(a.pixel)/4, unsafe.Pointer(a))
}

func (l *combine) forward(h *hand) { l.run(h, "combine64", l.arguments(h, false)) }
func (l *combine) tangent(h *hand) { l.run(h, "tangent", l.arguments(h, true)) }

func (l *combine) backward(h *hand, second bool) {
	a := l.arguments(h, second)
	n := l.norm
	if n == nil || h.bare {
		l.run(h, "adjoint", a)
		return
	}
	splits := h.runs(a, l.out)
	fours := l.out.pixel / 4
	across := min(1<<bits.Len(uint(fours-1)), 16)
	a.across = int32(across)
	h.launch(launch{kernel: "adjointSums", grid: [3]int{splits, blocks(fours, across), 1}, block: 256, shared: 8 * 8 * 256}, unsafe.Pointer(a))
	h.reduce(h.parts, n.at, 2*n.pixel, 2*n.pixel, splits)
}

// sumsRun is how many pixels a block of threads sums at least.
const sumsRun = 256

func sumsRoom(out *picture, images int) int64 {
	return int64(min(wantedBlocks, blocks(images*out.height*out.width, sumsRun))+1) * 2 * int64(out.pixel)
}

// runs cuts the pixels of out into those of blocks that sum derivatives by its scales and shifts: parts, [split][by scale, by shift][channel].
func (h *hand) runs(a *combineArguments, out *picture) (splits int) {
	pixels := h.count * out.height * out.width
	chunk := max(sumsRun, blocks(pixels, wantedBlocks))
	a.sums, a.pixels, a.pixel, a.chunk = h.parts, int64(pixels), int32(out.pixel), int32(chunk)
	return blocks(pixels, chunk)
}

// sums adds up derivatives by out's scales and shifts.
func (h *hand) sums(a *combineArguments, out *picture) (splits int) {
	splits = h.runs(a, out)
	h.launch(launch{kernel: "sums", grid: [3]int{blocks(out.pixel, 32), splits, 1}, block: 256, shared: 8 * 8 * 64}, unsafe.Pointer(a))
	return splits
}
