package hessian

import (
	"context"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

// spectra are hard in one way each.
var spectra = map[string][]float64{
	"clustered ends": sequence(120, func(i int, x float64) float64 {
		if i < 5 || i >= 115 {
			return math.Copysign(2+1e-4*float64(i%5), x)
		}
		return x
	}),
	"one outlier":            sequence(120, func(i int, x float64) float64 { return pick(i == 0, 168, 0.01*x) }),
	"two outliers":           sequence(120, func(i int, x float64) float64 { return pick(i == 0, 168, pick(i == 1, -3, 0.01*x)) }),
	"definite":               sequence(120, func(_ int, x float64) float64 { return 1e-6 + (x+1)*(x+1) }),
	"negative definite":      sequence(120, func(_ int, x float64) float64 { return -1e-6 - (x+1)*(x+1) }),
	"|λmin| > λmax":          sequence(120, func(_ int, x float64) float64 { return pick(x < 0, -50*x*x, x) }),
	"multiplicities":         sequence(120, func(i int, _ float64) float64 { return float64(i%4) - 1 }),
	"a multiple of identity": sequence(50, func(int, float64) float64 { return -7 }),
	"zero":                   make([]float64, 50),
	"singular":               sequence(120, func(i int, x float64) float64 { return pick(i < 90, 0, x*x) }),
	"uniform":                sequence(120, func(_ int, x float64) float64 { return x }),
	"of tiny numbers":        sequence(100, func(_ int, x float64) float64 { return 1e-130 * x }),
	"of huge numbers":        sequence(100, func(_ int, x float64) float64 { return 1e130 * x }),
	"of one dimension":       {-3},
	"of two dimensions":      {2, -5},
	"of three dimensions":    {2, 2, 2.001},
}

// tiny is a norm that counts as zero.
const tiny = 1e-135

// sequence calls f with n numbers x from −1 to 1.
func sequence(n int, f func(i int, x float64) float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = f(i, float64(i)/float64(n-1)*2-1)
	}
	return values
}

func pick(first bool, a, b float64) float64 {
	if first {
		return a
	}
	return b
}

func extremes(t tester, op Operator, o Options) *Spectrum {
	s, err := Extremes(context.Background(), op, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check compares a spectrum with the eigenvalues, in rising order.
func check(t tester, name string, s *Spectrum, values []float64, tolerance float64) {
	n := len(values)
	low, high := values[0], values[n-1]
	magnitude := max(math.Abs(low), math.Abs(high))
	rounding := 1e-13*magnitude + tiny
	switch {
	case s.Status != Converged:
		t.Errorf("%s: %s after %d products", name, s.Status, s.Products)
	case math.Abs(s.Top[0].Value-high) > tolerance*magnitude+rounding || math.Abs(s.Bottom[0].Value-low) > tolerance*magnitude+rounding:
		t.Errorf("%s: [%g, %g], not [%g, %g]", name, s.Bottom[0].Value, s.Top[0].Value, low, high)
	case magnitude > tiny && !(s.Max.Contains(high) && s.Min.Contains(low)):
		t.Errorf("%s: the intervals %v and %v do not hold %g and %g", name, s.Min, s.Max, low, high)
	}
}

func TestBothEndsOfHardSpectra(t *testing.T) {
	for name, values := range spectra {
		op := withSpectrum(values, 1)
		exact := op.eigenvalues(t)
		for _, tolerance := range []float64{1e-2, 1e-3, 1e-8} {
			for seed := range uint64(3) {
				s := extremes(t, op, Options{Tolerance: tolerance, Seed: seed})
				check(t, name, s, exact, tolerance)
				for _, p := range append(s.Top, s.Bottom...) {
					checkPair(t, name, op, p, max(exact[len(exact)-1], -exact[0]))
				}
			}
		}
		check(t, name+", in a basis of 16", extremes(t, op, Options{Basis: 16}), exact, 1e-3)
	}
}

// checkPair compares a pair's vector and residual with the operator itself, whose norm is magnitude.
func checkPair(t tester, name string, op Operator, p Pair, magnitude float64) {
	product := make([]float64, op.Dim())
	if err := op.Apply(context.Background(), [][]float64{p.Vector}, [][]float64{product}); err != nil {
		t.Fatal(err)
	}
	rounding := 3e-13*magnitude + tiny
	add(product, p.Vector, -p.Value)
	if residual := norm(product); math.Abs(residual-p.Residual) > rounding+1e-3*residual {
		t.Errorf("%s: the residual of %g is %g, not %g", name, p.Value, residual, p.Residual)
	}
	if size := norm(p.Vector); math.Abs(size-1) > 1e-12 {
		t.Errorf("%s: an eigenvector has the norm %g", name, size)
	}
}

func TestAnySpectrum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(-1, 1), rapid.SampledFrom([]float64{0, 1, -1, 1e-9, 100, -100})), 1, 40).Draw(t, "eigenvalues")
		op := withSpectrum(values, rapid.Uint64().Draw(t, "basis"))
		tolerance := rapid.SampledFrom([]float64{0.1, 1e-3, 1e-9}).Draw(t, "tolerance")
		top, bottom := rapid.IntRange(1, 4).Draw(t, "top"), rapid.IntRange(1, 4).Draw(t, "bottom")
		basis := rapid.IntRange(2*(top+bottom), 50).Draw(t, "most vectors")
		s := extremes(t, op, Options{
			Top: top, Bottom: bottom, Tolerance: tolerance,
			Basis:      basis,
			Confidence: 1 - 1e-9, // so that no run ever sees an interval fail
			Seed:       rapid.Uint64().Draw(t, "seed"),
		})
		exact := op.eigenvalues(t)
		if s.Status == NotConverged && basis < len(values) && s.Products == 500 {
			s.Status, tolerance = Converged, 2 // few vectors may need many products, but intervals hold
		}
		check(t, "any", s, exact, tolerance)
		if len(s.Top) != min(top, len(values)) || len(s.Bottom) != min(bottom, len(values)) {
			t.Fatalf("%d and %d pairs", len(s.Top), len(s.Bottom))
		}
		magnitude := max(exact[len(exact)-1], -exact[0])
		for i, p := range append(s.Top, s.Bottom...) {
			checkPair(t, "any", op, p, magnitude)
			nearest := math.Inf(1)
			for _, x := range exact {
				nearest = min(nearest, math.Abs(x-p.Value))
			}
			if nearest > p.Residual+1e-12*magnitude+tiny {
				t.Errorf("pair %d: the eigenvalue nearest to %g is %g off, the residual is %g", i, p.Value, nearest, p.Residual)
			}
		}
	})
}

func TestAStartInAnInvariantSubspaceIsLeft(t *testing.T) {
	op := spread(500)
	op[100], op[200] = -40, 90 // neither is in the start
	exact := slices.Sorted(slices.Values(op))
	for name, places := range map[string][]int{"an eigenvector": {250}, "two": {1, 400}, "three": {10, 300, 499}} {
		start := make([]float32, len(op))
		for _, i := range places {
			start[i] = 0.5
		}
		for seed := range uint64(5) {
			check(t, name, extremes(t, op, Options{Tolerance: 1e-2, Start: [][]float32{start}, Seed: seed}), exact, 1e-2)
		}
	}
}

// network has a spectrum shaped like that of a network at its minimum: some large outliers, a bulk
// around zero and a short negative tail.
func network(n int) diagonal {
	d := make(diagonal, n)
	s := newStream(99, 0)
	s.gaussian(d)
	for i := range d {
		d[i] *= 0.3
	}
	copy(d, []float64{168, 120, 95, 70, 55, 40, 33, 25, 20, 16, 12, 10, -2.99, -2.5, -2.1, -1.9, -1.7, -1.5, -1.4, -1.3})
	return d
}

// Residuals alone stop here within ten steps, with a λmin near 0.
func TestTheShortTailOfANetworkIsNotMissed(t *testing.T) {
	op := network(5000)
	exact := slices.Sorted(slices.Values(op))
	total := 0
	for seed := range uint64(20) {
		s := extremes(t, op, Options{Tolerance: 1e-2, Seed: seed})
		check(t, "network", s, exact, 1e-2)
		if s.Bottom[0].Value > -2 || s.SignUndetermined() {
			t.Errorf("seed %d: λmin is %g in %v", seed, s.Bottom[0].Value, s.Min)
		}
		total += s.Products
	}
	if total > 20*20 {
		t.Errorf("%d products in 20 runs", total)
	}
}

// Residuals alone skip eigenvalues here, and give the next one's instead.
func TestFurtherPairsAreNotSkipped(t *testing.T) {
	const wanted = 5
	op := network(5000)
	exact := slices.Sorted(slices.Values(op))
	total := 0
	for _, tolerance := range []float64{1e-2, 1e-3} {
		for seed := range uint64(20) {
			s := extremes(t, op, Options{Top: wanted, Bottom: wanted, Tolerance: tolerance, Seed: seed})
			check(t, "network", s, exact, tolerance)
			for k := range wanted {
				if d := math.Abs(s.Top[k].Value - exact[len(exact)-1-k]); d > tolerance*168 {
					t.Errorf("tolerance %g, seed %d: the eigenvalue %d from above is off by %g", tolerance, seed, k, d)
				}
				if d := math.Abs(s.Bottom[k].Value - exact[k]); d > tolerance*168 {
					t.Errorf("tolerance %g, seed %d: the eigenvalue %d from below is off by %g", tolerance, seed, k, d)
				}
			}
			total += s.Products
		}
	}
	t.Logf("%d products in 40 runs", total)
}

// single rounds vectors and products to float32, as an engine may.
type single struct{ Operator }

func (s single) Apply(ctx context.Context, vectors, products [][]float64) error {
	rounded := make([]float64, s.Dim())
	for i, x := range vectors[0] {
		rounded[i] = float64(float32(x))
	}
	err := s.Operator.Apply(ctx, [][]float64{rounded}, products)
	for i, x := range products[0] {
		products[0][i] = float64(float32(x))
	}
	return err
}

func TestProductsInSinglePrecisionAreEnough(t *testing.T) {
	op := network(5000)
	exact := slices.Sorted(slices.Values(op))
	for _, tolerance := range []float64{1e-2, 1e-3, 1e-5} {
		s := extremes(t, single{op}, Options{Tolerance: tolerance})
		check(t, "in single precision", s, exact, tolerance)
		if r := s.Top[0].Residual; r < s.Asymmetry {
			t.Errorf("a residual of %g is less than the operator's rounding errors", r)
		}
		if s.Asymmetry < 1e-9*168 || s.Asymmetry > 1e-6*168 {
			t.Errorf("float32's rounding errors show as %g", s.Asymmetry)
		}
	}
	if s := extremes(t, single{op}, Options{Tolerance: 1e-9, Products: 100}); s.Status != NotConverged {
		t.Errorf("single precision is enough for nine digits: %s", s.Status)
	}
}

func TestIntervalsHoldAsOftenAsConfidenceSays(t *testing.T) {
	// One eigenvector alone reaches out, and little: the case that is missed most easily.
	op := spread(300)
	op[7] = 4
	const runs, confidence = 400, 0.6
	failed := 0
	for seed := range uint64(runs) {
		s := extremes(t, op, Options{Tolerance: 0.05, Confidence: confidence, Seed: seed})
		if !s.Max.Contains(4) {
			failed++
		}
	}
	// λmax may fail in half of the cases in which either may.
	if expected := runs * (1 - confidence) / 2; float64(failed) > expected+3*math.Sqrt(expected) {
		t.Errorf("%d of %d intervals fail, at most %g are expected to", failed, runs, expected)
	}
	if failed == 0 {
		t.Error("no interval fails: they are wider than they need be, or the test is too easy")
	}
}

func TestTheRatioCanBeAskedForInstead(t *testing.T) {
	op := network(5000)
	for _, width := range []float64{0.02, 1e-3, 1e-5} {
		s := extremes(t, op, Options{RatioTolerance: width})
		if ratio := 2.99 / 168; s.Status != Converged || s.Ratio.Width() > width || !s.Ratio.Contains(ratio) {
			t.Errorf("%s: |λmin/λmax| = %g in %v, asked for %g", s.Status, ratio, s.Ratio, width)
		}
	}
	for _, op := range []diagonal{{0, 0, 0}, {0, 0, 2}, {-5, 0, 0}} {
		if s := extremes(t, op, Options{RatioTolerance: 0.1}); s.Status != Converged {
			t.Errorf("%v: %s", op, s.Status)
		}
	}
}

func TestTheRatioOfIntervals(t *testing.T) {
	for _, c := range []struct{ min, max, ratio Interval }{
		{Interval{-4, -2}, Interval{10, 20}, Interval{0.1, 0.4}},
		{Interval{-4, 2}, Interval{10, 20}, Interval{0, 0.4}},
		{Interval{2, 4}, Interval{10, 20}, Interval{0.1, 0.4}},
		{Interval{-20, -10}, Interval{-4, -2}, Interval{2.5, 10}},
		{Interval{-20, -10}, Interval{-4, 2}, Interval{2.5, math.Inf(1)}},
	} {
		if got := quotient(c.min.magnitude(), c.max.magnitude()); got != c.ratio {
			t.Errorf("|%v / %v| is %v, not %v", c.min, c.max, got, c.ratio)
		}
	}
}

func TestEigenpairsAtEitherEnd(t *testing.T) {
	op := network(2000)
	exact := slices.Sorted(slices.Values(op))
	s := extremes(t, op, Options{Top: 10, Bottom: 5, Tolerance: 1e-4, Basis: 40})
	check(t, "network", s, exact, 1e-4)
	for k, p := range s.Top {
		if want := exact[len(exact)-1-k]; math.Abs(p.Value-want) > 1e-4*168 {
			t.Errorf("eigenvalue %d from the top is %g, not %g", k, p.Value, want)
		}
		checkPair(t, "top", op, p, 168)
	}
	for k, p := range s.Bottom {
		if want := exact[k]; math.Abs(p.Value-want) > 1e-4*168 {
			t.Errorf("eigenvalue %d from the bottom is %g, not %g", k, p.Value, want)
		}
		checkPair(t, "bottom", op, p, 168)
	}
	all := extremes(t, diagonal{3, 3, 3, -1, -1}, Options{Top: 5, Bottom: 5})
	for k, want := range []float64{3, 3, 3, -1, -1} {
		if math.Abs(all.Top[k].Value-want) > 1e-12 || math.Abs(all.Bottom[4-k].Value-want) > 1e-12 {
			t.Errorf("eigenvalue %d of five is %g and %g, not %g", k, all.Top[k].Value, all.Bottom[4-k].Value, want)
		}
	}
}

func TestSpentProductsAreAStatus(t *testing.T) {
	op := network(2000)
	s := extremes(t, op, Options{Products: 5})
	if s.Status != NotConverged || s.Products != 5 {
		t.Errorf("%s after %d products", s.Status, s.Products)
	}
	if !s.Max.Contains(168) || !s.Min.Contains(-2.99) {
		t.Errorf("the intervals %v and %v do not hold", s.Min, s.Max)
	}
	checkPair(t, "unfinished", op, s.Top[0], 168)
	checkPair(t, "unfinished", op, s.Bottom[0], 168)
}

func TestAStartIsAFunctionOfItsValuesAndTheSeed(t *testing.T) {
	op := network(3000)
	first := extremes(t, op, Options{Seed: 1})
	var start [][]float32
	for _, p := range []Pair{first.Top[0], first.Bottom[0]} {
		rounded := make([]float32, len(op))
		for i, x := range p.Vector {
			rounded[i] = float32(x)
		}
		start = append(start, rounded)
	}
	again := func(seed uint64, start ...[]float32) *Spectrum {
		return extremes(t, op, Options{Seed: seed, Start: start})
	}
	a, b := again(2, start...), again(2, start...)
	if a.Bottom[0].Value != b.Bottom[0].Value || !slices.Equal(a.Bottom[0].Vector, b.Bottom[0].Vector) {
		t.Error("the same start ends elsewhere")
	}
	if c := again(3, start...); slices.Equal(a.Bottom[0].Vector, c.Bottom[0].Vector) {
		t.Error("another seed ends with the same bits")
	}
	useless := again(2, make([]float32, len(op)), slices.Repeat([]float32{float32(math.NaN())}, len(op)))
	if cold := again(2); !slices.Equal(useless.Bottom[0].Vector, cold.Bottom[0].Vector) {
		t.Error("zeros and NaNs count for something in a start")
	}
	cold := again(2)
	if got, want := math.Abs(a.Bottom[0].Value+2.99), math.Abs(cold.Bottom[0].Value+2.99); got > want/100 {
		t.Errorf("from a neighbour's vectors λmin is off by %g, from nothing by %g", got, want)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, o := range []Options{
		{Top: -1}, {Bottom: -1}, {Products: -1}, {Basis: 3}, {Basis: 8, Top: 5}, {Tolerance: -1}, {Tolerance: math.NaN()},
		{RatioTolerance: -1}, {Confidence: 1}, {Confidence: -1}, {Start: [][]float32{{1, 2}}},
	} {
		if _, err := Extremes(context.Background(), diagonal{1, 2, 3}, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// least is the Hessian Xᵀ·X/N of the quadratic loss 1/2N·‖X·θ − y‖².
type least struct{ x *mat.Dense }

func (q least) Dim() int { _, n := q.x.Dims(); return n }

func (q least) Apply(_ context.Context, vectors, products [][]float64) error {
	rows, n := q.x.Dims()
	for k, v := range vectors {
		var outputs mat.VecDense
		outputs.MulVec(q.x, mat.NewVecDense(n, v))
		product := mat.NewVecDense(n, products[k])
		product.MulVec(q.x.T(), &outputs)
		product.ScaleVec(1/float64(rows), product)
	}
	return nil
}

func TestTheEndsOfAQuadraticLossAreExact(t *testing.T) {
	for _, shape := range [][2]int{{80, 30}, {20, 60}} { // more images than parameters, and fewer
		rows, n := shape[0], shape[1]
		s := newStream(4, 4)
		x := make([]float64, rows*n)
		s.gaussian(x)
		loss := least{mat.NewDense(rows, n, x)}
		var svd mat.SVD
		svd.Factorize(loss.x, mat.SVDNone)
		sigma := svd.Values(nil)
		high, low := sigma[0]*sigma[0]/float64(rows), 0.0
		if rows >= n {
			low = sigma[n-1] * sigma[n-1] / float64(rows)
		}
		got := extremes(t, loss, Options{Tolerance: 1e-12, Basis: n + 10})
		if math.Abs(got.Top[0].Value-high) > 1e-13*high || math.Abs(got.Bottom[0].Value-low) > 1e-13*high {
			t.Errorf("%d images, %d parameters: [%g, %g], not [%g, %g]", rows, n, got.Bottom[0].Value, got.Top[0].Value, low, high)
		}
	}
}
