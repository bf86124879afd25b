package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// moments writes Kernel.Moments.
func (s isa) moments() {
	TEXT("moments"+s.name, NOSPLIT, "func(sums, products []float64, a []float32, aStride int, b []float32, bStride int, bits []byte, bitStride, pixels, channels int)")
	m := moments{isa: s, sums: Load(Param("sums").Base(), GP64()), products: Load(Param("products").Base(), GP64()),
		a: Load(Param("a").Base(), GP64()), b: Load(Param("b").Base(), GP64()), bits: Load(Param("bits").Base(), GP64()),
		aStride: bytes("aStride"), bStride: bytes("bStride")}
	channels := Load(Param("channels"), GP64())
	last := s.partial(channels)
	through := s.through()
	TESTQ(m.bits, m.bits)
	JZ(LabelRef("plain"))
	m.channels("masked", channels, func(a Register, vector int, bits Register, acc access) (low, high VecVirtual) {
		v := s.vec()
		acc.load(at(a, vector*s.bytes()), v)
		through(at(bits, vector*s.lanes/8), v)
		acc.store(v, at(a, vector*s.bytes()))
		return s.widen(v)
	}, last)
	Label("plain")
	plain := func(a Register, vector int, _ Register, acc access) (low, high VecVirtual) {
		return m.widened(a, vector, acc)
	}
	CMPQ(m.a, m.b)
	JNE(LabelRef("two"))
	m.square = true // what is read once
	m.channels("square", channels, plain, last)
	m.square = false
	Label("two")
	m.channels("two", channels, plain, last)
}

// moments is where Moments finds what it works on, from the channels in hand on.
type moments struct {
	isa
	sums, products, a, b, bits, aStride, bStride Register
	square                                       bool // a is b
}

// widened reads a vector as float64s.
func (m moments) widened(p Register, vector int, acc access) (low, high VecVirtual) {
	v := m.vec()
	acc.load(at(p, vector*m.bytes()), v)
	return m.widen(v)
}

// channels goes through all channels and returns; read gives the vectors of a.
func (m moments) channels(label string, channels Register, read func(a Register, vector int, bits Register, acc access) (low, high VecVirtual), last access) {
	const several = 2 // sums at a time hide how long an addition takes
	for _, vectors := range []int{several, 1} {
		label := name("%s_by%d", label, vectors)
		Label(label)
		CMPQ(channels, Imm(uint64(vectors*m.lanes)))
		JLT(LabelRef(label + "_end"))
		m.tile(label, vectors, read, whole)
		SUBQ(Imm(uint64(vectors*m.lanes)), channels)
		JMP(LabelRef(label))
		Label(label + "_end")
	}
	TESTQ(channels, channels)
	JZ(LabelRef(label + "_done"))
	m.tile(label+"_part", 1, read, last)
	Label(label + "_done")
	VZEROUPPER()
	RET()
}

// tile sums some vectors of channels over all pixels and goes on to the next channels.
func (m moments) tile(label string, vectors int, read func(a Register, vector int, bits Register, acc access) (low, high VecVirtual), acc access) {
	size := m.bytes() // of half a vector in float64
	sum, product := make([]VecVirtual, 2*vectors), make([]VecVirtual, 2*vectors)
	for i := range sum {
		sum[i], product[i] = m.vec(), m.vec()
		VMOVUPD(at(m.sums, i*size), sum[i])
		VMOVUPD(at(m.products, i*size), product[i])
	}
	a, b, bits, left := GP64(), GP64(), GP64(), GP64()
	MOVQ(m.a, a)
	MOVQ(m.b, b)
	MOVQ(m.bits, bits)
	MOVQ(slot(Param("pixels")), left)
	Label(label + "_pixel")
	for i := range vectors {
		PREFETCHT0(at(b, ahead+i*2*size))
		low, high := read(a, i, bits, acc)
		otherLow, otherHigh := low, high
		if !m.square {
			otherLow, otherHigh = m.widened(b, i, acc)
		}
		VADDPD(low, sum[2*i], sum[2*i])
		VADDPD(high, sum[2*i+1], sum[2*i+1])
		VFMADD231PD(low, otherLow, product[2*i])
		VFMADD231PD(high, otherHigh, product[2*i+1])
	}
	ADDQ(m.aStride, a)
	ADDQ(m.bStride, b)
	ADDQ(slot(Param("bitStride")), bits)
	DECQ(left)
	JNZ(LabelRef(label + "_pixel"))
	for i := range sum {
		VMOVUPD(sum[i], at(m.sums, i*size))
		VMOVUPD(product[i], at(m.products, i*size))
	}
	for _, p := range []Register{m.sums, m.products} {
		ADDQ(U32(2*vectors*size), p)
	}
	for _, p := range []Register{m.a, m.b} {
		ADDQ(U32(vectors*size), p)
	}
	ADDQ(Imm(uint64(vectors*m.lanes/8)), m.bits)
}

// blend writes Kernel.Blend.
func (s isa) blend() {
	TEXT("blend"+s.name, NOSPLIT, "func(dst, a, b, c []float32, pixels int, byA, byB, shift []float32)")
	dst, a, b := Load(Param("dst").Base(), GP64()), Load(Param("a").Base(), GP64()), Load(Param("b").Base(), GP64())
	rest := Load(Param("c").Base(), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("byA").Len(), GP64())
	byA, byB, shift := Load(Param("byA").Base(), GP64()), Load(Param("byB").Base(), GP64()), Load(Param("shift").Base(), GP64())
	last := s.partial(channels)
	c := GP64()
	TESTQ(rest, rest)
	JZ(LabelRef("plain_pixel"))
	for _, form := range []string{"sum", "plain"} {
		Label(form + "_pixel")
		s.eachVector(form, channels, c, last, func(_ string, acc access) {
			element := func(base Register) Mem { return indexed(base, c, 4, 0) }
			y, x, factor := s.vec(), s.vec(), s.vec()
			acc.load(element(shift), y)
			PREFETCHT0(indexed(b, c, 4, ahead))
			acc.load(element(b), x)
			acc.load(element(byB), factor)
			VFMADD231PS(x, factor, y)
			PREFETCHT0(indexed(a, c, 4, ahead))
			acc.load(element(a), x)
			acc.load(element(byA), factor)
			VFMADD231PS(x, factor, y)
			if form == "sum" {
				PREFETCHT0(indexed(rest, c, 4, ahead))
				acc.load(element(rest), x)
				VADDPS(x, y, y)
			}
			acc.store(y, element(dst))
		})
		bases := []Register{dst, a, b}
		if form == "sum" {
			bases = append(bases, rest)
		}
		for _, base := range bases {
			LEAQ(indexed(base, channels, 4, 0), base)
		}
		DECQ(pixels)
		JNZ(LabelRef(form + "_pixel"))
		JMP(LabelRef("done"))
	}
	Label("done")
	VZEROUPPER()
	RET()
}
