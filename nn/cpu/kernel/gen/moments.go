package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// rectify writes Kernel.Rectify.
func (s isa) rectify() {
	TEXT("rectify"+s.name, NOSPLIT, "func(x []float32, stride int, bits []byte, bitStride, pixels, channels int)")
	x, bits := Load(Param("x").Base(), GP64()), Load(Param("bits").Base(), GP64())
	stride, bitStride := bytes("stride"), Load(Param("bitStride"), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("channels"), GP64())
	zero := s.vec()
	s.zero(zero)
	last := s.partial(channels)
	c, index, word := GP64(), GP64(), GP64()
	Label("pixel")
	s.eachVector("channel", channels, c, last, func(part string, a access) {
		const notLessOrEqual = 6 // or unordered
		v := s.vec()
		a.load(indexed(x, c, 4, 0), v)
		MOVQ(c, index)
		SHRQ(Imm(3), index)
		if s.lanes == 16 {
			k := K()
			VCMPPS(Imm(notLessOrEqual), zero, v, k)
			VMOVAPS_Z(v, k, v)
			KMOVW(k, word.As32())
			MOVB(word.As8(), indexed(bits, index, 1, 0))
			rest := GP64()
			MOVQ(channels, rest)
			SUBQ(c, rest)
			CMPQ(rest, Imm(8))
			JLE(LabelRef(part + "_byte")) // the next belongs to another pixel
			SHRQ(Imm(8), word)
			MOVB(word.As8(), indexed(bits, index, 1, 1))
			Label(part + "_byte")
		} else {
			set := s.vec()
			VCMPPS(Imm(notLessOrEqual), zero, v, set)
			VANDPS(set, v, v)
			VMOVMSKPS(set, word.As32())
			MOVB(word.As8(), indexed(bits, index, 1, 0))
		}
		a.store(v, indexed(x, c, 4, 0))
	})
	ADDQ(stride, x)
	ADDQ(bitStride, bits)
	DECQ(pixels)
	JNZ(LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// moments writes Kernel.Moments.
func (s isa) moments() {
	TEXT("moments"+s.name, NOSPLIT, "func(sums, products []float64, a []float32, aStride int, b []float32, bStride, pixels, channels int)")
	sums, products := Load(Param("sums").Base(), GP64()), Load(Param("products").Base(), GP64())
	a, b := Load(Param("a").Base(), GP64()), Load(Param("b").Base(), GP64())
	aStride, bStride := bytes("aStride"), bytes("bStride")
	channels := Load(Param("channels"), GP64())
	last := s.partial(channels)
	c, pa, pb, left := GP64(), GP64(), GP64(), GP64()
	half := 4 * s.lanes // bytes of the float64s of half a vector
	s.eachVector("channel", channels, c, last, func(part string, ac access) {
		sum, product := [2]Op{indexed(sums, c, 8, 0), indexed(sums, c, 8, half)}, [2]Op{indexed(products, c, 8, 0), indexed(products, c, 8, half)}
		sumLow, sumHigh, productLow, productHigh := s.vec(), s.vec(), s.vec(), s.vec()
		VMOVUPD(sum[0], sumLow)
		VMOVUPD(sum[1], sumHigh)
		VMOVUPD(product[0], productLow)
		VMOVUPD(product[1], productHigh)
		LEAQ(indexed(a, c, 4, 0), pa)
		LEAQ(indexed(b, c, 4, 0), pb)
		MOVQ(slot(Param("pixels")), left)
		Label(part + "_pixel")
		v, w := s.vec(), s.vec()
		ac.load(at(pa, 0), v)
		ac.load(at(pb, 0), w)
		vLow, vHigh := s.widen(v)
		wLow, wHigh := s.widen(w)
		VADDPD(vLow, sumLow, sumLow)
		VADDPD(vHigh, sumHigh, sumHigh)
		VFMADD231PD(vLow, wLow, productLow)
		VFMADD231PD(vHigh, wHigh, productHigh)
		ADDQ(aStride, pa)
		ADDQ(bStride, pb)
		DECQ(left)
		JNZ(LabelRef(part + "_pixel"))
		VMOVUPD(sumLow, sum[0])
		VMOVUPD(sumHigh, sum[1])
		VMOVUPD(productLow, product[0])
		VMOVUPD(productHigh, product[1])
	})
	VZEROUPPER()
	RET()
}
