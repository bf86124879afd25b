package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const (
	tile  = TileRows * TileCols
	guard = float32(-7.25) // stands around every output
)

var (
	nan = float32(math.NaN())
	inf = float32(math.Inf(1))
)

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

// guarded is a copy of x with guard words around it, which check looks at.
func guarded(t *testing.T, x []float32) (inner []float32, check func()) {
	whole := slices.Concat(slices.Repeat([]float32{guard}, 16), x, slices.Repeat([]float32{guard}, 16))
	return whole[16 : 16+len(x) : 16+len(x)], func() {
		t.Helper()
		for i, v := range whole {
			if (i < 16 || i >= 16+len(x)) && v != guard {
				t.Fatalf("the word at %d of %d was overwritten", i-16, len(x))
			}
		}
	}
}

// eachKernel runs f for every kernel of this processor.
func eachKernel(t *testing.T, f func(t *testing.T, k Kernel)) {
	for _, k := range Available() {
		t.Run(k.Name, func(t *testing.T) { f(t, k) })
	}
}

// within reports whether got is a float32 sum of count terms of total magnitude size (Higham,
// Accuracy and Stability of Numerical Algorithms, 2002, equation 3.5), or as little a number as
// want.
func within(got float32, want, size float64, count int) bool {
	const u = 1.0 / (1 << 24)
	nu := float64(count) * u
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return float64(got) == want || got != got && math.IsNaN(want)
	}
	return math.Abs(float64(got)-want) <= nu/(1-nu)*size
}

// product is a Gemm with everything that it takes.
type product struct {
	a, b       []float32
	rows, taps []int
	run        int
}

// randomProduct places rows and taps anywhere in a.
func randomProduct(rng *rand.Rand, taps, run int) product {
	p := product{a: random(rng, 500+run), b: random(rng, taps*run*TileCols), rows: make([]int, TileRows), taps: make([]int, taps), run: run}
	for i := range p.rows {
		p.rows[i] = rng.IntN(250)
	}
	for i := range p.taps {
		p.taps[i] = rng.IntN(250)
	}
	return p
}

// sum is element (r, o) in float64, with the sum of its terms' magnitudes.
func (p product) sum(r, o int) (sum, size float64) {
	for t, tap := range p.taps {
		for k := range p.run {
			term := float64(p.a[p.rows[r]+tap+k]) * float64(p.b[(t*p.run+k)*TileCols+o])
			sum += term
			size += math.Abs(term)
		}
	}
	return sum, size
}

func (p product) check(t *testing.T, k Kernel, before []float32, accumulate bool) {
	t.Helper()
	acc, check := guarded(t, before)
	k.Gemm(acc, p.a, p.rows, p.taps, p.run, p.b, accumulate)
	check()
	for i, got := range acc {
		want, size := p.sum(i/TileCols, i%TileCols)
		if accumulate {
			want += float64(before[i])
			size += math.Abs(float64(before[i]))
		}
		if !within(got, want, size, len(p.taps)*p.run+1) {
			t.Fatalf("%d taps of %d: element %d is %v, not %v", len(p.taps), p.run, i, got, want)
		}
	}
}

func TestGemmIsTheProductForEveryLengthOfRun(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(1, 2))
		for run := 1; run <= 70; run++ {
			for _, taps := range []int{1, 2, 3, 9} {
				p := randomProduct(rng, taps, run)
				p.check(t, k, random(rng, tile), false)
				p.check(t, k, random(rng, tile), true)
			}
		}
		randomProduct(rng, 1, 4096).check(t, k, random(rng, tile), true)
	})
}

func TestGemmDoesNotReadWhatItOverwrites(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		p := randomProduct(rand.New(rand.NewPCG(3, 4)), 2, 5)
		p.check(t, k, slices.Repeat([]float32{nan}, tile), false)
	})
}

func TestGemmKeepsNaNAndInfinityInTheirRowAndColumn(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(5, 6))
		for _, special := range []float32{nan, inf, -inf} {
			for place := range 3 * 7 { // two taps of seven more than once
				p := randomProduct(rng, 3, 7)
				p.rows[place%TileRows] = 400 // apart from the others
				p.a = append(p.a, random(rng, 400)...)
				p.a[400+p.taps[place/7]+place%7] = special
				p.check(t, k, random(rng, tile), true)

				p = randomProduct(rng, 3, 7)
				p.b[place*TileCols+place%TileCols] = special
				p.check(t, k, random(rng, tile), false)
			}
		}
	})
}

func TestGemmOrderIsThatOfTheDocument(t *testing.T) {
	// 2²⁴ + 1 + 1 is 2²⁴ from the left and 2²⁴ + 2 from the right: products by one are exact,
	// so that all kernels agree bit by bit.
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, order := range []struct {
			values [3]float32
			want   float32
		}{{[3]float32{1 << 24, 1, 1}, 1 << 24}, {[3]float32{1, 1, 1 << 24}, 1<<24 + 2}} {
			for _, split := range []struct {
				taps []int
				run  int
			}{{[]int{0}, 3}, {[]int{0, 1, 2}, 1}} {
				acc := make([]float32, tile)
				k.Gemm(acc, order.values[:], make([]int, TileRows), split.taps, split.run, slices.Repeat([]float32{1}, 3*TileCols), false)
				if acc[0] != order.want || acc[tile-1] != order.want {
					t.Errorf("%v in %d taps gives %v, not %v", order.values, len(split.taps), acc[0], order.want)
				}
			}
		}
	})
}

func TestAffineForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(7, 8))
		for channels := 1; channels <= 40; channels++ {
			for _, pixels := range []int{0, 1, 2, 5} {
				for option := range 8 {
					checkAffine(t, k, rng, channels, pixels, option&1 != 0, option&2 != 0, option&4 != 0)
				}
			}
		}
	})
}

// checkAffine compares with float64; what lies between the pixels must stay as it is.
func checkAffine(t *testing.T, k Kernel, rng *rand.Rand, channels, pixels int, relu, add, special bool) {
	t.Helper()
	xStride, dstStride, residualStride := channels+3, channels+1, channels+2
	x, residual := random(rng, pixels*xStride), random(rng, pixels*residualStride)
	scale, shift := random(rng, channels), random(rng, channels)
	if special && pixels > 0 {
		for _, v := range []float32{nan, inf, -inf} {
			x[rng.IntN(len(x))] = v
			residual[rng.IntN(len(residual))] = v
		}
		scale[rng.IntN(channels)], shift[rng.IntN(channels)] = nan, inf
	}
	if !add {
		residual, residualStride = nil, 0
	}
	dst, check := guarded(t, slices.Repeat([]float32{guard}, pixels*dstStride))
	k.Affine(dst, dstStride, x, xStride, pixels, scale, shift, residual, residualStride, relu)
	check()
	for i, got := range dst {
		p, c := i/dstStride, i%dstStride
		if c >= channels {
			if got != guard {
				t.Fatalf("%d channels: the gap after pixel %d was overwritten", channels, p)
			}
			continue
		}
		product := float64(x[p*xStride+c]) * float64(scale[c])
		want, size := product+float64(shift[c]), math.Abs(product)+math.Abs(float64(shift[c]))
		if add {
			want += float64(residual[p*residualStride+c])
			size += math.Abs(float64(residual[p*residualStride+c]))
		}
		if relu {
			want = max(want, 0) // NaN if want is
		}
		if !within(got, want, size, 3) {
			t.Fatalf("%d channels: pixel %d, channel %d is %v, not %v", channels, p, c, got, want)
		}
	}
}

func TestAffineWorksInPlace(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(9, 10))
		const channels, pixels = 19, 4
		x, residual := random(rng, channels*pixels), random(rng, channels*pixels)
		scale, shift := random(rng, channels), random(rng, channels)
		want := make([]float32, len(x))
		k.Affine(want, channels, x, channels, pixels, scale, shift, residual, channels, true)
		for name, dst := range map[string]*[]float32{"x": &x, "the residual": &residual} {
			old := slices.Clone(*dst)
			k.Affine(*dst, channels, x, channels, pixels, scale, shift, residual, channels, true)
			if !slices.Equal(*dst, want) {
				t.Errorf("over %s the result is another", name)
			}
			copy(*dst, old)
		}
	})
}

func TestAKernelIsChosenByNameAndTheFastestWithout(t *testing.T) {
	for _, want := range Available() {
		if k, err := Choose(want.Name); err != nil || k.Name != want.Name {
			t.Errorf("%s: kernel %q, error %v", want.Name, k.Name, err)
		}
	}
	if k, err := Choose(""); err != nil || k.Name != Available()[0].Name {
		t.Errorf("kernel %q, error %v", k.Name, err)
	}
	if _, err := Choose("abacus"); err == nil || !strings.Contains(err.Error(), `"abacus"`) || !strings.Contains(err.Error(), "plain") {
		t.Errorf("an unknown kernel gives the error %v", err)
	}
}

// BenchmarkGemm multiplies out of the first cache: its speed is the kernel's own.
func BenchmarkGemm(b *testing.B) {
	for _, k := range Available() {
		for _, run := range []int{9, 48, 288} {
			b.Run(fmt.Sprintf("%s/%d", k.Name, run), func(b *testing.B) {
				p := randomProduct(rand.New(rand.NewPCG(1, 1)), 288/run, run)
				acc := make([]float32, tile)
				for b.Loop() {
					k.Gemm(acc, p.a, p.rows, p.taps, run, p.b, false)
				}
				b.ReportMetric(2e-9*float64(288/run*run*tile*b.N)/b.Elapsed().Seconds(), "GFLOP/s")
			})
		}
	}
}
