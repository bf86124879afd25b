package kernel

import "math"

// maxRowPlain is
//
//	dst[p·dstStride + c] = max over taps t of x[taps[t] + p·xStride + c]
//
// for p < pixels and c < channels, NaN if one of them is. All kernels give the same bits.
func maxRowPlain(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int) {
	for p := range pixels {
		for c := range channels {
			largest := float32(math.Inf(-1))
			for _, tap := range taps {
				if v := x[tap+p*xStride+c]; v > largest || v != v {
					largest = v
				}
			}
			dst[p*dstStride+c] = largest
		}
	}
}

// argmaxPixelPlain is a pixel of maxRowPlain with the places of what it takes: the first of equals, the last NaN.
func argmaxPixelPlain(dst []float32, places []int32, x []float32, taps []int, from int) {
	for c := range dst {
		best := taps[0] + c
		for _, tap := range taps[1:] {
			if v := x[tap+c]; v > x[best] || v != v {
				best = tap + c
			}
		}
		dst[c], places[c] = x[best], int32(best-from)
	}
}

// meanRowPlain is
//
//	dst[p·dstStride + c] = float32((Σ_t float64(x[taps[t] + p·xStride + c])) / divisor)
//
// for p < pixels and c < channels, in the order of the taps. All kernels give the same bits.
func meanRowPlain(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, channels int, divisor float64) {
	for p := range pixels {
		for c := range channels {
			sum := 0.0
			for _, tap := range taps {
				sum += float64(x[tap+p*xStride+c])
			}
			dst[p*dstStride+c] = float32(sum / divisor)
		}
	}
}
