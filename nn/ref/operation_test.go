package ref_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"lsrun/nn"
	"lsrun/nn/ref"
	"lsrun/nn/zoo/formula"
)

// operations are those of testdata/operations.py.
var operations = map[string]nn.Op{
	"conv":         nn.Conv2d(4, 3, 1, 1).WithBias(),
	"conv strided": nn.Conv2d(3, 3, 2, 1),
	"conv asymmetric": nn.Conv{Out: 3, Kernel: [2]int{1, 4}, Stride: [2]int{3, 1}, Pad: [2]int{0, 2},
		Dilation: [2]int{1, 2}, Groups: 1, Bias: true},
	"conv grouped": nn.Conv{Out: 4, Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}, Pad: [2]int{2, 2},
		Dilation: [2]int{2, 2}, Groups: 2, Bias: true},
	"conv depthwise": nn.Conv{Out: 6, Kernel: [2]int{5, 5}, Stride: [2]int{1, 1}, Pad: [2]int{2, 2},
		Dilation: [2]int{1, 1}, Groups: 3},
	"linear":                 nn.Linear{Out: 5, Bias: true},
	"linear without bias":    nn.Linear{Out: 5},
	"batchnorm of a vector":  nn.BatchNorm{Eps: 1e-5},
	"batchnorm of a picture": nn.BatchNorm{Eps: 0.1},
	"relu":                   nn.ReLU{},
	"selu":                   nn.SELU{},
	"elu":                    nn.ELU{Alpha: 0.3},
	"tanh":                   nn.Tanh{},
	"sigmoid":                nn.Sigmoid{},
	"gelu":                   nn.GELU{},
	"gelu tanh":              nn.GELU{Tanh: true},
	"dropout":                nn.Dropout{P: 0.5},
	"alphadropout":           nn.AlphaDropout{P: 0.5},
	"softmax":                nn.Softmax{},
	"logsoftmax":             nn.LogSoftmax{},
	"maxpool":                nn.MaxPool{Window: nn.Square(3, 2, 1)},
	"maxpool ceil":           nn.MaxPool{Window: ceil(nn.Square(3, 2, 0))},
	"maxpool ceil padded":    nn.MaxPool{Window: ceil(nn.Square(2, 3, 1))},
	"avgpool":                nn.AvgPool{Window: nn.Square(3, 2, 1), CountPad: true},
	"avgpool ceil":           nn.AvgPool{Window: ceil(nn.Square(3, 2, 1)), CountPad: true},
	"avgpool ceil asymmetric": nn.AvgPool{CountPad: true,
		Window: nn.Window{Kernel: [2]int{4, 2}, Stride: [2]int{3, 1}, Pad: [2]int{2, 1}, Ceil: true}},
	"avgpool without padding": nn.AvgPool{Window: ceil(nn.Square(3, 2, 1))},
	"adaptiveavgpool":         nn.AdaptiveAvgPool{Out: [2]int{3, 4}},
	"adaptivemaxpool":         nn.AdaptiveMaxPool{Out: [2]int{3, 4}},
	"adaptiveavgpool up":      nn.AdaptiveAvgPool{Out: [2]int{3, 2}},
}

func ceil(w nn.Window) nn.Window { w.Ceil = true; return w }

func TestOperationsAreThoseOfPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/operations.json")
	if err != nil {
		t.Fatal(err)
	}
	var reference map[string]struct {
		Input  nn.Shape
		Output []float64
	}
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	if len(reference) != len(operations) {
		t.Errorf("PyTorch did %d operations, the test knows %d", len(reference), len(operations))
	}
	for name, want := range reference {
		t.Run(name, func(t *testing.T) {
			images := formula.Images(1, 1, want.Input)
			for k := range images.Pixels {
				images.Pixels[k] *= 4
			}
			images.Labels[0] = 0
			g := only(t, operations[name], want.Input)
			got, err := ref.Logits(context.Background(), g, formula.States(g, 1, 1), images, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want.Output) {
				t.Fatalf("%d values, PyTorch has %d", len(got), len(want.Output))
			}
			for k, v := range want.Output {
				if !(math.Abs(got[k]-v) <= 1e-14*(1+math.Abs(v))) {
					t.Errorf("value %d is %v, PyTorch has %v", k, got[k], v)
				}
			}
		})
	}
}

// only is the graph of one operation.
func only(t *testing.T, op nn.Op, input nn.Shape) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder("one", input)
	b.Add("flatten", nn.Flatten{}, b.Add("op", op, 0))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSubsampleTakesEverySecondPlaceAndPadsChannelsAround(t *testing.T) {
	g := only(t, nn.Subsample{Out: 4, Stride: 2}, nn.Shape{1, 3, 4})
	images := &nn.Images{Shape: g.Input, Pixels: []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, Labels: []int32{0}}
	want := []float64{0, 0, 0, 0, 0, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0}
	got, err := ref.Logits(context.Background(), g, nn.Params{}, images, 1)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if got[k] != v {
			t.Fatalf("value %d is %v of %v, not %v", k, got[k], got, v)
		}
	}
}

func TestJoinsAddAndConcatenateInOrder(t *testing.T) {
	b := nn.NewBuilder("joins", nn.Shape{2})
	sum := b.Add("sum", nn.Add{}, 0, 0, 0)
	b.Add("concat", nn.Concat{}, sum, 0)
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	images := &nn.Images{Shape: g.Input, Pixels: []float32{1, -2}, Labels: []int32{0}}
	got, err := ref.Logits(context.Background(), g, nn.Params{}, images, 1)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range []float64{3, -6, 1, -2} {
		if got[k] != v {
			t.Errorf("value %d is %v, not %v", k, got[k], v)
		}
	}
}

func TestTooFewThreadsAreAnError(t *testing.T) {
	if _, err := ref.New(only(t, nn.ReLU{}, nn.Shape{3}), nn.CrossEntropy, 0); err == nil {
		t.Error("no error for 0 threads")
	}
}

func TestLogitsOfWhatDoesNotFitIsAnError(t *testing.T) {
	g := only(t, nn.Linear{Out: 2}, nn.Shape{3})
	good := formula.Images(1, 1, nn.Shape{3})
	good.Labels[0] = 0
	if _, err := ref.Logits(context.Background(), g, nn.Params{}, good, 1); err == nil {
		t.Error("no error for missing states")
	}
	if _, err := ref.Logits(context.Background(), g, formula.States(g, 1, 1), formula.Images(1, 1, nn.Shape{4}), 1); err == nil {
		t.Error("no error for images of another length")
	}
}
