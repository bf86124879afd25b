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
	output func(rows [][]VecVirtual) [][]VecVirtual
	passes []pass // output in parts that leave registers for a whole tile
}

// pass computes some of the outputs. columns prepares for applying it to columns in memory.
type pass struct {
	outputs []int
	columns func() (apply func(q func(i int) Mem) []VecVirtual)
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

func (s isa) loaded(m Mem) VecVirtual {
	v := s.vec()
	VMOVUPS(m, v)
	return v
}

// inRegister is a factor where it costs nothing to read.
func (s isa) inRegister(factor Op) Op {
	if m, ok := factor.(Mem); ok {
		return s.loaded(m)
	}
	return factor
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
		output: func(rows [][]VecVirtual) (out [][]VecVirtual) {
			for _, q := range rows {
				out = append(out, output(q))
			}
			return out
		},
		passes: []pass{{[]int{0, 1}, func() func(func(int) Mem) []VecVirtual {
			return func(q func(i int) Mem) []VecVirtual {
				return output([]VecVirtual{s.loaded(q(0)), s.loaded(q(1)), s.loaded(q(2)), s.loaded(q(3))})
			}
		}}},
	}
}

// f4 interpolates at 0, ±a, ±b and ∞.
func (s isa) f4(factor func(label string, x float32) Op) transform {
	const a, b = pointA, pointB
	product, sum := factor("a2b2", a*a*b*b), factor("a2plusb2", a*a+b*b)
	a1, a2, a3 := factor("a1", a), factor("a2", a*a), factor("a3", a*a*a)
	b1, b2, b3 := factor("b1", b), factor("b2", b*b), factor("b3", b*b*b)

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
		output: func(rows [][]VecVirtual) [][]VecVirtual {
			for _, q := range rows { // q₀, q₁+q₂, q₁−q₂, q₃+q₄, q₃−q₄, q₅
				for i := 1; i < 5; i += 2 {
					q1 := s.copyOf(q[i])
					VADDPS(q[i+1], q[i], q[i])
					VSUBPS(q[i+1], q1, q[i+1])
				}
				VADDPS(q[1], q[0], q[0])
				VADDPS(q[3], q[0], q[0])
			}
			// all does the same for all rows, whose factor is fetched once.
			all := func(factor Op, f func(factor Op, q []VecVirtual)) {
				factor = s.inRegister(factor)
				for _, q := range rows {
					f(factor, q)
				}
			}
			all(a2, func(a2 Op, q []VecVirtual) { VMULPS(a2, q[1], q[1]) })
			all(b2, func(b2 Op, q []VecVirtual) { VFMADD231PS(b2, q[3], q[1]) })
			all(a3, func(a3 Op, q []VecVirtual) { VFMADD231PS(a3, q[2], q[5]) })
			all(b3, func(b3 Op, q []VecVirtual) { VFMADD231PS(b3, q[4], q[5]) })
			all(a1, func(a1 Op, q []VecVirtual) { VMULPS(a1, q[2], q[2]) })
			all(b1, func(b1 Op, q []VecVirtual) { VFMADD231PS(b1, q[4], q[2]) })
			var out [][]VecVirtual
			for _, q := range rows {
				out = append(out, []VecVirtual{q[0], q[2], q[1], q[5]})
			}
			return out
		},
		passes: []pass{
			{[]int{0, 2}, func() func(func(int) Mem) []VecVirtual {
				a2, b2 := s.inRegister(a2), s.inRegister(b2)
				return func(q func(i int) Mem) []VecVirtual {
					sumA, sumB, s0 := s.loaded(q(1)), s.loaded(q(3)), s.vec()
					VADDPS(q(2), sumA, sumA)
					VADDPS(q(4), sumB, sumB)
					VADDPS(q(0), sumA, s0)
					VADDPS(sumB, s0, s0)
					VMULPS(a2, sumA, sumA)
					VFMADD231PS(b2, sumB, sumA)
					return []VecVirtual{s0, sumA}
				}
			}},
			{[]int{1, 3}, func() func(func(int) Mem) []VecVirtual {
				a3, b3 := s.inRegister(a3), s.inRegister(b3)
				return func(q func(i int) Mem) []VecVirtual {
					differenceA, differenceB, q5 := s.loaded(q(1)), s.loaded(q(3)), s.loaded(q(5))
					VSUBPS(q(2), differenceA, differenceA)
					VSUBPS(q(4), differenceB, differenceB)
					VFMADD231PS(a3, differenceA, q5)
					VFMADD231PS(b3, differenceB, q5)
					VMULPS(a1, differenceA, differenceA)
					VFMADD231PS(b1, differenceB, differenceA)
					return []VecVirtual{differenceA, q5}
				}
			}},
		},
	}
}

// rows addresses memory at multiples of a stride: up to six of them.
type rows struct{ base, one, three, five Register }

// rowsFrom are n from base on; one is the stride in bytes. It is not changed.
func rowsFrom(base, one Register, n int) rows {
	r := rows{base: base, one: one}
	if n > 3 {
		r.three = GP64()
		LEAQ(indexed(one, one, 2, 0), r.three)
	}
	if n > 5 {
		r.five = GP64()
		LEAQ(indexed(one, one, 4, 0), r.five)
	}
	return r
}

func (r rows) at(i, disp int) Mem {
	switch i {
	case 0:
		return at(r.base, disp)
	case 3:
		return indexed(r.base, r.three, 1, disp)
	case 5:
		return indexed(r.base, r.five, 1, disp)
	}
	return indexed(r.base, r.one, uint8(i), disp)
}

func (r rows) advance(by Op) { ADDQ(by, r.base) }

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
	in, out := rowsFrom(from, bytes("xRow"), t.n()), rowsFrom(to, row, t.n())
	xPixel := bytes("xPixel")
	end := GP64()
	LEAQ(indexed(to, row, 1, 0), end)
	next := in // the row of tiles that comes next is asked for in time
	next.base = GP64()
	LEAQ(indexed(from, in.one, uint8(t.tile), 0), next.base)
	Label(l.label + "column")
	for i := range t.tile {
		PREFETCHT0(next.at(t.n()-t.tile+i, 0))
	}
	next.advance(xPixel)
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
	out := rowsFrom(to, one, t.n())
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

// side is where the pixels of a tile begin in dst or residual, and the step from one to the next.
type side struct {
	name         string
	begin, pixel Register
}

// row is n pixels of the given row.
func (e side) row(i, n int) rows {
	begin := GP64()
	MOVQ(e.begin, begin)
	for range i {
		ADDQ(slot(Param(e.name+"Row")), begin)
	}
	return rowsFrom(begin, e.pixel, n)
}

// outputTiles writes the loop over the tiles for some vectors of channels from c on.
func (s isa) outputTiles(t transform, label string, vectors int, c Register, access access, residual bool) {
	begin := func(param string) Register {
		p := Load(Param(param).Base(), GP64())
		LEAQ(indexed(p, c, 4, 0), p)
		return p
	}
	m, dst := begin("m"), begin("dst")
	sides := []side{{"dst", dst, Load(Param("dstPixel"), GP64())}}
	if residual {
		sides = append(sides, side{"residual", begin("residual"), Load(Param("residualPixel"), GP64())})
	}
	one := Load(Param("mStride"), GP64()) // from a row of the transform to the next
	step := GP64()
	MOVQ(one, step)
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
			y := s.outputColumns(pass, t.n(), disp, m, one, step)
			s.outputRows(t, pass, y, disp, sides, func() epilogue { return f(disp) }, access)
		}
	}
	ADDQ(slot(Param("mRow")), m)
	for _, side := range sides {
		LEAQ(indexed(side.begin, side.pixel, uint8(t.tile), 0), side.begin)
	}
	DECQ(count)
	JNZ(LabelRef(label + "_tile"))
}

// outputColumns computes a pass over the columns of a tile: y[k][j] is output k of column j.
func (s isa) outputColumns(p pass, n, disp int, m, one, step Register) [][]VecVirtual {
	y := make([][]VecVirtual, len(p.outputs))
	column := GP64()
	MOVQ(m, column)
	in := rowsFrom(column, one, n)
	apply := p.columns()
	for range n {
		for k, v := range apply(func(i int) Mem { return in.at(i, disp) }) {
			y[k] = append(y[k], v)
		}
		in.advance(step)
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

// outputRows finishes the rows of a pass: sides are dst and the residual, if there is one, and disp is where the vector begins.
func (s isa) outputRows(t transform, p pass, y [][]VecVirtual, disp int, sides []side, e func() epilogue, access access) {
	rows := t.output(y)
	end := e()
	for k, values := range rows {
		for _, v := range values {
			VFMADD213PS(end.shift, end.scale, v)
		}
		if len(sides) == 2 {
			pixels := sides[1].row(p.outputs[k], t.tile)
			for x, v := range values {
				access.add(s, pixels.at(x, disp), v)
			}
		}
		pixels := sides[0].row(p.outputs[k], t.tile)
		for x, v := range values {
			VMAXPS(v, end.bound, v) // of NaN and a bound the first operand here: NaN stays
			access.store(v, pixels.at(x, disp))
		}
	}
}
