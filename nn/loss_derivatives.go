package nn

import "math"

// Gradient writes ∂Image/∂logits[k] into dst[k]. With p = softmax(logits), e the label's unit
// vector, K classes and J = diag(p) − p·pᵀ, the softmax's derivative, it is
//
//	cross entropy: p − e
//	mse:           J·a with a = 2/K·(p − e)
//
// Nothing overflows, and no digits are lost where the network is sure of a class: small
// derivatives have small relative errors. Logits whose loss is NaN give NaN. dst may be logits.
func (l Loss) Gradient(dst, logits []float64, label int) {
	top := softmax(dst, logits)
	if l == CrossEntropy {
		subtractUnit(dst, dst, label, top)
		return
	}
	softmaxTangent(dst, dst, mseSlope(dst, label, top), top)
}

// Product writes ∇²Image·tangent, the second derivatives by the logits times a vector, into
// dst. In the terms of Gradient, with ṗ = J·tangent, it is
//
//	cross entropy: ṗ
//	mse:           J·ȧ + ṗ∘(a − p·a) − p·(ṗ·a) with ȧ = 2/K·ṗ
//
// and as accurate. dst may be logits but must not overlap tangent.
func (l Loss) Product(dst, logits, tangent []float64, label int) {
	p := dst
	top := softmax(p, logits)
	if l == CrossEntropy {
		softmaxTangent(dst, p, tangent, top)
		return
	}
	a, dp := mseSlope(p, label, top), make([]float64, len(p))
	softmaxTangent(dp, p, tangent, top)
	pa, dpa, pdp := sumAbove(p, a, top), sumAbove(dp, a, top), sumAbove(p, dp, top)
	scale := 2 / float64(len(p))
	for k, v := range p {
		dst[k] = float64(dp[k]*(a[k]-a[top]-pa)) + float64(v*(float64(scale*(dp[k]-dp[top]-pdp))-dpa))
	}
}

// softmax writes the probabilities of the classes and returns the most probable one.
func softmax(p, logits []float64) (top int) {
	top = Predict(logits)
	largest, sum := logits[top], 0.0
	for k, z := range logits {
		p[k] = math.Exp(z - largest)
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return top
}

// softmaxTangent writes J·x = p∘(x − p·x). dst may be p, not x.
func softmaxTangent(dst, p, x []float64, top int) {
	mean := sumAbove(p, x, top)
	for k, v := range p {
		dst[k] = v * (x[k] - x[top] - mean)
	}
}

// sumAbove is Σₖ w[k]·(x[k] − x[top]). Weights that are nearly one at top and nearly zero
// elsewhere leave small terms only, whose sum has all its digits.
func sumAbove(w, x []float64, top int) float64 {
	sum := 0.0
	for k, v := range w {
		sum += float64(v * (x[k] - x[top]))
	}
	return sum
}

// mseSlope is a = 2/K·(p − e).
func mseSlope(p []float64, label, top int) []float64 {
	a := make([]float64, len(p))
	subtractUnit(a, p, label, top)
	for k := range a {
		a[k] *= 2 / float64(len(p))
	}
	return a
}

// subtractUnit writes p − e. Near one, p[top] − 1 would lose digits: it is minus the sum of the
// others.
func subtractUnit(dst, p []float64, label, top int) {
	copy(dst, p)
	if label != top {
		dst[label]--
		return
	}
	others := 0 * p[top] // NaN stays NaN
	for k, v := range p {
		if k != top {
			others += v
		}
	}
	dst[top] = -others
}
