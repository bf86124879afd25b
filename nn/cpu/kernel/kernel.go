// Package kernel holds the inner loops of nn/cpu: each in plain Go, and in assembly for
// the instruction sets that the dispatch table names.
//
// All arithmetic is float32. The plain twin of a kernel has its signature and its order
// of accumulation, but rounds every product, where the assembly fuses it with the sum. The
// assembly of all instruction sets does the same operations in the same order, so that
// its results are the same bits whatever the width of the vectors.
//
// Kernels do not check their arguments; the slices must be as long as the documents say.
package kernel

import "fmt"

// Arithmetics: kernels of one give the same bits.
const (
	Rounded = "plain" // every product is rounded
	Fused   = "fma"   // a product and the sum that it is added to are rounded once
)

// Kernel is a set of inner loops for one instruction set.
type Kernel struct {
	Name       string // of the instruction set
	Arithmetic string // Rounded or Fused

	// Products work on panels of Lanes or 2·Lanes columns (Columns says which), Gemm on multiples of
	// Rows rows, Batched and Outer on WholeRows.
	Rows  int
	Lanes int // float32s in a vector

	// Gemm multiplies rows of a by a panel b of columns columns:
	//
	//	sum[r][o] = Σ_t Σ_{k<run} a[rows[r] + taps[t] + k] · b[(t·run + k)·columns + o]
	//	acc[r·columns + o] = sum, or += sum if accumulate
	//
	// in the order written, t outside, from zero. There are a multiple of Rows rows and at
	// least one tap; acc overlaps nothing.
	Gemm func(acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool)

	// GemmTo is Gemm with what ends a sum, which goes where it belongs at once:
	//
	//	sum = that of Gemm, or acc[r·columns + o] + sum if accumulate
	//	dst[to[r] + o] = max(sum · scale[o] + shift[o], bound)
	//
	// for o < columns = len(scale) = len(shift). NaN stays NaN. Rows that are alike may have one place. dst overlaps nothing.
	GemmTo func(dst []float32, to []int, acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool,
		scale, shift []float32, bound float32)

	// Batched multiplies a matrix of tiles × channels by a panel of columns columns at each position:
	//
	//	sum[p][t][o] = Σ_c v[p·vStride + t·vRow + c] · u[p·uStride + c·columns + o]
	//	m[p·mStride + t·mRow + o] = sum, or += sum if accumulate
	//
	// in the order of c, from zero; there may be no channels. tiles is as WholeRows has it, positions at least one. uStride after the last position's weights
	// are those of a call to come, if any: they are asked for in time. Positions come one after another: m may lie where v does at the
	// positions before.
	Batched func(m []float32, mStride, mRow int, v []float32, vStride, vRow, channels, tiles int, u []float32, uStride, columns, positions int, accumulate bool)

	// Outer sums products of columns at each position:
	//
	//	sum[p][r][o] = Σ_l Σ_t v[p·vStride + l·vLine + t·vRow + r] · y[p·yStride + l·yLine + t·yRow + o]
	//	g[p·gStride + r·gRow + o] = sum, or += sum if accumulate
	//
	// for l < lines and t < terms, t inside, one after another from zero or from what is there, r < rows and o < columns. rows is as
	// WholeRows has it, columns is Lanes or 2·Lanes, lines and positions at least one.
	Outer func(g []float32, gStride, gRow int, v []float32, vStride, vLine, vRow int, y []float32, yStride, yLine, yRow, rows, columns, terms, lines, positions int, accumulate bool)

	// Mask replaces the channels c < channels of a row of pixels by zeros where their bits, the least of a byte first,
	// are zero:
	//
	//	x[p·stride + c] = 0 if bit c%8 of bits[p·bitStride + c/8] is 0
	//
	// There is at least one pixel. A byte more of bits must be readable.
	Mask func(x []float32, stride int, bits []byte, bitStride, pixels, channels int)

	// Moments adds the values of a row of pixels, and their products with others, in float64:
	//
	//	sums[c] += Σ_p a[p·aStride + c]
	//	products[c] += Σ_p a[p·aStride + c] · b[p·bStride + c]
	//
	// for c < channels, one pixel after another. Unless bits is nil, a is masked before, as by Mask. a may be b, with its stride.
	// All kernels give the same bits, products being exact. There is at least one pixel, and room for whole vectors of sums and
	// products.
	Moments func(sums, products []float64, a []float32, aStride int, b []float32, bStride int, bits []byte, bitStride, pixels, channels int)

	// Blend scales, sums and shifts rows of pixels of len(byA) = len(byB) = len(shift) channels that follow each other:
	//
	//	dst[p·channels + i] = (shift[i] + b[…]·byB[i]) + a[…]·byA[i] + c[p·channels + i]
	//
	// in this order, without c where it is nil. There is at least one pixel. dst may be a, b or c.
	Blend func(dst, a, b, c []float32, pixels int, byA, byB, shift []float32)

	// Gemm64 is Gemm in float64, with panels of Lanes/2 or Lanes columns (Columns64 says which).
	Gemm64 func(acc, a []float64, rows, taps []int, run int, b []float64, columns int, accumulate bool)

	// Rectify64 ends a row of sums in float64 of channels c < len(shift), a multiple of 8, and notes in bits (the least of a byte first) which
	// ones ReLU lets through, NaN among them:
	//
	//	y = x[p·xStride + c] + shift[c] + residual[p·dstStride + c]
	//	dst[p·dstStride + c] = y, or 0 if y ≤ 0
	//	bits[p·bitStride + c/8]: 1 unless y ≤ 0
	//
	// residual may be nil, or dst. There is at least one pixel.
	Rectify64 func(dst []float64, dstStride int, x []float64, xStride int, pixels int, shift, residual []float64, bits []byte, bitStride int)

	// F2 and F4 are the transforms of Winograd's 3×3 convolutions of 2×2 and 4×4 outputs a tile, F42 those of 2×2 convolutions of 4×4
	// outputs.
	F2, F4, F42 Winograd

	// Affine scales and shifts the channels c < len(scale) = len(shift) of a row of
	// pixels, adds a residual unless it is nil, and bounds from below (−∞ bounds nothing):
	//
	//	y = x[p·xStride + c] · scale[c] + shift[c] + residual[p·residualStride + c]
	//	dst[p·dstStride + c] = max(y, bound)
	//
	// NaN stays NaN. dst may be x or residual if the strides are equal too.
	Affine func(dst []float32, dstStride int, x []float32, xStride int, pixels int,
		scale, shift, residual []float32, residualStride int, bound float32)

	// Rectify is Affine with ReLU instead of a bound, and notes for Mask what that lets through:
	//
	//	bit c%8 of bits[p·bitStride + c/8] = 0 if y ≤ 0, else 1
	//	dst[p·dstStride + c] = y, or 0 where the bit is 0
	//
	// NaN is let through. A pixel's bytes are written whole.
	Rectify func(dst []float32, dstStride int, x []float32, xStride int, pixels int,
		scale, shift, residual []float32, residualStride int, bits []byte, bitStride int)

	// ELU replaces the channels c < channels of a row of pixels, y = x[p·stride + c], by
	//
	//	scale·y if y > 0, else scaleAlpha·(eʸ − 1)
	//
	// NaN stays NaN. scale and scaleAlpha must be finite.
	ELU func(x []float32, stride, pixels, channels int, scale, scaleAlpha float32)

	// Depthwise is a row of pixels of a convolution of every channel by itself:
	//
	//	dst[p·dstStride + c] = Σ_t x[taps[t] + p·xStride + c] · w[t·channels + c]
	//
	// in the order of the taps, from zero. There is at least one tap; dst overlaps nothing.
	Depthwise func(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, w []float32, channels int)

	// MaxRow is a row of pixels of max pooling, for c < channels:
	//
	//	dst[p·dstStride + c] = max over taps t of x[taps[t] + p·xStride + c]
	//
	// or NaN if one of them is. There is at least one pixel and one tap; dst overlaps nothing.
	MaxRow func(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int)

	// ArgmaxPixel is one pixel of MaxRow that also says where: at the first of equals, or at the last NaN, for c < len(dst),
	//
	//	dst[c] = x[taps[t]+c]
	//	places[c] = taps[t] + c − from
	//
	// which fits an int32. places is as long as dst.
	ArgmaxPixel func(dst []float32, places []int32, x []float32, taps []int, from int)

	// MeanRow is a row of pixels of mean pooling, for c < channels:
	//
	//	dst[p·dstStride + c] = float32((Σ_t float64(x[taps[t] + p·xStride + c])) / divisor)
	//
	// in the order of the taps. There is at least one pixel and one tap; dst overlaps nothing.
	MeanRow func(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int, divisor float64)

	// Peak keeps the processor at nothing but multiplying and adding, to see how fast it can. There are
	// PeakSums sums, each of which becomes, rounds ≥ 1 times,
	//
	//	sums[i] = x·sums[i] + x
	Peak func(sums []float32, x float32, rounds int)
}

// Near is about how many tiles Batched should be given: few, so that what is transformed is near when it is used, and
// enough to share the weights.
const Near = 72

// Line is the number of float32s in a cache line: transforms take so many channels together.
const Line = 16

// Columns is the width of the panel for the given number of channels, at most 2·Lanes.
func (k *Kernel) Columns(channels int) int {
	if channels > k.Lanes {
		return 2 * k.Lanes
	}
	return k.Lanes
}

// WholeRows is the number of rows of Batched and Outer for the given number: what their tiles have together.
func (k *Kernel) WholeRows(rows int) int {
	if k.Lanes == 16 { // eights and twelves, and with narrow panels sixteens and twenty-fours
		return max(16, (rows+7)/8*8)
	}
	return foursAndSixes(rows)
}

// foursAndSixes is the least sum of them that is not below n.
func foursAndSixes(n int) int { return max(4, (n+1)/2*2) }

// Columns64 is the width of the panel of Gemm64 for the given number of channels.
func (k *Kernel) Columns64(channels int) int {
	if channels > k.Lanes/2 {
		return k.Lanes
	}
	return k.Lanes / 2
}

var plain = Kernel{Name: "plain", Arithmetic: Rounded, Rows: 6, Lanes: 8,
	Gemm: gemmPlain, GemmTo: gemmToPlain, Batched: batchedPlain, Outer: outerPlain, Mask: maskPlain, Rectify: rectifyPlain, Moments: momentsPlain, Blend: blendPlain, Gemm64: gemm64Plain, Rectify64: rectify64Plain, Affine: affinePlain,
	ELU: eluPlain, Depthwise: depthwisePlain, MaxRow: maxRowPlain, ArgmaxPixel: argmaxPixelPlain, MeanRow: meanRowPlain, Peak: peakPlain,
	F2: winogradPlain(2, 3, input2, output2, spread2, weights2, filter2), F4: winogradPlain(4, 3, input4, output4, spread4, weights4, filter4),
	F42: winogradPlain(4, 2, input42, output42, nil, nil, filter42)}

// kernels are those that this processor can run, the fastest first.
var kernels = append(native(), plain)

// Choose is the fastest kernel of the given name or arithmetic, or of all if name is empty.
func Choose(name string) (Kernel, error) {
	var names []string
	for _, k := range kernels {
		if name == "" || name == k.Name || name == k.Arithmetic {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kernel{}, fmt.Errorf("this processor cannot run the kernel %q: it can run %v", name, names)
}

// Available are the kernels that this processor can run, the fastest first.
func Available() []Kernel { return kernels }
