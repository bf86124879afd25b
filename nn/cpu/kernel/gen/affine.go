package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// affine writes Kernel.Affine.
func (s isa) affine() {
	TEXT("affine"+s.name, NOSPLIT, "func(dst []float32, dstStride int, x []float32, xStride int, pixels int, "+
		"scale, shift, residual []float32, residualStride int, bound float32)")
	dst, x := Load(Param("dst").Base(), GP64()), Load(Param("x").Base(), GP64())
	dstStride, xStride := Load(Param("dstStride"), GP64()), Load(Param("xStride"), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("scale").Len(), GP64())
	scale, shift := Load(Param("scale").Base(), GP64()), Load(Param("shift").Base(), GP64())
	residual, residualStride := Load(Param("residual").Base(), GP64()), Load(Param("residualStride"), GP64())
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	for _, stride := range []Register{dstStride, xStride, residualStride} {
		SHLQ(Imm(2), stride)
	}
	bound := s.vec()
	VBROADCASTSS(slot(Param("bound")), bound)
	last := s.partial(channels)
	c := GP64()
	TESTQ(residual, residual)
	JZ(LabelRef("plain_pixel"))

	for _, form := range []string{"sum", "plain"} {
		Label(form + "_pixel")
		s.eachVector(form, channels, c, last, func(_ string, a access) {
			element := func(base Register) Mem { return indexed(base, c, 4, 0) }
			y, factor, other := s.vec(), s.vec(), s.vec()
			PREFETCHT0(indexed(x, c, 4, ahead))
			a.load(element(x), y)
			a.load(element(scale), factor)
			a.load(element(shift), other)
			VFMADD213PS(other, factor, y)
			if form == "sum" {
				PREFETCHT0(indexed(residual, c, 4, ahead))
				a.load(element(residual), other)
				VADDPS(other, y, y)
			}
			VMAXPS(y, bound, y) // of NaN and a bound the first operand here: NaN stays
			a.store(y, element(dst))
		})
		ADDQ(dstStride, dst)
		ADDQ(xStride, x)
		if form == "sum" {
			ADDQ(residualStride, residual)
		}
		DECQ(pixels)
		JNZ(LabelRef(form + "_pixel"))
		JMP(LabelRef("done"))
	}
	Label("done")
	VZEROUPPER()
	RET()
}
