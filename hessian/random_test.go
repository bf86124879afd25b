package hessian

import (
	"math"
	"slices"
	"testing"
)

// TestNormalNumbersAreThoseOfOneStream compares what is made by parts with Marsaglia's method number by number, and where the stream goes on.
func TestNormalNumbersAreThoseOfOneStream(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 2047, 2048, 2049, 100_000, 100_001} {
		got, want := newStream(5, uint64(n)), newStream(5, uint64(n))
		x, y := make([]float64, n), []float64{}
		got.gaussian(x)
		for len(y) < n {
			u, v := want.uniform(), want.uniform()
			if q := float64(u*u) + float64(v*v); q > 0 && q < 1 {
				f := math.Sqrt(-2 * math.Log(q) / q)
				y = append(y, u*f, v*f)
			}
		}
		if !slices.Equal(x, y[:n]) || got.next() != want.next() {
			t.Errorf("%d numbers are others, or the stream goes on elsewhere", n)
		}
	}
}

// TestARoundThatIsTooShortIsFollowedByAnother has more failures than were expected: the seeds are many, and the vectors short.
func TestARoundThatIsTooShortIsFollowedByAnother(t *testing.T) {
	short := 0
	for seed := range uint64(3000) {
		s := newStream(seed, 0)
		before, x := s, make([]float64, 400)
		s.gaussian(x)
		if used := uint64(s-before) * 0xF1DE83E19937733D; used > 2*(400/2*5/4+8) { // the inverse of the increment
			short++
		}
		if slices.Contains(x, 0) {
			t.Fatalf("seed %d: a number was not made", seed)
		}
	}
	if short == 0 {
		t.Error("no round was too short")
	}
}
