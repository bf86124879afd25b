package hessian

import (
	"context"
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// tester is a testing.T or a rapid.T.
type tester interface {
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// matrix is a dense operator.
type matrix struct{ *mat.SymDense }

func (m matrix) Dim() int { return m.SymmetricDim() }

func (m matrix) Apply(_ context.Context, vectors, products [][]float64) error {
	for k, v := range vectors {
		mat.NewVecDense(len(v), products[k]).MulVec(m, mat.NewVecDense(len(v), v))
	}
	return nil
}

// eigenvalues are LAPACK's, in rising order.
func (m matrix) eigenvalues(t tester) []float64 {
	var eigen mat.EigenSym
	if !eigen.Factorize(m, true) { // without vectors gonum panics on tiny numbers
		t.Fatal("gonum's eigenvalues do not converge")
	}
	return eigen.Values(nil)
}

// withSpectrum is Q·diag(values)·Qᵀ for a random orthogonal Q.
func withSpectrum(values []float64, seed uint64) matrix {
	n := len(values)
	s := newStream(seed, 1)
	g := make([]float64, n*n)
	s.gaussian(g)
	var qr mat.QR
	qr.Factorize(mat.NewDense(n, n, g))
	var q, scaled, a mat.Dense
	qr.QTo(&q)
	scaled.Apply(func(_, j int, x float64) float64 { return x * values[j] }, &q)
	a.Mul(&scaled, q.T())
	m := mat.NewSymDense(n, nil)
	for i := range n {
		for j := range i + 1 {
			m.SetSym(i, j, (a.At(i, j)+a.At(j, i))/2)
		}
	}
	return matrix{m}
}

// diagonal is the operator of a diagonal matrix: its eigenvectors are the unit vectors.
type diagonal []float64

func (d diagonal) Dim() int { return len(d) }

func (d diagonal) Apply(_ context.Context, vectors, products [][]float64) error {
	for k, v := range vectors {
		for i, x := range d {
			products[k][i] = x * v[i]
		}
	}
	return nil
}

// faulty spoils product number at, counted from 1.
type faulty struct {
	Operator
	at, count int
	spoil     func(product []float64) error
}

func (f *faulty) Apply(ctx context.Context, vectors, products [][]float64) error {
	if err := f.Operator.Apply(ctx, vectors, products); err != nil {
		return err
	}
	for _, product := range products {
		f.count++
		if f.count == f.at {
			return f.spoil(product) // and of this call no more are counted
		}
	}
	return nil
}

// computations are all that an operator can be given to.
var computations = map[string]func(context.Context, Operator) (Status, error){
	"Extremes": func(ctx context.Context, op Operator) (Status, error) {
		s, err := Extremes(ctx, op, Options{})
		if err != nil {
			return "", err
		}
		return s.Status, nil
	},
	"SpectralDensity": func(ctx context.Context, op Operator) (Status, error) {
		d, err := SpectralDensity(ctx, op, 2, 10, 0)
		if err != nil {
			return "", err
		}
		return d.Status, nil
	},
	"Hutchinson": func(ctx context.Context, op Operator) (Status, error) {
		e, err := Hutchinson(ctx, op, 12, 0)
		if err != nil {
			return "", err
		}
		return e.Status, nil
	},
	"HutchPlusPlus": func(ctx context.Context, op Operator) (Status, error) {
		e, err := HutchPlusPlus(ctx, op, 12, 0)
		if err != nil {
			return "", err
		}
		return e.Status, nil
	},
}

func TestAProductThatIsNotFiniteIsAStatus(t *testing.T) {
	op := make(diagonal, 50)
	for i := range op {
		op[i] = math.Sin(float64(i))
	}
	for name, compute := range computations {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for at := 1; at <= 10; at++ {
				f := &faulty{Operator: op, at: at, spoil: func(p []float64) error { p[17] = bad; return nil }}
				status, err := compute(context.Background(), f)
				if err != nil || status != NotFinite || f.count != at {
					t.Errorf("%s with %g in product %d: %q after %d products, %v", name, bad, at, status, f.count, err)
				}
			}
		}
	}
}

func TestAnOperatorsErrorAndCancellationEndAComputation(t *testing.T) {
	op := make(diagonal, 50)
	for i := range op {
		op[i] = math.Sin(float64(i))
	}
	broken := errors.New("broken")
	for name, compute := range computations {
		for at := 1; at <= 10; at++ {
			f := &faulty{Operator: op, at: at, spoil: func([]float64) error { return broken }}
			if _, err := compute(context.Background(), f); err != broken || f.count != at {
				t.Errorf("%s with an error in product %d: %v after %d products", name, at, err, f.count)
			}
			ctx, cancel := context.WithCancel(context.Background())
			f = &faulty{Operator: op, at: at, spoil: func([]float64) error { cancel(); return nil }}
			if _, err := compute(ctx, f); !errors.Is(err, context.Canceled) || f.count != at {
				t.Errorf("%s cancelled in product %d: %v after %d products", name, at, err, f.count)
			}
			cancel()
		}
	}
}

func TestAnOperatorWithoutDimensionIsRefused(t *testing.T) {
	for name, compute := range computations {
		if _, err := compute(context.Background(), diagonal{}); err == nil {
			t.Errorf("%s of nothing is no error", name)
		}
	}
}

func TestARestrictionIsThePrincipalSubmatrix(t *testing.T) {
	whole := withSpectrum([]float64{5, 3, 1, 0.5, -1, -2, -4, 8}, 1)
	r, err := Restrict(whole, []Range{{1, 3}, {3, 3}, {4, 7}})
	if err != nil {
		t.Fatal(err)
	}
	places := []int{1, 2, 4, 5, 6}
	if r.Dim() != len(places) {
		t.Fatalf("dimension %d", r.Dim())
	}
	for j, column := range places {
		unit, product := make([]float64, 5), make([]float64, 5)
		unit[j] = 1
		if err := r.Apply(context.Background(), [][]float64{unit}, [][]float64{product}); err != nil {
			t.Fatal(err)
		}
		for i, row := range places {
			if product[i] != whole.At(row, column) {
				t.Errorf("element (%d, %d) is %g, not %g", i, j, product[i], whole.At(row, column))
			}
		}
	}
	scattered := []float64{9, 9, 9, 9, 9, 9, 9, 9}
	r.Scatter([]float64{1, 2, 3, 4, 5}, scattered)
	for i, want := range []float64{0, 1, 2, 0, 3, 4, 5, 0} {
		if scattered[i] != want {
			t.Errorf("scattered to %v", scattered)
		}
	}
}

func TestRangesOutOfOrderOrOutOfBoundsAreRefused(t *testing.T) {
	for _, ranges := range [][]Range{{{-1, 2}}, {{0, 4}}, {{2, 1}}, {{0, 2}, {1, 3}}, {{2, 3}, {0, 1}}} {
		if _, err := Restrict(diagonal{1, 2, 3}, ranges); err == nil {
			t.Errorf("%v is accepted", ranges)
		}
	}
}
