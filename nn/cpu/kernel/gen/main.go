// Command gen writes the AVX2 kernels of lsrun/nn/cpu/kernel. Run it in its own folder:
//
//	go run . -out ../avx2_amd64.s
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	gemm6x16()
	affine()
	Generate()
}

const (
	tileRows = 6 // times two vectors: 12 sums, two vectors of b and a broadcast fit 16 registers
	unroll   = 4
)

func gemm6x16() {
	TEXT("gemm6x16AVX2", NOSPLIT, "func(acc, a []float32, rows, taps []int, run int, b []float32, accumulate bool)")
	a := Load(Param("a").Base(), GP64())
	rows := Load(Param("rows").Base(), GP64())
	var row [tileRows]GPVirtual
	for r := range row {
		row[r] = GP64()
		MOVQ(Mem{Base: rows, Disp: 8 * r}, row[r])
		LEAQ(Mem{Base: a, Index: row[r], Scale: 4}, row[r])
	}
	taps := Load(Param("taps").Base(), GP64())
	count := Load(Param("taps").Len(), GP64())
	b := Load(Param("b").Base(), GP64())
	run := Load(Param("run"), GP64())

	var sum [tileRows][2]VecVirtual
	for r := range sum {
		for v := range sum[r] {
			sum[r][v] = YMM()
			VXORPS(sum[r][v], sum[r][v], sum[r][v])
		}
	}
	b0, b1, x := YMM(), YMM(), YMM()
	at, left := GP64(), GP64()
	multiply := func(k int) {
		VMOVUPS(Mem{Base: b, Disp: 64 * k}, b0)
		VMOVUPS(Mem{Base: b, Disp: 64*k + 32}, b1)
		for r := range sum {
			VBROADCASTSS(Mem{Base: row[r], Index: at, Scale: 4, Disp: 4 * k}, x)
			VFMADD231PS(b0, x, sum[r][0])
			VFMADD231PS(b1, x, sum[r][1])
		}
	}
	advance := func(k int32) {
		ADDQ(I32(k), at)
		ADDQ(I32(64*k), b)
		SUBQ(I32(k), left)
	}

	Label("tap")
	MOVQ(Mem{Base: taps}, at)
	MOVQ(run, left)
	Label("many")
	CMPQ(left, Imm(unroll))
	JLT(LabelRef("few"))
	for k := range unroll {
		multiply(k)
	}
	advance(unroll)
	JMP(LabelRef("many"))
	Label("few")
	TESTQ(left, left)
	JZ(LabelRef("next"))
	multiply(0)
	advance(1)
	JMP(LabelRef("few"))
	Label("next")
	ADDQ(Imm(8), taps)
	DECQ(count)
	JNZ(LabelRef("tap"))

	acc := Load(Param("acc").Base(), GP64())
	accumulate := Load(Param("accumulate"), GP8())
	TESTB(accumulate, accumulate)
	JZ(LabelRef("store"))
	each := func(f func(m Mem, s VecVirtual)) {
		for r := range sum {
			for v := range sum[r] {
				f(Mem{Base: acc, Disp: 64*r + 32*v}, sum[r][v])
			}
		}
	}
	each(func(m Mem, s VecVirtual) { VADDPS(m, s, s) })
	Label("store")
	each(func(m Mem, s VecVirtual) { VMOVUPS(s, m) })
	VZEROUPPER()
	RET()
}

func affine() {
	masks := GLOBL("tailMasks", RODATA|NOPTR) // row n has its first n of 8 lanes set
	for n := range 8 {
		for lane := range 8 {
			mask := uint32(0)
			if lane < n {
				mask = math.MaxUint32
			}
			DATA(32*n+4*lane, U32(mask))
		}
	}
	infinity := GLOBL("minusInfinity", RODATA|NOPTR)
	DATA(0, U32(math.Float32bits(float32(math.Inf(-1)))))

	TEXT("affineAVX2", NOSPLIT, "func(dst []float32, dstStride int, x []float32, xStride int, pixels int, "+
		"scale, shift, residual []float32, residualStride int, relu bool)")
	dst, x := Load(Param("dst").Base(), GP64()), Load(Param("x").Base(), GP64())
	dstStride, xStride := Load(Param("dstStride"), GP64()), Load(Param("xStride"), GP64())
	pixels, channels := Load(Param("pixels"), GP64()), Load(Param("scale").Len(), GP64())
	scale, shift := Load(Param("scale").Base(), GP64()), Load(Param("shift").Base(), GP64())
	residual, residualStride := Load(Param("residual").Base(), GP64()), Load(Param("residualStride"), GP64())
	TESTQ(pixels, pixels)
	JZ(LabelRef("done"))
	for _, stride := range []Register{dstStride, xStride, residualStride} {
		SHLQ(Imm(2), stride)
	}

	// The lower bound: 0 for ReLU, else −∞, which bounds nothing.
	bound, y := YMM(), YMM()
	VBROADCASTSS(infinity, bound)
	c := GP64()
	relu := Load(Param("relu"), GP8())
	TESTB(relu, relu)
	JZ(LabelRef("unbounded"))
	VXORPS(bound, bound, bound)
	Label("unbounded")
	mask := YMM()
	MOVQ(channels, c)
	ANDQ(Imm(7), c)
	SHLQ(Imm(5), c)
	table := GP64()
	LEAQ(masks, table)
	VMOVUPS(Mem{Base: table, Index: c, Scale: 1}, mask)
	full := table // its channels in whole vectors
	MOVQ(channels, full)
	ANDQ(I8(-8), full)
	TESTQ(residual, residual)
	JZ(LabelRef("plain_pixel"))

	loop := func(name string, withResidual bool) {
		part := func(load func(m Mem, to VecVirtual), store func(from VecVirtual, m Mem)) {
			at := func(base Register) Mem { return Mem{Base: base, Index: c, Scale: 4} }
			factor, other := YMM(), YMM()
			load(at(x), y)
			load(at(scale), factor)
			load(at(shift), other)
			VFMADD213PS(other, factor, y)
			if withResidual {
				load(at(residual), other)
				VADDPS(other, y, y)
			}
			VMAXPS(y, bound, y) // of NaN and a bound the first operand here: NaN stays
			store(y, at(dst))
		}
		Label(name + "_pixel")
		XORQ(c, c)
		Label(name + "_vector")
		CMPQ(c, full)
		JGE(LabelRef(name + "_tail"))
		part(func(m Mem, to VecVirtual) { VMOVUPS(m, to) }, func(from VecVirtual, m Mem) { VMOVUPS(from, m) })
		ADDQ(Imm(8), c)
		JMP(LabelRef(name + "_vector"))
		Label(name + "_tail")
		CMPQ(c, channels)
		JGE(LabelRef(name + "_next"))
		part(func(m Mem, to VecVirtual) { VMASKMOVPS(m, mask, to) }, func(from VecVirtual, m Mem) { VMASKMOVPS(from, mask, m) })
		Label(name + "_next")
		ADDQ(dstStride, dst)
		ADDQ(xStride, x)
		if withResidual {
			ADDQ(residualStride, residual)
		}
		DECQ(pixels)
		JNZ(LabelRef(name + "_pixel"))
		JMP(LabelRef("done"))
	}
	loop("sum", true)
	loop("plain", false)
	Label("done")
	VZEROUPPER()
	RET()
}
