package train

import (
	"math"
	"strings"
	"testing"

	"lsrun/nn"
)

func expect(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%v does not say %q", err, says)
	}
}

// spread is what an entry's initial values should be: their mean, their standard deviation and their largest magnitude
// (0 if it has no bound).
type spread struct{ mean, deviation, bound float64 }

func TestNetworksBeginAsTheirFamiliesDo(t *testing.T) {
	uniform := func(fan float64) spread { return spread{0, 1 / math.Sqrt(3*fan), 1 / math.Sqrt(fan)} }
	for network, entries := range map[string]map[string]spread{
		"resnet56": {
			"conv1.weight": {0, math.Sqrt(2. / 27), 0}, "layer3.1.conv2.weight": {0, math.Sqrt(2. / 576), 0}, "layer2.0.shortcut.0.weight": {0, math.Sqrt(2. / 16), 0},
			"linear.weight": {0, 1e-3, 0}, "linear.bias": {}, "layer1.0.bn1.weight": {1, 0, 1}, "layer1.0.bn1.bias": {}, "bn1.running_mean": {},
			"bn1.running_var": {1, 0, 1}, "bn1.num_batches_tracked": {},
		},
		"vgg9":            {"features.0.bias": {}, "features.3.weight": {0, math.Sqrt(2. / 576), 0}, "fc.0.weight": {0, 1e-3, 0}, "fc.1.weight": {1, 0, 1}, "classifier.bias": {}},
		"densenet_cifar":  {"dense1.0.conv1.weight": {0, math.Sqrt(2. / 24), 0}, "bn.weight": {1, 0, 1}},
		"lenet5":          {"conv2.weight": uniform(150), "conv2.bias": uniform(150), "fc1.weight": uniform(400), "fc1.bias": uniform(400)},
		"mlp_300_100":     {"fc1.weight": uniform(784), "fc1.bias": uniform(784)},
		"snn_256_256_256": {"fc1.weight": {0, 1. / 28, 0}, "fc1.bias": {}, "fc2.weight": {0, 1. / 16, 0}},
		"scnn":            {"conv2.weight": {0, math.Sqrt(1. / 288), 0}, "conv2.bias": {}},
	} {
		states := Initialise(build(t, network, nil), 5)
		for name, want := range entries {
			var sum, square, largest float64
			data := states.Lookup(name).Data
			for _, v := range data {
				sum += float64(v)
				square += float64(v) * float64(v)
				largest = max(largest, math.Abs(float64(v)))
			}
			n := float64(len(data))
			mean := sum / n
			deviation := math.Sqrt(max(square/n-mean*mean, 0))
			if math.Abs(mean-want.mean) > 4*want.deviation/math.Sqrt(n) || math.Abs(deviation-want.deviation) > 3*want.deviation/math.Sqrt(n) ||
				want.bound > 0 && largest > want.bound*(1+1e-6) || want.bound > 0 && largest < want.bound*(1-20/n) {
				t.Errorf("%s: %s has mean %.4g, deviation %.4g and at most %.4g, expected %+v", network, name, mean, deviation, largest, want)
			}
		}
	}
}

func TestEntriesBeginDifferently(t *testing.T) {
	states := Initialise(build(t, "resnet20", nn.Shape{3, 32, 32}), 5)
	a, b := states.Lookup("layer1.0.conv1.weight").Data, states.Lookup("layer1.0.conv2.weight").Data
	same := 0
	for k := range a {
		if a[k] == b[k] {
			same++
		}
	}
	if same > 1 {
		t.Errorf("%d of %d values are the same", same, len(a))
	}
}
