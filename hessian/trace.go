package hessian

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
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
	basis := &host{op: op}
	var numbers []int // of its vectors
	gs, ws := make([][]float64, together), make([][]float64, together)
	for i := range together {
		gs[i], ws[i] = make([]float64, n), make([]float64, n)
	}
	for left := min(sketch, n); left > 0; left -= together {
		g := gs[:min(left, together)]
		for _, v := range g {
			random.signs(v)
		}
		sizes, err := t.apply(ctx, op, g, ws)
		if err != nil {
			return t.failed(err)
		}
		for i, size := range sizes {
			k := len(numbers)
			basis.x = append(basis.x[:k], ws[i])
			if _, beta, _ := orthogonalise(basis, k, numbers, n, size, size); beta > 0 {
				numbers = append(numbers, k)
				ws[i] = make([]float64, n)
			}
		}
	}
	kept := basis.x[:len(numbers)]
	for q := range slices.Chunk(kept, together) {
		if _, err := t.apply(ctx, op, q, ws); err != nil {
			return t.failed(err)
		}
		for i := range q {
			t.Value += dots(q[i:i+1], ws[i])[0]
		}
	}
	var outside []float64
	for t.Products < products && len(kept) < n {
		g := gs[:min(products-t.Products, together)]
		for _, v := range g {
			random.signs(v)
			subtract(v, kept, dots(kept, v))
		}
		if _, err := t.apply(ctx, op, g, ws); err != nil {
			return t.failed(err)
		}
		for i := range g {
			outside = append(outside, dots(g[i:i+1], ws[i])[0])
		}
	}
	if len(outside) > 0 {
		mean, standardError := meanAndError(outside)
		t.Value += mean
		t.StandardError = standardError
	}
	return t, nil
}

// together is how many vectors an estimate of the trace gives the operator at a time.
const together = 4

// apply writes A·vectors[k] into products[k] and returns the norms of these.
func (t *Trace) apply(ctx context.Context, op Operator, vectors, products [][]float64) (sizes []float64, err error) {
	t.Products += len(vectors)
	products = products[:len(vectors)]
	if err := unlessDone(ctx, func() error { return op.Apply(ctx, vectors, products) }); err != nil {
		return nil, err
	}
	for _, w := range products {
		size := norm(w)
		if math.IsNaN(size) || math.IsInf(size, 0) {
			return nil, errNotFinite
		}
		sizes = append(sizes, size)
	}
	return sizes, nil
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
