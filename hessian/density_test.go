package hessian

import (
	"context"
	"math"
	"slices"
	"testing"
)

func TestQuadratureMatchesTheMoments(t *testing.T) {
	op := withSpectrum(sequence(120, func(i int, x float64) float64 { return pick(i < 3, 4+x, x) }), 2)
	values := op.eigenvalues(t)
	d, err := SpectralDensity(context.Background(), op, 40, 12, 1)
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != Converged || d.Products != 40*12 || len(d.Probes) != 40 {
		t.Fatalf("%s, %d products, %d probes", d.Status, d.Products, len(d.Probes))
	}
	for k := range 8 {
		exact := 0.0
		for _, x := range values {
			exact += math.Pow(x, float64(k)) / float64(len(values))
		}
		var moments []float64
		for _, q := range d.Probes {
			sum := 0.0
			for j, node := range q.Nodes {
				sum += q.Weights[j] * math.Pow(node, float64(k))
			}
			moments = append(moments, sum)
		}
		mean, standardError := meanAndError(moments)
		if math.Abs(mean-exact) > 3.5*standardError+1e-12 {
			t.Errorf("moment %d is %g ± %g, not %g", k, mean, standardError, exact)
		}
	}
}

// A Gauss rule of m nodes is exact up to degree 2m − 1.
func TestAQuadratureIsGauss(t *testing.T) {
	op := spread(50)
	d, err := SpectralDensity(context.Background(), op, 1, 5, 8)
	if err != nil {
		t.Fatal(err)
	}
	random := newStream(8, 0)
	g := make([]float64, len(op))
	random.gaussian(g)
	square := dots([][]float64{g}, g)[0]
	for k := range 10 {
		exact, sum := 0.0, 0.0
		for i, x := range op {
			exact += g[i] * g[i] / square * math.Pow(x, float64(k))
		}
		for j, node := range d.Probes[0].Nodes {
			sum += d.Probes[0].Weights[j] * math.Pow(node, float64(k))
		}
		if math.Abs(sum-exact) > 1e-11*math.Pow(3.5, float64(k)) {
			t.Errorf("degree %d: %g, not %g", k, sum, exact)
		}
	}
}

func TestTheSmoothedDensityIsThatOfTheEigenvalues(t *testing.T) {
	op := network(3000)
	const width = 0.25
	d, err := SpectralDensity(context.Background(), op, 30, 60, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []float64{-1, -0.5, 0, 0.3, 0.8} {
		exact := 0.0
		for _, x := range op {
			z := (at - x) / width
			exact += math.Exp(-z*z/2) / (width * math.Sqrt(2*math.Pi) * float64(len(op)))
		}
		mean, standardError := d.At(at, width)
		if math.Abs(mean-exact) > 3.5*standardError || standardError > 0.05*mean {
			t.Errorf("density at %g: %g ± %g, not %g", at, mean, standardError, exact)
		}
	}
	if r := d.Range(); math.Abs(r.High-168) > 1e-6 || math.Abs(r.Low+2.99) > 0.05 {
		t.Errorf("the spectrum reaches over %v", r)
	}
}

func TestADensityOfFewEigenvaluesIsExact(t *testing.T) {
	for _, op := range []diagonal{{5}, {0, 0, 0}, {2, 2, -1}} {
		d, err := SpectralDensity(context.Background(), op, 3, 20, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range d.Probes {
			sum := 0.0
			for j, node := range q.Nodes {
				if !slices.ContainsFunc(op, func(x float64) bool { return math.Abs(x-node) < 1e-14 }) {
					t.Errorf("%v: a node at %g", op, node)
				}
				sum += q.Weights[j]
			}
			if math.Abs(sum-1) > 1e-14 {
				t.Errorf("%v: weights sum to %g", op, sum)
			}
		}
	}
}

func TestTracesAreWithinTheirErrors(t *testing.T) {
	values := sequence(150, func(i int, x float64) float64 { return 20*math.Pow(0.7, float64(i)) + 0.05*x })
	op := withSpectrum(values, 5)
	exact := 0.0
	for i := range values {
		exact += op.At(i, i)
	}
	type estimator func(context.Context, Operator, int, uint64) (*Trace, error)
	mean := map[string]float64{}
	for name, estimate := range map[string]estimator{"Hutchinson": Hutchinson, "Hutch++": HutchPlusPlus} {
		const runs = 60
		far := 0
		for seed := range uint64(runs) {
			e, err := estimate(context.Background(), op, 30, seed)
			if err != nil || e.Status != Converged || e.Products != 30 {
				t.Fatal(e, err)
			}
			if math.Abs(e.Value-exact) > 2*e.StandardError {
				far++
			}
			mean[name] += e.StandardError / runs
		}
		if far > 9 { // 3 are expected of a normal distribution, a few more of few products
			t.Errorf("%s: %d of %d traces are over two standard errors off", name, far, runs)
		}
	}
	if mean["Hutch++"] > mean["Hutchinson"]/5 {
		t.Errorf("on a decaying spectrum Hutch++ has the standard error %g, Hutchinson %g", mean["Hutch++"], mean["Hutchinson"])
	}
}

func TestTracesThatAreExact(t *testing.T) {
	ctx := context.Background()
	if e, err := Hutchinson(ctx, diagonal{1, 2, -7}, 2, 9); err != nil || e.Value != -4 || e.StandardError != 0 {
		t.Errorf("a diagonal matrix: %+v, %v", e, err)
	}
	lowRank := withSpectrum(sequence(60, func(i int, _ float64) float64 { return pick(i < 4, float64(i+1), 0) }), 6)
	if e, err := HutchPlusPlus(ctx, lowRank, 15, 9); err != nil || math.Abs(e.Value-10) > 1e-12 || e.StandardError > 1e-13 {
		t.Errorf("rank 4: %+v, %v", e, err)
	}
	for _, op := range []diagonal{{-3}, {0}, {0, 0, 0}, {4, -1}} {
		want := 0.0
		for _, x := range op {
			want += x
		}
		if e, err := HutchPlusPlus(ctx, op, 9, 0); err != nil || math.Abs(e.Value-want) > 1e-14 {
			t.Errorf("%v: %+v, %v", op, e, err)
		}
	}
}

// The paper trusts the convexity of a picture because the curvature of a random projection is
// the mean of the spectrum, weighted by χ² variables. That holds for isotropic
// directions, d ~ N(0, I): dᵀ·A·d = Σ λᵢ·χ²ᵢ. Filter-normalised directions have another scale in every
// filter: for them it is the spectrum of S·A·S that is averaged, S being the scales.
func TestTheCurvatureOfARandomPlaneIsTheWeightedMeanOfTheSpectrum(t *testing.T) {
	values := sequence(60, func(i int, x float64) float64 { return pick(i == 0, 12, x) })
	n := float64(len(values))
	op := withSpectrum(values, 7)
	var sum, squares float64
	for _, x := range values {
		sum += x
		squares += x * x
	}
	var along, across, square []float64
	random := newStream(11, 0)
	x, y := make([]float64, len(values)), make([]float64, len(values))
	w := make([]float64, len(values))
	for range 4000 {
		random.gaussian(x)
		random.gaussian(y)
		if err := op.Apply(context.Background(), [][]float64{x}, [][]float64{w}); err != nil {
			t.Fatal(err)
		}
		products := dots([][]float64{x, y}, w)
		along = append(along, products[0]/n)
		across = append(across, products[1]/n)
		square = append(square, (products[0]-sum)*(products[0]-sum))
	}
	// The two-dimensional Hessian has the expectation (mean eigenvalue)·I.
	for name, c := range map[string]struct {
		values []float64
		want   float64
	}{
		"curvature along a direction": {along, sum / n},
		"the mixed derivative":        {across, 0},
		"the variance of Σ λᵢ·χ²ᵢ":    {square, 2 * squares},
	} {
		if mean, e := meanAndError(c.values); math.Abs(mean-c.want) > 3.5*e {
			t.Errorf("%s is %g ± %g, not %g", name, mean, e, c.want)
		}
	}
}
