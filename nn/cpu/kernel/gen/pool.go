package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// maxRow writes Kernel.MaxRow.
func (s isa) maxRow() {
	TEXT("maxRow"+s.name, NOSPLIT, "func(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int)")
	largest := s.vec()
	s.reduceRow(reduction{
		begin: func() { VBROADCASTSS(number("minusInfinity", float32(math.Inf(-1))), largest) },
		add:   func(v VecVirtual) { s.maxOrNaN(v, largest) },
		end:   func(result VecVirtual) { VMOVAPS(largest, result) },
	})
}

// maxOrNaN makes m the larger of v and m, NaN if either is.
func (s isa) maxOrNaN(v, m VecVirtual) {
	const unordered = 3
	if s.lanes == 16 {
		k := K()
		VCMPPS(Imm(unordered), v, v, k)
		VMAXPS(m, v, m) // of NaN and a number the first operand here: NaN in m stays
		VMOVAPS(v, k, m)
		return
	}
	isNaN := s.vec()
	VCMPPS(Imm(unordered), v, v, isNaN)
	VMAXPS(m, v, m)
	VBLENDVPS(isNaN, v, m, m)
}

// argmaxPixel writes Kernel.ArgmaxPixel.
func (s isa) argmaxPixel() {
	TEXT("argmaxPixel"+s.name, NOSPLIT, "func(dst []float32, places []int32, x []float32, taps []int, from int)")
	dst, places, channels := Load(Param("dst").Base(), GP64()), Load(Param("places").Base(), GP64()), Load(Param("dst").Len(), GP64())
	x, from := Load(Param("x").Base(), GP64()), Load(Param("from"), GP64())
	taps, count := Load(Param("taps").Base(), GP64()), Load(Param("taps").Len(), GP64())
	last := s.partial(channels)
	c, t, tap, element := GP64(), GP64(), GP64(), GP64()
	number := s.vec()
	VMOVUPS(laneNumbers(), number)
	s.eachVector("channel", channels, c, last, func(part string, a access) {
		v, place, largest, at := s.vec(), s.vec(), s.vec(), s.vec()
		read := func(v, place VecVirtual) {
			MOVQ(indexed(taps, t, 8, 0), tap)
			MOVQ(tap, element)
			ADDQ(c, element)
			a.load(indexed(x, element, 4, 0), v)
			SUBQ(from, element)
			VMOVD(element.As32(), place.AsX())
			VPBROADCASTD(place.AsX(), place)
		}
		XORQ(t, t)
		read(largest, at)
		JMP(LabelRef(part + "_next"))
		Label(part + "_tap")
		read(v, place)
		s.takeLarger(v, place, largest, at)
		Label(part + "_next")
		INCQ(t)
		CMPQ(t, count)
		JLT(LabelRef(part + "_tap"))
		VPADDD(number, at, at)
		a.store(largest, indexed(dst, c, 4, 0))
		a.store(at, indexed(places, c, 4, 0))
	})
	VZEROUPPER()
	RET()
}

// takeLarger makes m and its place v's where that is larger or NaN.
func (s isa) takeLarger(v, place, m, at VecVirtual) {
	const unordered, greater = 3, 30
	if s.lanes == 16 {
		larger, isNaN := K(), K()
		VCMPPS(Imm(greater), m, v, larger)
		VCMPPS(Imm(unordered), v, v, isNaN)
		KORW(isNaN, larger, larger)
		VMOVAPS(v, larger, m)
		VMOVDQA32(place, larger, at)
		return
	}
	larger, isNaN := s.vec(), s.vec()
	VCMPPS(Imm(greater), m, v, larger)
	VCMPPS(Imm(unordered), v, v, isNaN)
	VORPS(isNaN, larger, larger)
	VBLENDVPS(larger, v, m, m)
	VBLENDVPS(larger, place, at, at)
}

// laneNumbers is a vector of the numbers from 0 on.
func laneNumbers() Mem {
	return constant("laneNumbers", func() {
		for lane := range 16 {
			DATA(4*lane, U32(lane))
		}
	})
}

// meanRow writes Kernel.MeanRow.
func (s isa) meanRow() {
	TEXT("meanRow"+s.name, NOSPLIT, "func(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int, divisor float64)")
	divisor, low, high := s.vec(), s.vec(), s.vec()
	VBROADCASTSD(slot(Param("divisor")), divisor)
	s.reduceRow(reduction{
		begin: func() {
			s.zero(low)
			s.zero(high)
		},
		add: func(v VecVirtual) {
			l, h := s.widen(v)
			VADDPD(l, low, low)
			VADDPD(h, high, high)
		},
		end: func(result VecVirtual) {
			VDIVPD(divisor, low, low)
			VDIVPD(divisor, high, high)
			s.narrow(low, high, result)
		},
	})
}

// widen converts the halves of a vector to float64.
func (s isa) widen(v VecVirtual) (low, high VecVirtual) {
	low, high = s.vec(), s.vec()
	if s.lanes == 16 {
		upper := YMM()
		VCVTPS2PD(v.AsY(), low)
		VEXTRACTF64X4(Imm(1), v, upper)
		VCVTPS2PD(upper, high)
		return low, high
	}
	upper := XMM()
	VCVTPS2PD(v.AsX(), low)
	VEXTRACTF128(Imm(1), v, upper)
	VCVTPS2PD(upper, high)
	return low, high
}

// narrow converts halves in float64 to a vector.
func (s isa) narrow(low, high, v VecVirtual) {
	if s.lanes == 16 {
		VCVTPD2PS(low, v.AsY())
		VCVTPD2PS(high, high.AsY())
		VINSERTF64X4(Imm(1), high.AsY(), v, v)
		return
	}
	VCVTPD2PSY(low, v.AsX())
	VCVTPD2PSY(high, high.AsX())
	VINSERTF128(Imm(1), high.AsX(), v, v)
}

// reduction makes one vector of those at the taps.
type reduction struct {
	begin func()
	add   func(v VecVirtual)
	end   func(result VecVirtual)
}

// reduceRow writes a reduction over the parameters taps of x into every pixel of dst, all channels of one before the next: neighbours in
// memory come together.
func (s isa) reduceRow(r reduction) {
	x, dst := Load(Param("x").Base(), GP64()), Load(Param("dst").Base(), GP64())
	dstStride, xStride := bytes("dstStride"), bytes("xStride")
	channels, pixels := Load(Param("channels"), GP64()), Load(Param("pixels"), GP64())
	last := s.partial(channels)
	c, v := GP64(), s.vec()
	Label("pixel")
	s.eachVector("channel", channels, c, last, func(part string, a access) {
		taps, left, from := Load(Param("taps").Base(), GP64()), Load(Param("taps").Len(), GP64()), GP64()
		r.begin()
		Label(part + "_tap")
		MOVQ(at(taps, 0), from)
		ADDQ(c, from)
		a.load(indexed(x, from, 4, 0), v)
		r.add(v)
		ADDQ(Imm(8), taps)
		DECQ(left)
		JNZ(LabelRef(part + "_tap"))
		r.end(v)
		a.store(v, indexed(dst, c, 4, 0))
	})
	ADDQ(dstStride, dst)
	ADDQ(xStride, x)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}
