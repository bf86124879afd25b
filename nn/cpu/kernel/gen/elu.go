package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// elu writes Kernel.ELU: scale·max(y, 0) + scaleAlpha·expm1(min(y, 0)), of which one is zero.
func (s isa) elu() {
	TEXT("elu"+s.name, NOSPLIT, "func(x []float32, stride, pixels, channels int, scale, scaleAlpha float32)")
	x, stride := Load(Param("x").Base(), GP64()), Load(Param("stride"), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("channels"), GP64())
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	SHLQ(Imm(2), stride)
	zero, scale, scaleAlpha := s.vec(), s.vec(), s.vec()
	s.zero(zero)
	VBROADCASTSS(slot(Param("scale")), scale)
	VBROADCASTSS(slot(Param("scaleAlpha")), scaleAlpha)
	expm1 := s.expm1()
	last := s.partial(channels)
	c := GP64()
	Label("pixel")
	s.eachVector("channel", channels, c, last, func(_ string, a access) {
		positive, y := s.vec(), s.vec()
		a.load(indexed(x, c, 4, 0), y)
		VMAXPS(zero, y, positive)
		VMINPS(y, zero, y) // of NaN and a number the first operand here: NaN stays
		expm1(y)
		VMULPS(scaleAlpha, y, y)
		VFMADD231PS(scale, positive, y)
		a.store(y, indexed(x, c, 4, 0))
	})
	ADDQ(stride, x)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	Label("done")
	VZEROUPPER()
	RET()
}

// The constants of expm1, which its plain twin explains.
const (
	expFloor = -20
	expShift = 3<<22 + 127
	ln2High  = 355.0 / 512
	ln2Low   = math.Ln2 - ln2High
)

// em1 are the coefficients of r² and up in eʳ − 1 ≈ r + ½r² + …, the highest first.
var em1 = []float32{0x1.9fbdep-13, 0x1.6d40b8p-10, 0x1.1111cap-7, 0x1.5554f2p-5, 0x1.555554p-3, 0.5}

// expm1 prepares the constants of eʸ − 1 and returns what replaces y ≤ 0, or NaN, by it.
func (s isa) expm1() func(y VecVirtual) {
	floor := s.vec()
	VBROADCASTSS(number("expFloor", expFloor), floor)
	shift, one := s.everywhere("expShift", expShift), s.everywhere("one", 1)
	log2e, high, low := s.everywhere("log2e", math.Log2E), s.everywhere("ln2High", ln2High), s.everywhere("ln2Low", ln2Low)
	coefficient := make([]Op, len(em1))
	for i, c := range em1 {
		coefficient[i] = s.everywhere(name("em1_%d", len(em1)+1-i), c)
	}
	return func(y VecVirtual) {
		n, power, square, sum := s.vec(), s.vec(), s.vec(), s.vec()
		VMAXPS(y, floor, y)
		VMOVUPS(log2e, n)
		VFMADD213PS(shift, y, n) // its low bits are n + 127
		VPSLLD(Imm(23), n, power)
		VSUBPS(shift, n, n)
		VFNMADD231PS(high, n, y)
		VFNMADD231PS(low, n, y)

		VMOVUPS(coefficient[0], sum)
		for _, c := range coefficient[1:] {
			VFMADD213PS(c, y, sum)
		}
		VMULPS(y, y, square)
		VFMADD231PS(square, sum, y)

		VSUBPS(one, power, n)
		VFMADD213PS(n, power, y)
	}
}

// everywhere is a vector of one number: a register where there are 32, else in memory.
func (s isa) everywhere(name string, x float32) Op {
	if s.lanes == 16 {
		v := s.vec()
		VBROADCASTSS(number(name, x), v)
		return v
	}
	return constant(name+"Vector", func() {
		for lane := range s.lanes {
			DATA(4*lane, U32(math.Float32bits(x)))
		}
	})
}
