package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// batched writes Kernel.Batched. What changes from position to position stays in the
// parameters' slots: registers are short.
func (s isa) batched() {
	TEXT("batched"+s.name, NOSPLIT, "func(m []float32, mStride, mRow int, v []float32, vStride, vRow, channels, tiles int, u []float32, uStride, columns, positions int, accumulate bool)")
	one, three := Load(Param("vRow"), GP64()), GP64() // bytes of one and three rows of v
	SHLQ(Imm(2), one)
	LEAQ(indexed(one, one, 2, 0), three)
	columns := Load(Param("columns"), GP64())
	CMPQ(columns, Imm(uint64(s.lanes)))
	JEQ(LabelRef("narrow_position"))
	s.batchedPositions("wide_", s.wideRows, s.cols, one, three)
	s.batchedPositions("narrow_", s.narrowRows, 1, one, three)
}

func (s isa) batchedPositions(label string, rows, cols int, one, three Register) {
	m, v, u := slot(Param("m").Base()), slot(Param("v").Base()), slot(Param("u").Base())
	Label(label + "position")
	left, out, first, weights := Load(Param("tiles"), GP64()), GP64(), GP64(), GP64()
	MOVQ(m, out)
	MOVQ(v, first)
	eachTile(label, left, rows, s.batchedLast, func(label string, rows int) {
		MOVQ(u, weights)
		s.batchedTile(label, rows, cols, out, first, weights, one, three)
	})
	for _, side := range []struct {
		begin  Mem
		stride string
	}{{v, "vStride"}, {m, "mStride"}, {u, "uStride"}} {
		step := Load(Param(side.stride), GP64())
		SHLQ(Imm(2), step)
		ADDQ(step, side.begin)
	}
	DECQ(slot(Param("positions")))
	JNZ(LabelRef(label + "position"))
	VZEROUPPER()
	RET()
}

// batchedTile writes the product of one tile; out and first move on to the next.
func (s isa) batchedTile(label string, rows, cols int, out, first, weights, one, three Register) {
	// Every base serves four rows: itself and one, two and three rows further.
	bases := []Register{first}
	for i := 4; i < rows; i += 4 {
		base := GP64()
		LEAQ(indexed(bases[len(bases)-1], one, 4, 0), base)
		bases = append(bases, base)
	}
	sum := s.sums(rows, cols)
	next := Load(Param("uStride"), GP64()) // from a position's weights to the next one's, which are asked for in time
	SHLQ(Imm(2), next)
	k := Load(Param("channels"), GP64())
	loop(label+"term", k, unroll, func(n int) {
		for i := 0; i < n*cols*s.bytes(); i += 64 {
			PREFETCHT1(indexed(weights, next, 1, i))
		}
		s.terms(sum, n, weights, func(r, term int) Mem {
			switch base := bases[r/4]; r % 4 {
			case 0:
				return at(base, 4*term)
			case 3:
				return indexed(base, three, 1, 4*term)
			default:
				return indexed(base, one, uint8(r%4), 4*term)
			}
		})
		for _, base := range bases {
			ADDQ(Imm(uint64(4*n)), base)
		}
	})
	mRow := Load(Param("mRow"), GP64())
	accumulate := Load(Param("accumulate"), GP8())
	TESTB(accumulate, accumulate)
	JZ(LabelRef(label + "store"))
	to := GP64()
	MOVQ(out, to)
	for r := range sum {
		for i := range sum[r] {
			VADDPS(at(to, i*s.bytes()), sum[r][i], sum[r][i])
		}
		LEAQ(indexed(to, mRow, 4, 0), to)
	}
	Label(label + "store")
	for r := range sum {
		for i := range sum[r] {
			VMOVUPS(sum[r][i], at(out, i*s.bytes()))
		}
		LEAQ(indexed(out, mRow, 4, 0), out)
	}
	MOVQ(slot(Param("channels")), k)
	SHLQ(Imm(2), k)
	SUBQ(k, first)
	for r := 0; r < rows; r += 2 {
		LEAQ(indexed(first, one, 2, 0), first)
	}
}
