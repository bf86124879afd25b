package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// matrix is one of rational numbers.
type matrix [][]*big.Rat

func (m matrix) times(x []*big.Rat) []*big.Rat {
	y := make([]*big.Rat, len(m))
	for i, row := range m {
		y[i] = new(big.Rat)
		for j, v := range row {
			y[i].Add(y[i], new(big.Rat).Mul(v, x[j]))
		}
	}
	return y
}

func (m matrix) floats() [][]float64 {
	f := make([][]float64, len(m))
	for i, row := range m {
		f[i] = make([]float64, len(row))
		for j, v := range row {
			f[i][j], _ = v.Float64()
		}
	}
	return f
}

// interpolation derives the matrices of a transform from its points, p₀, p₁ … and ∞ as the last:
//
//	Bᵀ[i] = ±coefficients of Π_{j≠i} (z − p_j)
//	G[i,k] = ±p_iᵏ / Π_{j≠i} (p_i − p_j)
//	Aᵀ[y,i] = p_iʸ
//
// where ∞ leaves the highest power alone. F2's signs are those of Lavin and Gray.
func interpolation(w Winograd) (bt, g, at matrix) {
	points, negative := []float64{0, A, -A, B, -B}[3-w.Taps:], []int{}
	if w.Tile == 2 {
		points, negative = []float64{0, 1, -1}, []int{0, 3}
	}
	tile := w.Tile
	n := len(points) + 1
	at = make(matrix, tile)
	for i := range n {
		polynomial, norm := []*big.Rat{big.NewRat(1, 1)}, big.NewRat(1, 1)
		for j, q := range points {
			if j == i {
				continue
			}
			root := new(big.Rat).SetFloat64(q)
			next := []*big.Rat{new(big.Rat)} // polynomial·(z − root)
			for _, c := range polynomial {
				next[len(next)-1].Sub(next[len(next)-1], new(big.Rat).Mul(root, c))
				next = append(next, new(big.Rat).Set(c))
			}
			polynomial = next
			if i < len(points) {
				norm.Mul(norm, new(big.Rat).SetFloat64(points[i]-q))
			}
		}
		for len(polynomial) < n {
			polynomial = append(polynomial, new(big.Rat))
		}
		// powers are pᵏ for k < count.
		powers := func(count int) []*big.Rat {
			p := make([]*big.Rat, count)
			for k := range p {
				switch {
				case i < len(points):
					p[k] = new(big.Rat).SetFloat64(math.Pow(points[i], float64(k)))
				case k < count-1:
					p[k] = new(big.Rat)
				default:
					p[k] = big.NewRat(1, 1)
				}
			}
			return p
		}
		weights := powers(w.Taps)
		for _, w := range weights {
			w.Quo(w, norm)
		}
		outputs := powers(tile)
		if slices.Contains(negative, i) {
			for _, b := range polynomial {
				b.Neg(b)
			}
			// Of the two signs that make up for it, the weights' is that which makes G positive.
			side := weights
			if i == n-1 {
				side = outputs
			}
			for _, v := range side {
				v.Neg(v)
			}
		}
		bt, g = append(bt, polynomial), append(g, weights)
		for y, v := range outputs {
			at[y] = append(at[y], v)
		}
	}
	return bt, g, at
}

func TestThePointsOfWinogradGiveExactCorrelations(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	integers := func(n int) []*big.Rat {
		x := make([]*big.Rat, n)
		for i := range x {
			x[i] = big.NewRat(rng.Int64N(2001)-1000, 1)
		}
		return x
	}
	for _, form := range []Winograd{plain.F2, plain.F4, plain.F42} {
		bt, g, at := interpolation(form)
		for range 20 {
			d, w := integers(form.Inputs()), integers(form.Taps)
			product := bt.times(d)
			for i, v := range g.times(w) {
				product[i].Mul(product[i], v)
			}
			for y, got := range at.times(product) {
				want := new(big.Rat)
				for k, v := range w {
					want.Add(want, new(big.Rat).Mul(d[y+k], v))
				}
				if got.Cmp(want) != 0 {
					t.Fatalf("F(%d, %d): output %d is %v, not %v", form.Tile, form.Taps, y, got, want)
				}
			}
		}
	}
}

// sandwich is Σ_k Σ_l m[i][k]·x(k, l)·m[j][l] with the sum of its terms' magnitudes. Zeros of m are no terms.
func sandwich(m [][]float64, i, j int, x func(k, l int) float64) (sum, size float64) {
	for k, a := range m[i] {
		for l, b := range m[j] {
			if a != 0 && b != 0 {
				sum += a * x(k, l) * b
				size += math.Abs(a * x(k, l) * b)
			}
		}
	}
	return sum, size
}

// The roundings on the way of a value through a transform, those of both dimensions.
const (
	inputRoundings    = 2 * 4
	outputRoundings   = 2 * 4
	epilogueRoundings = 3
)

func (w *Winograd) name() string { return fmt.Sprintf("F(%d,%d)", w.Tile, w.Taps) }

// form is k's transforms for the tiles and taps of w.
func (k *Kernel) form(w Winograd) Winograd {
	return map[[2]int]Winograd{{2, 3}: k.F2, {4, 3}: k.F4, {4, 2}: k.F42}[[2]int{w.Tile, w.Taps}]
}

// eachTransform runs f for the transforms of every kernel.
func eachTransform(t *testing.T, f func(t *testing.T, k Kernel, w Winograd)) {
	eachKernel(t, func(t *testing.T, k Kernel) {
		for _, w := range []Winograd{k.F2, k.F4, k.F42} {
			t.Run(w.name(), func(t *testing.T) { f(t, k, w) })
		}
	})
}

// picture is the input of a row of tiles.
type picture struct {
	x                                    []float32
	row, pixel, channels, tiles, columns int
}

// randomPicture has gaps of NaN between its pixels, which Input may read, and its rows, which it may too.
func randomPicture(rng *rand.Rand, k Kernel, w Winograd, channels, tiles int) picture {
	p := picture{pixel: channels + rng.IntN(3), channels: channels, tiles: tiles, columns: w.Tile*tiles + w.Taps - 1}
	p.row = p.columns*p.pixel + rng.IntN(4)
	p.x = slices.Repeat([]float32{nan}, (w.Inputs()-1)*p.row+(p.columns-1)*p.pixel+roundUp(channels, k.Lanes))
	for y := range w.Inputs() {
		for x := range p.columns {
			copy(p.x[y*p.row+x*p.pixel:], random(rng, channels))
		}
	}
	return p
}

func (p picture) at(y, x, c int) float64 { return float64(p.x[y*p.row+x*p.pixel+c]) }

// strew puts each of the values at a few of the pixels.
func (p picture) strew(rng *rand.Rand, w Winograd, values ...float32) {
	for _, v := range values {
		p.x[rng.IntN(w.Inputs())*p.row+rng.IntN(p.columns)*p.pixel+rng.IntN(p.channels)] = v
	}
}

// input transforms p, with guards around all that is written, to tiles rows or more of whole vectors.
func (p picture) input(t *testing.T, k Kernel, w Winograd, tiles, gap int) (v []float32, vStride, vRow int) {
	t.Helper()
	vRow = roundUp(p.channels, k.Lanes) + gap
	vStride = tiles*vRow + gap
	v, checkV := blank(t, w.Positions()*vStride)
	scratch, checkScratch := blank(t, w.Inputs()*p.columns*Line)
	w.Input(v, vStride, vRow, p.x, p.row, p.pixel, p.channels, p.tiles, scratch)
	checkV()
	checkScratch()
	return v, vStride, vRow
}

func TestInputIsBTransposedTimesDTimesB(t *testing.T) {
	eachTransform(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(33, 34))
		matrix, _, _ := interpolation(w)
		bt, n := matrix.floats(), w.Inputs()
		for channels := 1; channels <= 40; channels++ {
			p := randomPicture(rng, k, w, channels, 1+channels%4)
			if channels%3 == 0 {
				p.strew(rng, w, nan, inf, -inf, inf)
			}
			gap := channels % 4
			v, vStride, vRow := p.input(t, k, w, p.tiles, gap)
			for i, got := range v {
				position, tile, c := i/vStride, i%vStride/vRow, i%vStride%vRow
				if tile == p.tiles || c >= vRow-gap {
					if got != guard {
						t.Fatalf("%d channels: the gap after tile %d of position %d was overwritten", channels, tile, position)
					}
				} else if c < channels {
					want, size := sandwich(bt, position/n, position%n, func(y, x int) float64 { return p.at(y, w.Tile*tile+x, c) })
					if !within(got, want, size, inputRoundings) {
						t.Fatalf("%d channels, tile %d: position %d, channel %d is %v, not %v", channels, tile, position, c, got, want)
					}
				}
			}
		}
	})
}

// inverse is an Output with everything that it takes.
type inverse struct {
	m, scale, shift, residual                       []float32
	mStride, mRow, tiles, row, pixel, width, height int
	bound                                           float32
}

// randomInverse has gaps of NaN in m. row and pixel are those of the residual and the output.
func randomInverse(rng *rand.Rand, k Kernel, w Winograd, channels, tiles int, add bool, bound float32) inverse {
	o := inverse{scale: random(rng, channels), shift: random(rng, channels), tiles: tiles, bound: bound,
		width: w.Tile * tiles, height: w.Tile, pixel: channels + rng.IntN(3)}
	o.mRow = roundUp(channels, k.Lanes) + rng.IntN(3)
	o.mStride = tiles*o.mRow + rng.IntN(3)
	o.m = slices.Repeat([]float32{nan}, w.Positions()*o.mStride)
	for p := range w.Positions() {
		for t := range tiles {
			copy(o.m[p*o.mStride+t*o.mRow:], random(rng, channels))
		}
	}
	o.row = o.width*o.pixel + rng.IntN(3)
	if add {
		o.residual = random(rng, o.size())
	}
	return o
}

// size is that of the output, which ends with its last channel.
func (o inverse) size() int { return (o.height-1)*o.row + (o.width-1)*o.pixel + len(o.scale) }

// place is the row, the pixel and the channel of element i of the output; ok is false in gaps.
func (o inverse) place(i int) (y, x, c int, ok bool) {
	y, x, c = i/o.row, i%o.row/o.pixel, i%o.row%o.pixel
	return y, x, c, x < o.width && c < len(o.scale)
}

func (o inverse) run(w Winograd, dst []float32) {
	w.Output(dst, o.row, o.pixel, o.m, o.mStride, o.mRow, o.tiles, o.scale, o.shift, o.residual, o.row, o.pixel, o.bound)
}

// finish is the epilogue of a sum in float64.
func (o inverse) finish(sum, size float64, i, c int) (float64, float64) {
	scale, shift := float64(o.scale[c]), float64(o.shift[c])
	sum, size = sum*scale+shift, size*math.Abs(scale)+math.Abs(shift)
	if o.residual != nil {
		sum += float64(o.residual[i])
		size += math.Abs(float64(o.residual[i]))
	}
	return max(sum, float64(o.bound)), size // NaN if sum is
}

func TestOutputIsATransposedTimesMTimesAWithTheEpilogue(t *testing.T) {
	eachTransform(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(35, 36))
		_, _, matrix := interpolation(w)
		at, n := matrix.floats(), w.Inputs()
		for channels := 1; channels <= 40; channels++ {
			for option := range 4 {
				add, special := option&1 != 0, option&2 != 0
				o := randomInverse(rng, k, w, channels, 1+channels%4, add, bounds[channels%len(bounds)])
				if special {
					strew(rng, o.m, nan, inf, -inf)
					strew(rng, o.scale[:1+rng.IntN(channels)], nan, inf)
					o.shift[rng.IntN(channels)] = -inf
					if add {
						strew(rng, o.residual, nan, inf, -inf)
					}
				}
				dst, check := blank(t, o.size())
				o.run(w, dst)
				check()
				for i, got := range dst {
					y, x, c, ok := o.place(i)
					if !ok {
						if got != guard {
							t.Fatalf("%d channels: a gap in row %d was overwritten", channels, y)
						}
						continue
					}
					want, size := sandwich(at, y, x%w.Tile, func(i, j int) float64 {
						return float64(o.m[(i*n+j)*o.mStride+x/w.Tile*o.mRow+c])
					})
					want, size = o.finish(want, size, i, c)
					if !within(got, want, size, outputRoundings+epilogueRoundings) {
						t.Fatalf("%d channels: row %d, pixel %d, channel %d is %v, not %v", channels, y, x, c, got, want)
					}
				}
			}
		}
	})
}

func TestOutputWorksInPlaceOfTheResidual(t *testing.T) {
	eachTransform(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(37, 38))
		for channels := 1; channels <= 40; channels += 3 {
			o := randomInverse(rng, k, w, channels, 3, true, 0)
			want := slices.Clone(o.residual)
			o.run(w, want)
			o.run(w, o.residual)
			if !sameBits(o.residual, want) {
				t.Fatalf("%d channels: the result is another", channels)
			}
		}
	})
}

// convolution is one with stride 1 of a row of tiles by way of Input, Batched and Output.
type convolution struct {
	picture
	outputs int
	taps    int       // rows and columns of a kernel
	g       []float64 // [output][channel][tap][tap]
	inverse
}

func randomConvolution(rng *rand.Rand, k Kernel, w Winograd, channels, outputs, tiles int, bound float32) convolution {
	c := convolution{picture: randomPicture(rng, k, w, channels, tiles), outputs: outputs, taps: w.Taps,
		inverse: randomInverse(rng, k, w, outputs, tiles, true, bound), g: make([]float64, outputs*channels*w.Taps*w.Taps)}
	for i := range c.g {
		c.g[i] = float64(rng.Float32()*2 - 1)
	}
	return c
}

func (c convolution) tap(output, channel, y, x int) float64 {
	return c.g[((output*c.channels+channel)*c.taps+y)*c.taps+x]
}

// weights are G·g·Gᵀ in float64.
func (c convolution) weights(w Winograd) (u func(position, channel, output int) float64) {
	_, matrix, _ := interpolation(w)
	g, n := matrix.floats(), w.Inputs()
	all := make([]float64, w.Positions()*c.channels*c.outputs)
	for i := range all {
		position, channel, output := i/c.outputs/c.channels, i/c.outputs%c.channels, i%c.outputs
		all[i], _ = sandwich(g, position/n, position%n, func(y, x int) float64 { return c.tap(output, channel, y, x) })
	}
	return func(position, channel, output int) float64 {
		return all[(position*c.channels+channel)*c.outputs+output]
	}
}

// compute is the convolution by the kernel.
func (c convolution) compute(t *testing.T, k Kernel, w Winograd) []float32 {
	t.Helper()
	tiles := k.WholeRows(c.picture.tiles)
	v, vStride, vRow := c.input(t, k, w, tiles, 1)
	u := c.weights(w)
	matrix := make([]float32, w.Positions()*c.channels*c.outputs)
	for i := range matrix {
		matrix[i] = float32(u(i/c.outputs/c.channels, i/c.outputs%c.channels, i%c.outputs))
	}
	rows := w.Positions() * tiles
	product := panels(k, matrix, c.outputs, rows, func(panel []float32, width int, out []float32) {
		k.Batched(out, tiles*width, width, v, vStride, vRow, c.channels, tiles, panel, c.channels*width, width, w.Positions(), false)
	})
	o := c.inverse
	o.mRow, o.mStride = c.outputs, tiles*c.outputs
	o.m = append(product, make([]float32, k.Lanes)...) // Output reads whole vectors
	dst, check := blank(t, o.size())
	o.run(w, dst)
	check()
	return dst
}

// magnitudes bounds what the transforms add up: |Aᵀ|·(|U| ⊙ (|Bᵀ|·|d|·|B|))·|A| as a function of the output's place.
func (c convolution) magnitudes(w Winograd) func(y, x, output int) float64 {
	matrixB, _, matrixA := interpolation(w)
	bt, at, n, u := matrixB.floats(), matrixA.floats(), w.Inputs(), c.weights(w)
	m := make([]float64, w.Positions()*c.picture.tiles*c.outputs)
	for position := range w.Positions() {
		for tile := range c.picture.tiles {
			for channel := range c.channels {
				_, size := sandwich(bt, position/n, position%n, func(y, x int) float64 { return c.at(y, w.Tile*tile+x, channel) })
				for o := range c.outputs {
					m[(position*c.picture.tiles+tile)*c.outputs+o] += size * math.Abs(u(position, channel, o))
				}
			}
		}
	}
	return func(y, x, output int) float64 {
		_, size := sandwich(at, y, x%w.Tile, func(i, j int) float64 {
			return m[((i*n+j)*c.picture.tiles+x/w.Tile)*c.outputs+output]
		})
		return size
	}
}

// direct is an element of the convolution in float64.
func (c convolution) direct(y, x, output int) (sum float64) {
	for channel := range c.channels {
		for i := range c.taps {
			for j := range c.taps {
				sum += c.at(y+i, x+j, channel) * c.tap(output, channel, i, j)
			}
		}
	}
	return sum
}

// roundings of a convolution: also those of the weights and of the product.
func (c convolution) roundings() int {
	return inputRoundings + 1 + c.channels + 1 + outputRoundings + epilogueRoundings
}

func TestWinogradIsTheConvolution(t *testing.T) {
	eachTransform(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(39, 40))
		for channels := 1; channels <= 40; channels += 3 {
			outputs := 1 + rng.IntN(3*k.Lanes)
			c := randomConvolution(rng, k, w, channels, outputs, 1+rng.IntN(5), bounds[channels%2])
			dst, size := c.compute(t, k, w), c.magnitudes(w)
			for i, got := range dst {
				y, x, o, ok := c.place(i)
				if !ok {
					continue
				}
				want, sizes := c.finish(c.direct(y, x, o), size(y, x, o), i, o)
				if !within(got, want, sizes, c.roundings()) {
					t.Fatalf("%d to %d channels: row %d, pixel %d, channel %d is %v, not %v", channels, outputs, y, x, o, got, want)
				}
			}
		}
	})
}

func TestNaNAndInfinityMakeNoWrongNumbers(t *testing.T) {
	// Where a tile sees one, its outputs may be NaN; otherwise all are as the direct convolution's.
	eachTransform(t, func(t *testing.T, k Kernel, w Winograd) {
		rng := rand.New(rand.NewPCG(41, 42))
		for round := range 60 {
			c := randomConvolution(rng, k, w, 1+rng.IntN(5), 1+rng.IntN(5), 3, bounds[round%2])
			size := c.magnitudes(w)
			special := []float32{nan, inf, -inf}[round%3]
			place := [2]int{rng.IntN(w.Inputs()), rng.IntN(c.columns)}
			c.x[place[0]*c.picture.row+place[1]*c.picture.pixel+rng.IntN(c.channels)] = special
			for i, got := range c.compute(t, k, w) {
				y, x, o, ok := c.place(i)
				if !ok {
					continue
				}
				want, sizes := c.finish(c.direct(y, x, o), size(y, x, o), i, o)
				first := x / w.Tile * w.Tile
				seen := first <= place[1] && place[1] < first+w.Inputs()
				if !within(got, want, sizes, c.roundings()) && !(seen && got != got) {
					t.Fatalf("%v at %v: row %d, pixel %d is %v, not %v", special, place, y, x, got, want)
				}
			}
		}
	})
}

func TestTransformsOfOneArithmeticGiveTheSameBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 44))
	for round := range 200 {
		widest := Kernel{Lanes: 16}
		w := []Winograd{plain.F2, plain.F4, plain.F42}[round%3]
		channels, tiles := 1+rng.IntN(40), 1+rng.IntN(4)
		p := randomPicture(rng, widest, w, channels, tiles)
		sameOfAll(t, func(k Kernel) (first []float32) {
			v, vStride, vRow := p.input(t, k, k.form(w), tiles, 0)
			for position := range w.Positions() {
				for tile := range tiles {
					first = append(first, v[position*vStride+tile*vRow:][:channels]...)
				}
			}
			return first
		})
		o := randomInverse(rng, widest, w, channels, tiles, rng.IntN(2) == 0, bounds[rng.IntN(2)])
		sameOfAll(t, func(k Kernel) []float32 {
			dst := make([]float32, o.size())
			o.run(k.form(w), dst)
			return dst
		})
	}
}

// benchmarkTransform reports the time for a tile and 16 channels in a row of 8 tiles.
func benchmarkTransform(b *testing.B, prepare func(k Kernel, w Winograd, channels, tiles int) (run func())) {
	for _, k := range Available() {
		for _, w := range []Winograd{k.F2, k.F4, k.F42} {
			for _, channels := range []int{16, 32, 64} {
				b.Run(fmt.Sprintf("%s/%s/%d", k.Name, w.name(), channels), func(b *testing.B) {
					const tiles = 8
					run := prepare(k, w, channels, tiles)
					for b.Loop() {
						run()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tiles*channels/16), "ns/tile16")
				})
			}
		}
	}
}

func BenchmarkInput(b *testing.B) {
	benchmarkTransform(b, func(k Kernel, w Winograd, channels, tiles int) func() {
		n, pixels := w.Inputs(), w.Tile*tiles+w.Taps-1
		x, stride := random(rand.New(rand.NewPCG(1, 1)), n*pixels*channels), tiles*channels+16
		v, scratch := make([]float32, w.Positions()*stride), make([]float32, n*pixels*Line)
		return func() { w.Input(v, stride, channels, x, pixels*channels, channels, channels, tiles, scratch) }
	})
}

func BenchmarkOutput(b *testing.B) {
	benchmarkTransform(b, func(k Kernel, w Winograd, channels, tiles int) func() {
		rng := rand.New(rand.NewPCG(1, 1))
		pixel, row, stride := channels, w.Tile*tiles*channels, tiles*channels+16
		m, scale, shift := random(rng, w.Positions()*stride), random(rng, channels), random(rng, channels)
		dst, residual := make([]float32, w.Tile*row), random(rng, w.Tile*row)
		return func() {
			w.Output(dst, row, pixel, m, stride, channels, tiles, scale, shift, residual, row, pixel, 0)
		}
	})
}
