package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// form is a set of transforms: kernel.F2, F4 or F42.
type form struct{ tile, taps int }

// forms are all of them.
var forms = []form{{2, 3}, {4, 3}, {4, 2}}

// String is the tile, and the taps where they are not three.
func (f form) String() string {
	if f.taps == 3 {
		return name("%d", f.tile)
	}
	return name("%d%d", f.tile, f.taps)
}

func (f form) n() int { return f.tile + f.taps - 1 }

// transform is one dimension of Winograd's transforms, on registers that it overwrites.
type transform struct {
	form
	input  func(d []VecVirtual, store func(i int, v VecVirtual))
	output func(rows [][]VecVirtual) [][]VecVirtual
	passes []pass // output in parts that leave registers for a whole tile
	parts  []part // input in parts that leave registers for three rows of a tile
}

// part computes count positions of a column in memory, from the first on, as input does of one in registers, bit for bit.
type part struct {
	first, count int
	apply        func(d func(i int) Mem) []VecVirtual
}

// pass computes some of the outputs. columns prepares for applying it to columns in memory.
type pass struct {
	outputs []int
	columns func() (apply func(q func(i int) Mem) []VecVirtual)
}

// transform is that of the given form. Constants that are kept are loaded where it is called.
func (s isa) transform(f form, factor func(label string, x float32) Op) transform {
	if f.tile == 2 {
		return s.f2(f)
	}
	return s.f4(f, factor)
}

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
func (s isa) f2(f form) transform {
	output := func(q []VecVirtual) []VecVirtual {
		VADDPS(q[1], q[0], q[0])
		VADDPS(q[2], q[0], q[0])
		VSUBPS(q[2], q[1], q[1])
		VSUBPS(q[3], q[1], q[1])
		return q[:2]
	}
	return transform{
		form: f,
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

// f4 interpolates at ±a, ±b and ∞, and with three taps at 0 before.
func (s isa) f4(f form, factor func(label string, x float32) Op) transform {
	const a, b = pointA, pointB
	product, sum := factor("a2b2", a*a*b*b), factor("a2plusb2", a*a+b*b)
	a1, a2, a3 := factor("a1", a), factor("a2", a*a), factor("a3", a*a*a)
	b1, b2, b3 := factor("b1", b), factor("b2", b*b), factor("b3", b*b*b)
	zero := f.taps - 2 // positions before the one of a: that of 0, if any

	return transform{
		form: f,
		input: func(d []VecVirtual, store func(int, VecVirtual)) {
			pair := func(i int, upper VecVirtual, f Op, lower VecVirtual) {
				for k, v := range s.pair(upper, f, lower) {
					store(i+k, v)
				}
			}
			if zero > 0 {
				first := s.copyOf(d[4])
				VFNMADD231PS(sum, d[2], first)
				VFMADD231PS(product, d[0], first)
				store(0, first)
			}
			d = d[zero:]
			VFNMADD231PS(sum, d[2], d[4])
			VFMADD231PS(product, d[0], d[4])
			store(zero+4, d[4])
			upper, lower := s.copyOf(d[3]), s.copyOf(d[2])
			VFNMADD231PS(b2, d[1], upper)
			VFNMADD231PS(b2, d[0], lower)
			pair(zero, upper, a1, lower)
			VFNMADD231PS(a2, d[1], d[3])
			VFNMADD231PS(a2, d[0], d[2])
			pair(zero+2, d[3], b1, d[2])
		},
		parts: []part{
			{0, zero + 2, func(q func(i int) Mem) (out []VecVirtual) {
				d := func(i int) Mem { return q(zero + i) }
				upper, lower, second := s.loaded(d(3)), s.loaded(d(2)), s.loaded(d(1))
				if zero > 0 {
					first := s.copyOf(upper)
					VFNMADD231PS(sum, second, first)
					VFMADD231PS(q(0), product, first)
					out = append(out, first)
				}
				VFNMADD231PS(b2, second, upper)
				VFNMADD231PS(d(0), b2, lower)
				return append(out, s.pair(upper, a1, lower)...)
			}},
			{zero + 2, 3, func(q func(i int) Mem) []VecVirtual {
				d := func(i int) Mem { return q(zero + i) }
				upper, lower, last := s.loaded(d(3)), s.loaded(d(2)), s.loaded(d(4))
				lowest := s.loaded(d(0))
				VFNMADD231PS(sum, lower, last)
				VFMADD231PS(product, lowest, last)
				VFNMADD231PS(d(1), a2, upper)
				VFNMADD231PS(a2, lowest, lower)
				return append(s.pair(upper, b1, lower), last)
			}},
		},
		output: func(rows [][]VecVirtual) [][]VecVirtual {
			var first []VecVirtual
			for r, q := range rows { // of p = q[zero:]: p₀+p₁, p₀−p₁, p₂+p₃, p₂−p₃, p₄
				p := q[zero:]
				for i := 0; i < 4; i += 2 {
					p0 := s.copyOf(p[i])
					VADDPS(p[i+1], p[i], p[i])
					VSUBPS(p[i+1], p0, p[i+1])
				}
				if zero > 0 {
					first = append(first, q[0])
					VADDPS(p[0], q[0], q[0])
					VADDPS(p[2], q[0], q[0])
				} else {
					first = append(first, s.vec())
					VADDPS(p[2], p[0], first[r])
				}
				rows[r] = p
			}
			// all does the same for all rows, whose factor is fetched once.
			all := func(factor Op, f func(factor Op, p []VecVirtual)) {
				factor = s.inRegister(factor)
				for _, p := range rows {
					f(factor, p)
				}
			}
			all(a2, func(a2 Op, p []VecVirtual) { VMULPS(a2, p[0], p[0]) })
			all(b2, func(b2 Op, p []VecVirtual) { VFMADD231PS(b2, p[2], p[0]) })
			all(a3, func(a3 Op, p []VecVirtual) { VFMADD231PS(a3, p[1], p[4]) })
			all(b3, func(b3 Op, p []VecVirtual) { VFMADD231PS(b3, p[3], p[4]) })
			all(a1, func(a1 Op, p []VecVirtual) { VMULPS(a1, p[1], p[1]) })
			all(b1, func(b1 Op, p []VecVirtual) { VFMADD231PS(b1, p[3], p[1]) })
			var out [][]VecVirtual
			for r, p := range rows {
				out = append(out, []VecVirtual{first[r], p[1], p[0], p[4]})
			}
			return out
		},
		passes: []pass{
			{[]int{0, 2}, func() func(func(int) Mem) []VecVirtual {
				a2, b2 := s.inRegister(a2), s.inRegister(b2)
				return func(q func(i int) Mem) []VecVirtual {
					p := func(i int) Mem { return q(zero + i) }
					sumA, sumB, s0 := s.loaded(p(0)), s.loaded(p(2)), s.vec()
					VADDPS(p(1), sumA, sumA)
					VADDPS(p(3), sumB, sumB)
					if zero > 0 {
						VADDPS(q(0), sumA, s0)
						VADDPS(sumB, s0, s0)
					} else {
						VADDPS(sumB, sumA, s0)
					}
					VMULPS(a2, sumA, sumA)
					VFMADD231PS(b2, sumB, sumA)
					return []VecVirtual{s0, sumA}
				}
			}},
			{[]int{1, 3}, func() func(func(int) Mem) []VecVirtual {
				a3, b3 := s.inRegister(a3), s.inRegister(b3)
				return func(q func(i int) Mem) []VecVirtual {
					p := func(i int) Mem { return q(zero + i) }
					differenceA, differenceB, last := s.loaded(p(0)), s.loaded(p(2)), s.loaded(p(4))
					VSUBPS(p(1), differenceA, differenceA)
					VSUBPS(p(3), differenceB, differenceB)
					VFMADD231PS(a3, differenceA, last)
					VFMADD231PS(b3, differenceB, last)
					VMULPS(a1, differenceA, differenceA)
					VFMADD231PS(b1, differenceB, differenceA)
					return []VecVirtual{differenceA, last}
				}
			}},
		},
	}
}

// pair is upper ± f·lower, the second in the place of upper.
func (s isa) pair(upper VecVirtual, f Op, lower VecVirtual) []VecVirtual {
	plus := s.copyOf(upper)
	VFMADD231PS(f, lower, plus)
	VFNMADD231PS(f, lower, upper)
	return []VecVirtual{plus, upper}
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
func (s isa) winogradInput(f form) {
	TEXT(name("winogradInput%v%s", f, s.name), NOSPLIT,
		"func(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)")
	t := s.transform(f, s.kept)
	x, v, scratch := slot(Param("x").Base()), slot(Param("v").Base()), slot(Param("scratch").Base())
	s.lines(x, v, func(l line) {
		if s.lanes == 16 && t.parts != nil { // registers enough for a part of a tile
			s.tilesByParts(l, tiled{x, "xRow", "xPixel", t.n(), t.tile}, t.parts, t.input, v, t.n())
			return
		}
		row := GP64() // bytes of a row of the scratch
		Load(Param("tiles"), row)
		IMUL3Q(U8(uint8(t.tile)), row, row)
		ADDQ(Imm(uint64(t.taps-1)), row)
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
	next := s.nextTiles(in, t.n(), t.tile)
	Label(l.label + "column")
	next(xPixel)
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

// tiled is a picture in memory as tiles: size is of one in both dimensions, step from one to the next; row and pixel are the names of
// parameters.
type tiled struct {
	begin      Mem
	row, pixel string
	size, step int
}

// tilesByParts transforms the tiles of a line of channels, all of it in registers, part after part, into v, n positions a row. What
// neighbours share of the columns is transformed once.
func (s isa) tilesByParts(l line, x tiled, parts []part, transform func(d []VecVirtual, store func(i int, v VecVirtual)), v Mem, n int) {
	for i, part := range parts {
		label := name("%spart%d_", l.label, i)
		from := GP64()
		MOVQ(x.begin, from)
		in := rowsFrom(from, bytes(x.row), x.size)
		pixel := bytes(x.pixel)
		next := func(Op) {} // the first part has asked
		if i == 0 {
			next = s.nextTiles(in, x.size, x.step)
		}
		column := func() []VecVirtual {
			next(pixel)
			y := part.apply(func(i int) Mem { return in.at(i, 0) })
			in.advance(pixel)
			return y
		}
		var shared [][]VecVirtual
		for range x.size - x.step {
			shared = append(shared, column())
		}
		out := s.positionRows(part, v, n)
		tiles := Load(Param("tiles"), GP64())
		Label(label + "tile")
		columns := shared
		for range x.step {
			columns = append(columns, column())
		}
		vRow := bytes("vRow")
		for k, to := range out {
			var d, kept []VecVirtual
			for _, column := range columns {
				d = append(d, column[k])
			}
			for _, v := range d[x.step:] {
				kept = append(kept, s.copyOf(v))
			}
			transform(d, func(i int, v VecVirtual) { VMOVUPS(v, to.at(i, 0)) })
			for c, v := range kept {
				VMOVAPS(v, shared[c][k])
			}
			to.advance(vRow)
		}
		DECQ(tiles)
		JNZ(LabelRef(label + "tile"))
	}
}

// positionRows are where the rows of n positions of a part begin in v.
func (s isa) positionRows(p part, v Mem, n int) (all []rows) {
	first := GP64()
	MOVQ(v, first)
	out := rowsFrom(first, bytes("vStride"), n)
	row := GP64()
	IMUL3Q(U8(uint8(n)), out.one, row)
	for range p.first {
		ADDQ(row, first)
	}
	for k := range p.count {
		if k > 0 {
			before := out.base
			out.base = GP64()
			LEAQ(indexed(before, row, 1, 0), out.base)
		}
		all = append(all, out)
	}
	return all
}

// nextTiles asks, each time it is called, for the next pixels of the rows of tiles that come after those of in.
func (s isa) nextTiles(in rows, size, step int) func(pixel Op) {
	next := in
	next.base = GP64()
	LEAQ(indexed(in.base, in.one, uint8(step), 0), next.base)
	return func(pixel Op) {
		for i := range step {
			PREFETCHT0(next.at(size-step+i, 0))
		}
		next.advance(pixel)
	}
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
func (s isa) winogradOutput(f form) {
	TEXT(name("winogradOutput%v%s", f, s.name), NOSPLIT,
		"func(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int, "+
			"scale, shift, residual []float32, residualRow, residualPixel int, bound float32)")
	factor := s.kept
	if s.lanes == 8 { // a tile takes all registers
		factor = s.fetched
	}
	t := s.transform(f, factor)
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
