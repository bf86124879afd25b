package kernel

import "math"

// The conversions to float32 round each product, so that no compiler fuses it.

func gemmPlain(acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool) {
	for r, row := range rows {
		var sum [2 * 8]float32
		for t, tap := range taps {
			multiplyRow(sum[:columns], a[row+tap:][:run], b[t*run*columns:])
		}
		keep(acc[r*columns:], sum[:columns], accumulate)
	}
}

func gemmToPlain(dst []float32, to []int, acc, a []float32, rows, taps []int, run int, b []float32, columns int, accumulate bool,
	scale, shift []float32, bound float32) {
	for r := range rows {
		var sum [2 * 8]float32
		if accumulate {
			copy(sum[:columns], acc[r*columns:])
		}
		gemmPlain(sum[:columns], a, rows[r:r+1], taps, run, b, columns, accumulate)
		affinePlain(dst[to[r]:], 0, sum[:], 0, 1, scale, shift, nil, 0, bound)
	}
}

func batchedPlain(m []float32, mStride, mRow int, v []float32, vStride, vRow, channels, tiles int, u []float32, uStride, columns, positions int, accumulate bool) {
	for p := range positions {
		for t := range tiles {
			var sum [2 * 8]float32
			multiplyRow(sum[:columns], v[p*vStride+t*vRow:][:channels], u[p*uStride:])
			keep(m[p*mStride+t*mRow:], sum[:columns], accumulate)
		}
	}
}

// keep is acc = sum, or acc += sum.
func keep(acc, sum []float32, accumulate bool) {
	for o, s := range sum {
		if accumulate {
			s = acc[o] + s
		}
		acc[o] = s
	}
}

// multiplyRow adds the product of a row a by a panel of len(sum) columns to sum.
func multiplyRow(sum, a, panel []float32) {
	for k, x := range a {
		for o, w := range panel[k*len(sum):][:len(sum)] {
			sum[o] = float32(x*w) + sum[o]
		}
	}
}

func affinePlain(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, bound float32) {
	for p := range pixels {
		for c, s := range scale {
			y := float32(x[p*xStride+c]*s) + shift[c]
			if residual != nil {
				y += residual[p*residualStride+c]
			}
			if y < bound {
				y = bound
			}
			dst[p*dstStride+c] = y
		}
	}
}

func outerPlain(g []float32, gStride, gRow int, v []float32, vStride, vLine, vRow int, y []float32, yStride, yLine, yRow, rows, columns, terms, lines, positions int, accumulate bool) {
	for p := range positions {
		for r := range rows {
			if !accumulate {
				clear(g[p*gStride+r*gRow:][:columns])
			}
		}
		for i := range lines * terms {
			l, t := i/terms, i%terms
			column := y[p*yStride+l*yLine+t*yRow:][:columns]
			for r, x := range v[p*vStride+l*vLine+t*vRow:][:rows] {
				sum := g[p*gStride+r*gRow:][:columns]
				for o, w := range column {
					sum[o] = float32(x*w) + sum[o]
				}
			}
		}
	}
}

func maskPlain(x []float32, stride int, bits []byte, bitStride, pixels, channels int) {
	for p := range pixels {
		for c := range channels {
			if bits[p*bitStride+c/8]>>(c%8)&1 == 0 {
				x[p*stride+c] = 0
			}
		}
	}
}

func rectifyPlain(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, bits []byte, bitStride int) {
	affinePlain(dst, dstStride, x, xStride, pixels, scale, shift, residual, residualStride, float32(math.Inf(-1)))
	for p := range pixels {
		clear(bits[p*bitStride:][:(len(scale)+7)/8])
		for c := range scale {
			if v := &dst[p*dstStride+c]; *v <= 0 {
				*v = 0
			} else {
				bits[p*bitStride+c/8] |= 1 << (c % 8)
			}
		}
	}
}

func momentsPlain(sums, products []float64, a []float32, aStride int, b []float32, bStride int, bits []byte, bitStride, pixels, channels int) {
	if bits != nil {
		maskPlain(a, aStride, bits, bitStride, pixels, channels)
	}
	for p := range pixels {
		for c := range channels {
			v := float64(a[p*aStride+c])
			sums[c] += v
			products[c] += float64(v * float64(b[p*bStride+c]))
		}
	}
}

func blendPlain(dst, a, b, c []float32, pixels int, byA, byB, shift []float32) {
	channels := len(shift)
	for p := range pixels {
		for i, v := range shift {
			at := p*channels + i
			y := v + float32(b[at]*byB[i])
			y += float32(a[at] * byA[i])
			if c != nil {
				y += c[at]
			}
			dst[at] = y
		}
	}
}

func gemm64Plain(acc, a []float64, rows, taps []int, run int, b []float64, columns int, accumulate bool) {
	for r, row := range rows {
		var sum [8]float64
		for t, tap := range taps {
			for k, x := range a[row+tap:][:run] {
				for o, w := range b[(t*run+k)*columns:][:columns] {
					sum[o] = float64(x*w) + sum[o]
				}
			}
		}
		for o, s := range sum[:columns] {
			if accumulate {
				s = acc[r*columns+o] + s
			}
			acc[r*columns+o] = s
		}
	}
}

func rectify64Plain(dst []float64, dstStride int, x []float64, xStride int, pixels int, shift, residual []float64, bits []byte, bitStride int) {
	for p := range pixels {
		clear(bits[p*bitStride:][:len(shift)/8])
		for c, s := range shift {
			y := x[p*xStride+c] + s
			if residual != nil {
				y += residual[p*dstStride+c]
			}
			if y <= 0 {
				y = 0
			} else {
				bits[p*bitStride+c/8] |= 1 << (c % 8)
			}
			dst[p*dstStride+c] = y
		}
	}
}
