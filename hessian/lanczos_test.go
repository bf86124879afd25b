package hessian

import (
	"context"
	"math"
	"runtime"
	"slices"
	"testing"
)

// process runs a Lanczos process with restarts on a diagonal operator.
func process(t *testing.T, op Operator, steps, basis int) (l *lanczos, start []float64) {
	random := newStream(3, 0)
	start, _, err := startVector(op.Dim(), nil, &random)
	if err != nil {
		t.Fatal(err)
	}
	at, err := vectorsOf(op, basis+1)
	if err == nil {
		l, err = newLanczos(at, basis+1, op.Dim(), start, random)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range steps {
		if len(l.basis) == basis {
			r, err := l.ritz()
			if err != nil {
				t.Fatal(err)
			}
			if err := l.restart(r, basis/4, basis-basis/3); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.expand(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return l, start
}

// vectors are those of the basis, and next is that, in the host's memory.
func (l *lanczos) vectors() [][]float64  { return l.at.(*host).some(l.basis) }
func (l *lanczos) nextVector() []float64 { return l.at.(*host).vector(l.next) }

func spread(n int) diagonal {
	d := make(diagonal, n)
	for i := range d {
		x := float64(i)/float64(n-1)*2 - 1
		d[i] = 3*x*x*x + 0.5
	}
	return d
}

func TestTheLanczosRelationHoldsThroughRestarts(t *testing.T) {
	op := spread(300)
	l, _ := process(t, op, 60, 16)
	vectors := append(l.vectors(), l.nextVector())
	for i := range vectors {
		for j, x := range dots(vectors, vectors[i]) {
			want := 0.0
			if i == j {
				want = 1
			}
			if math.Abs(x-want) > 1e-13 {
				t.Errorf("v%d·v%d is %g", i, j, x)
			}
		}
	}
	w := make([]float64, len(op))
	for j, v := range l.vectors() {
		op.Apply(context.Background(), [][]float64{v}, [][]float64{w})
		for i, u := range l.vectors() {
			add(w, u, -l.h[max(i, j)][min(i, j)])
		}
		add(w, l.nextVector(), -l.coupling[j])
		if size := norm(w); size > 1e-12 {
			t.Errorf("A·V = V·H + next·couplingᵀ fails by %g in column %d", size, j)
		}
	}
	if l.asymmetry > 1e-13 {
		t.Errorf("a symmetric operator is asymmetric by %g", l.asymmetry)
	}
}

// φ decides the intervals: next = φ(A)·start, element by element in the basis of eigenvectors.
func TestTheRitzValuesAreTheRootsOfTheLanczosPolynomial(t *testing.T) {
	for _, steps := range []int{5, 12, 13, 25, 31} {
		op := spread(300)
		l, start := process(t, op, steps, 12)
		r, err := l.ritz()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.values)+len(l.dropped) != steps {
			t.Fatalf("%d roots after %d steps", len(r.values)+len(l.dropped), steps)
		}
		for i, lambda := range op {
			logPhi := -l.logBetas
			for _, root := range append(slices.Clone(r.values), l.dropped...) {
				logPhi += math.Log(math.Abs(lambda - root))
			}
			got, want := math.Exp(logPhi)*math.Abs(start[i]), math.Abs(l.nextVector()[i])
			if math.Abs(got-want) > 1e-8 {
				t.Errorf("after %d steps, |φ(%g)·start| is %g, but next has %g", steps, lambda, got, want)
			}
		}
	}
}

func TestTheVisiblePartOfAnEigenvectorIsKnown(t *testing.T) {
	const n = 12
	for _, c := range []struct{ steps, basis int }{{3, n}, {7, n}, {n - 1, n}, {7, 6}, {9, 6}} {
		op := spread(n)
		l, start := process(t, op, c.steps, c.basis)
		r, err := l.ritz()
		if err != nil {
			t.Fatal(err)
		}
		for i, lambda := range op {
			square := l.nextVector()[i] * l.nextVector()[i]
			for _, v := range l.vectors() {
				square += v[i] * v[i]
			}
			if want, got := math.Sqrt(square), math.Exp(l.logVisible(r, lambda))*math.Abs(start[i]); math.Abs(got-want) > 1e-8 {
				t.Errorf("after %d steps with %d vectors, %g of the eigenvector of %g is visible, not %g", c.steps, c.basis, got, lambda, want)
			}
			if c.steps == n-1 && math.Abs(square-1) > 1e-8 {
				t.Errorf("%d vectors see %g of the eigenvector of %g", n, square, lambda)
			}
		}
	}
}

func TestAnAsymmetricOperatorIsNoticed(t *testing.T) {
	op := spread(40)
	f := &faulty{Operator: op, at: 6, spoil: func(p []float64) error { p[3] += 1e-5; return nil }}
	l, _ := process(t, f, 12, 20)
	if l.asymmetry < 1e-7 || l.asymmetry > 1e-5 {
		t.Errorf("an error of 1e-5 in one element of a product shows as %g", l.asymmetry)
	}
}

func BenchmarkOrthogonalise(b *testing.B) {
	const n, k = 1_000_000, 30
	s, w := newStream(0, 0), make([]float64, n)
	at, basis := &host{x: [][]float64{w}}, []int{}
	orthogonalised := func() float64 {
		_, beta, _ := orthogonalise(at, 0, basis, n, norm(w), 1)
		return beta
	}
	for len(basis) < k {
		s.gaussian(w)
		if orthogonalised() > 0 {
			at.x = append(at.x, slices.Clone(w))
			basis = append(basis, len(at.x)-1)
		}
	}
	for b.Loop() {
		s.signs(w)
		orthogonalised()
	}
}

func TestResultsDoNotDependOnThreads(t *testing.T) {
	n := 40*blockSize + 77
	op := spread(n)
	run := func(threads int) *Spectrum {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
		s, err := Extremes(context.Background(), op, Options{Basis: 8, Products: 12, Seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, four := run(1), run(4)
	for _, ends := range [][2]Pair{{one.Top[0], four.Top[0]}, {one.Bottom[0], four.Bottom[0]}} {
		if ends[0].Value != ends[1].Value || ends[0].Residual != ends[1].Residual || !slices.Equal(ends[0].Vector, ends[1].Vector) {
			t.Errorf("eigenvalue %v with one thread, %v with four", ends[0].Value, ends[1].Value)
		}
	}
}

// The first outputs of SplitMix64 for the seed 1234567, as implementations publish them.
func TestTheGeneratorIsSplitMix64(t *testing.T) {
	s := stream(1234567)
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := s.next(); got != want {
			t.Errorf("number %d is %d, not %d", i+1, got, want)
		}
	}
}

func TestGaussianAndSignsHaveTheirMoments(t *testing.T) {
	const n = 100001
	x := make([]float64, n)
	for name, fill := range map[string]func(*stream){
		"gaussian": func(s *stream) { s.gaussian(x) },
		"signs":    func(s *stream) { s.signs(x) },
	} {
		s := newStream(1, 2)
		fill(&s)
		var mean, square, fourth, neighbour float64
		for i, v := range x {
			mean += v / n
			square += v * v / n
			fourth += v * v * v * v / n
			neighbour += v * x[(i+1)%n] / n
		}
		want := map[string]float64{"gaussian": 3, "signs": 1}[name]
		if math.Abs(mean) > 0.015 || math.Abs(square-1) > 0.02 || math.Abs(fourth-want) > 0.15 || math.Abs(neighbour) > 0.015 {
			t.Errorf("%s: mean %g, square %g, fourth power %g, product of neighbours %g", name, mean, square, fourth, neighbour)
		}
	}
}
