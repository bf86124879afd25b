// Package kernel holds the inner loops of nn/cpu: each in plain Go, and in assembly for
// the instruction sets that the dispatch table names.
//
// All arithmetic is float32. The plain twin of a kernel has its signature and its order
// of accumulation, but rounds every product, where the assembly fuses it with the sum.
// Kernels do not check their arguments; the slices must be as long as the documents say.
package kernel

import "fmt"

// The tile of Gemm: pixels times output channels.
const (
	TileRows = 6
	TileCols = 16
)

// Kernel is a set of inner loops for one instruction set.
type Kernel struct {
	Name string

	// Gemm multiplies TileRows rows of a by a panel b of TileCols columns:
	//
	//	sum[r][o] = Σ_t Σ_{k<run} a[rows[r] + taps[t] + k] · b[(t·run + k)·TileCols + o]
	//	acc[r·TileCols + o] = sum, or += sum if accumulate
	//
	// in the order written, t outside, from zero. acc has TileRows·TileCols values,
	// rows TileRows and taps at least one; acc overlaps nothing.
	Gemm func(acc, a []float32, rows, taps []int, run int, b []float32, accumulate bool)

	// Affine scales and shifts the channels c < len(scale) = len(shift) of a row of
	// pixels, adds a residual unless it is nil, and bounds by zero from below if relu:
	//
	//	y = x[p·xStride + c] · scale[c] + shift[c] + residual[p·residualStride + c]
	//	dst[p·dstStride + c] = max(y, 0), or y
	//
	// NaN stays NaN. dst may be x or residual if the strides are equal too.
	Affine func(dst []float32, dstStride int, x []float32, xStride int, pixels int,
		scale, shift, residual []float32, residualStride int, relu bool)
}

var plain = Kernel{Name: "plain", Gemm: gemm6x16Plain, Affine: affinePlain}

// kernels are those that this processor can run, the fastest first.
var kernels = append(native(), plain)

// Choose is the kernel of the given name, or the fastest if name is empty.
func Choose(name string) (Kernel, error) {
	var names []string
	for _, k := range kernels {
		if name == "" || name == k.Name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kernel{}, fmt.Errorf("this processor cannot run the kernel %q: it can run %v", name, names)
}

// Available are the kernels that this processor can run, the fastest first.
func Available() []Kernel { return kernels }
