package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// impose writes Kernel.Impose.
func (s isa) impose() {
	TEXT("impose"+s.name, NOSPLIT, "func(x []float32, stride int, signs []byte, pixels, channels int)")
	x, signs, stride := Load(Param("x").Base(), GP64()), Load(Param("signs").Base(), GP64()), bytes("stride")
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("channels"), GP64())
	perPixel := GP64()
	MOVQ(channels, perPixel)
	ADDQ(Imm(7), perPixel)
	SHRQ(Imm(3), perPixel)
	least := s.vec()
	VBROADCASTSS(number("smallestNormal", 0x1p-126), least)
	bits := s.vec()
	if s.lanes == 8 {
		VMOVUPS(constant("laneBits", func() {
			for lane := range 8 {
				DATA(4*lane, U32(1<<lane))
			}
		}), bits)
	}
	last := s.partial(channels)
	c, at, from := GP64(), GP64(), GP64()
	Label("pixel")
	s.eachVector("channel", channels, c, last, func(_ string, a access) {
		v := s.vec()
		a.load(indexed(x, c, 4, 0), v)
		VMAXPS(v, least, v) // of NaN and a bound the first operand here: NaN stays
		MOVQ(c, at)
		SHRQ(Imm(3), at)
		if s.lanes == 16 {
			k := K()
			MOVWLZX(indexed(signs, at, 1, 0), from.As32())
			KMOVW(from.As32(), k)
			VMOVAPS_Z(v, k, v)
		} else {
			mask, lane := s.vec(), XMM()
			MOVBLZX(indexed(signs, at, 1, 0), from.As32())
			VMOVD(from.As32(), lane)
			VPBROADCASTD(lane, mask)
			VPAND(bits, mask, mask)
			VPCMPEQD(bits, mask, mask)
			VANDPS(mask, v, v)
		}
		a.store(v, indexed(x, c, 4, 0))
	})
	ADDQ(stride, x)
	ADDQ(perPixel, signs)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}
