package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const guard = float32(-7.25) // stands around every output

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

// blank is a guarded slice of guard words.
func blank(t *testing.T, n int) (x []float32, check func()) {
	return guarded(t, slices.Repeat([]float32{guard}, n))
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

// widths are the widths of panels.
func (k *Kernel) widths() []int { return []int{k.Lanes, 2 * k.Lanes} }

// roundUp is the smallest multiple of step that is at least n.
func roundUp(n, step int) int { return (n + step - 1) / step * step }

// product is a Gemm with everything that it takes.
type product struct {
	a, b         []float32
	rows, taps   []int
	run, columns int
}

// randomProduct places rows and taps anywhere in a.
func randomProduct(rng *rand.Rand, rows, taps, run, columns int) product {
	p := product{a: random(rng, 500+run), b: random(rng, taps*run*columns), rows: make([]int, rows), taps: make([]int, taps), run: run, columns: columns}
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
			term := float64(p.a[p.rows[r]+tap+k]) * float64(p.b[(t*p.run+k)*p.columns+o])
			sum += term
			size += math.Abs(term)
		}
	}
	return sum, size
}

func (p product) check(t *testing.T, k Kernel, before []float32, accumulate bool) {
	t.Helper()
	acc, check := guarded(t, before)
	k.Gemm(acc, p.a, p.rows, p.taps, p.run, p.b, p.columns, accumulate)
	check()
	for i, got := range acc {
		want, size := p.sum(i/p.columns, i%p.columns)
		if accumulate {
			want += float64(before[i])
			size += math.Abs(float64(before[i]))
		}
		if !within(got, want, size, len(p.taps)*p.run+1) {
			t.Fatalf("%d rows, %d columns, %d taps of %d: element %d is %v, not %v", len(p.rows), p.columns, len(p.taps), p.run, i, got, want)
		}
	}
}

func TestGemmIsTheProductForEveryLengthOfRun(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(1, 2))
		for run := 1; run <= 40; run++ {
			for _, taps := range []int{1, 2, 3, 9} {
				for _, columns := range k.widths() {
					rows := k.Rows * (1 + rng.IntN(3))
					p := randomProduct(rng, rows, taps, run, columns)
					p.check(t, k, random(rng, rows*columns), false)
					p.check(t, k, random(rng, rows*columns), true)
				}
			}
		}
		randomProduct(rng, k.Rows, 1, 4096, k.Lanes).check(t, k, random(rng, k.Rows*k.Lanes), true)
	})
}

func TestGemmToIsAffineOfGemmBitForBit(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(5, 6))
		for run := 1; run <= 40; run++ {
			for _, columns := range k.widths() {
				for _, bound := range []float32{0, -inf} {
					p := randomProduct(rng, k.Rows*(1+rng.IntN(3)), 1+rng.IntN(4), run, columns)
					strew(rng, p.a, nan, inf)
					last := len(p.rows) - 1 - rng.IntN(k.Rows)
					for r := last; r < len(p.rows); r++ { // filled up with the last
						p.rows[r] = p.rows[last]
					}
					before, scale, shift := random(rng, len(p.rows)*columns), random(rng, columns), random(rng, columns)
					copy(before[last*columns:], slices.Repeat(before[last*columns:][:columns], len(p.rows)-last))
					accumulate := rng.IntN(2) == 0
					gap := columns + rng.IntN(9)
					initial := random(rng, last*gap+columns)
					got, check := guarded(t, initial)
					to, order := make([]int, len(p.rows)), rng.Perm(last+1)
					for r := range to {
						to[r] = order[min(r, last)] * gap
					}
					k.GemmTo(got, to, before, p.a, p.rows, p.taps, run, p.b, columns, accumulate, scale, shift, bound)
					check()
					sums, want := slices.Clone(before), slices.Clone(initial)
					k.Gemm(sums, p.a, p.rows, p.taps, run, p.b, columns, accumulate)
					for r := range to {
						k.Affine(want[to[r]:], columns, sums[r*columns:], columns, 1, scale, shift, nil, 0, bound)
					}
					if !sameBits(got, want) {
						t.Fatalf("%d rows, %d columns, run %d: %v, not %v", len(p.rows), columns, run, got, want)
					}
				}
			}
		}
	})
}

func TestGemmDoesNotReadWhatItOverwrites(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, columns := range k.widths() {
			p := randomProduct(rand.New(rand.NewPCG(3, 4)), 2*k.Rows, 2, 5, columns)
			p.check(t, k, slices.Repeat([]float32{nan}, 2*k.Rows*columns), false)
		}
	})
}

func TestGemmKeepsNaNAndInfinityInTheirRowAndColumn(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(5, 6))
		rows := 2 * k.Rows
		for _, special := range []float32{nan, inf, -inf} {
			for place := range 3 * 7 { // two taps of seven more than once
				for _, columns := range k.widths() {
					p := randomProduct(rng, rows, 3, 7, columns)
					p.rows[place%rows] = 400 // apart from the others
					p.a = append(p.a, random(rng, 400)...)
					p.a[400+p.taps[place/7]+place%7] = special
					p.check(t, k, random(rng, rows*columns), true)

					p = randomProduct(rng, rows, 3, 7, columns)
					p.b[place*columns+place%columns] = special
					p.check(t, k, random(rng, rows*columns), false)
				}
			}
		}
	})
}

// orders are sums that differ from the left and from the right: products by one are exact,
// so that all kernels agree bit by bit.
var orders = []struct {
	values [3]float32
	want   float32
}{{[3]float32{1 << 24, 1, 1}, 1 << 24}, {[3]float32{1, 1, 1 << 24}, 1<<24 + 2}}

func TestGemmOrderIsThatOfTheDocument(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, order := range orders {
			for _, split := range []struct {
				taps []int
				run  int
			}{{[]int{0}, 3}, {[]int{0, 1, 2}, 1}} {
				for _, columns := range k.widths() {
					acc := make([]float32, 2*k.Rows*columns)
					k.Gemm(acc, order.values[:], make([]int, 2*k.Rows), split.taps, split.run, slices.Repeat([]float32{1}, 3*columns), columns, false)
					if !slices.Equal(acc, slices.Repeat([]float32{order.want}, len(acc))) {
						t.Errorf("%v in %d taps gives %v", order.values, len(split.taps), acc)
					}
				}
			}
		}
	})
}

// batch is a Batched with everything that it takes.
type batch struct {
	v, u                                                     []float32
	vStride, vRow, channels, tiles, uStride, columns, places int
}

// randomBatch has gaps of NaN between the rows and the positions; those of u are rows of it.
func randomBatch(rng *rand.Rand, channels, tiles, columns, positions int) batch {
	b := batch{vRow: channels + rng.IntN(3), channels: channels, tiles: tiles, uStride: (channels + rng.IntN(3)) * columns, columns: columns, places: positions}
	b.vStride = tiles*b.vRow + rng.IntN(5)
	b.v = slices.Repeat([]float32{nan}, positions*b.vStride)
	b.u = slices.Repeat([]float32{nan}, positions*b.uStride)
	for p := range positions {
		copy(b.u[p*b.uStride:], random(rng, channels*columns))
		for t := range tiles {
			copy(b.v[p*b.vStride+t*b.vRow:], random(rng, channels))
		}
	}
	return b
}

// sum is the element (p, t, o) in float64, with the sum of its terms' magnitudes.
func (b batch) sum(p, t, o int) (sum, size float64) {
	for c := range b.channels {
		term := float64(b.v[p*b.vStride+t*b.vRow+c]) * float64(b.u[p*b.uStride+c*b.columns+o])
		sum += term
		size += math.Abs(term)
	}
	return sum, size
}

func (b batch) check(t *testing.T, k Kernel) {
	t.Helper()
	mRow := b.columns + 3
	mStride := b.tiles*mRow + 2
	m, check := blank(t, b.places*mStride)
	k.Batched(m, mStride, mRow, b.v, b.vStride, b.vRow, b.channels, b.tiles, b.u, b.uStride, b.columns, b.places, false)
	check()
	for i, got := range m {
		p, row, o := i/mStride, i%mStride/mRow, i%mStride%mRow
		if row == b.tiles || o >= b.columns {
			if got != guard {
				t.Fatalf("%d channels, %d columns: the gap after tile %d of position %d was overwritten", b.channels, b.columns, row, p)
			}
			continue
		}
		if want, size := b.sum(p, row, o); !within(got, want, size, b.channels+1) {
			t.Fatalf("%d channels, %d columns: position %d, tile %d, element %d is %v, not %v", b.channels, b.columns, p, row, o, got, want)
		}
	}
}

func TestBatchedIsAProductAtEveryPosition(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(21, 22))
		for channels := 0; channels <= 40; channels++ {
			for tiles := k.WholeRows(1); tiles <= 72; tiles = k.WholeRows(tiles + 1) {
				for _, columns := range k.widths() {
					randomBatch(rng, channels, tiles, columns, 1+rng.IntN(4)).check(t, k)
				}
			}
		}
		randomBatch(rng, 512, k.WholeRows(6), 2*k.Lanes, 36).check(t, k)
	})
}

func TestBatchedMayWriteOverTheInputsOfPositionsBefore(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(25, 26))
		for channels := 1; channels <= 40; channels += 3 {
			for tiles := k.WholeRows(1); tiles <= 48; tiles = k.WholeRows(tiles + 1) {
				for _, columns := range k.widths() {
					b := randomBatch(rng, channels, tiles, columns, 5)
					stride := tiles * max(b.vRow, columns)
					apart, shared := make([]float32, 5*stride), make([]float32, 6*stride)
					for p := range 5 {
						copy(shared[(p+1)*stride:][:tiles*b.vRow], b.v[p*b.vStride:])
					}
					run := func(m, v []float32, vStride int) {
						k.Batched(m, stride, columns, v, vStride, b.vRow, channels, tiles, b.u, b.uStride, columns, 5, false)
					}
					run(apart, b.v, b.vStride)
					run(shared, shared[stride:], stride)
					for p := range 5 {
						if at := p * stride; !sameBits(shared[at:][:tiles*columns], apart[at:][:tiles*columns]) {
							t.Fatalf("%d channels, %d tiles, %d columns: the products of position %d are others", channels, tiles, columns, p)
						}
					}
				}
			}
		}
	})
}

func TestBatchedKeepsNaNAndInfinityInTheirRowAndColumn(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(23, 24))
		for _, special := range []float32{nan, inf, -inf} {
			for range 50 {
				b := randomBatch(rng, 1+rng.IntN(9), k.WholeRows(12), k.widths()[rng.IntN(2)], 2)
				b.v[rng.IntN(len(b.v))] = special
				b.u[rng.IntN(len(b.u))] = special
				b.check(t, k)
			}
		}
	})
}

func TestBatchedOrderIsThatOfTheDocument(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, order := range orders {
			for _, columns := range k.widths() {
				m := make([]float32, k.WholeRows(6)*columns)
				k.Batched(m, 0, columns, order.values[:], 0, 0, 3, k.WholeRows(6), slices.Repeat([]float32{1}, 3*columns), 0, columns, 1, false)
				if !slices.Equal(m, slices.Repeat([]float32{order.want}, len(m))) {
					t.Errorf("%v gives %v", order.values, m)
				}
			}
		}
	})
}

var bounds = []float32{-inf, 0, 0.25}

func TestAffineForEveryNumberOfChannels(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(7, 8))
		for channels := 0; channels <= 40; channels++ {
			for _, pixels := range []int{0, 1, 2, 5} {
				for option := range 4 {
					for _, bound := range bounds {
						checkAffine(t, k, rng, channels, pixels, bound, option&1 != 0, option&2 != 0)
					}
				}
			}
		}
	})
}

// checkAffine compares with float64; what lies between the pixels must stay as it is.
func checkAffine(t *testing.T, k Kernel, rng *rand.Rand, channels, pixels int, bound float32, add, special bool) {
	t.Helper()
	xStride, dstStride, residualStride := channels+3, channels+1, channels+2
	x, residual := random(rng, pixels*xStride), random(rng, pixels*residualStride)
	scale, shift := random(rng, channels), random(rng, channels)
	if special && pixels*channels > 0 {
		for _, v := range []float32{nan, inf, -inf} {
			x[rng.IntN(len(x))] = v
			residual[rng.IntN(len(residual))] = v
		}
		scale[rng.IntN(channels)], shift[rng.IntN(channels)] = nan, inf
	}
	if !add {
		residual, residualStride = nil, 0
	}
	dst, check := blank(t, pixels*dstStride)
	k.Affine(dst, dstStride, x, xStride, pixels, scale, shift, residual, residualStride, bound)
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
		want = max(want, float64(bound)) // NaN if want is
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
		k.Affine(want, channels, x, channels, pixels, scale, shift, residual, channels, 0)
		for name, dst := range map[string]*[]float32{"x": &x, "the residual": &residual} {
			old := slices.Clone(*dst)
			k.Affine(*dst, channels, x, channels, pixels, scale, shift, residual, channels, 0)
			if !slices.Equal(*dst, want) {
				t.Errorf("over %s the result is another", name)
			}
			copy(*dst, old)
		}
	})
}

// panels cuts a matrix with the given number of columns into panels of the kernel's widths, as
// nn/cpu does, calls f for each, and returns the columns of all that f filled in rows×width.
func panels(k Kernel, matrix []float32, columns, rows int, f func(panel []float32, width int, out []float32)) []float32 {
	out := make([]float32, rows*columns)
	for begin := 0; begin < columns; begin += 2 * k.Lanes {
		used := min(2*k.Lanes, columns-begin)
		width := k.Columns(used)
		panel := make([]float32, len(matrix)/columns*width)
		for i := range len(matrix) / columns {
			copy(panel[i*width:], matrix[i*columns+begin:][:used])
		}
		part := make([]float32, rows*width)
		f(panel, width, part)
		for r := range rows {
			copy(out[r*columns+begin:][:used], part[r*width:])
		}
	}
	return out
}

// sameOfAll calls f for the kernels of each arithmetic, which must give the same bits.
func sameOfAll(t *testing.T, f func(k Kernel) []float32) {
	t.Helper()
	first := map[string][]float32{}
	for _, k := range Available() {
		got := f(k)
		if want, ok := first[k.Arithmetic]; ok && !sameBits(got, want) {
			t.Fatalf("%s gives other bits than another kernel of its arithmetic", k.Name)
		}
		first[k.Arithmetic] = got
	}
}

func TestKernelsOfOneArithmeticGiveTheSameBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(25, 26))
	for range 200 {
		const rows = 24 // of whole tiles of all kernels
		columns, accumulate := 1+rng.IntN(70), rng.IntN(2) == 0
		p := randomProduct(rng, rows, 1+rng.IntN(9), 1+rng.IntN(30), columns)
		before := rng.Float32()
		sameOfAll(t, func(k Kernel) []float32 {
			return panels(k, p.b, columns, rows, func(panel []float32, width int, out []float32) {
				copy(out, slices.Repeat([]float32{before}, len(out)))
				k.Gemm(out, p.a, p.rows, p.taps, p.run, panel, width, accumulate)
			})
		})
		b := randomBatch(rng, 1+rng.IntN(40), rows, columns, 3)
		sameOfAll(t, func(k Kernel) []float32 {
			return panels(k, b.u, columns, b.places*rows, func(panel []float32, width int, out []float32) {
				k.Batched(out, rows*width, width, b.v, b.vStride, b.vRow, b.channels, rows, panel, b.uStride/columns*width, width, b.places, false)
			})
		})
		const pixels = 5
		x, scale, shift, bound := random(rng, pixels*columns), random(rng, columns), random(rng, columns), bounds[rng.IntN(2)]
		var residual []float32
		if accumulate {
			residual = random(rng, len(x))
		}
		sameOfAll(t, func(k Kernel) []float32 {
			dst := make([]float32, len(x))
			k.Affine(dst, columns, x, columns, pixels, scale, shift, residual, columns, bound)
			return dst
		})
	}
}

func TestAKernelIsChosenByNameOrArithmeticAndTheFastestWithout(t *testing.T) {
	for _, want := range Available() {
		if k, err := Choose(want.Name); err != nil || k.Name != want.Name {
			t.Errorf("%s: kernel %q, error %v", want.Name, k.Name, err)
		}
		if k, err := Choose(want.Arithmetic); err != nil || k.Arithmetic != want.Arithmetic {
			t.Errorf("%s: kernel %q, error %v", want.Arithmetic, k.Name, err)
		}
	}
	if k, err := Choose(""); err != nil || k.Name != Available()[0].Name {
		t.Errorf("kernel %q, error %v", k.Name, err)
	}
	if _, err := Choose("abacus"); err == nil || !strings.Contains(err.Error(), `"abacus"`) || !strings.Contains(err.Error(), "plain") {
		t.Errorf("an unknown kernel gives the error %v", err)
	}
}

func TestAPanelIsAsNarrowAsItsChannelsPermit(t *testing.T) {
	for _, k := range Available() {
		for channels := 1; channels <= 2*k.Lanes; channels++ {
			if got, want := k.Columns(channels), roundUp(channels, k.Lanes); got != want {
				t.Errorf("%s: %d columns for %d channels, not %d", k.Name, got, channels, want)
			}
		}
	}
}

// BenchmarkGemm multiplies out of the first cache: its speed is the kernel's own.
func BenchmarkGemm(b *testing.B) {
	for _, k := range Available() {
		for _, columns := range k.widths() {
			for _, run := range []int{9, 48, 288} {
				b.Run(fmt.Sprintf("%s/%d/%d", k.Name, columns, run), func(b *testing.B) {
					const terms, tiles = 288, 4
					p := randomProduct(rand.New(rand.NewPCG(1, 1)), tiles*k.Rows, terms/run, run, columns)
					acc := make([]float32, tiles*k.Rows*columns)
					for b.Loop() {
						k.Gemm(acc, p.a, p.rows, p.taps, run, p.b, columns, false)
					}
					b.ReportMetric(2e-9*float64(terms*len(acc)*b.N)/b.Elapsed().Seconds(), "GFLOP/s")
				})
			}
		}
	}
}

func TestBatchedAddsToWhatIsThere(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(31, 32))
		for _, columns := range k.widths() {
			for _, channels := range []int{1, 3, 4, 5, 21} {
				b := randomBatch(rng, channels, k.WholeRows(14), columns, 3)
				once := make([]float32, b.places*b.tiles*columns)
				multiply := func(m []float32, accumulate bool) {
					k.Batched(m, b.tiles*columns, columns, b.v, b.vStride, b.vRow, b.channels, b.tiles, b.u, b.uStride, columns, b.places, accumulate)
				}
				multiply(once, false)
				twice := slices.Clone(once)
				multiply(twice, true)
				for i, v := range once {
					if twice[i] != v+v {
						t.Fatalf("%d channels, %d columns: %v and as much again is %v", channels, columns, v, twice[i])
					}
				}
			}
		}
	})
}

// BenchmarkBatched multiplies the positions of some rows of 4×4 tiles by one panel.
func BenchmarkBatched(b *testing.B) {
	for _, k := range Available() {
		for _, columns := range k.widths() {
			for _, channels := range []int{16, 32, 64, 256} {
				b.Run(fmt.Sprintf("%s/%d/%d", k.Name, columns, channels), func(b *testing.B) {
					const positions, tiles = 36, 24
					v, u := random(rand.New(rand.NewPCG(1, 1)), positions*tiles*channels), random(rand.New(rand.NewPCG(1, 2)), positions*channels*columns)
					m := make([]float32, positions*tiles*columns)
					for b.Loop() {
						k.Batched(m, tiles*columns, columns, v, tiles*channels, channels, channels, tiles, u, channels*columns, columns, positions, false)
					}
					b.ReportMetric(2e-9*float64(channels*len(m)*b.N)/b.Elapsed().Seconds(), "GFLOP/s")
				})
			}
		}
	}
}
