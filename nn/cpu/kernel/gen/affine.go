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
	bound := s.vec()
	VBROADCASTSS(slot(Param("bound")), bound)
	s.scaled(func(_ string, _, _ Register, y VecVirtual) {
		VMAXPS(y, bound, y) // of NaN and a bound the first operand here: NaN stays
	}, func() {})
}

// rectify writes Kernel.Rectify.
func (s isa) rectify() {
	TEXT("rectify"+s.name, NOSPLIT, "func(dst []float32, dstStride int, x []float32, xStride int, pixels int, "+
		"scale, shift, residual []float32, residualStride int, bits []byte, bitStride int)")
	bits := Load(Param("bits").Base(), GP64())
	zero := s.vec()
	s.zero(zero)
	s.scaled(func(part string, c, channels Register, y VecVirtual) {
		const notLessOrEqual = 6 // or unordered
		index, word := GP64(), GP64()
		MOVQ(c, index)
		SHRQ(Imm(3), index)
		if s.lanes == 8 {
			set := s.vec()
			VCMPPS(Imm(notLessOrEqual), zero, y, set)
			VANDPS(set, y, y)
			VMOVMSKPS(set, word.As32())
			MOVB(word.As8(), indexed(bits, index, 1, 0))
			return
		}
		k := K()
		VCMPPS(Imm(notLessOrEqual), zero, y, k)
		VMOVAPS_Z(y, k, y)
		KMOVW(k, word.As32())
		MOVB(word.As8(), indexed(bits, index, 1, 0))
		rest := GP64()
		MOVQ(channels, rest)
		SUBQ(c, rest)
		CMPQ(rest, Imm(8))
		JLE(LabelRef(part + "_byte")) // the next belongs to another pixel
		SHRQ(Imm(8), word)
		MOVB(word.As8(), indexed(bits, index, 1, 1))
		Label(part + "_byte")
	}, func() { ADDQ(slot(Param("bitStride")), bits) })
}

// scaled writes what Affine and Rectify have in common: a row of pixels scaled, shifted and summed. end finishes a vector, whose
// first channel is c, and next goes on to the next pixel.
func (s isa) scaled(end func(part string, c, channels Register, y VecVirtual), next func()) {
	dst, x := Load(Param("dst").Base(), GP64()), Load(Param("x").Base(), GP64())
	dstStride, xStride := bytes("dstStride"), slot(Param("xStride"))
	SHLQ(Imm(2), xStride)
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("scale").Len(), GP64())
	scale, shift := Load(Param("scale").Base(), GP64()), Load(Param("shift").Base(), GP64())
	residual, residualStride := Load(Param("residual").Base(), GP64()), bytes("residualStride")
	for _, count := range []Register{pixels, channels} {
		TESTQ(count, count)
		JZ(LabelRef("done"))
	}
	last := s.partial(channels)
	c := GP64()
	// Pixels may lie apart: whole ones are asked for, about ahead bytes of them before their turn.
	further, asked := GP64(), GP64()
	XORQ(further, further)
	XORQ(asked, asked)
	Label("further")
	ADDQ(xStride, further)
	LEAQ(indexed(asked, channels, 4, 0), asked)
	CMPQ(asked, U32(ahead))
	JLT(LabelRef("further"))
	ADDQ(x, further)
	TESTQ(residual, residual)
	JZ(LabelRef("plain_pixel"))

	for _, form := range []string{"sum", "plain"} {
		Label(form + "_pixel")
		s.eachVector(form, channels, c, last, func(part string, a access) {
			element := func(base Register) Mem { return indexed(base, c, 4, 0) }
			y, factor, other := s.vec(), s.vec(), s.vec()
			PREFETCHT0(indexed(further, c, 4, 0))
			a.load(element(x), y)
			a.load(element(scale), factor)
			a.load(element(shift), other)
			VFMADD213PS(other, factor, y)
			if form == "sum" {
				PREFETCHT0(indexed(residual, c, 4, ahead))
				a.load(element(residual), other)
				VADDPS(other, y, y)
			}
			end(part, c, channels, y)
			a.store(y, element(dst))
		})
		ADDQ(dstStride, dst)
		ADDQ(xStride, x)
		ADDQ(xStride, further)
		if form == "sum" {
			ADDQ(residualStride, residual)
		}
		next()
		DECQ(pixels)
		JNZ(LabelRef(form + "_pixel"))
		JMP(LabelRef("done"))
	}
	Label("done")
	VZEROUPPER()
	RET()
}
