package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set: all kernels are written once, over vectors of its width.
type isa struct {
	name  string // the end of the names of its functions
	lanes int    // float32s in a vector
	vec   func() VecVirtual
	rows  int // of a tile of gemm
	cols  int // vectors in a row of a wide tile; narrow ones have one
	// Rows of a tile of batched and outer, which lie at equal distances and take fewer registers, and of one of the last two.
	wideRows, wideLast, narrowRows, narrowLast int
	prefetch                                   func(Op) // asks for weights: into the first cache where that has room for two panels
}

var isas = map[string]isa{
	// 12 sums, 2 vectors of weights and a broadcast fit 16 registers.
	"avx2": {name: "AVX2", lanes: 8, vec: YMM, rows: 6, cols: 2, wideRows: 6, wideLast: 4, narrowRows: 6, narrowLast: 4,
		prefetch: PREFETCHT1},
	"avx512": {name: "AVX512", lanes: 16, vec: ZMM, rows: 8, cols: 2, wideRows: 12, wideLast: 8, narrowRows: 24, narrowLast: 16,
		prefetch: PREFETCHT0},
}

// eachTile counts left down to zero by tiles of rows rows, the last one or two of which have last.
func eachTile(label string, left Register, rows, last int, tile func(label string, rows int)) {
	some := func(label string, rows int) {
		Label(label)
		tile(label+"_", rows)
		SUBQ(Imm(uint64(rows)), left)
	}
	Label(label + "next")
	for _, rest := range []int{last, 2 * last} {
		CMPQ(left, Imm(uint64(rest)))
		JEQ(LabelRef(label + "last"))
	}
	some(label+"tile", rows)
	JG(LabelRef(label + "next"))
	JMP(LabelRef(label + "end"))
	some(label+"last", last)
	JG(LabelRef(label + "last"))
	Label(label + "end")
}

func (s isa) bytes() int { return 4 * s.lanes }

// registers is how many vectors there is room for.
func (s isa) registers() int { return 2 * s.lanes }

func (s isa) zero(v VecVirtual) {
	VXORPS(v, v, v) // of 512 bits: AVX512DQ
}

// sums makes rows×cols vectors of zeros.
func (s isa) sums(rows, cols int) [][]VecVirtual {
	out := make([][]VecVirtual, rows)
	for r := range out {
		for range cols {
			v := s.vec()
			s.zero(v)
			out[r] = append(out[r], v)
		}
	}
	return out
}

// loop counts n down to zero by step, and then what is left by ones.
func loop(label string, n Register, step int, body func(count int)) {
	Label(label + "_many")
	CMPQ(n, Imm(uint64(step)))
	JLT(LabelRef(label + "_few"))
	body(step)
	SUBQ(Imm(uint64(step)), n)
	JMP(LabelRef(label + "_many"))
	Label(label + "_few")
	TESTQ(n, n)
	JZ(LabelRef(label + "_end"))
	body(1)
	DECQ(n)
	JMP(LabelRef(label + "_few"))
	Label(label + "_end")
}

// ahead is how far before their turn numbers are asked for, in bytes, where one pass over a whole batch finds them in no cache.
const ahead = 1024

func at(base Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

func indexed(base, index Register, scale uint8, disp int) Mem {
	return Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

func name(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// slot is where a parameter lies: it serves as a variable where registers are short.
func slot(c Component) Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// access reads and writes vectors: whole ones, or the first lanes of them.
type access struct {
	load  func(from Mem, to VecVirtual)
	store func(from VecVirtual, to Mem)
	whole bool
}

var whole = access{
	whole: true,
	load:  func(from Mem, to VecVirtual) { VMOVUPS(from, to) },
	store: func(from VecVirtual, to Mem) { VMOVUPS(from, to) },
}

// add adds a vector in memory to one.
func (a access) add(s isa, from Mem, to VecVirtual) {
	if a.whole {
		VADDPS(from, to, to)
		return
	}
	v := s.vec()
	a.load(from, v)
	VADDPS(v, to, to)
}

// partial is access to the first n mod lanes lanes; the others read as zero.
func (s isa) partial(n Register) access {
	count := GP64()
	MOVQ(n, count)
	ANDQ(Imm(uint64(s.lanes-1)), count)
	if s.lanes == 16 {
		bits, k := GP32(), K()
		MOVL(U32(math.MaxUint32), bits)
		BZHIL(count.As32(), bits, bits)
		KMOVW(bits, k)
		return access{
			load:  func(from Mem, to VecVirtual) { VMOVUPS_Z(from, k, to) },
			store: func(from VecVirtual, to Mem) { VMOVUPS(from, k, to) },
		}
	}
	table, mask := GP64(), s.vec()
	LEAQ(laneMasks(), table)
	SHLQ(Imm(5), count)
	VMOVUPS(indexed(table, count, 1, 0), mask)
	return access{
		load:  func(from Mem, to VecVirtual) { VMASKMOVPS(from, mask, to) },
		store: func(from VecVirtual, to Mem) { VMASKMOVPS(from, mask, to) },
	}
}

// laneMasks is a table whose row n has the first n of 8 lanes set.
func laneMasks() Mem {
	return constant("laneMasks", func() {
		for n := range 8 {
			for lane := range 8 {
				mask := uint32(0)
				if lane < n {
					mask = math.MaxUint32
				}
				DATA(32*n+4*lane, U32(mask))
			}
		}
	})
}

var constants = map[string]Mem{}

// constant is the read-only data of the given name, which fill writes when first asked for.
func constant(name string, fill func()) Mem {
	m, ok := constants[name]
	if !ok {
		m = GLOBL(name, RODATA|NOPTR)
		fill()
		constants[name] = m
	}
	return m
}

// number is a constant number, 4 bytes.
func number(name string, x float32) Mem {
	return constant(name, func() { DATA(0, U32(math.Float32bits(x))) })
}

// eachVector runs body for c = 0, lanes, 2·lanes … below n, with partial access to the last
// vector where n does not end with a whole one. label begins the names of its labels.
func (s isa) eachVector(label string, n, c Register, last access, body func(part string, a access)) {
	XORQ(c, c)
	s.eachVectorFrom(label, n, c, last, body)
}

// eachVectorFrom is eachVector from c on.
func (s isa) eachVectorFrom(label string, n, c Register, last access, body func(part string, a access)) {
	Label(label + "_whole")
	rest := GP64()
	MOVQ(n, rest)
	SUBQ(c, rest)
	CMPQ(rest, Imm(uint64(s.lanes)))
	JLT(LabelRef(label + "_part"))
	body(label+"_whole", whole)
	ADDQ(Imm(uint64(s.lanes)), c)
	JMP(LabelRef(label + "_whole"))
	Label(label + "_part")
	TESTQ(rest, rest)
	JZ(LabelRef(label + "_end"))
	body(label+"_part", last)
	Label(label + "_end")
}
