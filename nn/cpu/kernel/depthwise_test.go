package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// depthwiseRow is a Depthwise with everything that it takes.
type depthwiseRow struct {
	x, w              []float32
	xStride, channels int
	pixels            int
	taps              []int
}

func randomDepthwise(rng *rand.Rand, channels, pixels, taps int) depthwiseRow {
	d := depthwiseRow{w: random(rng, taps*channels), xStride: channels + 3, channels: channels, pixels: pixels}
	d.x, d.taps = randomTaps(rng, taps, max(pixels-1, 0)*d.xStride+channels)
	return d
}

// sum is the channel c of pixel p in float64, with the sum of its terms' magnitudes.
func (d depthwiseRow) sum(p, c int) (sum, size float64) {
	for t, tap := range d.taps {
		term := float64(d.x[tap+p*d.xStride+c]) * float64(d.w[t*d.channels+c])
		sum += term
		size += math.Abs(term)
	}
	return sum, size
}

// check compares with float64; what lies between the pixels must stay as it is.
func (d depthwiseRow) check(t *testing.T, k Kernel) {
	t.Helper()
	dstStride := d.channels + 1
	dst, check := guarded(t, slices.Repeat([]float32{guard}, d.pixels*dstStride))
	k.Depthwise(dst, dstStride, d.x, d.xStride, d.pixels, d.taps, d.w, d.channels)
	check()
	for i, got := range dst {
		p, c := i/dstStride, i%dstStride
		if c == d.channels {
			if got != guard {
				t.Fatalf("%d channels: the gap after pixel %d of %d was overwritten", d.channels, p, d.pixels)
			}
			continue
		}
		if want, size := d.sum(p, c); !within(got, want, size, len(d.taps)+1) {
			t.Fatalf("%d channels, %d taps: pixel %d, channel %d is %v, not %v", d.channels, len(d.taps), p, c, got, want)
		}
	}
}

func TestDepthwiseForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(17, 18))
		for channels := 1; channels <= 40; channels++ {
			for pixels := range 10 {
				for _, taps := range tapCounts {
					d := randomDepthwise(rng, channels, pixels, taps)
					d.check(t, k)
					strew(rng, d.x, nan, inf, -inf)
					d.check(t, k)
					strew(rng, d.w, nan, inf)
					d.check(t, k)
				}
			}
		}
	})
}

func TestDepthwiseAddsInTheOrderOfTheTaps(t *testing.T) {
	// Products by one are exact, so that all kernels agree bit by bit.
	eachKernel(t, func(t *testing.T, k Kernel) {
		const channels, pixels = 21, 5
		for _, order := range []struct {
			values [3]float32
			want   float32
		}{{[3]float32{1 << 24, 1, 1}, 1 << 24}, {[3]float32{1, 1, 1 << 24}, 1<<24 + 2}} {
			var x []float32
			for _, v := range order.values {
				x = append(x, slices.Repeat([]float32{v}, channels*pixels)...)
			}
			dst := make([]float32, channels*pixels)
			k.Depthwise(dst, channels, x, channels, pixels, []int{0, channels * pixels, 2 * channels * pixels},
				slices.Repeat([]float32{1}, 3*channels), channels)
			if !sameBits(dst, slices.Repeat([]float32{order.want}, channels*pixels)) {
				t.Errorf("the sum of %v is %v", order.values, dst)
			}
		}
	})
}

func TestFusedKernelsGiveTheSameBitsOfDepthwise(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 20))
	for range 500 {
		d := randomDepthwise(rng, 1+rng.IntN(70), 1+rng.IntN(9), 1+rng.IntN(9))
		var first []float32
		eachFused(func(k Kernel) {
			dst := make([]float32, d.channels*d.pixels)
			k.Depthwise(dst, d.channels, d.x, d.xStride, d.pixels, d.taps, d.w, d.channels)
			if first == nil {
				first = dst
			}
			if !sameBits(dst, first) {
				t.Fatalf("%s: %d channels, %d pixels, %d taps: the bits are others", k.Name, d.channels, d.pixels, len(d.taps))
			}
		})
	}
}

// eachFused runs f for every kernel that fuses products and sums.
func eachFused(f func(k Kernel)) {
	for _, k := range Available() {
		if k.Arithmetic == Fused {
			f(k)
		}
	}
}

// BenchmarkDepthwise convolves rows of 16 pixels by 3×3, with the picture in a near cache.
func BenchmarkDepthwise(b *testing.B) {
	for _, k := range Available() {
		for _, channels := range []int{32, 144, 512} {
			b.Run(fmt.Sprintf("%s/%d", k.Name, channels), func(b *testing.B) {
				const pixels = 16
				rng := rand.New(rand.NewPCG(1, 1))
				x, w, dst := random(rng, 3*(pixels+2)*channels), random(rng, 9*channels), make([]float32, pixels*channels)
				var taps []int
				for t := range 9 {
					taps = append(taps, (t/3*(pixels+2)+t%3)*channels)
				}
				for b.Loop() {
					k.Depthwise(dst, channels, x, channels, pixels, taps, w, channels)
				}
				b.ReportMetric(2e-9*float64(9*pixels*channels*b.N)/b.Elapsed().Seconds(), "GFLOP/s")
			})
		}
	}
}
