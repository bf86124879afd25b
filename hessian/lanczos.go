package hessian

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// errNotFinite ends a process whose operator gave NaN or ±Inf.
var errNotFinite = errors.New("a product is not finite")

// lanczos is the symmetric Lanczos process with full reorthogonalisation and thick restarts
// (Wu, Simon, SIAM J. Matrix Anal. Appl. 22, 2000). With V the basis,
//
//	A·V = V·H + next·couplingᵀ
//
// where H = Vᵀ·A·V and next is a unit vector orthogonal to V, or nil when V spans ℝⁿ.
type lanczos struct {
	at       Vectors
	dim      int    // n
	random   stream // continues an exhausted Krylov space
	basis    []int
	next     int         // the start, to begin with; −1 for nil
	free     []int       // vectors of no use now
	h        [][]float64 // the upper triangle's columns: h[j][i], i ≤ j
	coupling []float64

	products  int
	magnitude float64 // the largest ‖A·v‖ seen, at most ‖A‖
	asymmetry float64 // the largest ‖Vᵀ·(A·v) − (A·V)ᵀ·v‖ seen

	// φ is the polynomial with next = φ(A)·start. Its roots are all Ritz values, those
	// dropped at restarts included; its leading coefficient is exp(−logBetas).
	dropped   []float64
	logBetas  float64
	exhausted bool // the start's Krylov space is invariant: φ is infinite off its roots
}

// newLanczos starts a process of an operator of n dimensions, with count vectors.
func newLanczos(at Vectors, count, n int, start []float64, random stream) (*lanczos, error) {
	l := &lanczos{at: at, dim: n, random: random}
	for k := count - 1; k > 0; k-- {
		l.free = append(l.free, k)
	}
	return l, at.Write(l.next, start)
}

// expand moves next into the basis, at the cost of one product.
func (l *lanczos) expand(ctx context.Context) error {
	v, w := l.next, l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	size, err := l.apply(ctx, v, w)
	if err != nil {
		return err
	}
	l.products++
	l.magnitude = max(l.magnitude, size)

	m := len(l.basis)
	l.basis = append(l.basis, v)
	c, beta, err := l.orthogonalise(w)
	if err != nil {
		return err
	}
	asymmetry := 0.0
	for i, expected := range l.coupling {
		asymmetry = math.Hypot(asymmetry, c[i]-expected)
	}
	l.asymmetry = max(l.asymmetry, asymmetry)
	l.h = append(l.h, append(l.coupling, c[m]))
	l.coupling = make([]float64, m+1)
	l.next = w
	if beta > 0 {
		l.coupling[m] = beta
		l.logBetas += math.Log(beta)
		return nil
	}
	l.exhausted = true
	if len(l.basis) == l.dim {
		l.next = -1
		return nil
	}
	for fresh := make([]float64, l.dim); beta == 0 && err == nil; {
		l.random.gaussian(fresh)
		size := norm(fresh)
		if err = l.at.Write(w, fresh); err == nil {
			_, beta, err = orthogonalise(l.at, w, l.basis, l.dim, size, size)
		}
	}
	return err
}

// orthogonalise does that to w, the product of the last vector of the basis. As far as A is symmetric, w has nothing of vectors
// that do not couple to that one. Once the parts of those that do are gone, a single pass over the basis is enough as a rule.
func (l *lanczos) orthogonalise(w int) (c []float64, beta float64, err error) {
	last := len(l.basis) - 1
	near, at := []int{l.basis[last]}, []int{last}
	for i, x := range l.coupling {
		if x != 0 {
			near, at = append(near, l.basis[i]), append(at, i)
		}
	}
	parts, err := l.at.Dots(near, w)
	if err != nil {
		return nil, 0, err
	}
	if err := l.at.Add(w, near, negative(parts)); err != nil {
		return nil, 0, err
	}
	size, err := length(l.at, w)
	if err != nil {
		return nil, 0, err
	}
	c, beta, err = orthogonalise(l.at, w, l.basis, l.dim, size, l.magnitude)
	if err != nil {
		return nil, 0, err
	}
	for k, i := range at {
		c[i] += parts[k]
	}
	return c, beta, nil
}

// apply writes A·v into w and returns its norm.
func (l *lanczos) apply(ctx context.Context, v, w int) (size float64, err error) {
	err = unlessDone(ctx, func() error { return l.at.Apply(ctx, v, w) })
	if err == nil {
		size, err = length(l.at, w)
	}
	if err == nil && (math.IsNaN(size) || math.IsInf(size, 0)) {
		err = errNotFinite
	}
	return size, err
}

// unlessDone multiplies unless ctx is done, before or after: an operator need not look.
func unlessDone(ctx context.Context, multiply func() error) error {
	err := ctx.Err()
	if err == nil {
		err = multiply()
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// length is the norm of w.
func length(at Vectors, w int) (float64, error) {
	square, err := at.Dots([]int{w}, w)
	if err != nil {
		return 0, err
	}
	return math.Sqrt(square[0]), nil
}

func negative(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = -v
	}
	return y
}

// orthogonalise makes w, whose norm is size, a unit vector orthogonal to an orthonormal basis:
// w was basis·c + beta·w. Classical Gram-Schmidt is repeated until it takes less than half of the
// norm (Daniel, Gragg, Kaufman, Stewart, Math. Comp. 30, 1976). beta is 0, and w nothing, where no more is left than rounding errors of vectors as long as magnitude.
func orthogonalise(at Vectors, w int, basis []int, dim int, size, magnitude float64) (c []float64, beta float64, err error) {
	c = make([]float64, len(basis))
	for {
		part, err := at.Dots(basis, w)
		if err != nil {
			return nil, 0, err
		}
		if err := at.Add(w, basis, negative(part)); err != nil {
			return nil, 0, err
		}
		for i := range c {
			c[i] += part[i]
		}
		beta, err = length(at, w)
		if err != nil {
			return nil, 0, err
		}
		if !(beta > max(1e-14*magnitude, 1e-150)) || len(basis) == dim {
			return c, 0, nil
		}
		if beta > size/2 {
			return c, beta, at.Scale(w, 1/beta)
		}
		size = beta
	}
}

// ritz holds the eigenpairs of H, in rising order: Ritz value j has the vector V·s[:, j], whose
// residual norm ‖A·x − θ·x‖ is |couplingᵀ·s[:, j]|.
type ritz struct {
	values, residuals []float64
	s                 mat.Dense
}

func (l *lanczos) ritz() (*ritz, error) {
	m := len(l.h)
	h := mat.NewSymDense(m, nil)
	for j, column := range l.h {
		for i, x := range column {
			h.SetSym(i, j, x)
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(h, true) {
		return nil, fmt.Errorf("the eigenvalues of the operator's projection on %d vectors do not converge", m)
	}
	r := &ritz{values: eigen.Values(nil)}
	eigen.VectorsTo(&r.s)
	for j := range m {
		r.residuals = append(r.residuals, math.Abs(r.coupling(l, j)))
	}
	return r, nil
}

// coupling is couplingᵀ·s[:, j].
func (r *ritz) coupling(l *lanczos, j int) float64 {
	sum := 0.0
	for i, c := range l.coupling {
		sum += float64(c * r.s.At(i, j))
	}
	return sum
}

// rotate replaces as many vectors of the basis by the Ritz vectors of the given numbers.
func (l *lanczos) rotate(r *ritz, ritz []int) error {
	s := make([][]float64, len(l.basis))
	for i := range s {
		for _, j := range ritz {
			s[i] = append(s[i], r.s.At(i, j))
		}
	}
	return l.at.Rotate(l.basis, s)
}

// restart replaces the basis by the Ritz vectors before the low-th and from the high-th on.
func (l *lanczos) restart(r *ritz, low, high int) error {
	var kept []int
	for j := range r.values {
		if j < low || j >= high {
			kept = append(kept, j)
		}
	}
	if err := l.rotate(r, kept); err != nil {
		return err
	}
	h, coupling := make([][]float64, len(kept)), make([]float64, len(kept))
	for k, j := range kept {
		h[k] = make([]float64, k+1)
		h[k][k] = r.values[j]
		coupling[k] = r.coupling(l, j)
	}
	l.dropped = append(l.dropped, r.values[low:high]...)
	l.free = append(l.free, l.basis[len(kept):]...)
	l.basis, l.h, l.coupling = l.basis[:len(kept)], h, coupling
	return nil
}

// beyond bounds how far the spectrum reaches over the outermost Ritz value, upwards for side = 1
// and downwards for side = −1, if the start's component along the outermost eigenvector is
// at least exp(logComponent): it is the distance from which on more of it would be visible than there is.
func (l *lanczos) beyond(r *ritz, side, logComponent float64) float64 {
	if l.exhausted {
		return 0
	}
	end := max(side*r.values[0], side*r.values[len(r.values)-1])
	exceeds := func(distance float64) bool { return l.logVisible(r, side*(end+distance)) > -logComponent }
	low, high := 0.0, l.magnitude
	for !exceeds(high) {
		low, high = high, 2*high
	}
	for range 40 {
		if middle := (low + high) / 2; exceeds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// logVisible is the logarithm of how much of an eigenvector x of λ lies in the span of V and next, for
// each unit of the start's component c along it:
//
//	1 ≥ ‖[V next]ᵀ·x‖ = |c|·|φ(λ)|·√(1 + Σⱼ residualⱼ²/(λ − θⱼ)²)
//
// because next = φ(A)·start, and xᵀ·A·V = λ·xᵀ·V makes xᵀ·next·couplingⱼ/(λ − θⱼ) of its component along the j-th
// Ritz vector. Beyond all Ritz values it grows.
func (l *lanczos) logVisible(r *ritz, lambda float64) float64 {
	others := 0.0
	for j, theta := range r.values {
		part := r.residuals[j] / (lambda - theta)
		others += part * part
	}
	return l.logPhi(r, lambda) + math.Log1p(others)/2
}

// logPhi is the logarithm of |φ(λ)|. Between neighbouring roots it is concave.
func (l *lanczos) logPhi(r *ritz, lambda float64) float64 {
	log := -l.logBetas
	for j := range r.values {
		log += math.Log(math.Abs(lambda - r.values[j]))
	}
	for _, root := range l.dropped {
		log += math.Log(math.Abs(lambda - root))
	}
	return log
}

// hides reports whether an eigenvalue may hide between low and high, which lie between two neighbouring roots of φ, although the start's
// component along its vector is at least exp(logComponent): unless it does, next alone would show more of it than there is. As
// logPhi is concave there, low and high tell.
func (l *lanczos) hides(r *ritz, low, high, logComponent float64) bool {
	return !l.exhausted && low < high && min(l.logPhi(r, low), l.logPhi(r, high)) <= -logComponent
}
