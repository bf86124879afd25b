package conformance

import (
	"math"
	"math/rand/v2"

	"lsrun/nn"
)

func generator(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// randomImages are n normally distributed pictures for g with random labels.
func randomImages(g *nn.Graph, n int, seed uint64) *nn.Images {
	rng := generator(seed)
	images := &nn.Images{Shape: g.Input, Pixels: make([]float32, n*g.Input.Size()), Labels: make([]int32, n)}
	for k := range images.Pixels {
		images.Pixels[k] = float32(rng.NormFloat64())
	}
	for i := range images.Labels {
		images.Labels[i] = rng.Int32N(int32(g.Classes))
	}
	return images
}

// randomPlane is a trained-looking network and two directions that change each value by
// up to a quarter of a unit step, so that running variances stay positive nearby.
func randomPlane(g *nn.Graph, seed uint64) nn.Plane {
	rng := generator(seed)
	plane := nn.Plane{
		Theta: make(nn.Params, len(g.Entries)),
		X:     make(nn.Params, len(g.Entries)),
		Y:     make(nn.Params, len(g.Entries)),
	}
	for i, e := range g.Entries {
		theta := nn.Tensor{Name: e.Name, Shape: e.Shape, Data: make([]float32, e.Shape.Size())}
		x, y := theta, theta
		x.Data, y.Data = make([]float32, len(theta.Data)), make([]float32, len(theta.Data))
		for k := range theta.Data {
			theta.Data[k] = float32(randomEntry(rng, e))
			x.Data[k] = theta.Data[k] * (rng.Float32() - 0.5) / 2
			y.Data[k] = theta.Data[k] * (rng.Float32() - 0.5) / 2
		}
		if e.Role == nn.BatchCounter {
			theta.Data[0], x.Data, y.Data = 1, nil, nil
		}
		plane.Theta[i], plane.X[i], plane.Y[i] = theta, x, y
	}
	return plane
}

func randomEntry(rng *rand.Rand, e nn.Entry) float64 {
	switch {
	case e.Role == nn.RunningVar:
		return 0.5 + rng.Float64()
	case len(e.Shape) > 1:
		fan := float64(e.Shape.Size() / e.Shape[0])
		return rng.NormFloat64() * math.Sqrt(2/fan)
	}
	return rng.NormFloat64() / 2
}
