package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// usualTiles is how many most products have: kernel.Near.
const usualTiles = 72

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
	s.batchedPositions("wide_", s.wideRows, s.wideLast, s.cols, one, three)
	s.batchedPositions("narrow_", s.narrowRows, s.narrowLast, 1, one, three)
}

func (s isa) batchedPositions(label string, rows, last, cols int, one, three Register) {
	m, v, u := slot(Param("m").Base()), slot(Param("v").Base()), slot(Param("u").Base())
	Label(label + "position")
	left, out, first, weights := Load(Param("tiles"), GP64()), GP64(), GP64(), GP64()
	MOVQ(m, out)
	MOVQ(v, first)
	// The next position's weights, next bytes further, are asked for in time: of the lines of unroll terms each tile asks for some
	// others.
	next := Load(Param("uStride"), GP64())
	SHLQ(Imm(2), next)
	early := (unroll*cols*s.bytes()/64*rows + usualTiles - 1) / usualTiles
	eachTile(label, left, rows, last, func(label string, rows int) {
		MOVQ(u, weights)
		s.batchedTile(label, rows, cols, out, first, weights, one, three, func() {
			for i := range early {
				s.prefetch(indexed(weights, next, 1, 64*i))
			}
		})
		ADDQ(U32(uint32(64*early)), next)
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
func (s isa) batchedTile(label string, rows, cols int, out, first, weights, one, three Register, prefetch func()) {
	// Every base serves four rows: itself and one, two and three rows further.
	bases := []Register{first}
	for i := 4; i < rows; i += 4 {
		base := GP64()
		LEAQ(indexed(bases[len(bases)-1], one, 4, 0), base)
		bases = append(bases, base)
	}
	x := func(r, term int) Mem {
		switch base := bases[r/4]; r % 4 {
		case 0:
			return at(base, 4*term)
		case 3:
			return indexed(base, three, 1, 4*term)
		default:
			return indexed(base, one, uint8(r%4), 4*term)
		}
	}
	sum := s.sums(rows, cols)
	k := Load(Param("channels"), GP64())
	butLast(label, k)
	loop(label+"term", k, unroll, func(n int) {
		if n == unroll {
			prefetch()
		}
		s.terms(sum, n, weights, x)
		for _, base := range bases {
			ADDQ(Imm(uint64(4*n)), base)
		}
	})
	mRow := Load(Param("mRow"), GP64())
	store := func(add bool) func(r int) {
		return func(r int) {
			for i, v := range sum[r] {
				if add {
					VADDPS(at(out, i*s.bytes()), v, v)
				}
				VMOVUPS(v, at(out, i*s.bytes()))
			}
			LEAQ(indexed(out, mRow, 4, 0), out)
		}
	}
	weight := func(term, i int) Mem { return at(weights, (term*cols+i)*s.bytes()) }
	CMPQ(slot(Param("channels")), Imm(lastTerms))
	JLT(LabelRef(label + "few"))
	s.addingOrNot(label+"last", func(add bool) { s.termsByRows(sum, weight, x, store(add)) })
	ADDQ(Imm(4*lastTerms), first)
	JMP(LabelRef(label + "stored"))
	Label(label + "few")
	s.addingOrNot(label+"none", func(add bool) {
		for r := range sum {
			store(add)(r)
		}
	})
	Label(label + "stored")
	MOVQ(slot(Param("channels")), k)
	SHLQ(Imm(2), k)
	SUBQ(k, first)
	for r := 0; r < rows; r += 2 {
		LEAQ(indexed(first, one, 2, 0), first)
	}
}

// addingOrNot writes code for the two values of accumulate.
func (s isa) addingOrNot(label string, code func(add bool)) {
	CMPB(slot(Param("accumulate")), Imm(0))
	JNE(LabelRef(label + "add"))
	code(false)
	JMP(LabelRef(label + "end"))
	Label(label + "add")
	code(true)
	Label(label + "end")
}
