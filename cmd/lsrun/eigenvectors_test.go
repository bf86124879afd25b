package main

import (
	"math"
	"testing"

	"lsrun/hessian"
)

func TestHowFarEigenvectorsLeanToTheNext(t *testing.T) {
	s := &hessian.Spectrum{Top: []hessian.Pair{{Value: 10, Residual: 0.1}, {Value: 5, Residual: 0.1}, {Value: 4.5, Residual: 0.1}},
		Bottom: []hessian.Pair{{Value: -2, Residual: 0.3}, {Value: -1.9, Residual: 0.01}}}
	for k, want := range map[int]float64{1: 0.02, 2: 0.2, 3: 0.2, -1: 1, -2: 0.1} {
		if got := leaning(s, k); math.Abs(got-want) > 1e-12 {
			t.Errorf("eig:%d leans by %g, not %g", k, got, want)
		}
	}
}
