package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// fetched64 is a vector of copies of x in memory.
func (s isa) fetched64(label string, x float64) Op {
	return constant(label+"Vector64", func() {
		for i := range s.lanes / 2 {
			DATA(8*i, U64(math.Float64bits(x)))
		}
	})
}

// filter is G·g in float64, which it overwrites, each product and sum rounded.
func (s isa) filter(f form) func(g []VecVirtual) []VecVirtual {
	pair := func(even, odd VecVirtual) (sum, difference VecVirtual) {
		sum, difference = s.vec(), s.vec()
		VADDPD(odd, even, sum)
		VSUBPD(odd, even, difference)
		return sum, difference
	}
	if f.tile == 2 {
		half := s.fetched64("half", 0.5)
		return func(g []VecVirtual) []VecVirtual {
			even := s.vec()
			VADDPD(g[2], g[0], even)
			VMULPD(half, even, even)
			VMULPD(half, g[1], g[1])
			sum, difference := pair(even, g[1])
			return []VecVirtual{g[0], sum, difference, g[2]}
		}
	}
	origin := s.fetched64("origin", nearOrigin)
	near := func(label string, point, near float64) func(g []VecVirtual) (sum, difference VecVirtual) {
		square, evens, odds := s.fetched64("square"+label, point*point), s.fetched64("near"+label+"0", near), s.fetched64("near"+label+"1", point*near)
		return func(g []VecVirtual) (sum, difference VecVirtual) {
			even, odd := s.vec(), s.vec()
			VMULPD(square, g[len(g)-1], even)
			if len(g) == 3 {
				VADDPD(even, g[0], even)
			}
			VMULPD(evens, even, even)
			VMULPD(odds, g[len(g)-2], odd)
			return pair(even, odd)
		}
	}
	nearestA, nearestB := near("A", pointA, nearA), near("B", pointB, nearB)
	return func(g []VecVirtual) (u []VecVirtual) {
		sumA, differenceA := nearestA(g)
		sumB, differenceB := nearestB(g)
		if len(g) == 3 {
			VMULPD(origin, g[0], g[0])
			u = g[:1]
		}
		return append(u, sumA, differenceA, sumB, differenceB, g[len(g)-1])
	}
}

// winogradFilter writes Winograd.Filter: for each vector of columns in float64 all columns of the matrix, whose results wait on the
// stack, and then the rows.
func (s isa) winogradFilter(f form) {
	TEXT(name("winogradFilter%v%s", f, s.name), 0, "func(u []float32, uStride int, g []float32, gStride, columns int)")
	half := AllocLocal(f.n() * f.taps * s.bytes())
	transform := s.filter(f)
	u, g := Load(Param("u").Base(), GP64()), Load(Param("g").Base(), GP64())
	uStride, gStride := bytes("uStride"), bytes("gStride")
	columns := Load(Param("columns"), GP64())
	row := GP64() // of the matrix
	IMUL3Q(U8(uint8(f.taps)), gStride, row)
	taps := func() []VecVirtual {
		d := make([]VecVirtual, f.taps)
		for k := range d {
			d[k] = s.vec()
		}
		return d
	}
	Label("columns")
	from := GP64()
	MOVQ(g, from)
	for l := range f.taps {
		d := taps()
		for k := range d {
			if k == 0 {
				VCVTPS2PD(at(from, 0), d[k])
			} else {
				VCVTPS2PD(indexed(from, row, uint8(k), 0), d[k])
			}
		}
		for i, v := range transform(d) {
			VMOVUPD(v, half.Offset((i*f.taps+l)*s.bytes()))
		}
		ADDQ(gStride, from)
	}
	to := GP64()
	MOVQ(u, to)
	for i := range f.n() {
		d := taps()
		for l := range d {
			VMOVUPD(half.Offset((i*f.taps+l)*s.bytes()), d[l])
		}
		for _, v := range transform(d) {
			PREFETCHT0(at(to, ahead)) // for channels soon to come: no processor follows so many streams
			if s.lanes == 16 {
				VCVTPD2PS(v, v.AsY())
				VMOVUPS(v.AsY(), at(to, 0))
			} else {
				VCVTPD2PSY(v, v.AsX())
				VMOVUPS(v.AsX(), at(to, 0))
			}
			ADDQ(uStride, to)
		}
	}
	ADDQ(Imm(uint64(s.bytes()/2)), u)
	ADDQ(Imm(uint64(s.bytes()/2)), g)
	SUBQ(Imm(uint64(s.lanes/2)), columns)
	JG(LabelRef("columns"))
	VZEROUPPER()
	RET()
}
