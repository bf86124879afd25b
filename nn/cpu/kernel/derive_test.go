package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// outer is an Outer with everything that it takes.
type outer struct {
	before, v, y                           []float32
	gStride, gRow, vStride, vLine, vRow    int
	yStride, yLine, yRow                   int
	rows, columns, terms, lines, positions int
	anew                                   bool // not from what is there
}

// randomOuter has gaps everywhere.
func randomOuter(rng *rand.Rand, rows, columns, terms, positions int) outer {
	o := outer{rows: rows, columns: columns, terms: terms, lines: 1 + rng.IntN(3), positions: positions,
		gRow: columns + rng.IntN(3), vRow: rows + rng.IntN(3), yRow: columns + rng.IntN(3)}
	o.vLine, o.yLine = terms*o.vRow+rng.IntN(3), terms*o.yRow+rng.IntN(3)
	o.gStride, o.vStride, o.yStride = rows*o.gRow+rng.IntN(3), o.lines*o.vLine+rng.IntN(3), o.lines*o.yLine+rng.IntN(3)
	o.before = random(rng, (positions-1)*o.gStride+(rows-1)*o.gRow+columns)
	o.v, o.y = random(rng, positions*o.vStride+rows), random(rng, positions*o.yStride+columns)
	return o
}

func (o outer) run(k Kernel, g []float32) {
	k.Outer(g, o.gStride, o.gRow, o.v, o.vStride, o.vLine, o.vRow, o.y, o.yStride, o.yLine, o.yRow, o.rows, o.columns, o.terms, o.lines, o.positions, !o.anew)
}

// check compares with float64; what lies between the sums must stay as it is.
func (o outer) check(t *testing.T, k Kernel) {
	t.Helper()
	g, check := guarded(t, o.before)
	o.run(k, g)
	check()
	for i, got := range g {
		p, r, c := i/o.gStride, i%o.gStride/o.gRow, i%o.gStride%o.gRow
		want, size := float64(o.before[i]), math.Abs(float64(o.before[i]))
		if r < o.rows && c < o.columns {
			if o.anew {
				want, size = 0, 0
			}
			for line := range o.lines {
				for term := range o.terms {
					x := float64(o.v[p*o.vStride+line*o.vLine+term*o.vRow+r]) * float64(o.y[p*o.yStride+line*o.yLine+term*o.yRow+c])
					want += x
					size += math.Abs(x)
				}
			}
		} else if got != o.before[i] && got == got {
			t.Fatalf("%d×%d: the gap after row %d of position %d was overwritten", o.rows, o.columns, r, p)
		}
		if !within(got, want, size, o.lines*o.terms+1) {
			t.Fatalf("%d×%d, %d terms a line: position %d, row %d, column %d is %v, not %v", o.rows, o.columns, o.terms, p, r, c, got, want)
		}
	}
}

func TestOuterAddsProductsAtEveryPosition(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(51, 52))
		for _, columns := range k.widths() {
			for terms := range 12 {
				for rows := 1; rows < 20; rows++ {
					o := randomOuter(rng, k.WholeRows(rows), columns, terms, 1+terms%3)
					o.check(t, k)
					strew(rng, o.v, nan, inf, -inf)
					o.check(t, k)
					strew(rng, o.y, nan, inf)
					strew(rng, o.before, nan, -inf)
					o.check(t, k)
					o.anew = true
					o.check(t, k)
				}
			}
		}
	})
}

func TestOuterGoesOnWithTheSumThatIsThere(t *testing.T) {
	// So that it does not matter how terms are cut: 2²⁴ + 1 + 1 is 2²⁴ one after another.
	eachKernel(t, func(t *testing.T, k Kernel) {
		rows := k.WholeRows(1)
		ones := slices.Repeat([]float32{1}, 2*rows*k.Lanes)
		g := slices.Repeat([]float32{1 << 24}, rows*k.Lanes)
		k.Outer(g, 0, k.Lanes, ones, 0, 0, rows, ones, 0, 0, k.Lanes, rows, k.Lanes, 2, 1, 1, true)
		for i, got := range g {
			if got != 1<<24 {
				t.Fatalf("sum %d is %v", i, got)
			}
		}
	})
}

func TestMaskClearsWhatHasNoBit(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(53, 54))
		for channels := 1; channels <= 80; channels++ {
			for pixels := 1; pixels < 6; pixels++ {
				stride, bitStride := channels+pixels%3, (channels+7)/8+pixels%2
				before := random(rng, (pixels-1)*stride+channels)
				strew(rng, before, nan, inf)
				bits := make([]byte, pixels*bitStride+1)
				for i := range bits {
					bits[i] = byte(rng.Uint32())
				}
				x, check := guarded(t, before)
				k.Mask(x, stride, bits, bitStride, pixels, channels)
				check()
				want := slices.Clone(before)
				for i := range want {
					p, c := i/stride, i%stride
					if c < channels && bits[p*bitStride+c/8]>>(c%8)&1 == 0 {
						want[i] = 0
					}
				}
				if !sameBits(x, want) {
					t.Fatalf("%d pixels of %d channels: %v, not %v", pixels, channels, x, want)
				}
			}
		}
	})
}

func TestGemm64IsTheProductForEveryLengthOfRun(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(55, 56))
		double := func(n int) []float64 {
			x := make([]float64, n)
			for i := range x {
				x[i] = 2*rng.Float64() - 1
			}
			return x
		}
		for _, columns := range []int{k.Lanes / 2, k.Lanes} {
			for run := 1; run < 20; run++ {
				p := randomProduct(rng, k.Rows*(1+run%3), 1+run%4, run, columns)
				a, b, before := double(len(p.a)), double(len(p.b)), double(len(p.rows)*columns)
				for _, accumulate := range []bool{false, true} {
					acc := slices.Concat([]float64{guard64}, before, []float64{guard64})
					k.Gemm64(acc[1:len(acc)-1], a, p.rows, p.taps, run, b, columns, accumulate)
					if acc[0] != guard64 || acc[len(acc)-1] != guard64 {
						t.Fatal("the words around the sums were overwritten")
					}
					for i, got := range acc[1 : len(acc)-1] {
						want := 0.0
						if accumulate {
							want = before[i]
						}
						for tap := range p.taps {
							for j := range run {
								want += a[p.rows[i/columns]+p.taps[tap]+j] * b[(tap*run+j)*columns+i%columns]
							}
						}
						if !(math.Abs(got-want) <= 1e-14*float64(len(p.taps)*run+1)) {
							t.Fatalf("%d columns, %d taps of %d: element %d is %v, not %v", columns, len(p.taps), run, i, got, want)
						}
					}
				}
			}
		}
	})
}

const guard64 = -7.25

// The roundings on the way of a value through the transposes of the transforms, those of both dimensions.
const (
	adjointRoundings = 2 * 4
	weightRoundings  = 2 * 5
)

// eachTransposed runs f for the transforms that have transposes.
func eachTransposed(t *testing.T, f func(t *testing.T, k Kernel, w Winograd)) {
	eachTransform(t, func(t *testing.T, k Kernel, w Winograd) {
		if w.Taps == 3 {
			f(t, k, w)
		}
	})
}

func TestAdjointIsATimesYTimesATransposed(t *testing.T) {
	eachTransposed(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(57, 58))
		_, _, matrix := interpolation(w)
		a, n := transpose(matrix.floats()), w.Inputs()
		for channels := 1; channels <= 40; channels++ {
			tiles := 1 + channels%4
			p := randomPicture(rng, k, w, channels, tiles)
			if channels%3 == 0 {
				p.strew(rng, w, nan, inf, -inf, inf)
			}
			gap := channels % 4
			vRow := roundUp(channels, k.Lanes) + gap
			vStride := tiles*vRow + gap
			v, checkV := blank(t, w.Positions()*vStride)
			scratch, checkScratch := blank(t, n*p.columns*Line)
			w.Adjoint(v, vStride, vRow, p.x, p.row, p.pixel, channels, tiles, scratch)
			checkV()
			checkScratch()
			for i, got := range v {
				position, tile, c := i/vStride, i%vStride/vRow, i%vStride%vRow
				if tile == tiles || c >= vRow-gap {
					if got != guard {
						t.Fatalf("%d channels: the gap after tile %d of position %d was overwritten", channels, tile, position)
					}
				} else if c < channels {
					want, size := sandwich(a, position/n, position%n, func(y, x int) float64 { return p.at(y, w.Tile*tile+x, c) })
					if !within(got, want, size, adjointRoundings) {
						t.Fatalf("%d channels, tile %d: position %d, channel %d is %v, not %v", channels, tile, position, c, got, want)
					}
				}
			}
		}
	})
}

func TestWeightsIsGTransposedTimesMTimesG(t *testing.T) {
	eachTransposed(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(59, 60))
		_, matrix, _ := interpolation(w)
		gt, n := transpose(matrix.floats()), w.Inputs()
		for vectors := 1; vectors < 5; vectors++ {
			for _, special := range []bool{false, true} {
				columns := vectors * k.Lanes
				mStride, gStride := columns+rng.IntN(3), columns+rng.IntN(3)
				m := random(rng, w.Positions()*mStride)
				if special {
					strew(rng, m, nan, inf, -inf)
				}
				g, check := blank(t, 8*gStride+columns)
				w.Weights(g, gStride, m, mStride, columns)
				check()
				for i, got := range g {
					place, c := i/gStride, i%gStride
					if c >= columns {
						if got != guard {
							t.Fatalf("%d columns: the gap after place %d was overwritten", columns, place)
						}
						continue
					}
					want, size := sandwich(gt, place/3, place%3, func(i, j int) float64 { return float64(m[(i*n+j)*mStride+c]) })
					if !within(got, want, size, weightRoundings) {
						t.Fatalf("%d columns: place %d, column %d is %v, not %v", columns, place, c, got, want)
					}
				}
			}
		}
	})
}

func TestFilterIsGTimesGTimesGTransposedRoundedOnce(t *testing.T) {
	eachTransform(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(79, 80))
		_, matrix, _ := interpolation(w)
		exact := matrix.floats()
		plainFilter := plain.form(w).Filter
		for vectors := 1; vectors < 5; vectors++ {
			columns := vectors * k.Lanes
			gStride, uStride := columns+rng.IntN(3), columns+rng.IntN(3)
			g := random(rng, w.Taps*w.Taps*gStride)
			u, check := blank(t, (w.Positions()-1)*uStride+columns)
			w.Filter(u, uStride, g, gStride, columns)
			check()
			byPlain := slices.Repeat([]float32{guard}, len(u))
			plainFilter(byPlain, uStride, g, gStride, columns)
			if !sameBits(u, byPlain) {
				t.Fatalf("%d columns: other bits than those of the plain kernel", columns)
			}
			for i, got := range u {
				position, c := i/uStride, i%uStride
				if c >= columns {
					continue
				}
				want, _ := sandwich(exact, position/w.Inputs(), position%w.Inputs(), func(k, l int) float64 { return float64(g[(w.Taps*k+l)*gStride+c]) })
				if float64(got) > want+half(want) || float64(got) < want-half(want) {
					t.Fatalf("%d columns: position %d, column %d is %v, not %v rounded", columns, position, c, got, want)
				}
			}
		}
	})
}

// half is half the distance of float32s near x, and a bit.
func half(x float64) float64 {
	f := float32(math.Abs(x))
	return 0.5001*float64(math.Nextafter32(f, 2*f+1)-f) + 1e-15
}

func transpose(m [][]float64) [][]float64 {
	t := make([][]float64, len(m[0]))
	for j := range t {
		for _, row := range m {
			t[j] = append(t[j], row[j])
		}
	}
	return t
}

func TestKernelsOfDerivativesGiveTheSameBitsOfOneArithmetic(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	for i := range 100 {
		const channels, tiles, rows = 48, 3, 24 // whole vectors and products of all kernels
		o := randomOuter(rng, rows, channels, 1+rng.IntN(20), 2)
		sameOfAll(t, func(k Kernel) []float32 {
			g := slices.Clone(o.before)
			for c := 0; c < channels; c += k.Columns(channels - c) {
				k.Outer(g[c:], o.gStride, o.gRow, o.v, o.vStride, o.vLine, o.vRow, o.y[c:], o.yStride, o.yLine, o.yRow, rows, k.Columns(channels-c), o.terms, o.lines, o.positions, true)
			}
			return g
		})
		tile := 2 + 2*(i%2)
		transform := func(k Kernel) Winograd {
			if tile == 2 {
				return k.F2
			}
			return k.F4
		}
		n := tile + 2
		y, m := random(rng, tile*tile*tiles*channels), random(rng, n*n*channels)
		sameOfAll(t, func(k Kernel) []float32 {
			v := make([]float32, n*n*tiles*channels)
			transform(k).Adjoint(v, tiles*channels, channels, y, tile*tiles*channels, channels, channels, tiles, make([]float32, n*tile*tiles*Line))
			return v
		})
		sameOfAll(t, func(k Kernel) []float32 {
			g := make([]float32, 9*channels)
			transform(k).Weights(g, channels, m, channels, channels)
			return g
		})
	}
}

func BenchmarkOuter(b *testing.B) {
	for _, k := range Available() {
		for _, channels := range []int{16, 32, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", k.Name, channels), func(b *testing.B) {
				const terms, positions = 96, 36
				columns, rows := k.Columns(channels), k.WholeRows(channels)
				rng := rand.New(rand.NewPCG(63, 64))
				v, y := random(rng, positions*terms*rows), random(rng, positions*terms*columns)
				g := make([]float32, positions*rows*columns)
				for b.Loop() {
					k.Outer(g, rows*columns, columns, v, terms*rows, 0, rows, y, terms*columns, 0, columns, rows, columns, terms, 1, positions, true)
				}
				b.ReportMetric(2e-9*float64(b.N*positions*terms*channels*columns)/b.Elapsed().Seconds(), "GFLOP/s")
			})
		}
	}
}

func TestRectify64KeepsWhatIsPositiveOrNaNAndNotesIt(t *testing.T) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		rng := rand.New(rand.NewPCG(57, 58))
		double := func(n int) []float64 {
			x := make([]float64, n)
			for i := range x {
				x[i] = []float64{rng.NormFloat64(), rng.NormFloat64(), 0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64}[rng.IntN(8)]
			}
			return x
		}
		for channels := 8; channels <= 40; channels += 8 {
			for pixels := 1; pixels < 6; pixels++ {
				for _, add := range []bool{false, true} {
					xStride, dstStride, bitStride := channels+3, channels+pixels%3, channels/8+pixels%2
					x, shift := double(pixels*xStride), double(channels)
					var residual []float64
					if add {
						residual = double(pixels * dstStride)
					}
					dst, bits := slices.Repeat([]float64{guard64}, pixels*dstStride+1), slices.Repeat([]byte{0xA5}, pixels*bitStride+1)
					want, wantBits := slices.Clone(dst), slices.Clone(bits)
					for p := range pixels {
						clear(wantBits[p*bitStride:][:channels/8])
						for c := range channels {
							y := x[p*xStride+c] + shift[c]
							if add {
								y += residual[p*dstStride+c]
							}
							if !(y <= 0) {
								wantBits[p*bitStride+c/8] |= 1 << (c % 8)
							}
							want[p*dstStride+c] = max(y, 0)
						}
					}
					k.Rectify64(dst, dstStride, x, xStride, pixels, shift, residual, bits, bitStride)
					same := func(a, b float64) bool { return a == b || a != a && b != b }
					if !slices.EqualFunc(dst, want, same) || !slices.Equal(bits, wantBits) {
						t.Fatalf("%d pixels of %d channels: %v and bits %x, not %v and %x", pixels, channels, dst, bits, want, wantBits)
					}
				}
			}
		}
	})
}
