package ref

import (
	"context"
	"fmt"
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo/formula"
)

// Smooth networks have derivatives that differences approach.
func TestDerivativesAreLimitsOfDifferences(t *testing.T) {
	for _, op := range []nn.Op{nn.Tanh{}, nn.Sigmoid{}, nn.GELU{}, nn.GELU{Tanh: true}, nn.Softmax{}, nn.LogSoftmax{},
		nn.BatchNorm{Eps: 1e-5}, nn.AvgPool{Window: nn.Square(3, 2, 1)}, nn.Conv2d(4, 3, 2, 1), nn.Subsample{Out: 5, Stride: 2}} {
		for _, loss := range []nn.Loss{nn.CrossEntropy, nn.MSE} {
			t.Run(fmt.Sprintf("%s %+v, %v", op.Kind(), op, loss), func(t *testing.T) { checkDifferences(t, around(t, op), loss) })
		}
	}
}

// around puts op between layers that differentiate twice, too.
func around(t *testing.T, op nn.Op) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder("smooth", nn.Shape{2, 5, 6})
	x := b.Add("op", op, b.Add("tanh", nn.Tanh{}, b.Add("conv", nn.Conv2d(3, 3, 1, 1).WithBias(), 0)))
	b.Add("fc", nn.Linear{Out: 10, Bias: true}, b.Add("flatten", nn.Flatten{}, b.Add("sigmoid", nn.Sigmoid{}, x)))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// checkDifferences moves along the formula's vector v and compares g·v and Hv with central
// differences of loss and gradient.
func checkDifferences(t *testing.T, g *nn.Graph, loss nn.Loss) {
	images := formula.Images(1, 3, g.Input)
	e := &reference{loss: loss, threads: 2}
	e.Graph = g
	v := formula.Vector(g, 1)
	at := func(step float64) [][]float64 {
		states := make([][]float64, len(g.Entries))
		for i, tensor := range formula.States(g, 1, 1) {
			for k, theta := range tensor.Data {
				moved := float64(theta)
				if v[i].Data != nil {
					moved += step * float64(v[i].Data[k])
				}
				states[i] = append(states[i], moved)
			}
		}
		return states
	}
	var vector []float64
	for _, entry := range v {
		for _, x := range entry.Data {
			vector = append(vector, float64(x))
		}
	}
	e.last = &place{images, at(0)}
	product := make([]float64, g.Parameters())
	if err := e.Products(context.Background(), [][]float64{vector}, [][]float64{product}); err != nil {
		t.Fatal(err)
	}
	mean := func(step float64) ([]float64, float64) {
		gradient, loss, err := meanAdjoint(context.Background(), e, images, at(step))
		if err != nil {
			t.Fatal(err)
		}
		return gradient, loss
	}
	const h = 1e-5
	gradient, _ := mean(0)
	after, above := mean(h)
	before, below := mean(-h)
	if slope := (above - below) / (2 * h); !(math.Abs(dot(gradient, vector)-slope) <= 1e-9*(1+math.Abs(slope))) {
		t.Errorf("g·v = %v, the loss changes by %v", dot(gradient, vector), slope)
	}
	for k := range product {
		if change := (after[k] - before[k]) / (2 * h); !(math.Abs(product[k]-change) <= 1e-8*(1+math.Abs(change))) {
			t.Errorf("Hv[%d] = %v, the gradient changes by %v", k, product[k], change)
		}
	}
}
