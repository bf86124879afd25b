package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The factors of ELU, of ELU with another α, and of SELU.
var eluFactors = [][2]float32{{1, 1}, {1, 0.3}, {1.0507009873554805, 1.7580993408473766}}

// eluOf is scale·y or scaleAlpha·(eʸ − 1) in float64.
func eluOf(y, scale, scaleAlpha float32) float64 {
	if y > 0 {
		return float64(scale) * float64(y)
	}
	return float64(scaleAlpha) * math.Expm1(float64(y))
}

// unitsOff is the distance of got from want in units of want's last place.
func unitsOff(got float32, want float64) float64 {
	if float64(got) == want || got == float32(want) || got != got && want != want {
		return 0
	}
	_, exponent := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(exponent-24, -149))
}

func TestELUForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(21, 22))
		for channels := 1; channels <= 40; channels++ {
			for _, pixels := range []int{0, 1, 2, 5} {
				for _, f := range eluFactors {
					checkELU(t, k, rng, channels, pixels, f[0], f[1])
				}
			}
		}
	})
}

// checkELU compares with float64; what lies between the pixels must stay as it is.
func checkELU(t *testing.T, k Kernel, rng *rand.Rand, channels, pixels int, scale, scaleAlpha float32) {
	t.Helper()
	stride := channels + 3
	before := random(rng, pixels*stride)
	for i := range before {
		before[i] *= 10
	}
	if pixels > 0 {
		strew(rng, before, nan, inf, -inf)
	}
	x, check := guarded(t, before)
	k.ELU(x, stride, pixels, channels, scale, scaleAlpha)
	check()
	for i, got := range x {
		y := before[i]
		if i%stride >= channels {
			if !sameBits([]float32{got}, []float32{y}) {
				t.Fatalf("%d channels: the gap after pixel %d of %d was overwritten", channels, i/stride, pixels)
			}
			continue
		}
		if want := eluOf(y, scale, scaleAlpha); !(unitsOff(got, want) <= 2.5) {
			t.Fatalf("%d channels: ELU of %v is %v, not %v", channels, y, got, want)
		}
	}
}

func TestELUIsExactWhereItCanBe(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, f := range eluFactors {
			scale, scaleAlpha := f[0], f[1]
			x := []float32{nan, inf, -inf, 0, -18, -87.5, -104, -200, -math.MaxFloat32, 3, math.SmallestNonzeroFloat32, math.MaxFloat32 / 2}
			want := []float32{nan, inf, -scaleAlpha, 0, -scaleAlpha, -scaleAlpha, -scaleAlpha, -scaleAlpha, -scaleAlpha,
				scale * 3, scale * math.SmallestNonzeroFloat32, scale * (math.MaxFloat32 / 2)}
			k.ELU(x, len(x), 1, len(x), scale, scaleAlpha)
			if !slices.EqualFunc(x, want, func(a, b float32) bool { return a == b || a != a && b != b }) {
				t.Errorf("scales %v: %v, not %v", f, x, want)
			}
		}
		small := []float32{-1e-10, -1e-20, -1e-38, -1e-40, -math.SmallestNonzeroFloat32}
		want := slices.Clone(small)
		k.ELU(small, len(small), 1, len(small), 1, 1)
		if !sameBits(small, want) {
			t.Errorf("near zero ELU of %v is %v", want, small)
		}
	})
}

func TestELUIsWithinOneUnitInTheLastPlace(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		const step = 4099 // of the bits: a prime, so that all of the lowest ones come up
		x := make([]float32, 4096)
		for begin := uint64(0x80000000); begin < 0xff800000; begin += step * uint64(len(x)) {
			for i := range x {
				x[i] = math.Float32frombits(uint32(min(begin+step*uint64(i), 0xff800000)))
			}
			y := slices.Clone(x)
			k.ELU(y, len(y), 1, len(y), 1, 1)
			for i, got := range y {
				if want := math.Expm1(float64(x[i])); !(unitsOff(got, want) <= 1) {
					t.Fatalf("ELU of %v is %v, not %v: %v units off", x[i], got, want, unitsOff(got, want))
				}
			}
		}
	})
}

func TestFusedKernelsGiveTheSameBitsOfELU(t *testing.T) {
	rng := rand.New(rand.NewPCG(23, 24))
	before := random(rng, 100003)
	for i := range before {
		before[i] *= 20
	}
	strew(rng, before, nan, inf, -inf, 0)
	for _, f := range eluFactors {
		var first []float32
		eachFused(func(k Kernel) {
			x := slices.Clone(before)
			k.ELU(x, len(x), 1, len(x), f[0], f[1])
			if first == nil {
				first = x
			}
			if !sameBits(x, first) {
				t.Errorf("%s: the bits are others", k.Name)
			}
		})
	}
}

func BenchmarkELU(b *testing.B) {
	for _, k := range Available() {
		for _, channels := range []int{16, 64} {
			b.Run(fmt.Sprintf("%s/%d", k.Name, channels), func(b *testing.B) {
				const pixels = 32
				before := random(rand.New(rand.NewPCG(1, 1)), pixels*channels)
				x := make([]float32, len(before))
				for b.Loop() {
					copy(x, before)
					k.ELU(x, channels, pixels, channels, 1, 1)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(len(x)*b.N), "ns/value")
			})
		}
	}
}
