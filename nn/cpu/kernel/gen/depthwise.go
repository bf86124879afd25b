package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// depthwisePixels is how many pixels share a load of the weights.
const depthwisePixels = 4

// depthwise writes Kernel.Depthwise.
func (s isa) depthwise() {
	TEXT("depthwise"+s.name, NOSPLIT, "func(dst []float32, dstStride int, x []float32, xStride, pixels int, "+
		"taps []int, w []float32, channels int)")
	dstStride := Load(Param("dstStride"), GP64())
	one, three := Load(Param("xStride"), GP64()), GP64() // bytes of one and three pixels of x
	SHLQ(Imm(2), dstStride)
	SHLQ(Imm(2), one)
	LEAQ(indexed(one, one, 2, 0), three)
	channels := Load(Param("channels"), GP64())
	last := s.partial(channels)
	c := GP64()
	s.eachVector("channel", channels, c, last, func(part string, a access) {
		x, dst := Load(Param("x").Base(), GP64()), Load(Param("dst").Base(), GP64())
		LEAQ(indexed(x, c, 4, 0), x)
		LEAQ(indexed(dst, c, 4, 0), dst)
		pixels := Load(Param("pixels"), GP64())
		loop(part+"_pixel", pixels, depthwisePixels, func(n int) {
			weights := Load(Param("w").Base(), GP64())
			LEAQ(indexed(weights, c, 4, 0), weights)
			sums := s.depthwiseSums(name("%s_tap%d", part, n), n, a, x, one, three, weights, channels)
			for _, sum := range sums {
				a.store(sum, at(dst, 0))
				ADDQ(dstStride, dst)
				ADDQ(one, x)
			}
		})
	})
	VZEROUPPER()
	RET()
}

// depthwiseSums adds the taps of n pixels from x on, one and three bytes apart.
func (s isa) depthwiseSums(label string, n int, a access, x, one, three, weights, channels Register) []VecVirtual {
	sums := s.sums(1, n)[0]
	taps, left, tap := Load(Param("taps").Base(), GP64()), Load(Param("taps").Len(), GP64()), GP64()
	w, v := s.vec(), s.vec()
	Label(label)
	MOVQ(at(taps, 0), tap)
	LEAQ(indexed(x, tap, 4, 0), tap)
	a.load(at(weights, 0), w)
	pixels := []Mem{at(tap, 0), indexed(tap, one, 1, 0), indexed(tap, one, 2, 0), indexed(tap, three, 1, 0)}
	for i, sum := range sums {
		a.load(pixels[i], v)
		VFMADD231PS(w, v, sum)
	}
	LEAQ(indexed(weights, channels, 4, 0), weights)
	ADDQ(Imm(8), taps)
	DECQ(left)
	JNZ(LabelRef(label))
	return sums
}
