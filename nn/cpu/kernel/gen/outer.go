package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// outer writes Kernel.Outer. What changes from position to position stays in the parameters' slots.
func (s isa) outer() {
	TEXT("outer"+s.name, NOSPLIT, "func(g []float32, gStride, gRow int, v []float32, vStride, vLine, vRow int, "+
		"y []float32, yStride, yLine, yRow, rows, columns, terms, lines, positions int, accumulate bool)")
	for _, stride := range []string{"gStride", "gRow", "vStride", "vLine", "vRow", "yStride", "yLine", "yRow"} {
		SHLQ(Imm(2), slot(Param(stride)))
	}
	// From the end of a line to the next.
	for _, side := range []string{"v", "y"} {
		length := Load(Param(side+"Row"), GP64())
		IMULQ(slot(Param("terms")), length)
		SUBQ(length, slot(Param(side+"Line")))
	}
	columns := Load(Param("columns"), GP64())
	CMPQ(columns, Imm(uint64(s.lanes)))
	JEQ(LabelRef("narrow_position"))
	s.outerPositions("wide_", s.wideRows, s.wideLast, s.cols)
	s.outerPositions("narrow_", s.narrowRows, s.narrowLast, 1)
}

func (s isa) outerPositions(label string, rows, last, cols int) {
	g, v, y := slot(Param("g").Base()), slot(Param("v").Base()), slot(Param("y").Base())
	Label(label + "position")
	left, sums, first := Load(Param("rows"), GP64()), GP64(), GP64()
	MOVQ(g, sums)
	MOVQ(v, first)
	eachTile(label, left, rows, last, func(label string, rows int) {
		s.outerTile(label, rows, cols, sums, first)
		ADDQ(Imm(uint64(4*rows)), first)
	})
	for _, side := range []struct {
		begin  Mem
		stride string
	}{{g, "gStride"}, {v, "vStride"}, {y, "yStride"}} {
		step := Load(Param(side.stride), GP64())
		ADDQ(step, side.begin)
	}
	DECQ(slot(Param("positions")))
	JNZ(LabelRef(label + "position"))
	VZEROUPPER()
	RET()
}

// outerTile adds all terms to a tile of sums or zeros, and moves sums on to the next.
func (s isa) outerTile(label string, rows, cols int, sums, first Register) {
	gRow := Load(Param("gRow"), GP64())
	sum := make([][]VecVirtual, rows)
	each := func(f func(m Mem, v VecVirtual)) {
		at := GP64()
		MOVQ(sums, at)
		for r := range sum {
			for i := range sum[r] {
				f(Mem{Base: at, Disp: i * s.bytes()}, sum[r][i])
			}
			ADDQ(gRow, at)
		}
	}
	for r := range sum {
		for range cols {
			sum[r] = append(sum[r], s.vec())
		}
	}
	accumulate := Load(Param("accumulate"), GP8())
	TESTB(accumulate, accumulate)
	JZ(LabelRef(label + "zero"))
	each(func(m Mem, v VecVirtual) { VMOVUPS(m, v) })
	JMP(LabelRef(label + "add"))
	Label(label + "zero")
	for _, row := range sum {
		for _, v := range row {
			s.zero(v)
		}
	}
	Label(label + "add")
	from, y := GP64(), Load(Param("y").Base(), GP64())
	MOVQ(first, from)
	vRow, yRow := Load(Param("vRow"), GP64()), Load(Param("yRow"), GP64())
	terms, lines := GP64(), Load(Param("lines"), GP64())
	next := GP64() // the sums of the next tile are asked for in time
	MOVQ(gRow, next)
	IMUL3Q(Imm(uint64(rows)), next, next)
	ADDQ(sums, next)
	for range rows {
		for disp := 0; disp < cols*s.bytes(); disp += 4 * lineFloats {
			PREFETCHT0(at(next, disp))
		}
		ADDQ(gRow, next)
	}
	column, broadcast := make([]VecVirtual, cols), s.vec()
	for i := range column {
		column[i] = s.vec()
	}
	Label(label + "line")
	Load(Param("terms"), terms)
	CMPQ(lines, Imm(1))
	JNE(LabelRef(label + "all"))
	butLast(label, terms)
	loop(label+"term", terms, unroll, func(n int) {
		for range n {
			for i, c := range column {
				VMOVUPS(at(y, i*s.bytes()), c)
			}
			for r := range sum {
				if s.lanes == 16 && cols == 1 {
					VFMADD231PS_BCST(at(from, 4*r), column[0], sum[r][0])
					continue
				}
				VBROADCASTSS(at(from, 4*r), broadcast)
				for i, c := range column {
					VFMADD231PS(c, broadcast, sum[r][i])
				}
			}
			ADDQ(vRow, from)
			ADDQ(yRow, y)
		}
	})
	DECQ(lines)
	JZ(LabelRef(label + "ended"))
	ADDQ(slot(Param("vLine")), from)
	ADDQ(slot(Param("yLine")), y)
	JMP(LabelRef(label + "line"))
	Label(label + "ended")
	CMPQ(slot(Param("terms")), Imm(lastTerms))
	JLT(LabelRef(label + "few"))
	in, out := rowsFrom(from, vRow, lastTerms), rowsFrom(y, yRow, lastTerms)
	s.termsByRows(sum, func(term, i int) Mem { return out.at(term, i*s.bytes()) }, func(r, term int) Mem { return in.at(term, 4*r) }, func(r int) {
		for i, v := range sum[r] {
			VMOVUPS(v, at(sums, i*s.bytes()))
		}
		ADDQ(gRow, sums)
	})
	JMP(LabelRef(label + "stored"))
	Label(label + "few")
	each(func(m Mem, v VecVirtual) { VMOVUPS(v, m) })
	for range sum {
		ADDQ(gRow, sums)
	}
	Label(label + "stored")
}
