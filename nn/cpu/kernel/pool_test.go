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

// rowOf is where the pixels of a test of rows lie: a few of them, dst with gaps, x overlapping or with gaps.
type rowOf struct{ pixels, dstStride, xStride int }

func randomRow(rng *rand.Rand, channels int) rowOf {
	return rowOf{1 + rng.IntN(4), channels + rng.IntN(3), rng.IntN(channels + 3)}
}

// size is what the pixels take where they are stride apart.
func (r rowOf) size(stride, channels int) int { return (r.pixels-1)*stride + channels }

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

func TestMaxRowIsTheLargestForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(11, 12))
		for channels := 1; channels <= 40; channels++ {
			for _, count := range tapCounts {
				for _, specials := range [][]float32{nil, {-inf}, {nan, inf, -inf}} {
					r := randomRow(rng, channels)
					x, taps := randomTaps(rng, count, r.size(r.xStride, channels))
					strew(rng, x, specials...)
					dst, check := guarded(t, make([]float32, r.size(r.dstStride, channels)))
					k.MaxRow(dst, r.dstStride, x, r.xStride, r.pixels, taps, channels)
					check()
					for i, got := range dst {
						p, c := i/r.dstStride, i%r.dstStride
						want := math.Inf(-1)
						for _, tap := range taps {
							want = max(want, float64(x[tap+p*r.xStride+min(c, channels-1)]))
						}
						if c >= channels {
							want = 0 // nobody writes between the pixels
						}
						if !within(got, want, 0, 0) {
							t.Fatalf("%d channels, %d taps, %+v: channel %d of pixel %d is %v, not %v", channels, count, r, c, p, got, want)
						}
					}
				}
			}
		}
	})
}

func TestMaxRowKeepsNaNAtEveryTap(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		const channels = 37
		for place := range 4 {
			for _, other := range []float32{1, inf, -inf} {
				x := slices.Repeat([]float32{other}, 4*channels)
				for c := range channels {
					x[place*channels+c] = nan
				}
				dst := make([]float32, channels)
				k.MaxRow(dst, 0, x, 0, 1, []int{0, channels, 2 * channels, 3 * channels}, channels)
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
					k.MaxRow(most, 0, x, 0, 1, taps, channels)
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

func TestMeanRowIsTheMeanForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(13, 14))
		for channels := 1; channels <= 40; channels++ {
			for _, count := range tapCounts {
				for _, specials := range [][]float32{nil, {inf}, {nan, inf, -inf}} {
					r := randomRow(rng, channels)
					x, taps := randomTaps(rng, count, r.size(r.xStride, channels))
					strew(rng, x, specials...)
					dst, check := guarded(t, make([]float32, r.size(r.dstStride, channels)))
					k.MeanRow(dst, r.dstStride, x, r.xStride, r.pixels, taps, channels, 9)
					check()
					for i, got := range dst {
						p, c := i/r.dstStride, i%r.dstStride
						want, size := 0.0, 0.0
						for _, tap := range slices.Backward(taps) {
							if c < channels { // nobody writes between the pixels
								v := float64(x[tap+p*r.xStride+c]) / 9
								want, size = want+v, size+math.Abs(v)
							}
						}
						if !within(got, want, size, 1) {
							t.Fatalf("%d channels, %d taps, %+v: channel %d of pixel %d is %v, not %v", channels, count, r, c, p, got, want)
						}
					}
				}
			}
		}
	})
}

func TestMeanRowSumsInFloat64InTheOrderOfTheTaps(t *testing.T) {
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
			k.MeanRow(dst, 0, x, 0, 1, []int{0, channels, 2 * channels, 3 * channels}, channels, 4)
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
			r := randomRow(rng, n)
			x, taps := randomTaps(rng, 1+rng.IntN(9), r.size(r.xStride, n))
			strew(rng, x, nan, inf, -inf, 0, minusZero, math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32)
			got, want := make([]float32, r.size(r.dstStride, n)), make([]float32, r.size(r.dstStride, n))
			k.MaxRow(got, r.dstStride, x, r.xStride, r.pixels, taps, n)
			maxRowPlain(want, r.dstStride, x, r.xStride, r.pixels, taps, n)
			if !sameBits(got, want) {
				t.Fatalf("the maximum is %v, of plain code %v", got, want)
			}
			divisor := float64(1 + rng.IntN(50))
			k.MeanRow(got, r.dstStride, x, r.xStride, r.pixels, taps, n, divisor)
			meanRowPlain(want, r.dstStride, x, r.xStride, r.pixels, taps, n, divisor)
			if !sameBits(got, want) {
				t.Fatalf("the mean is %v, of plain code %v", got, want)
			}
		}
	})
}

// BenchmarkPool pools a row of 16 windows of 2×2.
func BenchmarkPool(b *testing.B) {
	for _, k := range Available() {
		for _, channels := range []int{16, 64, 512} {
			rng := rand.New(rand.NewPCG(1, 1))
			const pixels = 16
			dst, x := make([]float32, pixels*channels), random(rng, 4*pixels*channels)
			taps := []int{0, channels, 2 * pixels * channels, (2*pixels + 1) * channels}
			for name, pool := range map[string]func(){
				"max":  func() { k.MaxRow(dst, channels, x, 2*channels, pixels, taps, channels) },
				"mean": func() { k.MeanRow(dst, channels, x, 2*channels, pixels, taps, channels, 4) },
			} {
				b.Run(fmt.Sprintf("%s/%s/%d", name, k.Name, channels), func(b *testing.B) {
					for b.Loop() {
						pool()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(len(x)*b.N), "ns/value")
				})
			}
		}
	}
}
