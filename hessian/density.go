package hessian

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// Quadrature is a Gauss quadrature of the spectrum as one random vector g sees it: Σ
// Weights·f(Nodes) ≈ gᵀ·f(A)·g with ‖g‖ = 1. Weights sum to 1.
type Quadrature struct{ Nodes, Weights []float64 }

// Density is an estimate of the spectral density (1/n)·Σ δ(t − λᵢ).
type Density struct {
	Status   Status // Converged, or NotFinite, and then there are fewer quadratures than asked for
	Products int
	Probes   []Quadrature
}

// SpectralDensity is stochastic Lanczos quadrature (Golub, Welsch, Math. Comp. 23, 1969; Ubaru,
// Chen, Saad, SIAM J. Matrix Anal. Appl. 38, 2017): the Ritz values of a Lanczos process of so
// many steps, with the squared first elements of their vectors as weights, for every one of so
// many random starts, uniform on the sphere. It takes probes·steps products, or fewer where a
// Krylov space is exhausted. A probe is a function of the seed and its index alone.
func SpectralDensity(ctx context.Context, op Operator, probes, steps int, seed uint64) (d *Density, err error) {
	n := op.Dim()
	if n < 1 || probes < 1 || steps < 1 {
		return nil, fmt.Errorf("spectral density: %d probes of %d steps in %d dimensions: all must be positive", probes, steps, n)
	}
	at, err := vectorsOf(op, steps+1)
	if err != nil {
		return nil, err
	}
	defer closing(at, &err)
	d = &Density{Status: Converged}
	start := make([]float64, n)
	for probe := range probes {
		random := newStream(seed, uint64(probe))
		random.gaussian(start)
		scale(start, 1/norm(start))
		l, err := newLanczos(at, steps+1, n, start, random)
		if err != nil {
			return nil, err
		}
		for len(l.basis) < steps && !l.exhausted {
			err := l.expand(ctx)
			if errors.Is(err, errNotFinite) {
				d.Status = NotFinite
				return d, nil
			}
			if err != nil {
				return nil, err
			}
			d.Products++
		}
		r, err := l.ritz()
		if err != nil {
			return nil, err
		}
		q := Quadrature{Nodes: r.values, Weights: make([]float64, len(r.values))}
		for j := range q.Weights {
			first := r.s.At(0, j)
			q.Weights[j] = float64(first * first)
		}
		d.Probes = append(d.Probes, q)
	}
	return d, nil
}

// Range is from the smallest node to the largest.
func (d *Density) Range() Interval {
	r := Interval{math.Inf(1), math.Inf(-1)}
	for _, q := range d.Probes {
		r.Low = min(r.Low, q.Nodes[0])
		r.High = max(r.High, q.Nodes[len(q.Nodes)-1])
	}
	return r
}

// At is the density at t, smoothed by a Gaussian kernel of standard deviation width: the mean
// over the probes and its standard error, which is NaN for one probe.
func (d *Density) At(t, width float64) (mean, standardError float64) {
	values := make([]float64, len(d.Probes))
	for i, q := range d.Probes {
		for j, node := range q.Nodes {
			z := (t - node) / width
			values[i] += float64(q.Weights[j] * math.Exp(-z*z/2))
		}
		values[i] /= width * math.Sqrt(2*math.Pi)
	}
	return meanAndError(values)
}
