package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRectifyKeepsOfAffinesResultWhatIsPositiveOrNaNAndNotesIt(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(71, 72))
		for channels := 1; channels <= 40; channels++ {
			for pixels := range 6 {
				checkRectify(t, k, rng, channels, pixels, channels%2 == 0)
			}
		}
	})
}

func checkRectify(t *testing.T, k Kernel, rng *rand.Rand, channels, pixels int, add bool) {
	t.Helper()
	xStride, dstStride, residualStride, bitStride := channels+3, channels+pixels%3, channels+2, (channels+7)/8+pixels%2
	x, scale, shift := random(rng, pixels*xStride), random(rng, channels), random(rng, channels)
	if pixels > 0 {
		strew(rng, x, nan, inf, -inf, 0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32)
	}
	scale[0], shift[0] = 1, 0 // which lets those pass
	var residual []float32
	if add {
		residual = random(rng, pixels*residualStride)
	}
	want, wantBits := slices.Repeat([]float32{guard}, pixels*dstStride), slices.Repeat([]byte{0xA5}, pixels*bitStride+3)
	k.Affine(want, dstStride, x, xStride, pixels, scale, shift, residual, residualStride, -inf)
	bits := slices.Clone(wantBits)
	for p := range pixels {
		clear(wantBits[p*bitStride:][:(channels+7)/8])
		for c := range channels {
			if v := &want[p*dstStride+c]; *v > 0 || *v != *v {
				wantBits[p*bitStride+c/8] |= 1 << (c % 8)
			} else {
				*v = 0
			}
		}
	}
	dst, check := blank(t, pixels*dstStride)
	k.Rectify(dst, dstStride, x, xStride, pixels, scale, shift, residual, residualStride, bits, bitStride)
	check()
	if !sameBits(dst, want) || !slices.Equal(bits, wantBits) {
		t.Fatalf("%d pixels of %d channels: %v and bits %x, not %v and %x", pixels, channels, dst, bits, want, wantBits)
	}
	over := slices.Clone(x)
	k.Rectify(over, xStride, over, xStride, pixels, scale, shift, residual, residualStride, bits, bitStride)
	for p := range pixels {
		if !sameBits(over[p*xStride:][:channels], want[p*dstStride:][:channels]) {
			t.Fatalf("%d pixels of %d channels: in place pixel %d is %v", pixels, channels, p, over[p*xStride:][:channels])
		}
	}
}

func TestMomentsAreSumsInFloat64OfOnePixelAfterAnotherMaskedOrNot(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(73, 74))
		for channels := 1; channels <= 70; channels++ {
			pixels := 1 + channels%5
			aStride, bStride := channels+rng.IntN(3), channels+rng.IntN(3)
			a, b := random(rng, (pixels-1)*aStride+channels), random(rng, (pixels-1)*bStride+channels)
			if channels%3 == 0 {
				strew(rng, a, nan, inf, 1e30)
				strew(rng, b, -inf, 1e-30)
			}
			if channels%5 == 1 {
				b, bStride = a, aStride
			}
			room := roundUp(channels, k.Lanes)
			sums, products := make([]float64, room+2), make([]float64, room+2)
			for i := range sums {
				sums[i], products[i] = rng.Float64(), 1e3*rng.Float64()
			}
			wantSums, wantProducts, want := slices.Clone(sums), slices.Clone(products), slices.Clone(a)
			other := b
			if &a[0] == &b[0] {
				other = want
			}
			var bits []byte
			bitStride := (channels+7)/8 + rng.IntN(2)
			if channels%2 == 0 {
				for range pixels*bitStride + 2 {
					bits = append(bits, byte(rng.Uint32()))
				}
				k.Mask(want, aStride, bits, bitStride, pixels, channels)
			}
			for p := range pixels {
				for c := range channels {
					v, w := float64(want[p*aStride+c]), float64(other[p*bStride+c])
					wantSums[1+c] += v
					wantProducts[1+c] += v * w // exact: fused or not
				}
			}
			k.Moments(sums[1:room+1], products[1:room+1], a, aStride, b, bStride, bits, bitStride, pixels, channels)
			if !sameBits(a, want) {
				t.Fatalf("%d pixels of %d channels: masked they are %v, not %v", pixels, channels, a, want)
			}
			for i := range sums {
				if !same64(sums[i], wantSums[i]) || !same64(products[i], wantProducts[i]) {
					t.Fatalf("%d pixels of %d channels: sums %d are %v and %v, not %v and %v", pixels, channels, i-1,
						sums[i], products[i], wantSums[i], wantProducts[i])
				}
			}
		}
	})
}

func same64(x, y float64) bool { return x == y || x != x && y != y }

func TestBlendScalesSumsAndShifts(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(75, 76))
		for channels := 1; channels <= 40; channels++ {
			pixels := 1 + channels%4
			n := pixels * channels
			a, b, c := random(rng, n), random(rng, n), random(rng, n)
			byA, byB, shift := random(rng, channels), random(rng, channels), random(rng, channels)
			if channels%3 == 0 {
				strew(rng, a, nan, inf)
				strew(rng, c, -inf)
			}
			for _, c := range [][]float32{c, nil} {
				dst, check := blank(t, n)
				k.Blend(dst, a, b, c, pixels, byA, byB, shift)
				check()
				for i, got := range dst {
					parts := []float64{float64(shift[i%channels]), float64(b[i]) * float64(byB[i%channels]), float64(a[i]) * float64(byA[i%channels])}
					if c != nil {
						parts = append(parts, float64(c[i]))
					}
					want, size := 0.0, 0.0
					for _, x := range parts {
						want += x
						size += math.Abs(x)
					}
					if !within(got, want, size, 5) {
						t.Fatalf("%d pixels of %d channels: element %d is %v, not %v", pixels, channels, i, got, want)
					}
				}
				for _, in := range [][]float32{a, b, c} { // any of which may be the output
					if in == nil {
						continue
					}
					args := [3][]float32{a, b, c}
					over := slices.Clone(in)
					for j := range args {
						if args[j] != nil && &args[j][0] == &in[0] {
							args[j] = over
						}
					}
					k.Blend(over, args[0], args[1], args[2], pixels, byA, byB, shift)
					if !sameBits(over, dst) {
						t.Fatalf("%d pixels of %d channels: in place it is %v, not %v", pixels, channels, over, dst)
					}
				}
			}
		}
	})
}

func TestBlendsOfOneArithmeticGiveTheSameBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(77, 78))
	for range 50 {
		const channels, pixels = 45, 7
		a, b, c := random(rng, pixels*channels), random(rng, pixels*channels), random(rng, pixels*channels)
		byA, byB, shift := random(rng, channels), random(rng, channels), random(rng, channels)
		sameOfAll(t, func(k Kernel) []float32 {
			dst := make([]float32, pixels*channels)
			k.Blend(dst, a, b, c, pixels, byA, byB, shift)
			return dst
		})
	}
}
