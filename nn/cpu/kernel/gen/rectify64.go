package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// rectify64 writes Kernel.Rectify64.
func (s isa) rectify64() {
	TEXT("rectify64"+s.name, NOSPLIT, "func(dst []float64, dstStride int, x []float64, xStride int, pixels int, "+
		"shift, residual []float64, bits []byte, bitStride int)")
	dst, x := Load(Param("dst").Base(), GP64()), Load(Param("x").Base(), GP64())
	shift, residual := Load(Param("shift").Base(), GP64()), Load(Param("residual").Base(), GP64())
	bits := Load(Param("bits").Base(), GP64())
	channels, pixels := Load(Param("shift").Len(), GP64()), Load(Param("pixels"), GP64())
	dstStride, xStride := Load(Param("dstStride"), GP64()), Load(Param("xStride"), GP64())
	zero := s.vec()
	s.zero(zero)
	c, index := GP64(), GP64()
	Label("pixel")
	XORQ(c, c)
	Label("eight")
	set := GP32()
	for i := 0; i < 8; i += s.lanes / 2 {
		y := s.vec()
		element := func(base Register) Mem { return indexed(base, c, 8, 8*i) }
		VMOVUPD(element(x), y)
		VADDPD(element(shift), y, y)
		TESTQ(residual, residual)
		JZ(LabelRef(name("alone_%d", i)))
		VADDPD(element(residual), y, y)
		Label(name("alone_%d", i))
		part := s.positive64(y, zero)
		VMOVUPD(y, element(dst))
		if i == 0 {
			MOVL(part, set)
			continue
		}
		SHLL(Imm(uint64(i)), part)
		ORL(part, set)
	}
	MOVQ(c, index)
	SHRQ(Imm(3), index)
	MOVB(set.As8(), indexed(bits, index, 1, 0))
	ADDQ(Imm(8), c)
	CMPQ(c, channels)
	JLT(LabelRef("eight"))
	LEAQ(indexed(dst, dstStride, 8, 0), dst)
	LEAQ(indexed(x, xStride, 8, 0), x)
	TESTQ(residual, residual)
	JZ(LabelRef("next"))
	LEAQ(indexed(residual, dstStride, 8, 0), residual)
	Label("next")
	ADDQ(slot(Param("bitStride")), bits)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// positive64 puts zeros for what is not above zero, NaN excepted, and returns the bits of the rest.
func (s isa) positive64(y, zero VecVirtual) GPVirtual {
	const notLessOrEqual = 6 // or unordered
	bits := GP32()
	if s.lanes == 16 {
		k := K()
		VCMPPD(Imm(notLessOrEqual), zero, y, k)
		VMOVAPD_Z(y, k, y)
		KMOVW(k, bits)
		return bits
	}
	set := s.vec()
	VCMPPD(Imm(notLessOrEqual), zero, y, set)
	VANDPD(set, y, y)
	VMOVMSKPD(set, bits)
	return bits
}
