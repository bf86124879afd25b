package hessian

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Status says how a computation ended.
type Status string

const (
	Converged    Status = "converged"
	NotConverged Status = "not-converged" // Options.Products were spent
	NotFinite    Status = "not-finite"    // a product held NaN or ±Inf
)

// Options says what Extremes computes and when it stops. A zero stands for the default.
type Options struct {
	// Top and Bottom are how many eigenpairs are wanted at either end: 1.
	Top, Bottom int
	// Tolerance is how long the residual of a wanted pair and how wide the intervals of λmax and
	// λmin may be, relative to the larger of |λmax| and |λmin|: 1e-3.
	Tolerance float64
	// RatioTolerance, if not zero, asks of λmax and λmin instead that the interval of |λmin/λmax| be no
	// wider than this.
	RatioTolerance float64
	// Confidence is the probability that both intervals hold: 0.99.
	Confidence float64

	Basis    int // the most vectors that are kept: 64
	Products int // the most products: 500

	// Start are vectors of length n near the wanted ones, such as a neighbour's Ritz vectors.
	// Zeros and vectors that are not finite count for nothing.
	Start [][]float32
	// Seed of the random part. Where Start comes from another computation, another seed
	// makes their errors independent.
	Seed uint64
}

// Pair is an approximate eigenvalue λ with its unit vector x; Residual is ‖A·x − λ·x‖. An
// eigenvalue, though not necessarily the one that was asked for, is no farther from λ than
// Residual, which covers the rounding errors of the operator too.
type Pair struct {
	Value, Residual float64
	Vector          []float64
}

// Interval is Low ≤ x ≤ High.
type Interval struct{ Low, High float64 }

// Width is High − Low.
func (i Interval) Width() float64 { return i.High - i.Low }

// Contains reports whether Low ≤ x ≤ High.
func (i Interval) Contains(x float64) bool { return i.Low <= x && x <= i.High }

// Spectrum is what Extremes found.
type Spectrum struct {
	Status   Status
	Products int
	// Top are the pairs of the largest eigenvalues, from λmax down; Bottom those of the
	// smallest, from λmin up. They are fewer than asked for where products or dimensions are.
	Top, Bottom []Pair
	// Max, Min and Ratio hold λmax, λmin and |λmin/λmax|.
	Max, Min, Ratio Interval
	// Asymmetry is how far vᵀ·(A·w) and (A·v)ᵀ·w were apart, in the norm of a product: the
	// rounding errors of the operator. Max and Min are wider by it and by float64's rounding
	// errors.
	Asymmetry float64
}

// SignUndetermined reports whether λmin may be of either sign.
func (s *Spectrum) SignUndetermined() bool { return s.Min.Contains(0) }

// Extremes computes both ends of a symmetric operator's spectrum from one Lanczos process.
//
// The outermost Ritz values θ are Rayleigh quotients, so that λmax ≥ θmax and λmin ≤ θmin for
// certain. What lies beyond them residuals do not tell: ‖A·x − θ·x‖ says only that an
// eigenvalue is near θ, and it is under 1e-2·λmax for almost any vector once the few outliers
// of a network's spectrum are found: on ResNet-20 at its minimum both residuals are after six
// products, with −0.001 for a λmin of −2.99. But the start has a random part, uniform on the
// sphere, whose component along an eigenvector is under p·√(π/2n) with a probability of at most
// p; and for components above that, the Lanczos polynomials bound how far out an eigenvalue can
// be: the last alone (van Dorsselaer, Hochstenbach, van der Vorst, SIAM J. Matrix Anal. Appl. 22,
// 2000), and all together more closely, because an eigenvector is a unit vector of which each sees
// a part (logVisible). Max and Min reach from θ to those bounds. Over the seeds, both hold with the
// probability Confidence or more.
//
// The process has converged when the residuals and both intervals are within the tolerance. It
// starts from the sum of the given vectors, each of norm 1, scaled to norm 1, plus a random
// vector of norm 1: so much, because the bounds live on the random part. Given vectors make the
// values several digits more accurate than asked for; they do not save products.
//
// Of further pairs the residuals do not tell either which ones they are: a process that is too young skips eigenvalues. They count
// as found when in the same way, with that probability each, none can hide among the wanted ones so that one of these were
// off by more than the tolerance (complete).
//
// A Krylov space holds one vector of each eigenspace: a multiple eigenvalue appears once
// among the pairs, unless the space is exhausted and goes on from a fresh random vector.
// An operator with a norm under 1e-135 counts as zero.
//
// A product that is not finite is a status, and nothing else is known then. Errors are the
// operator's, the context's, or say which option makes no sense.
func Extremes(ctx context.Context, op Operator, o Options) (found *Spectrum, err error) {
	n := op.Dim()
	if err := o.complete(n); err != nil {
		return nil, err
	}
	random := newStream(o.Seed, 0)
	start, share, err := startVector(n, o.Start, &random)
	if err != nil {
		return nil, err
	}
	at, err := vectorsOf(op, o.Basis+1)
	if err != nil {
		return nil, err
	}
	defer closing(at, &err)
	l, err := newLanczos(at, o.Basis+1, n, start, random)
	if err != nil {
		return nil, err
	}
	logComponent := math.Log((1 - o.Confidence) / 2 * share * math.Sqrt(math.Pi/2/float64(n)))
	for {
		err := l.expand(ctx)
		if errors.Is(err, errNotFinite) {
			unknown := Interval{math.NaN(), math.NaN()}
			return &Spectrum{Status: NotFinite, Products: l.products, Max: unknown, Min: unknown, Ratio: unknown}, nil
		}
		if err != nil {
			return nil, err
		}
		r, err := l.ritz()
		if err != nil {
			return nil, err
		}
		s := l.spectrum(r, &o, logComponent)
		if s.Status == Converged || l.products == o.Products {
			return s, s.addVectors(l, r)
		}
		if len(l.basis) == o.Basis {
			if err := l.restart(r, max(o.Basis/4, o.Bottom), o.Basis-max(o.Basis/4, o.Top)); err != nil {
				return nil, err
			}
		}
	}
}

func (o *Options) complete(n int) error {
	def := func(x *int, value int) {
		if *x == 0 {
			*x = value
		}
	}
	def(&o.Top, 1)
	def(&o.Bottom, 1)
	def(&o.Basis, 64)
	def(&o.Products, 500)
	if o.Tolerance == 0 {
		o.Tolerance = 1e-3
	}
	if o.Confidence == 0 {
		o.Confidence = 0.99
	}
	switch {
	case n < 1:
		return errors.New("extreme eigenvalues: the operator has no dimension: choose some parameters")
	case o.Top < 0 || o.Bottom < 0 || o.Products < 0:
		return fmt.Errorf("extreme eigenvalues: %d at the top and %d at the bottom with %d products: none may be negative", o.Top, o.Bottom, o.Products)
	case o.Basis < 2*(o.Top+o.Bottom):
		return fmt.Errorf("extreme eigenvalues: a basis of %d vectors is too small for %d eigenpairs: allow at least %d", o.Basis, o.Top+o.Bottom, 2*(o.Top+o.Bottom))
	case !(o.Tolerance > 0) || !(o.RatioTolerance >= 0):
		return fmt.Errorf("extreme eigenvalues: a tolerance of %g, of %g for the ratio: they must be positive", o.Tolerance, o.RatioTolerance)
	case !(o.Confidence > 0 && o.Confidence < 1):
		return fmt.Errorf("extreme eigenvalues: a confidence of %g: it must be between 0 and 1", o.Confidence)
	}
	o.Top, o.Bottom = min(o.Top, n), min(o.Bottom, n)
	return nil
}

// startVector is a unit vector; share is the norm of its random part.
func startVector(n int, given [][]float32, random *stream) (start []float64, share float64, err error) {
	start = make([]float64, n)
	part := make([]float64, n)
	for _, v := range given {
		if len(v) != n {
			return nil, 0, fmt.Errorf("extreme eigenvalues: a start vector has %d elements, the operator's dimension is %d", len(v), n)
		}
		for i, x := range v {
			part[i] = float64(x)
		}
		if size := norm(part); size > 0 && !math.IsNaN(size) && !math.IsInf(size, 0) {
			accumulate(start, [][]float64{part}, func(int) float64 { return 1 / size })
		}
	}
	if size := norm(start); size > 0 {
		scale(start, 1/size)
	}
	random.gaussian(part)
	unit := 1 / norm(part)
	accumulate(start, [][]float64{part}, func(int) float64 { return unit })
	size := norm(start)
	scale(start, 1/size)
	return start, 1 / size, nil
}

// spectrum is what is known now, but for the vectors.
func (l *lanczos) spectrum(r *ritz, o *Options, logComponent float64) *Spectrum {
	m := len(r.values)
	low, high := r.values[0], r.values[m-1]
	s := &Spectrum{Products: l.products, Asymmetry: l.asymmetry}
	rounding := l.asymmetry + 1e-13*l.magnitude
	s.Max = Interval{high - rounding, high + l.beyond(r, 1, logComponent) + rounding}
	s.Min = Interval{low - l.beyond(r, -1, logComponent) - rounding, low + rounding}
	s.Ratio = quotient(s.Min.magnitude(), s.Max.magnitude())
	for k := range min(o.Top, m) {
		s.Top = append(s.Top, Pair{Value: r.values[m-1-k], Residual: r.residuals[m-1-k]})
	}
	for k := range min(o.Bottom, m) {
		s.Bottom = append(s.Bottom, Pair{Value: r.values[k], Residual: r.residuals[k]})
	}
	s.Status = NotConverged
	bound := o.Tolerance * max(math.Abs(low), math.Abs(high))
	if m >= max(o.Top, o.Bottom) && s.within(o, bound, l.exhausted) && l.complete(r, o, bound, logComponent) {
		s.Status = Converged
	}
	for _, pairs := range [][]Pair{s.Top, s.Bottom} {
		for k := range pairs {
			pairs[k].Residual += rounding
		}
	}
	return s
}

// complete reports whether the wanted Ritz values are those of the wanted eigenvalues: the k-th from an end lies no farther out than the
// k-th eigenvalue, so that it is within bound of that if none hides farther out than by bound. apart is how near to a Ritz value another
// eigenvalue counts as the same one.
func (l *lanczos) complete(r *ritz, o *Options, bound, logComponent float64) bool {
	m, apart := len(r.values), bound/100
	for k := 1; k < o.Bottom; k++ {
		if l.hides(r, r.values[k-1]+apart, min(r.values[k]-apart, r.values[o.Bottom-1]-bound), logComponent) {
			return false
		}
	}
	for k := 1; k < o.Top; k++ {
		if l.hides(r, max(r.values[m-1-k]+apart, r.values[m-o.Top]+bound), r.values[m-k]-apart, logComponent) {
			return false
		}
	}
	return true
}

// within reports whether the spectrum is as precise as asked for. Where the Krylov space is
// exhausted the ends are exact, although the ratio may be 0/0.
func (s *Spectrum) within(o *Options, bound float64, exhausted bool) bool {
	for _, pairs := range [][]Pair{s.Top, s.Bottom} {
		for k, p := range pairs {
			if p.Residual > bound && (k > 0 || o.RatioTolerance == 0) {
				return false
			}
		}
	}
	if o.RatioTolerance > 0 {
		return exhausted || s.Ratio.Width() <= o.RatioTolerance
	}
	return exhausted || s.Max.Width() <= bound && s.Min.Width() <= bound
}

// addVectors ends the process: its basis is no longer one.
func (s *Spectrum) addVectors(l *lanczos, r *ritz) error {
	pairs := map[int][]*Pair{} // by number of the Ritz value
	for k := range s.Top {
		pairs[len(r.values)-1-k] = append(pairs[len(r.values)-1-k], &s.Top[k])
	}
	for k := range s.Bottom {
		pairs[k] = append(pairs[k], &s.Bottom[k])
	}
	numbers := slices.Sorted(maps.Keys(pairs))
	if err := l.rotate(r, numbers); err != nil {
		return err
	}
	for i, j := range numbers {
		for _, p := range pairs[j] {
			p.Vector = make([]float64, l.dim)
			if err := l.at.Read(p.Vector, l.basis[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// magnitude holds |x| for every x in i.
func (i Interval) magnitude() Interval {
	a, b := math.Abs(i.Low), math.Abs(i.High)
	if i.Contains(0) {
		return Interval{0, max(a, b)}
	}
	return Interval{min(a, b), max(a, b)}
}

// quotient holds x/y for every x in i and y in j, which are not negative.
func quotient(i, j Interval) Interval { return Interval{i.Low / j.High, i.High / j.Low} }
