package cuda

import (
	"os"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/engine/conformance"
)

// TestDerivativesConformOnTheHost goes through several blocks of images, of which only the first keep their state.
func TestDerivativesConformOnTheHost(t *testing.T) {
	precisions := []Precision{Float32, FP16x3}
	if os.Getenv("LSRUN_LONG") != "" {
		precisions = append(precisions, TF32x3) // shares all but patch.h's kernels with FP16x3
	}
	for _, precision := range precisions {
		t.Run(precision.String(), func(t *testing.T) {
			conformance.RunDerivatives(t, 1e-3, func(g *nn.Graph, loss nn.Loss, _ int) (engine.Engine, error) {
				h, err := newHost()
				if err != nil {
					return nil, err
				}
				e, err := newEngine(g, loss, precision, h)
				if err == nil {
					e.blockImages, e.stateBytes = 32, 2*32*8*record(g, 32, precision).plane
				}
				return e, err
			})
		})
	}
}
