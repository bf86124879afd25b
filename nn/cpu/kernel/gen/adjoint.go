package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// spreading writes A·d for a column or a row of a tile: the transpose of output. parts are as those of a transform.
type spreading struct {
	whole func(d []VecVirtual, store func(i int, v VecVirtual))
	parts []part
}

func (s isa) spread(tile int) spreading {
	both := func(even, odd VecVirtual) []VecVirtual {
		plus := s.copyOf(even)
		VADDPS(odd, plus, plus)
		VSUBPS(odd, even, even)
		return []VecVirtual{plus, even}
	}
	if tile == 2 {
		return spreading{whole: func(d []VecVirtual, store func(int, VecVirtual)) {
			store(0, d[0])
			minus := s.vec()
			s.zero(minus)
			VSUBPS(d[1], minus, minus)
			store(3, minus)
			for i, v := range both(d[0], d[1]) {
				store(1+i, v)
			}
		}}
	}
	const a, b = pointA, pointB
	atA := []Op{s.kept("a1", a), s.kept("a2", a*a), s.kept("a3", a*a*a)}
	atB := []Op{s.kept("b1", b), s.kept("b2", b*b), s.kept("b3", b*b*b)}
	pair := func(powers []Op, d []VecVirtual) []VecVirtual {
		even, odd := s.copyOf(d[0]), s.vec()
		VFMADD231PS(powers[1], d[2], even)
		VMULPS(powers[0], d[1], odd)
		VFMADD231PS(powers[2], d[3], odd)
		return both(even, odd)
	}
	column := func(d func(i int) Mem) []VecVirtual {
		return []VecVirtual{s.loaded(d(0)), s.loaded(d(1)), s.loaded(d(2)), s.loaded(d(3))}
	}
	return spreading{
		whole: func(d []VecVirtual, store func(int, VecVirtual)) {
			store(0, d[0])
			store(5, d[3])
			for i, powers := range [][]Op{atA, atB} {
				for k, v := range pair(powers, d) {
					store(1+2*i+k, v)
				}
			}
		},
		parts: []part{
			{0, 3, func(q func(i int) Mem) []VecVirtual {
				d := column(q)
				return append([]VecVirtual{d[0]}, pair(atA, d)...)
			}},
			{3, 3, func(q func(i int) Mem) []VecVirtual {
				d := column(q)
				return append(pair(atB, d), d[3])
			}},
		},
	}
}

// winogradAdjoint writes Winograd.Adjoint.
func (s isa) winogradAdjoint(tile int) {
	TEXT(name("winogradAdjoint%d%s", tile, s.name), NOSPLIT,
		"func(v []float32, vStride, vRow int, y []float32, yRow, yPixel, channels, tiles int, scratch []float32)")
	spread := s.spread(tile)
	transform := func(from, to func(i int) Mem) {
		d := make([]VecVirtual, tile)
		for i := range d {
			d[i] = s.vec()
			VMOVUPS(from(i), d[i])
		}
		spread.whole(d, func(i int, v VecVirtual) { VMOVUPS(v, to(i)) })
	}
	y, v := slot(Param("y").Base()), slot(Param("v").Base())
	s.lines(y, v, func(l line) {
		if s.lanes == 16 && spread.parts != nil { // registers enough for a part of a tile
			s.tilesByParts(l, tiled{y, "yRow", "yPixel", tile, tile}, spread.parts, spread.whole, v, tile+2)
			return
		}
		row := GP64() // bytes of a row of the scratch
		Load(Param("tiles"), row)
		IMUL3Q(U32(uint32(tile*l.bytes)), row, row)
		s.adjointColumns(tile, l, y, row, transform)
		s.adjointRows(tile, l, v, row, transform)
	})
}

// adjointColumns transforms the columns of all pixels of a line of channels into scratch.
func (s isa) adjointColumns(tile int, l line, y Mem, row Register, transform func(from, to func(i int) Mem)) {
	from, to := GP64(), Load(Param("scratch").Base(), GP64())
	MOVQ(y, from)
	in, out := rowsFrom(from, bytes("yRow"), tile), rowsFrom(to, row, tile+2)
	yPixel, end := bytes("yPixel"), GP64()
	LEAQ(indexed(to, row, 1, 0), end)
	next := s.nextTiles(in, tile, tile)
	Label(l.label + "column")
	next(yPixel)
	l.each(s, func(disp int) {
		transform(func(i int) Mem { return in.at(i, disp) }, func(i int) Mem { return out.at(i, disp) })
	})
	in.advance(yPixel)
	out.advance(Imm(uint64(l.bytes)))
	CMPQ(out.base, end)
	JLT(LabelRef(l.label + "column"))
}

// adjointRows transforms the rows of all tiles from scratch into v.
func (s isa) adjointRows(tile int, l line, v Mem, row Register, transform func(from, to func(i int) Mem)) {
	from, begin, left := Load(Param("scratch").Base(), GP64()), GP64(), GP64()
	MOVQ(v, begin)
	vRow, one := bytes("vRow"), bytes("vStride")
	MOVQ(U32(uint32(tile+2)), left)
	Label(l.label + "row")
	to, pixel, tiles := GP64(), GP64(), Load(Param("tiles"), GP64())
	MOVQ(begin, to)
	MOVQ(from, pixel)
	out := rowsFrom(to, one, tile+2)
	Label(l.label + "tile")
	l.each(s, func(disp int) {
		transform(func(i int) Mem { return at(pixel, i*l.bytes+disp) }, func(i int) Mem { return out.at(i, disp) })
	})
	ADDQ(U32(uint32(tile*l.bytes)), pixel)
	out.advance(vRow)
	DECQ(tiles)
	JNZ(LabelRef(l.label + "tile"))
	ADDQ(row, from)
	for range tile + 2 {
		ADDQ(one, begin)
	}
	DECQ(left)
	JNZ(LabelRef(l.label + "row"))
}
