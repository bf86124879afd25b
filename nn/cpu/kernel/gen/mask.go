package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// mask writes Kernel.Mask.
func (s isa) mask() {
	TEXT("mask"+s.name, NOSPLIT, "func(x []float32, stride int, y []float32, yStride, pixels, channels int)")
	x, y := Load(Param("x").Base(), GP64()), Load(Param("y").Base(), GP64())
	stride, yStride := bytes("stride"), bytes("yStride")
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("channels"), GP64())
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	zero := s.vec()
	s.zero(zero)
	last := s.partial(channels)
	c := GP64()
	const notLessOrEqual = 6 // or unordered
	Label("pixel")
	s.eachVector("channel", channels, c, last, func(_ string, a access) {
		v, w := s.vec(), s.vec()
		a.load(indexed(x, c, 4, 0), v)
		a.load(indexed(y, c, 4, 0), w)
		if s.lanes == 16 {
			k := K()
			VCMPPS(Imm(notLessOrEqual), zero, w, k)
			VMOVAPS_Z(v, k, v)
		} else {
			VCMPPS(Imm(notLessOrEqual), zero, w, w)
			VANDPS(w, v, v)
		}
		a.store(v, indexed(x, c, 4, 0))
	})
	ADDQ(stride, x)
	ADDQ(yStride, y)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	Label("done")
	VZEROUPPER()
	RET()
}
