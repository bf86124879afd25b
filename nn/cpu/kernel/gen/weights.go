package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// lift is Gᵀ·m for a column or a row, which it overwrites.
func (s isa) lift(tile int) func(m []VecVirtual) []VecVirtual {
	pair := func(plus, minus VecVirtual) (sum, difference VecVirtual) {
		difference = s.copyOf(plus)
		VSUBPS(minus, difference, difference)
		VADDPS(minus, plus, plus)
		return plus, difference
	}
	if tile == 2 {
		half := s.fetched("half", 0.5)
		return func(m []VecVirtual) []VecVirtual {
			sum, difference := pair(m[1], m[2])
			VFMADD231PS(half, sum, m[0])
			VFMADD231PS(half, sum, m[3])
			VMULPS(half, difference, difference)
			return []VecVirtual{m[0], difference, m[3]}
		}
	}
	const a, b = pointA, pointB
	origin := s.fetched("origin", nearOrigin)
	a0, a1, a2 := s.fetched("nearA0", nearA), s.fetched("nearA1", a*nearA), s.fetched("nearA2", a*a*nearA)
	b0, b1, b2 := s.fetched("nearB0", nearB), s.fetched("nearB1", b*nearB), s.fetched("nearB2", b*b*nearB)
	return func(m []VecVirtual) []VecVirtual {
		sumA, differenceA := pair(m[1], m[2])
		sumB, differenceB := pair(m[3], m[4])
		VMULPS(origin, m[0], m[0])
		VFMADD231PS(a0, sumA, m[0])
		VFMADD231PS(b0, sumB, m[0])
		VFMADD231PS(a2, sumA, m[5])
		VFMADD231PS(b2, sumB, m[5])
		VMULPS(a1, differenceA, differenceA)
		VFMADD231PS(b1, differenceB, differenceA)
		return []VecVirtual{m[0], differenceA, m[5]}
	}
}

// winogradWeights writes Winograd.Weights: for each vector of columns all columns of the matrix, whose
// results wait on the stack, and then the rows.
func (s isa) winogradWeights(tile int) {
	n := tile + 2
	TEXT(name("winogradWeights%d%s", tile, s.name), 0, "func(g []float32, gStride int, m []float32, mStride, columns int)")
	half := AllocLocal(3 * n * s.bytes())
	lift := s.lift(tile)
	g, m := Load(Param("g").Base(), GP64()), Load(Param("m").Base(), GP64())
	gStride, mStride := bytes("gStride"), bytes("mStride")
	row := GP64() // of the matrix
	IMUL3Q(U8(uint8(n)), mStride, row)
	columns := Load(Param("columns"), GP64())
	Label("columns")
	from := GP64()
	MOVQ(m, from)
	in := rowsFrom(from, row, n)
	for j := range n {
		d := make([]VecVirtual, n)
		for i := range d {
			d[i] = s.vec()
			VMOVUPS(in.at(i, 0), d[i])
		}
		for k, v := range lift(d) {
			VMOVUPS(v, half.Offset((k*n+j)*s.bytes()))
		}
		in.advance(mStride)
	}
	to := GP64()
	MOVQ(g, to)
	for k := range 3 {
		d := make([]VecVirtual, n)
		for j := range d {
			d[j] = s.vec()
			VMOVUPS(half.Offset((k*n+j)*s.bytes()), d[j])
		}
		for _, v := range lift(d) {
			VMOVUPS(v, at(to, 0))
			ADDQ(gStride, to)
		}
	}
	ADDQ(Imm(uint64(s.bytes())), m)
	ADDQ(Imm(uint64(s.bytes())), g)
	SUBQ(Imm(uint64(s.lanes)), columns)
	JG(LabelRef("columns"))
	VZEROUPPER()
	RET()
}
