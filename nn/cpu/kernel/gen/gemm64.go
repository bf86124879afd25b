package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// gemm64 writes Kernel.Gemm64.
func (s isa) gemm64() {
	TEXT("gemm64"+s.name, NOSPLIT, "func(acc, a []float64, rows, taps []int, run int, b []float64, columns int, accumulate bool)")
	rows, left, acc := slot(Param("rows").Base()), slot(Param("rows").Len()), slot(Param("acc").Base())
	columns := Load(Param("columns"), GP64())
	CMPQ(columns, Imm(uint64(s.lanes/2)))
	JEQ(LabelRef("narrow_tile"))
	for _, form := range []struct {
		name string
		cols int
	}{{"wide", s.cols}, {"narrow", 1}} {
		label := form.name + "_"
		Label(label + "tile")
		s.gemm64Tile(label, form.cols, rows, acc)
		ADDQ(Imm(uint64(8*s.rows)), rows)
		ADDQ(U32(uint32(s.rows*form.cols*s.bytes())), acc)
		SUBQ(Imm(uint64(s.rows)), left)
		JG(LabelRef(label + "tile"))
		VZEROUPPER()
		RET()
	}
}

// gemm64Tile writes one tile of Gemm64, of the given number of vectors a row.
func (s isa) gemm64Tile(label string, cols int, rows, acc Mem) {
	pointers := GP64()
	MOVQ(rows, pointers)
	a := Load(Param("a").Base(), GP64())
	row := make([]Register, s.rows)
	for r := range row {
		p := GP64()
		MOVQ(at(pointers, 8*r), p)
		LEAQ(indexed(a, p, 8, 0), p)
		row[r] = p
	}
	taps := Load(Param("taps").Base(), GP64())
	count := Load(Param("taps").Len(), GP64())
	b := Load(Param("b").Base(), GP64())
	sum := s.sums(s.rows, cols)
	weights, broadcast := make([]VecVirtual, cols), s.vec()
	for i := range weights {
		weights[i] = s.vec()
	}
	k, left := GP64(), GP64()
	Label(label + "tap")
	MOVQ(at(taps, 0), k)
	Load(Param("run"), left)
	loop(label+"term", left, unroll, func(n int) {
		for term := range n {
			for i, w := range weights {
				VMOVUPD(at(b, (term*cols+i)*s.bytes()), w)
			}
			for r := range sum {
				VBROADCASTSD(indexed(row[r], k, 8, 8*term), broadcast)
				for i, w := range weights {
					VFMADD231PD(w, broadcast, sum[r][i])
				}
			}
		}
		ADDQ(U32(uint32(n*cols*s.bytes())), b)
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
	each(func(m Mem, v VecVirtual) { VADDPD(m, v, v) })
	Label(label + "store")
	each(func(m Mem, v VecVirtual) { VMOVUPD(v, m) })
}
