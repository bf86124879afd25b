package cuda

import (
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/engine/conformance"
)

// tolerances are wide for sums that cancel, as those of nn/cpu are; TF32 has 11 bits.
// In TF32x3 and FP16x3 the only output of a linear map of 100 values, small by cancelling, was off by 1.2e-4 of itself on an H100; float32 does
// about as badly.
var tolerances = map[Precision]float64{Float32: 1e-4, TF32x3: 3e-4, FP16x3: 3e-4, TF32: 0.5}

func TestTheEngineConformsOnTheHost(t *testing.T) {
	for precision, tolerance := range tolerances {
		t.Run(precision.String(), func(t *testing.T) {
			conformance.Run(t, tolerance, func(g *nn.Graph, loss nn.Loss, n int) (engine.Engine, error) {
				h, err := newHost()
				if err != nil {
					return nil, err
				}
				e, err := newEngine(g, loss, precision, h)
				if err == nil {
					e.threads = threads(n)
				}
				return e, err
			})
		})
	}
}
