package kernel

import "golang.org/x/sys/cpu"

//go:generate go run -C gen . -isa avx2 -out ../avx2_amd64.s
//go:generate go run -C gen . -isa avx512 -out ../avx512_amd64.s

func native() []Kernel {
	var found []Kernel
	if x := cpu.X86; x.HasAVX512F && x.HasAVX512VL && x.HasAVX512DQ && x.HasBMI2 {
		found = append(found, Kernel{Name: "avx512", Arithmetic: Fused, Rows: 8, Lanes: 16,
			Gemm: gemmAVX512, GemmTo: gemmToAVX512, Batched: batchedAVX512, Outer: outerAVX512, Mask: maskAVX512, Rectify: rectifyAVX512, Moments: momentsAVX512, Blend: blendAVX512, Gemm64: gemm64AVX512, Rectify64: rectify64AVX512, Affine: affineAVX512,
			ELU: eluAVX512, Depthwise: depthwiseAVX512, MaxRow: maxRowAVX512, ArgmaxPixel: argmaxPixelAVX512, MeanRow: meanRowAVX512, Peak: peakAVX512,
			F2:  Winograd{2, 3, winogradInput2AVX512, winogradOutput2AVX512, winogradAdjoint2AVX512, winogradWeights2AVX512, winogradFilter2AVX512},
			F4:  Winograd{4, 3, winogradInput4AVX512, winogradOutput4AVX512, winogradAdjoint4AVX512, winogradWeights4AVX512, winogradFilter4AVX512},
			F42: Winograd{Tile: 4, Taps: 2, Input: winogradInput42AVX512, Output: winogradOutput42AVX512, Filter: winogradFilter42AVX512}})
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		found = append(found, Kernel{Name: "avx2", Arithmetic: Fused, Rows: 6, Lanes: 8,
			Gemm: gemmAVX2, GemmTo: gemmToAVX2, Batched: batchedAVX2, Outer: outerAVX2, Mask: maskAVX2, Rectify: rectifyAVX2, Moments: momentsAVX2, Blend: blendAVX2, Gemm64: gemm64AVX2, Rectify64: rectify64AVX2, Affine: affineAVX2,
			ELU: eluAVX2, Depthwise: depthwiseAVX2, MaxRow: maxRowAVX2, ArgmaxPixel: argmaxPixelAVX2, MeanRow: meanRowAVX2, Peak: peakAVX2,
			F2:  Winograd{2, 3, winogradInput2AVX2, winogradOutput2AVX2, winogradAdjoint2AVX2, winogradWeights2AVX2, winogradFilter2AVX2},
			F4:  Winograd{4, 3, winogradInput4AVX2, winogradOutput4AVX2, winogradAdjoint4AVX2, winogradWeights4AVX2, winogradFilter4AVX2},
			F42: Winograd{Tile: 4, Taps: 2, Input: winogradInput42AVX2, Output: winogradOutput42AVX2, Filter: winogradFilter42AVX2}})
	}
	return found
}

//go:noescape
func gemmAVX2(acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool)

//go:noescape
func gemmToAVX2(dst []float32, to []int, acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool,
	scale, shift []float32, bound float32)

//go:noescape
func batchedAVX2(m []float32, mStride, mRow int, v []float32, vStride, vRow, channels, tiles int, u []float32, uStride, columns, positions int, accumulate bool)

//go:noescape
func affineAVX2(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, bound float32)

//go:noescape
func winogradInput2AVX2(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradOutput2AVX2(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32)

//go:noescape
func winogradInput4AVX2(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradInput42AVX2(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradOutput4AVX2(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32)

//go:noescape
func winogradOutput42AVX2(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32)

//go:noescape
func gemmAVX512(acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool)

//go:noescape
func gemmToAVX512(dst []float32, to []int, acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool,
	scale, shift []float32, bound float32)

//go:noescape
func batchedAVX512(m []float32, mStride, mRow int, v []float32, vStride, vRow, channels, tiles int, u []float32, uStride, columns, positions int, accumulate bool)

//go:noescape
func affineAVX512(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, bound float32)

//go:noescape
func winogradInput2AVX512(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradOutput2AVX512(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32)

//go:noescape
func winogradInput4AVX512(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradInput42AVX512(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradOutput4AVX512(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32)

//go:noescape
func winogradOutput42AVX512(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32)

//go:noescape
func eluAVX2(x []float32, stride, pixels, channels int, scale, scaleAlpha float32)

//go:noescape
func depthwiseAVX2(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, w []float32, channels int)

//go:noescape
func maxRowAVX2(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int)

//go:noescape
func argmaxPixelAVX2(dst []float32, places []int32, x []float32, taps []int, from int)

//go:noescape
func meanRowAVX2(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int, divisor float64)

//go:noescape
func eluAVX512(x []float32, stride, pixels, channels int, scale, scaleAlpha float32)

//go:noescape
func depthwiseAVX512(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, w []float32, channels int)

//go:noescape
func maxRowAVX512(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int)

//go:noescape
func argmaxPixelAVX512(dst []float32, places []int32, x []float32, taps []int, from int)

//go:noescape
func meanRowAVX512(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int, divisor float64)

//go:noescape
func peakAVX2(sums []float32, x float32, rounds int)

//go:noescape
func peakAVX512(sums []float32, x float32, rounds int)

//go:noescape
func outerAVX512(g []float32, gStride, gRow int, v []float32, vStride, vLine, vRow int, y []float32, yStride, yLine, yRow, rows, columns, terms, lines, positions int, accumulate bool)

//go:noescape
func winogradAdjoint2AVX512(v []float32, vStride, vRow int, y []float32, yRow, yPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradAdjoint4AVX512(v []float32, vStride, vRow int, y []float32, yRow, yPixel, channels, tiles int, scratch []float32)

//go:noescape
func rectifyAVX512(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, bits []byte, bitStride int)

//go:noescape
func blendAVX512(dst, a, b, c []float32, pixels int, byA, byB, shift []float32)

//go:noescape
func momentsAVX512(sums, products []float64, a []float32, aStride int, b []float32, bStride int, bits []byte, bitStride, pixels, channels int)

//go:noescape
func maskAVX512(x []float32, stride int, bits []byte, bitStride, pixels, channels int)

//go:noescape
func outerAVX2(g []float32, gStride, gRow int, v []float32, vStride, vLine, vRow int, y []float32, yStride, yLine, yRow, rows, columns, terms, lines, positions int, accumulate bool)

//go:noescape
func winogradAdjoint2AVX2(v []float32, vStride, vRow int, y []float32, yRow, yPixel, channels, tiles int, scratch []float32)

//go:noescape
func winogradAdjoint4AVX2(v []float32, vStride, vRow int, y []float32, yRow, yPixel, channels, tiles int, scratch []float32)

//go:noescape
func rectifyAVX2(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, bits []byte, bitStride int)

//go:noescape
func blendAVX2(dst, a, b, c []float32, pixels int, byA, byB, shift []float32)

//go:noescape
func momentsAVX2(sums, products []float64, a []float32, aStride int, b []float32, bStride int, bits []byte, bitStride, pixels, channels int)

//go:noescape
func maskAVX2(x []float32, stride int, bits []byte, bitStride, pixels, channels int)

//go:noescape
func winogradWeights2AVX512(g []float32, gStride int, m []float32, mStride, columns int)

//go:noescape
func winogradWeights4AVX512(g []float32, gStride int, m []float32, mStride, columns int)

//go:noescape
func winogradWeights2AVX2(g []float32, gStride int, m []float32, mStride, columns int)

//go:noescape
func winogradWeights4AVX2(g []float32, gStride int, m []float32, mStride, columns int)

//go:noescape
func gemm64AVX512(acc, a []float64, rows, taps []int, run int, b []float64, columns int, accumulate bool)

//go:noescape
func rectify64AVX512(dst []float64, dstStride int, x []float64, xStride int, pixels int, shift, residual []float64, bits []byte, bitStride int)

//go:noescape
func gemm64AVX2(acc, a []float64, rows, taps []int, run int, b []float64, columns int, accumulate bool)

//go:noescape
func rectify64AVX2(dst []float64, dstStride int, x []float64, xStride int, pixels int, shift, residual []float64, bits []byte, bitStride int)

//go:noescape
func winogradFilter2AVX2(u []float32, uStride int, g []float32, gStride, columns int)

//go:noescape
func winogradFilter4AVX2(u []float32, uStride int, g []float32, gStride, columns int)

//go:noescape
func winogradFilter42AVX2(u []float32, uStride int, g []float32, gStride, columns int)

//go:noescape
func winogradFilter2AVX512(u []float32, uStride int, g []float32, gStride, columns int)

//go:noescape
func winogradFilter4AVX512(u []float32, uStride int, g []float32, gStride, columns int)

//go:noescape
func winogradFilter42AVX512(u []float32, uStride int, g []float32, gStride, columns int)
