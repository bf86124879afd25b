package main

import (
	"math"
	"testing"

	"lsrun/shard"
)

func TestTheMeanRatioIsThatOfConvergedPoints(t *testing.T) {
	s := &shard.Surface{X: []float64{-1, 0, 1}, Layers: []shard.Layer{
		{Name: minEig, Values: []float64{-1, -2, 3}, Status: []shard.Status{shard.Done, shard.NotConverged, shard.Done}},
		{Name: eigRatio, Values: []float64{0.1, 0.9, 0.3}},
	}}
	share, ratio, ok := negativeCurvature(s)
	if !ok || math.Abs(share-2./3) > 1e-12 || math.Abs(ratio-0.2) > 1e-12 {
		t.Errorf("%g of the points are negative, and the mean ratio is %g", share, ratio)
	}
}
