//go:build card

package cuda

import (
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/engine/conformance"
)

// What needs a card is built with the tag card, and fails without one: bench/gpu/check builds and runs it.

func TestTheEngineConformsOnACard(t *testing.T) {
	for precision, tolerance := range tolerances {
		t.Run(precision.String(), func(t *testing.T) {
			conformance.Run(t, tolerance, func(g *nn.Graph, loss nn.Loss, _ int) (engine.Engine, error) {
				return New(g, loss, Options{Precision: precision})
			})
		})
	}
}

func TestDerivativesConformOnACard(t *testing.T) {
	new := func(g *nn.Graph, loss nn.Loss, _ int) (engine.Engine, error) { return New(g, loss, Options{}) }
	conformance.RunDerivatives(t, 1e-3, new)
	t.Run("vectors", func(t *testing.T) { conformance.RunVectors(t, new) })
}

func TestLogitsAreThoseOfThePaperCodeOnACard(t *testing.T) {
	for _, precision := range []Precision{FP16x3, TF32x3, Float32, TF32} {
		t.Run(precision.String(), func(t *testing.T) {
			likeThePaper(t, precision, nil, func(g *nn.Graph) (*Engine, error) {
				return New(g, nn.CrossEntropy, Options{Precision: precision})
			})
		})
	}
}

func TestDerivativesAreThoseOfThePaperCodeOnACard(t *testing.T) {
	for _, precision := range []Precision{FP16x3, TF32x3, Float32} {
		t.Run(precision.String(), func(t *testing.T) {
			derivativesLikeThePaper(t, []string{"resnet20", "resnet56", "vgg9", "densenet121", "wrn56_4", "alexnet"}, func(g *nn.Graph) (*Engine, error) {
				return New(g, nn.CrossEntropy, Options{Precision: precision})
			})
		})
	}
}
