package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// mask writes Kernel.Mask.
func (s isa) mask() {
	TEXT("mask"+s.name, NOSPLIT, "func(x []float32, stride int, bits []byte, bitStride, pixels, channels int)")
	x, bits := Load(Param("x").Base(), GP64()), Load(Param("bits").Base(), GP64())
	stride, bitStride := bytes("stride"), Load(Param("bitStride"), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("channels"), GP64())
	each := s.vec() // lane by lane its bit
	if s.lanes == 8 {
		VMOVUPS(constant("laneBits", func() {
			for lane := range 8 {
				DATA(4*lane, U32(1<<lane))
			}
		}), each)
	}
	last := s.partial(channels)
	c, index, word := GP64(), GP64(), GP64()
	Label("pixel")
	s.eachVector("channel", channels, c, last, func(_ string, a access) {
		v := s.vec()
		a.load(indexed(x, c, 4, 0), v)
		MOVQ(c, index)
		SHRQ(Imm(3), index)
		if s.lanes == 16 {
			k := K()
			MOVWLZX(indexed(bits, index, 1, 0), word.As32())
			KMOVW(word.As32(), k)
			VMOVAPS_Z(v, k, v)
		} else {
			set, lane := s.vec(), XMM()
			MOVBLZX(indexed(bits, index, 1, 0), word.As32())
			VMOVD(word.As32(), lane)
			VPBROADCASTD(lane, set)
			VPAND(each, set, set)
			VPCMPEQD(each, set, set)
			VANDPS(set, v, v)
		}
		a.store(v, indexed(x, c, 4, 0))
	})
	ADDQ(stride, x)
	ADDQ(bitStride, bits)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}
