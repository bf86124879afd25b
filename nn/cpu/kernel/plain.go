package kernel

// The conversions to float32 round each product, so that no compiler fuses it.

func gemm6x16Plain(acc, a []float32, rows, taps []int, run int, b []float32, accumulate bool) {
	var sum [TileRows][TileCols]float32
	for t, tap := range taps {
		panel := b[t*run*TileCols : (t+1)*run*TileCols]
		for r := range sum {
			multiplyRow(&sum[r], a[rows[r]+tap:][:run], panel)
		}
	}
	for r := range sum {
		out := acc[r*TileCols : (r+1)*TileCols]
		for o, s := range sum[r] {
			if accumulate {
				s = out[o] + s
			}
			out[o] = s
		}
	}
}

func multiplyRow(sum *[TileCols]float32, a, panel []float32) {
	for k, x := range a {
		column := (*[TileCols]float32)(panel[k*TileCols:])
		for o, w := range column {
			sum[o] = float32(x*w) + sum[o]
		}
	}
}

func affinePlain(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, relu bool) {
	for p := range pixels {
		for c, s := range scale {
			y := float32(x[p*xStride+c]*s) + shift[c]
			if residual != nil {
				y += residual[p*residualStride+c]
			}
			if relu && y < 0 {
				y = 0
			}
			dst[p*dstStride+c] = y
		}
	}
}
