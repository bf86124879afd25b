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
	s.gemmTiles(func(label string, sum [][]VecVirtual) {
		acc := Load(Param("acc").Base(), GP64())
		s.addKept(label, sum, acc)
		s.eachSum(sum, acc, func(m Mem, v VecVirtual) { VMOVUPS(v, m) })
	})
}

// gemmTo writes Kernel.GemmTo.
func (s isa) gemmTo() {
	TEXT("gemmTo"+s.name, NOSPLIT, "func(dst []float32, to []int, acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool, "+
		"scale, shift []float32, bound float32)")
	to := slot(Param("to").Base())
	s.gemmTiles(func(label string, sum [][]VecVirtual) {
		s.addKept(label, sum, Load(Param("acc").Base(), GP64()))
		scales, shifts, bound := Load(Param("scale").Base(), GP64()), Load(Param("shift").Base(), GP64()), s.vec()
		VBROADCASTSS(slot(Param("bound")), bound)
		for i := range sum[0] {
			scale := s.vec()
			VMOVUPS(at(scales, i*s.bytes()), scale)
			for r := range sum {
				VFMADD213PS(at(shifts, i*s.bytes()), scale, sum[r][i])
				VMAXPS(sum[r][i], bound, sum[r][i]) // of NaN and a bound the first operand here: NaN stays
			}
		}
		pointers, dst := GP64(), Load(Param("dst").Base(), GP64())
		MOVQ(to, pointers)
		for r := range sum {
			p := GP64()
			MOVQ(at(pointers, 8*r), p)
			for i, v := range sum[r] {
				VMOVUPS(v, indexed(dst, p, 4, i*s.bytes()))
			}
		}
		ADDQ(Imm(uint64(8*s.rows)), to)
	})
}

// gemmTiles goes through the tiles of a product, ends the sums of each, moves acc on, and returns.
func (s isa) gemmTiles(end func(label string, sum [][]VecVirtual)) {
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
		end(label, s.gemmTile(label, form.cols, rows))
		ADDQ(Imm(uint64(8*s.rows)), rows)
		ADDQ(U32(uint32(s.rows*form.cols*s.bytes())), acc)
		SUBQ(Imm(uint64(s.rows)), left)
		JG(LabelRef(label + "tile"))
		VZEROUPPER()
		RET()
	}
}

// gemmTile sums one tile of Gemm, of the given number of vectors a row.
func (s isa) gemmTile(label string, cols int, rows Mem) (sum [][]VecVirtual) {
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
	sum = s.sums(s.rows, cols)
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
	return sum
}

// addKept adds what is at acc to the sums if accumulate is set.
func (s isa) addKept(label string, sum [][]VecVirtual, acc Register) {
	accumulate := Load(Param("accumulate"), GP8())
	TESTB(accumulate, accumulate)
	JZ(LabelRef(label + "end"))
	s.eachSum(sum, acc, func(m Mem, v VecVirtual) { VADDPS(m, v, v) })
	Label(label + "end")
}

// eachSum calls f for each of the sums and where it lies from acc on.
func (s isa) eachSum(sum [][]VecVirtual, acc Register, f func(m Mem, v VecVirtual)) {
	for r := range sum {
		for i, v := range sum[r] {
			f(at(acc, (r*len(sum[r])+i)*s.bytes()), v)
		}
	}
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

// lastTerms is how many of a sum's terms are added row by row, each row being stored as soon as it is done: twelve stores of vectors at
// once keep Zen 3 from multiplying for 25 cycles, stores among products hardly at all (measured).
const lastTerms = 4

// butLast takes the last terms from a number of them, if there are as many.
func butLast(label string, terms Register) {
	CMPQ(terms, Imm(lastTerms))
	JLT(LabelRef(label + "all"))
	SUBQ(Imm(lastTerms), terms)
	Label(label + "all")
}

// termsByRows adds the last terms, x by weight, to the sums and ends one row after another. Weights stay in registers as far as there are
// some.
func (s isa) termsByRows(sum [][]VecVirtual, weight func(term, i int) Mem, x func(r, term int) Mem, end func(r int)) {
	cols := len(sum[0])
	kept := make([]VecVirtual, min(lastTerms*cols, s.registers()-len(sum)*cols-1))
	for i := range kept {
		kept[i] = s.loaded(weight(i/cols, i%cols))
	}
	for r := range sum {
		for term := range lastTerms {
			broadcast := s.vec()
			VBROADCASTSS(x(r, term), broadcast)
			for i, v := range sum[r] {
				if w := term*cols + i; w < len(kept) {
					VFMADD231PS(kept[w], broadcast, v)
				} else {
					VFMADD231PS(weight(term, i), broadcast, v)
				}
			}
		}
		end(r)
	}
}
