package kernel

// depthwisePlain is
//
//	dst[p·dstStride + c] = Σ_t x[taps[t] + p·xStride + c] · w[t·channels + c]
//
// for p < pixels and c < channels, in the order of the taps, from zero.
func depthwisePlain(dst []float32, dstStride int, x []float32, xStride, pixels int, taps []int, w []float32, channels int) {
	for p := range pixels {
		out := dst[p*dstStride:][:channels]
		clear(out)
		for t, tap := range taps {
			in, weights := x[tap+p*xStride:][:channels], w[t*channels:][:channels]
			for c := range out {
				out[c] = float32(in[c]*weights[c]) + out[c]
			}
		}
	}
}
