package kernel

import "math"

// maxPixelPlain is
//
//	dst[c] = max over taps t of x[taps[t]+c]
//
// for c < len(dst), NaN if one of them is. All kernels give the same bits.
func maxPixelPlain(dst, x []float32, taps []int) {
	for c := range dst {
		largest := float32(math.Inf(-1))
		for _, tap := range taps {
			if v := x[tap+c]; v > largest || v != v {
				largest = v
			}
		}
		dst[c] = largest
	}
}

// argmaxPixelPlain is maxPixelPlain with the places of what it takes: the first of equals, the last NaN.
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

// meanPixelPlain is
//
//	dst[c] = float32((Σ_t float64(x[taps[t]+c])) / divisor)
//
// for c < len(dst), in the order of the taps. All kernels give the same bits.
func meanPixelPlain(dst, x []float32, taps []int, divisor float64) {
	for c := range dst {
		sum := 0.0
		for _, tap := range taps {
			sum += float64(x[tap+c])
		}
		dst[c] = float32(sum / divisor)
	}
}
