package kernel

// Winograd holds the transforms of a Taps×Taps convolution with stride 1 that computes tiles of
// Tile×Tile outputs from n×n inputs, n = Tile+Taps−1, by n² products a pair of channels instead
// of Taps²·Tile² (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016):
//
//	output = Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A
//
// summed over the input channels between the brackets and Aᵀ·…·A. The matrices follow from points of interpolation: see A and B.
type Winograd struct {
	Tile, Taps int

	// Input transforms the inputs of a row of tiles. Tile t sees the pixels from Tile·t on of
	// n rows of x:
	//
	//	v[(i·n + j)·vStride + t·vRow + c] = Σ_k Σ_l Bᵀ[i,k] · x[k·xRow + (Tile·t + l)·xPixel + c] · Bᵀ[j,l]
	//
	// columns (over k) first. channels is rounded up to whole vectors: x must be readable and
	// v writable as far. scratch has n·(Tile·tiles + Taps−1)·Line values, for kernels
	// that have too few registers for a tile.
	Input func(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, scratch []float32)

	// Output is the inverse for a row of tiles, with Affine's epilogue:
	//
	//	s = Σ_i Σ_j Aᵀ[y,i] · m[(i·n + j)·mStride + t·mRow + c] · Aᵀ[x,j]
	//	z = s · scale[c] + shift[c] + residual[y·residualRow + (Tile·t + x)·residualPixel + c]
	//	dst[y·dstRow + (Tile·t + x)·dstPixel + c] = max(z, bound)
	//
	// columns (over i) first. dst may be residual if the strides are equal too. m must be readable
	// as far as whole vectors of channels.
	Output func(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
		scale, shift, residual []float32, residualRow, residualPixel int, bound float32)

	// Adjoint is the transpose of Output's sums for a row of tiles, nil but for 3×3 convolutions. Tile t sees Tile rows and the
	// pixels from Tile·t on of y:
	//
	//	v[(i·n + j)·vStride + t·vRow + c] = Σ_k Σ_l A[i,k] · y[k·yRow + (Tile·t + l)·yPixel + c] · A[j,l]
	//
	// columns (over k) first, with channels as for Input. scratch has n·Tile·tiles·Line values, for such kernels.
	Adjoint func(v []float32, vStride, vRow int, y []float32, yRow, yPixel, channels, tiles int, scratch []float32)

	// Weights is the transpose of the transform of the weights, nil but for 3×3 convolutions, for c < columns, in whole vectors:
	//
	//	g[(3k + l)·gStride + c] = Σ_i Σ_j G[i,k] · m[(i·n + j)·mStride + c] · G[j,l]
	//
	// columns (over i) first.
	Weights func(g []float32, gStride int, m []float32, mStride, columns int)

	// Filter transforms the weights, for c < columns, in whole vectors:
	//
	//	u[(i·n + j)·uStride + c] = Σ_k Σ_l G[i,k] · g[(Taps·k + l)·gStride + c] · G[j,l]
	//
	// columns (over k) first, in float64, rounded to float32 once. All kernels give the same bits.
	Filter func(u []float32, uStride int, g []float32, gStride, columns int)
}

// Inputs is n, the rows and columns of a tile's inputs.
func (w *Winograd) Inputs() int { return w.Tile + w.Taps - 1 }

// Positions is the number of products for a tile and a pair of channels. Those of the last row and column, at the point ∞, have the last
// taps alone for a weight.
func (w *Winograd) Positions() int { return w.Inputs() * w.Inputs() }

// The points of interpolation of F4 are 0, ±A, ±B and ∞. All constants that follow from
// them are exact in float32, and the rounding errors are half those of the usual 1 and 2.
// F42 has the same but for 0: it is F4 for kernels whose first taps are zero. F2 has 0, ±1 and ∞.
const (
	A = 0.625
	B = 1.5
)

// input2, input4 and input42 write a column of Bᵀ·d to v, output2 and so on one of Aᵀ·m to s, spread2 and
// spread4 one of A·y to v, weights2 and weights4 one of Gᵀ·m to g, filter2 and so on one of G·g to u.

func input2(v, d []float32) {
	v[0], v[1], v[2], v[3] = d[0]-d[2], d[1]+d[2], d[2]-d[1], d[1]-d[3]
}

func output2(s, m []float32) {
	s[0], s[1] = m[0]+m[1]+m[2], m[1]-m[2]-m[3]
}

// The coefficients of (z² − A²)·(z² − B²) = z⁴ − sumOfSquares·z² + productOfSquares.
const (
	sumOfSquares     = A*A + B*B
	productOfSquares = A * A * B * B
)

func input4(v, d []float32) {
	v[0] = d[4] - float32(sumOfSquares*d[2]) + float32(productOfSquares*d[0])
	input42(v[1:], d[1:])
}

func input42(v, d []float32) {
	upperA, lowerA := d[3]-float32(B*B*d[1]), d[2]-float32(B*B*d[0])
	upperB, lowerB := d[3]-float32(A*A*d[1]), d[2]-float32(A*A*d[0])
	v[0], v[1] = upperA+float32(A*lowerA), upperA-float32(A*lowerA)
	v[2], v[3] = upperB+float32(B*lowerB), upperB-float32(B*lowerB)
	v[4] = d[4] - float32(sumOfSquares*d[2]) + float32(productOfSquares*d[0])
}

func output4(s, m []float32) {
	output42(s, m[1:])
	s[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4])
}

func output42(s, m []float32) {
	sumA, differenceA, sumB, differenceB := m[0]+m[1], m[0]-m[1], m[2]+m[3], m[2]-m[3]
	s[0] = sumA + sumB
	s[1] = float32(A*differenceA) + float32(B*differenceB)
	s[2] = float32(A*A*sumA) + float32(B*B*sumB)
	s[3] = m[4] + float32(A*A*A*differenceA) + float32(B*B*B*differenceB)
}

func spread2(v, y []float32) {
	v[0], v[1], v[2], v[3] = y[0], y[0]+y[1], y[0]-y[1], 0-y[1]
}

func spread4(v, y []float32) {
	evenA, oddA := y[0]+float32(A*A*y[2]), float32(A*y[1])+float32(A*A*A*y[3])
	evenB, oddB := y[0]+float32(B*B*y[2]), float32(B*y[1])+float32(B*B*B*y[3])
	v[0], v[1], v[2], v[3], v[4], v[5] = y[0], evenA+oddA, evenA-oddA, evenB+oddB, evenB-oddB, y[3]
}

func weights2(g, m []float32) {
	sum, difference := m[1]+m[2], m[1]-m[2]
	g[0], g[1], g[2] = m[0]+float32(0.5*sum), float32(0.5*difference), m[3]+float32(0.5*sum)
}

// The factors of G for the points of F4.
const (
	origin = 1 / (A * A * B * B)
	nearA  = 1 / (2 * A * A * (A*A - B*B))
	nearB  = 1 / (2 * B * B * (B*B - A*A))
)

func weights4(g, m []float32) {
	sumA, differenceA, sumB, differenceB := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	g[0] = float32(origin*m[0]) + float32(nearA*sumA) + float32(nearB*sumB)
	g[1] = float32(A*nearA*differenceA) + float32(B*nearB*differenceB)
	g[2] = m[5] + float32(A*A*nearA*sumA) + float32(B*B*nearB*sumB)
}

// The conversions keep compilers from fusing products and sums.

func filter2(u, g []float64) {
	even, odd := (g[0]+g[2])/2, g[1]/2
	u[0], u[1], u[2], u[3] = g[0], even+odd, even-odd, g[2]
}

func filter4(u, g []float64) {
	evenA, oddA := float64((g[0]+float64(A*A*g[2]))*nearA), float64(g[1]*(A*nearA))
	evenB, oddB := float64((g[0]+float64(B*B*g[2]))*nearB), float64(g[1]*(B*nearB))
	u[0], u[1], u[2], u[3], u[4], u[5] = g[0]*origin, evenA+oddA, evenA-oddA, evenB+oddB, evenB-oddB, g[2]
}

func filter42(u, g []float64) {
	evenA, oddA := float64(float64(A*A*g[1])*nearA), float64(g[0]*(A*nearA))
	evenB, oddB := float64(float64(B*B*g[1])*nearB), float64(g[0]*(B*nearB))
	u[0], u[1], u[2], u[3], u[4] = evenA+oddA, evenA-oddA, evenB+oddB, evenB-oddB, g[1]
}

// winogradPlain is the transforms of a tile, made of those of a column.
func winogradPlain(tile, taps int, input, output, spread, weights func(to, from []float32), filter func(to, from []float64)) Winograd {
	n := tile + taps - 1
	w := Winograd{Tile: tile, Taps: taps,
		Input: func(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, _ []float32) {
			for t := range tiles {
				for c := range channels {
					twice(n, n, input,
						func(i, j int) float32 { return x[i*xRow+(tile*t+j)*xPixel+c] },
						func(i int, row []float32) {
							for j, y := range row {
								v[(i*n+j)*vStride+t*vRow+c] = y
							}
						})
				}
			}
		},
		Output: func(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
			scale, shift, residual []float32, residualRow, residualPixel int, bound float32) {
			for t := range tiles {
				for c := range scale {
					twice(n, tile, output,
						func(i, j int) float32 { return m[(i*n+j)*mStride+t*mRow+c] },
						func(y int, row []float32) {
							affinePlain(dst[y*dstRow+tile*t*dstPixel+c:], dstPixel, row, 1, tile,
								scale[c:c+1], shift[c:c+1], from(residual, y*residualRow+tile*t*residualPixel+c), residualPixel, bound)
						})
				}
			}
		},
		Adjoint: func(v []float32, vStride, vRow int, y []float32, yRow, yPixel, channels, tiles int, _ []float32) {
			for t := range tiles {
				for c := range channels {
					twice(tile, n, spread,
						func(i, j int) float32 { return y[i*yRow+(tile*t+j)*yPixel+c] },
						func(i int, row []float32) {
							for j, z := range row {
								v[(i*n+j)*vStride+t*vRow+c] = z
							}
						})
				}
			}
		},
		Weights: func(g []float32, gStride int, m []float32, mStride, columns int) {
			for c := range columns {
				twice(n, 3, weights,
					func(i, j int) float32 { return m[(i*n+j)*mStride+c] },
					func(k int, row []float32) {
						for l, z := range row {
							g[(3*k+l)*gStride+c] = z
						}
					})
			}
		},
		Filter: func(u []float32, uStride int, g []float32, gStride, columns int) {
			for c := range columns {
				var half [3][6]float64
				for l := range taps {
					var column [3]float64
					for k := range taps {
						column[k] = float64(g[(taps*k+l)*gStride+c])
					}
					filter(half[l][:], column[:])
				}
				for i := range n {
					var row [6]float64
					filter(row[:], []float64{half[0][i], half[1][i], half[2][i]})
					for j, v := range row[:n] {
						u[(i*n+j)*uStride+c] = float32(v)
					}
				}
			}
		},
	}
	if taps != 3 {
		w.Adjoint, w.Weights = nil, nil
	}
	return w
}

// twice transforms the n columns of an n×n matrix to size elements each, then the rows of the result, and
// hands them on.
func twice(n, size int, transform func(to, from []float32), at func(i, j int) float32, row func(i int, row []float32)) {
	var half [6][6]float32
	var column, out [6]float32
	for j := range n {
		for i := range n {
			column[i] = at(i, j)
		}
		transform(out[:size], column[:n])
		for i, y := range out[:size] {
			half[i][j] = y
		}
	}
	for i := range size {
		transform(out[:size], half[i][:n])
		row(i, out[:size])
	}
}

// from is x from index i on, or nil if x is.
func from(x []float32, i int) []float32 {
	if x == nil {
		return nil
	}
	return x[i:]
}
