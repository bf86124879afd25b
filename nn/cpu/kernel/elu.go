package kernel

import "math"

// eluPlain replaces the channels c < channels of a row of pixels, y = x[p·stride + c], by
//
//	scale·y if y > 0, else scaleAlpha·(eʸ − 1)
//
// where eʸ − 1 is within 0.89 units in the last place, in all kernels. NaN stays NaN.
func eluPlain(x []float32, stride, pixels, channels int, scale, scaleAlpha float32) {
	for p := range pixels {
		row := x[p*stride:][:channels]
		for c, y := range row {
			if y > 0 {
				row[c] = scale * y
			} else {
				row[c] = scaleAlpha * expm1(y)
			}
		}
	}
}

const (
	expFloor = -20         // from −17.4 down eʸ − 1 is −1
	expShift = 3<<22 + 127 // a small y + expShift is an integer, whose bits end with round(y) + 127
	ln2High  = 355.0 / 512 // n·ln2High is exact
	ln2Low   = math.Ln2 - ln2High
)

// expm1 is eʸ − 1 for y ≤ 0. With n = round(y/ln 2) and r = y − n·ln 2 it is
//
//	2ⁿ·(eʳ − 1) + (2ⁿ − 1)
//
// (Cody and Waite, Software Manual for the Elementary Functions, 1980). For |r| ≤ ½·ln 2 a
// minimax polynomial gives eʳ − 1 with a relative error below 2⁻²⁹.
func expm1(y float32) float32 {
	y = max(y, expFloor)
	shifted := float32(y*math.Log2E) + expShift
	n := shifted - expShift
	r := y - float32(n*ln2High) - float32(n*ln2Low)

	sum := float32(0x1.9fbdep-13)
	for _, c := range [...]float32{0x1.6d40b8p-10, 0x1.1111cap-7, 0x1.5554f2p-5, 0x1.555554p-3, 0.5} {
		sum = float32(sum*r) + c
	}
	sum = float32(float32(r*r)*sum) + r

	power := math.Float32frombits(math.Float32bits(shifted) << 23) // 2ⁿ
	return float32(power*sum) + (power - 1)
}
