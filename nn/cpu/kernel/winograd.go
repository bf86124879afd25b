package kernel

// Winograd holds the transforms of a 3×3 convolution with stride 1 that computes tiles of
// Tile×Tile outputs from n×n inputs, n = Tile+2, by n² products a pair of channels instead
// of 9·Tile² (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016):
//
//	output = Aᵀ·[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A
//
// summed over the input channels between the brackets and Aᵀ·…·A. The matrices follow from points of interpolation: see A and B.
type Winograd struct {
	Tile int

	// Input transforms the inputs of a row of tiles. Tile t sees the pixels from Tile·t on of
	// n rows of x:
	//
	//	v[(i·n + j)·vStride + t·vRow + c] = Σ_k Σ_l Bᵀ[i,k] · x[k·xRow + (Tile·t + l)·xPixel + c] · Bᵀ[j,l]
	//
	// columns (over k) first. channels is rounded up to whole vectors: x must be readable and
	// v writable as far. scratch has n·(Tile·tiles + 2)·Lanes values.
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
}

// Positions is the number of products for a tile and a pair of channels.
func (w *Winograd) Positions() int { return (w.Tile + 2) * (w.Tile + 2) }

// The points of interpolation of F4 are 0, ±A, ±B and ∞. All constants that follow from
// them are exact in float32, and the rounding errors are half those of the usual 1 and 2.
// F2 has 0, ±1 and ∞.
const (
	A = 0.625
	B = 1.5
)

// input2 and input4 are a column of Bᵀ·d, output2 and output4 one of Aᵀ·m.

func input2(d [4]float32) [4]float32 {
	return [4]float32{d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]}
}

func output2(q [4]float32) [2]float32 {
	return [2]float32{q[0] + q[1] + q[2], q[1] - q[2] - q[3]}
}

func input4(d [6]float32) [6]float32 {
	const product, sum = A * A * B * B, A*A + B*B
	upperA, lowerA := d[4]-float32(B*B*d[2]), d[3]-float32(B*B*d[1])
	upperB, lowerB := d[4]-float32(A*A*d[2]), d[3]-float32(A*A*d[1])
	return [6]float32{
		d[4] - float32(sum*d[2]) + float32(product*d[0]),
		upperA + float32(A*lowerA), upperA - float32(A*lowerA),
		upperB + float32(B*lowerB), upperB - float32(B*lowerB),
		d[5] - float32(sum*d[3]) + float32(product*d[1]),
	}
}

func output4(q [6]float32) [4]float32 {
	sumA, differenceA, sumB, differenceB := q[1]+q[2], q[1]-q[2], q[3]+q[4], q[3]-q[4]
	return [4]float32{
		q[0] + sumA + sumB,
		float32(A*differenceA) + float32(B*differenceB),
		float32(A*A*sumA) + float32(B*B*sumB),
		q[5] + float32(A*A*A*differenceA) + float32(B*B*B*differenceB),
	}
}

func winogradInput2Plain(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, _ []float32) {
	for t := range tiles {
		for c := range channels {
			var columns [4][4]float32
			for l := range 4 {
				var d [4]float32
				for k := range d {
					d[k] = x[k*xRow+(2*t+l)*xPixel+c]
				}
				for i, y := range input2(d) {
					columns[i][l] = y
				}
			}
			for i, row := range columns {
				for j, y := range input2(row) {
					v[(i*4+j)*vStride+t*vRow+c] = y
				}
			}
		}
	}
}

func winogradInput4Plain(v []float32, vStride, vRow int, x []float32, xRow, xPixel, channels, tiles int, _ []float32) {
	for t := range tiles {
		for c := range channels {
			var columns [6][6]float32
			for l := range 6 {
				var d [6]float32
				for k := range d {
					d[k] = x[k*xRow+(4*t+l)*xPixel+c]
				}
				for i, y := range input4(d) {
					columns[i][l] = y
				}
			}
			for i, row := range columns {
				for j, y := range input4(row) {
					v[(i*6+j)*vStride+t*vRow+c] = y
				}
			}
		}
	}
}

func winogradOutput2Plain(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32) {
	for t := range tiles {
		for c := range scale {
			var columns [2][4]float32
			for j := range 4 {
				var q [4]float32
				for i := range q {
					q[i] = m[(i*4+j)*mStride+t*mRow+c]
				}
				for y, s := range output2(q) {
					columns[y][j] = s
				}
			}
			for y, row := range columns {
				s := output2(row)
				affinePlain(dst[y*dstRow+2*t*dstPixel+c:], dstPixel, s[:], 1, 2,
					scale[c:c+1], shift[c:c+1], from(residual, y*residualRow+2*t*residualPixel+c), residualPixel, bound)
			}
		}
	}
}

func winogradOutput4Plain(dst []float32, dstRow, dstPixel int, m []float32, mStride, mRow, tiles int,
	scale, shift, residual []float32, residualRow, residualPixel int, bound float32) {
	for t := range tiles {
		for c := range scale {
			var columns [4][6]float32
			for j := range 6 {
				var q [6]float32
				for i := range q {
					q[i] = m[(i*6+j)*mStride+t*mRow+c]
				}
				for y, s := range output4(q) {
					columns[y][j] = s
				}
			}
			for y, row := range columns {
				s := output4(row)
				affinePlain(dst[y*dstRow+4*t*dstPixel+c:], dstPixel, s[:], 1, 4,
					scale[c:c+1], shift[c:c+1], from(residual, y*residualRow+4*t*residualPixel+c), residualPixel, bound)
			}
		}
	}
}

// from is x from index i on, or nil if x is.
func from(x []float32, i int) []float32 {
	if x == nil {
		return nil
	}
	return x[i:]
}
