package hessian

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Trace is an estimate of an operator's trace.
type Trace struct {
	Status        Status // Converged, or NotFinite, and then there is no value
	Products      int
	Value         float64
	StandardError float64 // of Value, over the random vectors
}

// Hutchinson estimates the trace without bias as the mean of gᵀ·A·g over products vectors g, at
// least two, of independent signs (Hutchinson, Commun. Stat. Simul. 18, 1989). Its variance is
// 2·Σ aᵢⱼ², i ≠ j, over the number of products.
func Hutchinson(ctx context.Context, op Operator, products int, seed uint64) (*Trace, error) {
	if op.Dim() < 1 || products < 2 {
		return nil, fmt.Errorf("trace: %d products in %d dimensions: at least two are needed, and a dimension", products, op.Dim())
	}
	return deflated(ctx, op, 0, products, seed)
}

// HutchPlusPlus estimates the trace without bias as that of A on the range Q of A·S, S being a
// third of the products' number of random vectors, plus Hutchinson's estimate on what is
// orthogonal to Q (Meyer, Musco, Musco, Woodruff, SOSA 2021). It is the better one where few
// eigenvalues make up most of ‖A‖. It takes at most products products, at least 6, and keeps a
// third as many vectors.
func HutchPlusPlus(ctx context.Context, op Operator, products int, seed uint64) (*Trace, error) {
	if op.Dim() < 1 || products < 6 {
		return nil, fmt.Errorf("trace: %d products in %d dimensions: at least six are needed, and a dimension", products, op.Dim())
	}
	return deflated(ctx, op, products/3, products, seed)
}

// deflated is Hutch++ with a sketch of so many vectors, which may be none.
func deflated(ctx context.Context, op Operator, sketch, products int, seed uint64) (*Trace, error) {
	n := op.Dim()
	random := newStream(seed, 0)
	t := &Trace{Status: Converged}
	var basis [][]float64
	g, w := make([]float64, n), make([]float64, n)
	// form is gᵀ·A·g.
	form := func(g []float64) (float64, error) {
		t.Products++
		if _, err := apply(ctx, op, g, w); err != nil {
			return 0, err
		}
		return dots([][]float64{g}, w)[0], nil
	}
	for range min(sketch, n) {
		random.signs(g)
		t.Products++
		size, err := apply(ctx, op, g, w)
		if err != nil {
			return t.failed(err)
		}
		if _, beta := orthogonalise(w, basis, size, size); beta > 0 {
			basis = append(basis, w)
			w = make([]float64, n)
		}
	}
	inside := 0.0
	for _, q := range basis {
		x, err := form(q)
		if err != nil {
			return t.failed(err)
		}
		inside += x
	}
	var outside []float64
	for t.Products < products && len(basis) < n {
		random.signs(g)
		subtract(g, basis, dots(basis, g))
		x, err := form(g)
		if err != nil {
			return t.failed(err)
		}
		outside = append(outside, x)
	}
	t.Value = inside
	if len(outside) > 0 {
		mean, standardError := meanAndError(outside)
		t.Value += mean
		t.StandardError = standardError
	}
	return t, nil
}

func (t *Trace) failed(err error) (*Trace, error) {
	if errors.Is(err, errNotFinite) {
		return &Trace{Status: NotFinite, Products: t.Products, Value: math.NaN(), StandardError: math.NaN()}, nil
	}
	return nil, err
}

// meanAndError is the mean of independent values and its standard error.
func meanAndError(values []float64) (mean, standardError float64) {
	n := float64(len(values))
	for _, x := range values {
		mean += x / n
	}
	sum := 0.0
	for _, x := range values {
		sum += float64((x - mean) * (x - mean))
	}
	return mean, math.Sqrt(sum / (n - 1) / n)
}
