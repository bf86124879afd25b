package main

import (
	"context"
	"errors"
	"slices"
	"testing"

	"lsrun/hessian"
	"lsrun/nn/engine"
)

// keeper is an engine that keeps vectors, with which it can do nothing but fail to multiply them.
type keeper struct {
	engine.Differentiator
	ranges [][2]int
	kept   failing
}

func (k *keeper) Vectors(ranges [][2]int, _ int) (engine.Vectors, error) {
	k.ranges = ranges
	return k.kept, nil
}

type failing struct {
	engine.Vectors
	error
}

func (f failing) Apply(context.Context, int, int) error { return f.error }
func (f failing) Write(int, []float64) error            { return nil }
func (f failing) Dots(which []int, _ int) ([]float64, error) {
	return slices.Repeat([]float64{1}, len(which)), nil
}
func (f failing) Scale(int, float64) error        { return nil }
func (f failing) Add(int, []int, []float64) error { return nil }
func (f failing) Rotate([]int, [][]float64) error { return nil }
func (f failing) Read([]float64, int) error       { return nil }
func (f failing) Close() error                    { return nil }

func TestProductsAreCountedWhereTheEngineKeepsVectors(t *testing.T) {
	for _, broken := range []error{nil, errors.New("a card that is lost")} {
		e, count := &keeper{kept: failing{error: broken}}, 0
		operator, err := hessian.Restrict(&products64{Differentiator: e, n: 20, done: func(n int) { count += n }}, []hessian.Range{{First: 2, End: 5}, {First: 7, End: 9}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := hessian.Extremes(context.Background(), operator, hessian.Options{Products: 3})
		if !errors.Is(err, broken) {
			t.Errorf("error %v, not %v", err, broken)
		}
		if want := [][2]int{{2, 5}, {7, 9}}; !slices.Equal(e.ranges, want) {
			t.Errorf("vectors of %v, not %v", e.ranges, want)
		}
		if broken != nil && count != 0 || broken == nil && (count == 0 || count != s.Products) {
			t.Errorf("%d products were counted", count)
		}
	}
}
