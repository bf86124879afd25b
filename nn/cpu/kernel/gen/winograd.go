package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// transform is one dimension of Winograd's transforms, on registers that it overwrites.
type transform struct {
	tile   int
	input  func(d []VecVirtual, store func(i int, v VecVirtual))
	output func(q []VecVirtual) []VecVirtual
	passes []pass // output in parts that leave registers for a whole tile
}

// pass computes some of the outputs from q[first:end].
type pass struct {
	outputs    []int
	first, end int
	apply      func(q []VecVirtual) []VecVirtual
}

// transform is that for the given tile. Constants that are kept are loaded where it is called.
func (s isa) transform(tile int, factor func(label string, x float32) Op) transform {
	if tile == 2 {
		return s.f2()
	}
	return s.f4(factor)
}

func (t transform) n() int { return t.tile + 2 }

func (s isa) copyOf(v VecVirtual) VecVirtual {
	to := s.vec()
	VMOVAPS(v, to)
	return to
}

// kept is a vector of copies of x in a register.
func (s isa) kept(label string, x float32) Op {
	v := s.vec()
	VBROADCASTSS(number(label, x), v)
	return v
}

// fetched is a vector of copies of x in memory.
func (s isa) fetched(label string, x float32) Op {
	return constant(label+"Vector", func() {
		for i := range s.lanes {
			DATA(4*i, U32(math.Float32bits(x)))
		}
	})
}

// The points of kernel.F4 and the factors of its G.
const (
	pointA, pointB = 0.625, 1.5 // kernel.A and kernel.B
	nearOrigin     = 1 / (pointA * pointA * pointB * pointB)
	nearA          = 1 / (2 * pointA * pointA * (pointA*pointA - pointB*pointB))
	nearB          = 1 / (2 * pointB * pointB * (pointB*pointB - pointA*pointA))
)

// f2 interpolates at 0, ±1 and ∞.
func (s isa) f2() transform {
	output := func(q []VecVirtual) []VecVirtual {
		VADDPS(q[1], q[0], q[0])
		VADDPS(q[2], q[0], q[0])
		VSUBPS(q[2], q[1], q[1])
		VSUBPS(q[3], q[1], q[1])
		return q[:2]
	}
	return transform{
		tile: 2,
		input: func(d []VecVirtual, store func(int, VecVirtual)) {
			sum := s.vec()
			VADDPS(d[2], d[1], sum)
			VSUBPS(d[2], d[0], d[0])
			VSUBPS(d[3], d[1], d[3])
			VSUBPS(d[1], d[2], d[2])
			for i, v := range []VecVirtual{d[0], sum, d[2], d[3]} {
				store(i, v)
			}
		},
		output: output,
		passes: []pass{{[]int{0, 1}, 0, 4, output}},
	}
}

// f4 interpolates at 0, ±a, ±b and ∞.
func (s isa) f4(factor func(label string, x float32) Op) transform {
	const a, b = pointA, pointB
	product, sum := factor("a2b2", a*a*b*b), factor("a2plusb2", a*a+b*b)
	a1, a2, a3 := factor("a1", a), factor("a2", a*a), factor("a3", a*a*a)
	b1, b2, b3 := factor("b1", b), factor("b2", b*b), factor("b3", b*b*b)

	// even gives outputs 0 and 2 from q₀, q₁+q₂ and q₃+q₄, odd 1 and 3 from q₅, q₁−q₂ and q₃−q₄.
	even := func(q0, sumA, sumB VecVirtual) (VecVirtual, VecVirtual) {
		VADDPS(sumA, q0, q0)
		VADDPS(sumB, q0, q0)
		VMULPS(a2, sumA, sumA)
		VFMADD231PS(b2, sumB, sumA)
		return q0, sumA
	}
	odd := func(q5, differenceA, differenceB VecVirtual) (VecVirtual, VecVirtual) {
		VFMADD231PS(a3, differenceA, q5)
		VFMADD231PS(b3, differenceB, q5)
		VMULPS(a1, differenceA, differenceA)
		VFMADD231PS(b1, differenceB, differenceA)
		return differenceA, q5
	}
	return transform{
		tile: 4,
		input: func(d []VecVirtual, store func(int, VecVirtual)) {
			// pair stores upper ± f·lower.
			pair := func(i int, upper VecVirtual, f Op, lower VecVirtual) {
				plus := s.copyOf(upper)
				VFMADD231PS(f, lower, plus)
				store(i, plus)
				VFNMADD231PS(f, lower, upper)
				store(i+1, upper)
			}
			first := s.copyOf(d[4])
			VFNMADD231PS(sum, d[2], first)
			VFMADD231PS(product, d[0], first)
			store(0, first)
			VFNMADD231PS(sum, d[3], d[5])
			VFMADD231PS(product, d[1], d[5])
			store(5, d[5])
			upper, lower := s.copyOf(d[4]), s.copyOf(d[3])
			VFNMADD231PS(b2, d[2], upper)
			VFNMADD231PS(b2, d[1], lower)
			pair(1, upper, a1, lower)
			VFNMADD231PS(a2, d[2], d[4])
			VFNMADD231PS(a2, d[1], d[3])
			pair(3, d[4], b1, d[3])
		},
		output: func(q []VecVirtual) []VecVirtual {
			q1, q3 := s.copyOf(q[1]), s.copyOf(q[3])
			VADDPS(q[2], q[1], q[1])
			VADDPS(q[4], q[3], q[3])
			VSUBPS(q[2], q1, q[2])
			VSUBPS(q[4], q3, q[4])
			s0, s2 := even(q[0], q[1], q[3])
			s1, s3 := odd(q[5], q[2], q[4])
			return []VecVirtual{s0, s1, s2, s3}
		},
		passes: []pass{
			{[]int{0, 2}, 0, 5, func(q []VecVirtual) []VecVirtual {
				VADDPS(q[2], q[1], q[1])
				VADDPS(q[4], q[3], q[3])
				s0, s2 := even(q[0], q[1], q[3])
				return []VecVirtual{s0, s2}
			}},
			{[]int{1, 3}, 1, 6, func(q []VecVirtual) []VecVirtual {
				VSUBPS(q[2], q[1], q[1])
				VSUBPS(q[4], q[3], q[3])
				s1, s3 := odd(q[5], q[1], q[3])
				return []VecVirtual{s1, s3}
			}},
		},
	}
}

// rows addresses memory at multiples of a stride: up to eight of them.
type rows struct{ base, fourth, one, three Register }

// rowsFrom are those from base on; one is the stride in bytes. Neither is changed.
func rowsFrom(base, one Register) rows {
	r := rows{base, GP64(), one, GP64()}
	LEAQ(indexed(base, one, 4, 0), r.fourth)
	LEAQ(indexed(one, one, 2, 0), r.three)
	return r
}

func (r rows) at(i, disp int) Mem {
	base := r.base
	if i >= 4 {
		base = r.fourth
	}
	switch i % 4 {
	case 0:
		return at(base, disp)
	case 3:
		return indexed(base, r.three, 1, disp)
	}
	return indexed(base, r.one, uint8(i%4), disp)
}

func (r rows) advance(by Op) {
	ADDQ(by, r.base)
	ADDQ(by, r.fourth)
}

// bytes is the parameter of the given name, a number of float32s, in bytes.
func bytes(param string) Register {
	n := Load(Param(param), GP64())
	SHLQ(Imm(2), n)
	return n
}

// winogradInput writes Winograd.Input.
func (s isa) winogradInput(tile int) {
	TEXT(name("winogradInput%d%s", tile, s.name), NOSPLIT,
		"func(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)")
	t := s.transform(tile, s.kept)
	x, v, scratch := slot(Param("x").Base()), slot(Param("v").Base()), slot(Param("scratch").Base())
	s.lines(x, v, func(l line) {
		row := GP64() // bytes of a row of the scratch
		Load(Param("tiles"), row)
		IMUL3Q(U8(uint8(t.tile)), row, row)
		ADDQ(Imm(2), row)
		IMUL3Q(U32(uint32(l.bytes)), row, row)
		s.inputColumns(t, l, x, scratch, row)
		s.inputRows(t, l, v, scratch, row)
	})
}

// lineFloats is the float32s in a cache line: kernel.Line.
const lineFloats = 16

// line is some vectors of channels that are transformed together: those of a cache line, so that it comes and goes once.
type line struct {
	label          string
	vectors, bytes int
}

// lines goes through the channels, a cache line at a time as long as more than a vector is left, moves what from and to point to
// on, and returns.
func (s isa) lines(from, to Mem, transform func(l line)) {
	channels := slot(Param("channels"))
	for vectors := lineFloats / s.lanes; vectors >= 1; vectors-- {
		l := line{name("by%d_", vectors), vectors, vectors * s.bytes()}
		Label(l.label + "channels")
		if vectors > 1 {
			CMPQ(channels, Imm(uint64((vectors-1)*s.lanes)))
			JLE(LabelRef(name("by%d_channels", vectors-1)))
		}
		transform(l)
		ADDQ(Imm(uint64(l.bytes)), from)
		ADDQ(Imm(uint64(l.bytes)), to)
		SUBQ(Imm(uint64(vectors*s.lanes)), channels)
		JG(LabelRef(l.label + "channels"))
		VZEROUPPER()
		RET()
	}
}

// each does something for every vector of the line, which begins at the given byte.
func (l line) each(s isa, f func(disp int)) {
	for i := range l.vectors {
		f(i * s.bytes())
	}
}

// inputColumns transforms the columns of all pixels of a line of channels into scratch.
func (s isa) inputColumns(t transform, l line, x, scratch Mem, row Register) {
	from, to := GP64(), GP64()
	MOVQ(x, from)
	MOVQ(scratch, to)
	in, out := rowsFrom(from, bytes("xRow")), rowsFrom(to, row)
	xPixel := bytes("xPixel")
	end := GP64()
	LEAQ(indexed(to, row, 1, 0), end)
	Label(l.label + "column")
	l.each(s, func(disp int) {
		s.input(t, func(i int) Mem { return in.at(i, disp) }, func(i int) Mem { return out.at(i, disp) })
	})
	in.advance(xPixel)
	out.advance(Imm(uint64(l.bytes)))
	CMPQ(out.base, end)
	JLT(LabelRef(l.label + "column"))
}

// inputRows transforms the rows of all tiles from scratch into v.
func (s isa) inputRows(t transform, l line, v, scratch Mem, row Register) {
	from, to, left := GP64(), GP64(), GP64()
	MOVQ(scratch, from)
	MOVQ(v, to)
	vRow := bytes("vRow")
	one := bytes("vStride")
	MOVQ(U32(uint32(t.n())), left)
	Label(l.label + "row")
	out := rowsFrom(to, one)
	pixel, tiles := GP64(), GP64()
	MOVQ(from, pixel)
	Load(Param("tiles"), tiles)
	Label(l.label + "tile")
	l.each(s, func(disp int) {
		s.input(t, func(i int) Mem { return at(pixel, i*l.bytes+disp) }, func(i int) Mem { return out.at(i, disp) })
	})
	ADDQ(U32(uint32(t.tile*l.bytes)), pixel)
	out.advance(vRow)
	DECQ(tiles)
	JNZ(LabelRef(l.label + "tile"))
	ADDQ(row, from)
	MOVQ(v, to)
	s.skipPositions(t, to, one, left)
	DECQ(left)
	JNZ(LabelRef(l.label + "row"))
}

// skipPositions moves to to the position that begins the row of the transform after left are left.
func (s isa) skipPositions(t transform, to, one, left Register) {
	done := GP64()
	MOVQ(U32(uint32(t.n()+1)), done)
	SUBQ(left, done)
	IMUL3Q(U32(uint32(t.n())), done, done)
	IMULQ(one, done)
	ADDQ(done, to)
}

func (s isa) input(t transform, from, to func(i int) Mem) {
	d := make([]VecVirtual, t.n())
	for i := range d {
		d[i] = s.vec()
		VMOVUPS(from(i), d[i])
	}
	t.input(d, func(i int, v VecVirtual) { VMOVUPS(v, to(i)) })
}

// winogradOutput writes Winograd.Output.
func (s isa) winogradOutput(tile int) {
	TEXT(name("winogradOutput%d%s", tile, s.name), NOSPLIT,
		"func(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int, "+
			"scale, shift, residual []float32, residualRow, residualPixel int, bound float32)")
	factor := s.kept
	if s.lanes == 8 { // a tile takes all registers
		factor = s.fetched
	}
	t := s.transform(tile, factor)
	channels := Load(Param("scale").Len(), GP64())
	last := s.partial(channels)
	c := GP64()
	for _, stride := range []string{"dstRow", "dstPixel", "mStride", "mRow", "residualRow", "residualPixel"} {
		SHLQ(Imm(2), slot(Param(stride)))
	}
	CMPQ(slot(Param("residual").Base()), Imm(0))
	JEQ(LabelRef("plain"))
	for _, form := range []string{"sum", "plain"} {
		Label(form)
		XORQ(c, c)
		if s.lanes < lineFloats { // a cache line at a time, so that it comes and goes once
			rest := GP64()
			MOVQ(channels, rest)
			Label(form + "_line")
			SUBQ(Imm(lineFloats), rest)
			JL(LabelRef(form + "_whole"))
			s.outputTiles(t, form+"_line", lineFloats/s.lanes, c, whole, form == "sum")
			ADDQ(Imm(lineFloats), c)
			JMP(LabelRef(form + "_line"))
		}
		s.eachVectorFrom(form, channels, c, last, func(part string, access access) {
			s.outputTiles(t, part, 1, c, access, form == "sum")
		})
		VZEROUPPER()
		RET()
	}
}

// outputTiles writes the loop over the tiles for some vectors of channels from c on.
func (s isa) outputTiles(t transform, label string, vectors int, c Register, access access, residual bool) {
	begin := func(param string) Register {
		p := Load(Param(param).Base(), GP64())
		LEAQ(indexed(p, c, 4, 0), p)
		return p
	}
	m, dst := begin("m"), begin("dst")
	sides := []string{"dst"}
	at := []Register{dst}
	if residual {
		sides, at = append(sides, "residual"), append(at, begin("residual"))
	}
	one := Load(Param("mStride"), GP64()) // from a row of the transform to the next
	IMUL3Q(U8(uint8(t.n())), one, one)
	count := Load(Param("tiles"), GP64())
	f := func(disp int) epilogue { return s.epilogue(c, disp, access) }
	if s.lanes == 16 { // registers enough to keep it
		kept := f(0)
		f = func(int) epilogue { return kept }
	}
	Label(label + "_tile")
	for v := range vectors {
		disp := v * s.bytes()
		for _, pass := range t.passes {
			y := s.outputColumns(pass, t.n(), disp, m, one)
			s.outputRows(t, pass, y, disp, at, func() epilogue { return f(disp) }, access)
		}
	}
	ADDQ(slot(Param("mRow")), m)
	for i, side := range sides {
		step := Load(Param(side+"Pixel"), GP64())
		LEAQ(indexed(at[i], step, uint8(t.tile), 0), at[i])
	}
	DECQ(count)
	JNZ(LabelRef(label + "_tile"))
}

// outputColumns computes a pass over the columns of a tile: y[k][j] is output k of column j.
func (s isa) outputColumns(p pass, n, disp int, m, one Register) [][]VecVirtual {
	y := make([][]VecVirtual, len(p.outputs))
	column := GP64()
	MOVQ(m, column)
	in := rowsFrom(column, one)
	for range n {
		q := make([]VecVirtual, n)
		for i := p.first; i < p.end; i++ {
			q[i] = s.vec()
			VMOVUPS(in.at(i, disp), q[i])
		}
		for k, v := range p.apply(q) {
			y[k] = append(y[k], v)
		}
		in.advance(slot(Param("mStride")))
	}
	return y
}

// epilogue is what the sums of some channels are finished with.
type epilogue struct{ scale, shift, bound VecVirtual }

func (s isa) epilogue(c Register, disp int, access access) epilogue {
	e := epilogue{s.vec(), s.vec(), s.vec()}
	pointer := Load(Param("scale").Base(), GP64())
	access.load(indexed(pointer, c, 4, disp), e.scale)
	Load(Param("shift").Base(), pointer)
	access.load(indexed(pointer, c, 4, disp), e.shift)
	VBROADCASTSS(slot(Param("bound")), e.bound)
	return e
}

// outputRows finishes the rows of a pass: at are where the tile begins in dst and in the
// residual, if there is one, and disp is where the vector does.
func (s isa) outputRows(t transform, p pass, y [][]VecVirtual, disp int, at []Register, load func() epilogue, access access) {
	for k, row := range p.outputs {
		values := t.output(y[k])
		e := load()
		for _, v := range values {
			VFMADD213PS(e.shift, e.scale, v)
		}
		var pixels []rows
		for i, side := range []string{"dst", "residual"}[:len(at)] {
			begin := GP64()
			step := Load(Param(side+"Row"), GP64())
			MOVQ(at[i], begin)
			for range row {
				ADDQ(step, begin)
			}
			pixels = append(pixels, rowsFrom(begin, Load(Param(side+"Pixel"), GP64())))
		}
		if len(at) == 2 {
			for x, v := range values {
				other := s.vec()
				access.load(pixels[1].at(x, disp), other)
				VADDPS(other, v, v)
			}
		}
		for x, v := range values {
			VMAXPS(v, e.bound, v) // of NaN and a bound the first operand here: NaN stays
			access.store(v, pixels[0].at(x, disp))
		}
	}
}
