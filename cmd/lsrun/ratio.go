package main

import (
	"math"
	"slices"

	"lsrun/shard"
)

// What pictures show of the eigenvalues: how far from convex the loss is at a point (Li et al. 2018, section 6).
const (
	eigRatio       = "eig_ratio"        // |λmin/λmax|
	signedEigRatio = "signed_eig_ratio" // λmin/λmax
)

// isCurvature reports whether a metric is of the Hessian.
func isCurvature(metric string) bool {
	return slices.Contains([]string{maxEig, minEig, eigRatio, signedEigRatio}, metric)
}

// addRatios adds both ratios to a surface that has eigenvalues.
func addRatios(s *shard.Surface) {
	largest, smallest := s.Layer(maxEig), s.Layer(minEig)
	if largest == nil || smallest == nil {
		return
	}
	signed := shard.Layer{Name: signedEigRatio, Status: slices.Clone(smallest.Status)}
	unsigned := shard.Layer{Name: eigRatio, Status: slices.Clone(smallest.Status)}
	for k := range smallest.Values {
		ratio := smallest.Values[k] / largest.Values[k]
		signed.Values = append(signed.Values, ratio)
		unsigned.Values = append(unsigned.Values, math.Abs(ratio))
	}
	s.Layers = append(s.Layers, unsigned, signed)
}

// ratioLimits are the ends of the scale of a ratio: the paper's, and the same below 0 for the signed one.
func ratioLimits(metric string) (low, high *float64) {
	none, half, below := 0.0, 0.5, -0.5
	switch metric {
	case eigRatio:
		return &none, &half
	case signedEigRatio:
		return &below, &half
	}
	return nil, nil
}
