// Package formula fills networks, images and vectors with the numbers that the reference
// file zoo.json was computed from, and reads that file. It serves benchmarks and the tests of every
// package that evaluates networks.
//
// The numbers are SplitMix64's (Steele, Lea, Flood, OOPSLA 2014): zᵢ = mix(seed + i·γ) for
// i = 1, 2, …, and u(seed)ᵢ = ((zᵢ >> 40) − 2²³)/2²³ in [−1, 1), exact in float32.
package formula

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"

	"lsrun/nn"
)

// Seeds relative to the base: entry k of the states has base + k.
const (
	seedImages = 1000003
	seedLabels = 1000004
	seedVector = 2000003
)

// splitMix64 is zᵢ.
func splitMix64(seed uint64, i int) uint64 {
	z := seed + uint64(i)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// uniform is u(seed)₁ … u(seed)ₙ.
func uniform(seed uint64, n int) []float32 {
	u := make([]float32, n)
	for i := range u {
		u[i] = float32(int64(splitMix64(seed, i+1)>>40)-1<<23) / (1 << 23)
	}
	return u
}

// States fills every entry of g: weights of more than one dimension with He's uniform
// distribution, batch norm's weights around bnScale, running variances around 1, the rest
// around 0.
func States(g *nn.Graph, base uint64, bnScale float32) nn.Params {
	states := make(nn.Params, len(g.Entries))
	for k, e := range g.Entries {
		data := uniform(base+uint64(k), e.Shape.Size())
		for i, u := range data {
			data[i] = value(e, u, bnScale)
		}
		states[k] = nn.Tensor{Name: e.Name, Shape: e.Shape, Data: data}
	}
	return states
}

func value(e nn.Entry, u, bnScale float32) float32 {
	switch {
	case e.Role == nn.BatchCounter:
		return 1
	case e.Role == nn.RunningVar:
		return 1 + 0.25*u // 0.25·u is exact: fused or not, the sum is rounded once
	case len(e.Shape) > 1:
		fan := float64(e.Shape.Size() / e.Shape[0])
		return u * float32(math.Sqrt(6/fan))
	case e.Role == nn.Learnable && strings.HasSuffix(e.Name, "weight"):
		return bnScale * (1 + 0.25*u)
	}
	return 0.1 * u
}

// Images are n pictures of the given shape with labels 0…9.
func Images(base uint64, n int, shape nn.Shape) *nn.Images {
	labels := make([]int32, n)
	for i := range labels {
		labels[i] = int32(splitMix64(base+seedLabels, i+1) % 10)
	}
	return &nn.Images{Shape: shape, Pixels: uniform(base+seedImages, n*shape.Size()), Labels: labels}
}

// Vector is v, a direction over the parameters of g; what is not learnable has no data.
func Vector(g *nn.Graph, base uint64) nn.Params {
	v := make(nn.Params, len(g.Entries))
	parameter := uint64(0)
	for k, e := range g.Entries {
		v[k] = nn.Tensor{Name: e.Name, Shape: e.Shape}
		if e.Role == nn.Learnable {
			v[k].Data = uniform(base+seedVector+parameter, e.Shape.Size())
			parameter++
		}
	}
	return v
}

// Network is what the paper's PyTorch code, in float64, says of one architecture filled by
// the formula.
type Network struct {
	Base       uint64      // of the formula
	BNScale    float32     `json:"bn_scale"`
	Input      nn.Shape    `json:"input"`
	Entries    []Entry     `json:"entries"`
	Parameters int         `json:"parameters"`
	Labels     []int32     `json:"labels"`
	Logits     [][]float64 `json:"logits"` // image by image
	// Float32Error is that of PyTorch's own float32 logits, relative in norm.
	Float32Error float64 `json:"fp32_relative_error"`
	CrossEntropy float64 `json:"cross_entropy"` // mean over the images
	MSE          float64 `json:"mse"`
	Correct      int     `json:"correct"`
	// Of the cross entropy's mean over the images, in eval mode, parameter by parameter:
	GradNorms []float64 `json:"grad_norms"`
	GradDotV  float64   `json:"grad_dot_v"`
	VHV       float64   `json:"v_H_v"`
	HvNorms   []float64 `json:"Hv_norms"`
}

// Entry is a name and a shape of the state dict.
type Entry struct {
	Name  string
	Shape nn.Shape
}

// UnmarshalJSON reads the pair ["conv1.weight", [16, 3, 3, 3]].
func (e *Entry) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&e.Name, &e.Shape})
}

// Zoo reads zoo.json: the networks by name.
func Zoo(path string) (map[string]Network, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Base   uint64
		Models map[string]Network
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read reference networks from %s: %w", path, err)
	}
	for name, net := range file.Models {
		net.Base = file.Base
		file.Models[name] = net
	}
	return file.Models, nil
}
