package ref

import "math"

// activation applies a function to every element. f gives its value and first two
// derivatives; at 0 as in PyTorch, where ELU's are α and 0.
type activation[N number] struct {
	f func(x float64) (f, df, ddf float64)
}

func (a activation[N]) forward(out tensor[N], in, _ []tensor[N]) {
	for k, x := range in[0].data {
		f, df, _ := a.f(value(x))
		out.data[k] = lift(x, f, df)
	}
}

func (a activation[N]) backward(out tensor[N], in, _ []tensor[N]) {
	for k, x := range in[0].data {
		_, df, ddf := a.f(value(x))
		in[0].adjoint[k] += mul(out.adjoint[k], lift(x, df, ddf))
	}
}

func relu(x float64) (f, df, ddf float64) {
	if x <= 0 {
		return 0, 0, 0
	}
	return x, 1, 0
}

// elu is ELU times scale.
func elu(scale, alpha float64) func(float64) (f, df, ddf float64) {
	return func(x float64) (f, df, ddf float64) {
		if x > 0 {
			return scale * x, scale, 0
		}
		f, df = scale*alpha*math.Expm1(x), scale*alpha*math.Exp(x)
		if x == 0 {
			return f, df, 0
		}
		return f, df, df
	}
}

func tanh(x float64) (f, df, ddf float64) {
	f = math.Tanh(x)
	c := math.Cosh(x)
	df = 1 / (c * c) // 1 − f² would lose digits
	return f, df, -2 * f * df
}

func sigmoid(x float64) (f, df, ddf float64) {
	e := math.Exp(-math.Abs(x))
	df = e / ((1 + e) * (1 + e))
	return 1 / (1 + math.Exp(-x)), df, -df * math.Tanh(x/2)
}

func gelu(x float64) (f, df, ddf float64) {
	tail := math.Erfc(-x/math.Sqrt2) / 2
	density := math.Exp(-x*x/2) / math.Sqrt(2*math.Pi)
	return x * tail, tail + float64(x*density), density * (2 - float64(x*x))
}

func geluTanh(x float64) (f, df, ddf float64) {
	const a, b = 0.044715, math.Sqrt2 / math.SqrtPi
	t, dt, ddt := tanh(b * (x + float64(a*x*x*x)))
	du, ddu := b*(1+float64(3*a*x*x)), 6*a*b*x // of tanh's argument
	ddt = float64(ddt*du*du) + float64(dt*ddu)
	dt *= du
	return x / 2 * (1 + t), (1+t)/2 + float64(x/2*dt), dt + float64(x/2*ddt)
}
