package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// unroll is how many terms a turn of the products' inner loops adds.
const unroll = 4

// gemm writes Kernel.Gemm.
func (s isa) gemm() {
	TEXT("gemm"+s.name, NOSPLIT, "func(acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool)")
	rows, left, acc := slot(Param("rows").Base()), slot(Param("rows").Len()), slot(Param("acc").Base())
	columns := Load(Param("columns"), GP64())
	CMPQ(columns, Imm(uint64(s.lanes)))
	JEQ(LabelRef("narrow_tile"))
	for _, form := range []struct {
		name string
		cols int
	}{{"wide", s.cols}, {"narrow", 1}} {
		label := form.name + "_"
		Label(label + "tile")
		s.gemmTile(label, form.cols, rows, acc)
		ADDQ(Imm(uint64(8*s.rows)), rows)
		ADDQ(U32(uint32(s.rows*form.cols*s.bytes())), acc)
		SUBQ(Imm(uint64(s.rows)), left)
		JG(LabelRef(label + "tile"))
		VZEROUPPER()
		RET()
	}
}

// gemmTile writes one tile of Gemm, of the given number of vectors a row.
func (s isa) gemmTile(label string, cols int, rows, acc Mem) {
	pointers := GP64()
	MOVQ(rows, pointers)
	a := Load(Param("a").Base(), GP64())
	row := make([]Register, s.rows)
	for r := range row {
		p := GP64()
		MOVQ(at(pointers, 8*r), p)
		LEAQ(indexed(a, p, 4, 0), p)
		row[r] = p
	}
	taps := Load(Param("taps").Base(), GP64())
	count := Load(Param("taps").Len(), GP64())
	b := Load(Param("b").Base(), GP64())
	sum := s.sums(s.rows, cols)
	k, left := GP64(), GP64()
	Label(label + "tap")
	MOVQ(at(taps, 0), k)
	Load(Param("run"), left)
	loop(label+"term", left, unroll, func(n int) {
		s.terms(sum, n, b, func(r, term int) Mem { return indexed(row[r], k, 4, 4*term) })
		ADDQ(Imm(uint64(n)), k)
	})
	ADDQ(Imm(8), taps)
	DECQ(count)
	JNZ(LabelRef(label + "tap"))

	out := GP64()
	MOVQ(acc, out)
	accumulate := Load(Param("accumulate"), GP8())
	TESTB(accumulate, accumulate)
	JZ(LabelRef(label + "store"))
	each := func(f func(m Mem, v VecVirtual)) {
		for r := range sum {
			for i, v := range sum[r] {
				f(at(out, (r*cols+i)*s.bytes()), v)
			}
		}
	}
	each(func(m Mem, v VecVirtual) { VADDPS(m, v, v) })
	Label(label + "store")
	each(func(m Mem, v VecVirtual) { VMOVUPS(v, m) })
}

// terms adds n terms to the sums: x(r, term) times the term's vectors at b, which moves on.
func (s isa) terms(sum [][]VecVirtual, n int, b Register, x func(r, term int) Mem) {
	cols := len(sum[0])
	weights := make([]VecVirtual, cols)
	for i := range weights {
		weights[i] = s.vec()
	}
	broadcast := s.vec()
	for term := range n {
		for i, w := range weights {
			VMOVUPS(at(b, (term*cols+i)*s.bytes()), w)
		}
		for r := range sum {
			if cols == 1 && s.lanes == 16 {
				VFMADD231PS_BCST(x(r, term), weights[0], sum[r][0])
				continue
			}
			VBROADCASTSS(x(r, term), broadcast)
			for i, w := range weights {
				VFMADD231PS(w, broadcast, sum[r][i])
			}
		}
	}
	ADDQ(U32(uint32(n*cols*s.bytes())), b)
}
