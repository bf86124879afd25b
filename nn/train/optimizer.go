package train

import (
	"math"

	"lsrun/nn"
)

// optimizer turns gradients into steps of the parameters. Its buffers are what it remembers, each as long as
// the gradient.
type optimizer interface {
	// step moves parameters, of which gradient is the part from offset on. t counts the steps from 1.
	step(parameters, gradient []float32, offset int, rate float64, t int)
	buffers() []buffer
}

// buffer is named as PyTorch's optimisers name theirs.
type buffer struct {
	name string
	data []float32
}

func newOptimizer(r Recipe, parameters int) optimizer {
	if r.Optimizer == "adam" {
		return &adam{float32(r.WeightDecay), make([]float32, parameters), make([]float32, parameters)}
	}
	return &sgd{float32(r.Momentum), float32(r.WeightDecay), make([]float32, parameters)}
}

// update makes one step with all parameters, the learnable ones of states.
func update(o optimizer, g *nn.Graph, states nn.Params, gradient []float32, rate float64, t int) {
	offset := 0
	for i, e := range g.Entries {
		if e.Role == nn.Learnable {
			n := e.Shape.Size()
			o.step(states[i].Data, gradient[offset:offset+n], offset, rate, t)
			offset += n
		}
	}
}

// sgd is stochastic gradient descent with Nesterov's momentum μ, as PyTorch has it (Sutskever et al., ICML 2013,
// with the learning rate outside of the velocity):
//
//	d = g + λθ, v ← μv + d, θ ← θ − η(d + μv)
//
// all in float32. Without momentum it is plain gradient descent.
type sgd struct {
	momentum, decay float32
	velocity        []float32
}

func (o *sgd) step(parameters, gradient []float32, offset int, rate float64, _ int) {
	velocity, eta := o.velocity[offset:], float32(rate)
	for k, g := range gradient {
		d := g + float32(o.decay*parameters[k])
		v := float32(o.momentum*velocity[k]) + d
		velocity[k] = v
		parameters[k] -= float32(eta * (d + float32(o.momentum*v)))
	}
}

func (o *sgd) buffers() []buffer { return []buffer{{"momentum_buffer", o.velocity}} }

// Adam's constants, which are PyTorch's defaults.
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// adam is Kingma and Ba's (ICLR 2015), with weight decay in the gradient, as PyTorch has it:
//
//	d = g + λθ, m ← β₁m + (1−β₁)d, v ← β₂v + (1−β₂)d²,
//	θ ← θ − η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
//
// in float32, but for the factors that all parameters share.
type adam struct {
	decay        float32
	mean, square []float32
}

func (o *adam) step(parameters, gradient []float32, offset int, rate float64, t int) {
	mean, square := o.mean[offset:], o.square[offset:]
	eta := float32(rate / (1 - math.Pow(beta1, float64(t))))
	correction := float32(math.Sqrt(1 - math.Pow(beta2, float64(t))))
	for k, g := range gradient {
		d := g + float32(o.decay*parameters[k])
		m := float32(beta1*mean[k]) + float32((1-beta1)*d)
		v := float32(beta2*square[k]) + float32(float32((1-beta2)*d)*d)
		mean[k], square[k] = m, v
		parameters[k] -= float32(eta * (m / (float32(math.Sqrt(float64(v)))/correction + epsilon)))
	}
}

func (o *adam) buffers() []buffer { return []buffer{{"exp_avg", o.mean}, {"exp_avg_sq", o.square}} }
