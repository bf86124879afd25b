package train

import (
	"math"
	"slices"
	"strings"

	"lsrun/nn"
)

// Initialise draws the states that a training begins with. Batch norms begin as the identity. Weights, with the
// fan-in n of their units, and biases depend on the kind of network:
//
//	self-normalising (it has SELU)   N(0, 1/n), biases 0: LeCun's (Klambauer et al., NeurIPS 2017)
//	with batch norm                  convolutions N(0, 2/n), linear maps N(0, 10⁻⁶), biases 0: the paper's main.py
//	others                           U(−1/√n, 1/√n), biases too: PyTorch's default
func Initialise(g *nn.Graph, seed uint64) nn.Params {
	selfNormalising := slices.ContainsFunc(g.Nodes, func(n nn.Node) bool { return n.Op == nn.Op(nn.SELU{}) })
	states := make(nn.Params, len(g.Entries))
	for i, e := range g.Entries {
		states[i] = nn.Tensor{Name: e.Name, Shape: e.Shape, Data: make([]float32, e.Shape.Size())}
		if e.Role == nn.RunningVar {
			fill(states[i].Data, func() float64 { return 1 })
		}
	}
	for _, n := range g.Nodes {
		if len(n.Entries) == 0 {
			continue
		}
		weight := states[n.Entries[0]]
		if _, is := n.Op.(nn.BatchNorm); is {
			fill(weight.Data, func() float64 { return 1 })
			continue
		}
		_, linear := n.Op.(nn.Linear)
		fan := float64(weight.Shape.Size() / weight.Shape[0])
		deviation := 0.0
		switch {
		case selfNormalising:
			deviation = math.Sqrt(1 / fan)
		case g.HasRunningStatistics() && linear:
			deviation = 1e-3
		case g.HasRunningStatistics():
			deviation = math.Sqrt(2 / fan)
		}
		for _, i := range n.Entries {
			r := draws(seed, "initial "+g.Entries[i].Name)
			switch {
			case deviation == 0:
				fill(states[i].Data, func() float64 { return (2*r.Float64() - 1) / math.Sqrt(fan) })
			case !strings.HasSuffix(g.Entries[i].Name, ".bias"):
				fill(states[i].Data, func() float64 { return deviation * r.NormFloat64() })
			}
		}
	}
	return states
}

func fill(data []float32, value func() float64) {
	for k := range data {
		data[k] = float32(value())
	}
}
