package main

import (
	"math/bits"

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
	logLanes := bits.TrailingZeros(uint(s.lanes))
	x, bits := Load(Param("x").Base(), GP64()), Load(Param("bits").Base(), GP64())
	stride, bitStride := bytes("stride"), Load(Param("bitStride"), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("channels"), GP64())
	through := s.through()
	last := s.partial(channels)
	to, from, left := GP64(), GP64(), GP64()
	Label("pixel")
	MOVQ(x, to)
	MOVQ(bits, from)
	MOVQ(channels, left)
	SHRQ(Imm(uint64(logLanes)), left)
	vector := func(i int, a access) {
		v, m := s.vec(), at(to, i*s.bytes())
		a.load(m, v)
		through(at(from, i*s.lanes/8), v)
		a.store(v, m)
	}
	loop("vector", left, unroll, func(n int) {
		for i := range n {
			vector(i, whole)
		}
		ADDQ(U32(uint32(n*s.bytes())), to)
		ADDQ(Imm(uint64(n*s.lanes/8)), from)
	})
	TESTQ(U32(uint32(s.lanes-1)), channels)
	JZ(LabelRef("next"))
	vector(0, last)
	Label("next")
	ADDQ(stride, x)
	ADDQ(bitStride, bits)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}
