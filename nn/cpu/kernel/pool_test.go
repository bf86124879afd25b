package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var tapCounts = []int{1, 2, 3, 9}

// randomTaps places taps anywhere before the last n elements of x, which is not longer than
// they need.
func randomTaps(rng *rand.Rand, count, n int) (x []float32, taps []int) {
	const span = 200
	taps = make([]int, count)
	for t := range taps {
		taps[t] = rng.IntN(span)
	}
	taps[rng.IntN(count)] = span
	return random(rng, span+n), taps
}

// strew puts each of the values at a few places of x.
func strew(rng *rand.Rand, x []float32, values ...float32) {
	for range 3 {
		for _, v := range values {
			x[rng.IntN(len(x))] = v
		}
	}
}

// sameBits compares bit by bit, except that NaN is NaN.
func sameBits(x, y []float32) bool {
	return slices.EqualFunc(x, y, func(a, b float32) bool {
		return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
	})
}

func TestMaxPixelIsTheLargestForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(11, 12))
		for channels := 1; channels <= 40; channels++ {
			for _, count := range tapCounts {
				for _, specials := range [][]float32{nil, {-inf}, {nan, inf, -inf}} {
					x, taps := randomTaps(rng, count, channels)
					strew(rng, x, specials...)
					dst, check := guarded(t, make([]float32, channels))
					k.MaxPixel(dst, x, taps)
					check()
					for c, got := range dst {
						want := math.Inf(-1)
						for _, tap := range taps {
							want = max(want, float64(x[tap+c]))
						}
						if !within(got, want, 0, 0) {
							t.Fatalf("%d channels, %d taps: channel %d is %v, not %v", channels, count, c, got, want)
						}
					}
				}
			}
		}
	})
}

func TestMaxPixelKeepsNaNAtEveryTap(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		const channels = 37
		for place := range 4 {
			for _, other := range []float32{1, inf, -inf} {
				x := slices.Repeat([]float32{other}, 4*channels)
				for c := range channels {
					x[place*channels+c] = nan
				}
				dst := make([]float32, channels)
				k.MaxPixel(dst, x, []int{0, channels, 2 * channels, 3 * channels})
				for c, got := range dst {
					if got == got {
						t.Fatalf("of NaN at tap %d and %v channel %d is %v", place, other, c, got)
					}
				}
			}
		}
	})
}

func TestArgmaxPixelSaysWhereTheMaximumIs(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(17, 18))
		for channels := 1; channels <= 40; channels++ {
			for _, count := range tapCounts {
				for _, specials := range [][]float32{nil, {0.5, 0.5, 0.5}, {nan, inf, -inf}} {
					x, taps := randomTaps(rng, count, channels)
					strew(rng, x, specials...)
					dst, check := guarded(t, make([]float32, channels))
					most, places, from := make([]float32, channels), make([]int32, channels+1), rng.IntN(100)
					places[channels] = 77
					k.MaxPixel(most, x, taps)
					k.ArgmaxPixel(dst, places[:channels], x, taps, from)
					check()
					if !sameBits(dst, most) || places[channels] != 77 {
						t.Fatalf("%d channels, %d taps: %v, not %v, the next place %d", channels, count, dst, most, places[channels])
					}
					for c, v := range most {
						var alike []int // taps that have it
						for _, tap := range taps {
							if y := x[tap+c]; y == v || y != y {
								alike = append(alike, tap+c-from)
							}
						}
						want := alike[0]
						if v != v {
							want = alike[len(alike)-1]
						}
						if int(places[c]) != want {
							t.Fatalf("%d channels, %d taps: the maximum of channel %d is at %d, not %d", channels, count, c, places[c], want)
						}
					}
				}
			}
		}
	})
}

func TestMeanPixelIsTheMeanForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(13, 14))
		for channels := 1; channels <= 40; channels++ {
			for _, count := range tapCounts {
				for _, specials := range [][]float32{nil, {inf}, {nan, inf, -inf}} {
					x, taps := randomTaps(rng, count, channels)
					strew(rng, x, specials...)
					dst, check := guarded(t, make([]float32, channels))
					k.MeanPixel(dst, x, taps, 9)
					check()
					for c, got := range dst {
						want, size := 0.0, 0.0
						for _, tap := range slices.Backward(taps) {
							want += float64(x[tap+c]) / 9
							size += math.Abs(float64(x[tap+c])) / 9
						}
						if !within(got, want, size, 1) {
							t.Fatalf("%d channels, %d taps: channel %d is %v, not %v", channels, count, c, got, want)
						}
					}
				}
			}
		}
	})
}

func TestMeanPixelSumsInFloat64InTheOrderOfTheTaps(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		const channels = 37
		for _, order := range []struct {
			values [4]float32
			want   float32
		}{{[4]float32{1 << 53, 1, 1, -1 << 53}, 0}, {[4]float32{1, 1, 1 << 53, -1 << 53}, 0.5}} {
			var x []float32
			for _, v := range order.values {
				x = append(x, slices.Repeat([]float32{v}, channels)...)
			}
			dst := make([]float32, channels)
			k.MeanPixel(dst, x, []int{0, channels, 2 * channels, 3 * channels}, 4)
			if !sameBits(dst, slices.Repeat([]float32{order.want}, channels)) {
				t.Errorf("the mean of %v is %v", order.values, dst)
			}
		}
	})
}

func TestAllKernelsPoolToTheSameBits(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(15, 16))
		minusZero := float32(math.Copysign(0, -1))
		for range 2000 {
			n := 1 + rng.IntN(70)
			x, taps := randomTaps(rng, 1+rng.IntN(9), n)
			strew(rng, x, nan, inf, -inf, 0, minusZero, math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32)
			got, want := make([]float32, n), make([]float32, n)
			k.MaxPixel(got, x, taps)
			maxPixelPlain(want, x, taps)
			if !sameBits(got, want) {
				t.Fatalf("the maximum is %v, of plain code %v", got, want)
			}
			divisor := float64(1 + rng.IntN(50))
			k.MeanPixel(got, x, taps, divisor)
			meanPixelPlain(want, x, taps, divisor)
			if !sameBits(got, want) {
				t.Fatalf("the mean is %v, of plain code %v", got, want)
			}
		}
	})
}

// BenchmarkPool pools nine taps.
func BenchmarkPool(b *testing.B) {
	for _, k := range Available() {
		for _, channels := range []int{16, 64, 512} {
			rng := rand.New(rand.NewPCG(1, 1))
			dst, x := make([]float32, channels), random(rng, 9*channels)
			taps := make([]int, 9)
			for t := range taps {
				taps[t] = t * channels
			}
			for name, pool := range map[string]func(){
				"max":  func() { k.MaxPixel(dst, x, taps) },
				"mean": func() { k.MeanPixel(dst, x, taps, 9) },
			} {
				b.Run(fmt.Sprintf("%s/%s/%d", name, k.Name, channels), func(b *testing.B) {
					for b.Loop() {
						pool()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(9*channels*b.N), "ns/value")
				})
			}
		}
	}
}
