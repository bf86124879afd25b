package hessian

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
)

// residence keeps vectors of an operator in a host of its own, which fails at the given call, counted from one.
type residence struct {
	Operator
	failing, calls int
	keepsNone      bool
	open           int
	restricted     []Range
}

var errResidence = errors.New("the residence burns")

func (r *residence) call() error {
	r.calls++
	if r.calls == r.failing {
		return errResidence
	}
	return nil
}

func (r *residence) Vectors(parts [][2]int, count int) (Vectors, error) {
	if r.keepsNone {
		return nil, nil
	}
	if err := r.call(); err != nil {
		return nil, err
	}
	r.open++
	r.restricted = nil
	for _, p := range parts {
		r.restricted = append(r.restricted, Range{p[0], p[1]})
	}
	op, err := Restrict(r.Operator, r.restricted)
	return &room{residence: r, host: host{op: op, x: make([][]float64, count)}}, err
}

func (r *residence) Apply(ctx context.Context, vectors, products [][]float64) error {
	if !r.keepsNone {
		return errors.New("vectors left their residence")
	}
	return r.Operator.Apply(ctx, vectors, products)
}

type room struct {
	*residence
	host host
}

func (r *room) Write(k int, x []float64) error { return errors.Join(r.host.Write(k, x), r.call()) }
func (r *room) Read(x []float64, k int) error  { return errors.Join(r.host.Read(x, k), r.call()) }
func (r *room) Scale(w int, f float64) error   { return errors.Join(r.host.Scale(w, f), r.call()) }
func (r *room) Close() error                   { r.open--; return r.call() }
func (r *room) Apply(ctx context.Context, v, w int) error {
	return errors.Join(r.host.Apply(ctx, v, w), r.call())
}
func (r *room) Dots(which []int, w int) ([]float64, error) {
	x, err := r.host.Dots(which, w)
	return x, errors.Join(err, r.call())
}
func (r *room) Add(w int, which []int, c []float64) error {
	return errors.Join(r.host.Add(w, which, c), r.call())
}
func (r *room) Rotate(which []int, s [][]float64) error {
	return errors.Join(r.host.Rotate(which, s), r.call())
}

// onResidences runs compute where vectors are the host's, where they are elsewhere, and where nobody keeps any; and then with every
// call failing in turn.
func onResidences[T any](t *testing.T, whole Operator, ranges []Range, compute func(op Operator) (T, error)) {
	t.Helper()
	on := func(op Operator) (T, error) {
		if ranges != nil {
			r, err := Restrict(op, ranges)
			if err != nil {
				t.Fatal(err)
			}
			op = r
		}
		return compute(op)
	}
	want, err := on(whole)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := &residence{Operator: whole}
	for _, r := range []*residence{elsewhere, {Operator: whole, keepsNone: true}} {
		got, err := on(r)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("with vectors elsewhere (none: %v): %+v, not %+v", r.keepsNone, got, want)
		}
		if !r.keepsNone && ranges != nil && !slices.Equal(r.restricted, ranges) {
			t.Errorf("the ranges are %v, not %v", r.restricted, ranges)
		}
	}
	for failing := 1; failing <= elsewhere.calls; failing++ {
		r := &residence{Operator: whole, failing: failing}
		if _, err := on(r); !errors.Is(err, errResidence) {
			t.Errorf("call %d of %d failed, the error is %v", failing, elsewhere.calls, err)
		}
		if r.open != 0 {
			t.Errorf("after call %d failed, vectors were not closed", failing)
		}
	}
}

func TestVectorsMayBeElsewhere(t *testing.T) {
	extremes := func(o Options) func(op Operator) (*Spectrum, error) {
		return func(op Operator) (*Spectrum, error) { return Extremes(context.Background(), op, o) }
	}
	t.Run("extremes", func(t *testing.T) {
		onResidences(t, spread(300), nil, extremes(Options{Basis: 8, Products: 20, Top: 2, Bottom: 2, Seed: 3}))
	})
	t.Run("of some coordinates", func(t *testing.T) {
		onResidences(t, spread(300), []Range{{0, 20}, {70, 280}}, extremes(Options{Basis: 12, Products: 30, Seed: 4}))
	})
	t.Run("of all there are", func(t *testing.T) { // where the space is exhausted, and both ends are wanted of one pair
		onResidences(t, diagonal{1, 1, 2}, nil, extremes(Options{Top: 3, Bottom: 3, Basis: 12, Seed: 5}))
	})
	t.Run("density", func(t *testing.T) {
		onResidences(t, spread(300), nil, func(op Operator) (*Density, error) {
			return SpectralDensity(context.Background(), op, 2, 10, 6)
		})
	})
}
