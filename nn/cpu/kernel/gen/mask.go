package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// through replaces the lanes of a vector whose bits are zero by zeros.
func (s isa) through() func(bits Mem, v VecVirtual) {
	if s.lanes == 16 {
		word := GP32()
		return func(bits Mem, v VecVirtual) {
			k := K()
			MOVWLZX(bits, word)
			KMOVW(word, k)
			VMOVAPS_Z(v, k, v)
		}
	}
	each := s.vec() // lane by lane its bit
	VMOVUPS(constant("laneBits", func() {
		for lane := range 8 {
			DATA(4*lane, U32(1<<lane))
		}
	}), each)
	return func(bits Mem, v VecVirtual) {
		set := s.vec()
		VPBROADCASTB(bits, set)
		VPAND(each, set, set)
		VPCMPEQD(each, set, set)
		VANDPS(set, v, v)
	}
}

// mask writes Kernel.Mask.
func (s isa) mask() {
	TEXT("mask"+s.name, NOSPLIT, "func(x []float32, stride int, bits []byte, bitStride, pixels, channels int)")
	x, bits := Load(Param("x").Base(), GP64()), Load(Param("bits").Base(), GP64())
	stride, bitStride := bytes("stride"), Load(Param("bitStride"), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("channels"), GP64())
	through := s.through()
	last := s.partial(channels)
	c, index := GP64(), GP64()
	Label("pixel")
	s.eachVector("channel", channels, c, last, func(_ string, a access) {
		v := s.vec()
		a.load(indexed(x, c, 4, 0), v)
		MOVQ(c, index)
		SHRQ(Imm(3), index)
		through(indexed(bits, index, 1, 0), v)
		a.store(v, indexed(x, c, 4, 0))
	})
	ADDQ(stride, x)
	ADDQ(bitStride, bits)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}
