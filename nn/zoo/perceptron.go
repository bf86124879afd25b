package zoo

import (
	"fmt"
	"strconv"
	"strings"

	"lsrun/nn"
)

// Perceptrons have modules fc1, fc2, …: the hidden layers of the widths in the name, then
// the logits. Pictures are flattened first. mlp has ReLU; snn is self-normalising
// (Klambauer et al., NeurIPS 2017), with SELU and alpha dropout of 0.05.
var perceptrons = []model{
	must("mlp_300_100"),
	must("snn_256_256_256"),
}

// activations of a hidden layer, by the kind of perceptron.
var activations = map[string][]nn.Op{
	"mlp": {nn.ReLU{}},
	"snn": {nn.SELU{}, nn.AlphaDropout{P: 0.05}},
}

// widest is the most units that a layer may have: a longer number is a slip.
const widest = 1 << 20

// perceptron reads mlp_300_100; ok says whether the name is of that form.
func perceptron(name string) (m model, ok bool, err error) {
	parts := strings.Split(name, "_")
	ops, ok := activations[parts[0]]
	if !ok {
		return model{}, false, nil
	}
	var widths []int
	for _, part := range parts[1:] {
		w, err := strconv.Atoi(part)
		if err != nil || w < 1 || w > widest || strconv.Itoa(w) != part {
			return model{}, true, fmt.Errorf("model %q: %q is not a width from 1 to %d: write the widths of the hidden layers, as in %s_300_100", name, part, widest, parts[0])
		}
		widths = append(widths, w)
	}
	if widths == nil {
		return model{}, true, fmt.Errorf("model %q: write the widths of its hidden layers, as in %s_300_100", name, parts[0])
	}
	return model{name, mnist, func(b *nn.Builder, classes int) {
		x := 0
		if len(b.Shape(0)) != 1 {
			x = b.Add("flatten", nn.Flatten{}, x)
		}
		for i, w := range widths {
			x = b.Add(fmt.Sprintf("fc%d", i+1), linear(w), x)
			for _, op := range ops {
				x = b.Add(fmt.Sprintf("%s%d", op.Kind(), i+1), op, x)
			}
		}
		b.Add(fmt.Sprintf("fc%d", len(widths)+1), linear(classes), x)
	}}, true, nil
}

// must is the perceptron of a name that is known to be well formed.
func must(name string) model {
	m, _, err := perceptron(name)
	if err != nil {
		panic("zoo: a listed perceptron has a malformed name")
	}
	return m
}
