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

// filter is G·(x, y, z) in float64, which it overwrites, each product and sum rounded.
func (s isa) filter(tile int) func(x, y, z VecVirtual) []VecVirtual {
	pair := func(even, odd VecVirtual) (sum, difference VecVirtual) {
		sum, difference = s.vec(), s.vec()
		VADDPD(odd, even, sum)
		VSUBPD(odd, even, difference)
		return sum, difference
	}
	if tile == 2 {
		half := s.fetched64("half", 0.5)
		return func(x, y, z VecVirtual) []VecVirtual {
			even := s.vec()
			VADDPD(z, x, even)
			VMULPD(half, even, even)
			VMULPD(half, y, y)
			sum, difference := pair(even, y)
			return []VecVirtual{x, sum, difference, z}
		}
	}
	origin := s.fetched64("origin", nearOrigin)
	near := func(label string, point, near float64) func(x, y, z VecVirtual) (sum, difference VecVirtual) {
		square, evens, odds := s.fetched64("square"+label, point*point), s.fetched64("near"+label+"0", near), s.fetched64("near"+label+"1", point*near)
		return func(x, y, z VecVirtual) (sum, difference VecVirtual) {
			even, odd := s.vec(), s.vec()
			VMULPD(square, z, even)
			VADDPD(even, x, even)
			VMULPD(evens, even, even)
			VMULPD(odds, y, odd)
			return pair(even, odd)
		}
	}
	nearestA, nearestB := near("A", pointA, nearA), near("B", pointB, nearB)
	return func(x, y, z VecVirtual) []VecVirtual {
		sumA, differenceA := nearestA(x, y, z)
		sumB, differenceB := nearestB(x, y, z)
		VMULPD(origin, x, x)
		return []VecVirtual{x, sumA, differenceA, sumB, differenceB, z}
	}
}

// winogradFilter writes Winograd.Filter: for each vector of columns in float64 all columns of the matrix, whose results wait on the
// stack, and then the rows.
func (s isa) winogradFilter(tile int) {
	n := tile + 2
	TEXT(name("winogradFilter%d%s", tile, s.name), 0, "func(u []float32, uStride int, g []float32, gStride, columns int)")
	half := AllocLocal(n * 3 * s.bytes())
	transform := s.filter(tile)
	u, g := Load(Param("u").Base(), GP64()), Load(Param("g").Base(), GP64())
	uStride, gStride := bytes("uStride"), bytes("gStride")
	columns := Load(Param("columns"), GP64())
	row := GP64() // of the matrix
	LEAQ(indexed(gStride, gStride, 2, 0), row)
	Label("columns")
	from := GP64()
	MOVQ(g, from)
	for l := range 3 {
		d := [3]VecVirtual{s.vec(), s.vec(), s.vec()}
		VCVTPS2PD(at(from, 0), d[0])
		VCVTPS2PD(indexed(from, row, 1, 0), d[1])
		VCVTPS2PD(indexed(from, row, 2, 0), d[2])
		for i, v := range transform(d[0], d[1], d[2]) {
			VMOVUPD(v, half.Offset((i*3+l)*s.bytes()))
		}
		ADDQ(gStride, from)
	}
	to := GP64()
	MOVQ(u, to)
	for i := range n {
		d := [3]VecVirtual{s.vec(), s.vec(), s.vec()}
		for l := range d {
			VMOVUPD(half.Offset((i*3+l)*s.bytes()), d[l])
		}
		for _, v := range transform(d[0], d[1], d[2]) {
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
