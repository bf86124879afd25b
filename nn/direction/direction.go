// Package direction makes the directions in parameter space that a landscape is drawn
// along (Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape of Neural
// Nets", NeurIPS 2018).
//
// A direction is an nn.Params with one tensor for each of the graph's entries, in their
// order. Nil Data means that the entry is not perturbed. A direction of weights moves the
// learnable entries, one of states the running means and variances as well; nothing ever
// moves num_batches_tracked.
//
// Values are float32, as in the paper's files; norms and products are summed in float64
// and every result is rounded once, the same on every machine (but for what is found out about a Path,
// where last bits may differ).
package direction

import (
	"errors"
	"fmt"
	"math"

	"lsrun/nn"
)

// moves reports whether a direction of weights, or of states, has an entry of this role.
func moves(role nn.Role, states bool) bool {
	return role == nn.Learnable || states && role != nn.BatchCounter
}

// still is the direction that perturbs nothing.
func still(g *nn.Graph) nn.Params {
	d := make(nn.Params, len(g.Entries))
	for i, e := range g.Entries {
		d[i] = nn.Tensor{Name: e.Name, Shape: e.Shape}
	}
	return d
}

// Difference is the direction from θ to other, so that θ + 1·δ is other:
//
//	δ[k] = float32(other[k] − θ[k]), evaluated in float64.
//
// It shares no memory with its arguments. It is an error if either does not fit g, if the
// two are equal in everything that the direction would move, or if a difference is not finite.
func Difference(g *nn.Graph, theta, other nn.Params, states bool) (nn.Params, error) {
	if err := (nn.Plane{Theta: theta}).Check(g); err != nil {
		return nil, err
	}
	if err := (nn.Plane{Theta: other}).Check(g); err != nil {
		return nil, fmt.Errorf("the other checkpoint: %w", err)
	}
	d := still(g)
	equal := true
	for i, e := range g.Entries {
		if !moves(e.Role, states) {
			continue
		}
		d[i].Data = make([]float32, e.Shape.Size())
		for k := range d[i].Data {
			v := float32(float64(other[i].Data[k]) - float64(theta[i].Data[k]))
			d[i].Data[k] = v
			equal = equal && v == 0
		}
		if err := finite(d[i].Data); err != nil {
			return nil, fmt.Errorf("the difference of the two checkpoints, entry %s: %w: give two checkpoints of finite values", e.Name, err)
		}
	}
	if equal {
		return nil, errors.New("the two checkpoints are equal: there is no direction from one to the other; give two different ones")
	}
	return d, nil
}

// Cosine is the cosine of the angle between a and b, summed in float64; NaN if either is
// zero. Both are aligned with the same graph.
func Cosine(a, b nn.Params) float64 {
	var aa, bb, ab float64
	for i := range a {
		aa += dot(a[i].Data, a[i].Data)
		bb += dot(b[i].Data, b[i].Data)
		if a[i].Data != nil && b[i].Data != nil {
			ab += dot(a[i].Data, b[i].Data)
		}
	}
	return ab / math.Sqrt(aa) / math.Sqrt(bb)
}

// dot is Σ a[k]·b[k] in float64. Products of two float32 are exact there, so a fused
// multiply-add gives the same bits. len(b) ≥ len(a).
func dot(a, b []float32) float64 {
	sum := 0.0
	for k, v := range a {
		sum += float64(v) * float64(b[k])
	}
	return sum
}

// length is the Euclidean norm of v.
func length(v []float32) float64 { return math.Sqrt(dot(v, v)) }

// finite returns an error that says which value is the first NaN or infinite one.
func finite(data []float32) error {
	for k, v := range data {
		if v-v != 0 {
			return fmt.Errorf("value %d of %d is %v", k, len(data), v)
		}
	}
	return nil
}
