package formula

import (
	"encoding/json"
	"fmt"
	"math"
	"os"

	"lsrun/nn"
)

// Training is what PyTorch, in float64, says of one training step of a network on one batch, dropout off:
// testdata/training/training.json. States and images are the formula's, but for some biases.
type Training struct {
	Rate, Momentum, Decay float64 // of the step: the first of SGD with Nesterov's momentum

	Base    uint64
	Images  int
	Biases  map[int][]float32 // by entry
	Loss    float64
	Correct int
	// Float32Error is how far PyTorch's own float32 gradients are off, relative in norm, at worst.
	Float32Error float64           `json:"float32_error"`
	Gradient     map[string]Sketch // of the mean loss
	Step         map[string]Sketch // what the step adds to a parameter
	Statistics   map[string]Sketch // what the batch adds to a running statistic, with momentum 0.1
}

// Sketch is a tensor's norm and its products with sixteen vectors of signs.
type Sketch struct {
	Norm   float64
	Sketch [16]float64
}

// ReadTraining reads training.json: the networks by name.
func ReadTraining(path string) (map[string]Training, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Rate, Momentum, Decay float64
		Networks              map[string]Training
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read reference steps from %s: %w", path, err)
	}
	for name, t := range file.Networks {
		t.Rate, t.Momentum, t.Decay = file.Rate, file.Momentum, file.Decay
		file.Networks[name] = t
	}
	return file.Networks, nil
}

// States are those before the step.
func (t Training) States(g *nn.Graph) nn.Params {
	states := States(g, t.Base, 1)
	for i, bias := range t.Biases {
		states[i].Data = bias
	}
	return states
}

// Batch is what the step sees.
func (t Training) Batch(g *nn.Graph) *nn.Images { return Images(t.Base, t.Images, g.Input) }

// WithoutDropout is g with all dropouts that drop nothing.
func WithoutDropout(g *nn.Graph) *nn.Graph {
	still := *g
	still.Nodes = append([]nn.Node(nil), g.Nodes...)
	for i := range still.Nodes {
		switch still.Nodes[i].Op.(type) {
		case nn.Dropout:
			still.Nodes[i].Op = nn.Dropout{}
		case nn.AlphaDropout:
			still.Nodes[i].Op = nn.AlphaDropout{}
		}
	}
	return &still
}

// Distance estimates how far x, of the given entry, is from the tensor that s was taken of: within a sixth or so.
func (s Sketch) Distance(entry int, x []float64) float64 {
	var off [16]float64
	for i, v := range x {
		z := splitMix64(uint64(entry), i+1)
		for j := range off {
			off[j] += float64(v * float64(int(z>>j&1)*2-1))
		}
	}
	sum := 0.0
	for j, v := range off {
		d := v - s.Sketch[j]
		sum += float64(d * d)
	}
	return math.Sqrt(sum / 16)
}
