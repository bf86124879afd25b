package ref

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"lsrun/nn"
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

// fromPyTorch is an operation in testdata/operations.json, whose writer says what is what.
type fromPyTorch struct {
	Input             nn.Shape
	Output            []float64
	Gradient, Product [][]float64 // of the input and of the parameters
}

func eachOperation(t *testing.T, test func(t *testing.T, g *nn.Graph, x []float32, want fromPyTorch)) {
	text, err := os.ReadFile("testdata/operations.json")
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]fromPyTorch
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name := range operations {
		if _, ok := file[name]; !ok {
			t.Errorf("PyTorch did not do %s", name)
		}
	}
	for name, want := range file {
		name, kinks := strings.CutSuffix(name, " kinks")
		op, ok := operations[name]
		if !ok {
			t.Errorf("PyTorch did %s, which the test does not know", name)
			continue
		}
		x := formula.Images(1, 1, want.Input).Pixels
		for k := range x {
			x[k] *= 4
			if kinks {
				x[k] = float32(math.RoundToEven(float64(x[k] / 2)))
			}
		}
		t.Run(fmt.Sprintf("%s/kinks=%v", name, kinks), func(t *testing.T) { test(t, only(t, op, want.Input), x, want) })
	}
}

func TestOperationsAreThoseOfPyTorch(t *testing.T) {
	eachOperation(t, func(t *testing.T, g *nn.Graph, x []float32, want fromPyTorch) {
		images := &nn.Images{Shape: g.Input, Pixels: x, Labels: []int32{0}}
		got, err := Logits(context.Background(), g, formula.States(g, 1, 1), images, 1)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "output", got, want.Output, 1e-14)
	})
}

// The loss is u·out + out·out/2: its derivative by out, u + out, has a tangent as well.
func TestDerivativesOfOperationsAreThoseOfPyTorch(t *testing.T) {
	uniform := func(base uint64, n int) []float32 { return formula.Images(base, 1, nn.Shape{n}).Pixels }
	eachOperation(t, func(t *testing.T, g *nn.Graph, x []float32, want fromPyTorch) {
		theta, vector := formula.States(g, 1, 1), formula.Vector(g, 1)
		states := make([][]complex128, len(theta))
		for i := range theta {
			states[i] = dual(theta[i].Data, vector[i].Data)
		}
		p := newPass(g, states)
		copy(p.nodes[0].data, dual(x, uniform(2, len(x))))
		s := p.steps[0]
		s.forward(s.out, s.in, s.entries)
		for k, u := range uniform(3, len(s.out.data)) {
			s.out.adjoint[k] = complex(float64(u), 0) + s.out.data[k]
		}
		s.backward(s.out, s.in, s.entries)

		adjoints := [][]complex128{p.nodes[0].adjoint}
		for i, e := range g.Entries {
			if e.Role == nn.Learnable {
				adjoints = append(adjoints, p.entries[i].adjoint)
			}
		}
		if len(adjoints) != len(want.Gradient) {
			t.Fatalf("%d derivatives, PyTorch has %d", len(adjoints), len(want.Gradient))
		}
		for i, adjoint := range adjoints {
			values, tangents := make([]float64, len(adjoint)), make([]float64, len(adjoint))
			for k, a := range adjoint {
				values[k], tangents[k] = real(a), imag(a)
			}
			same(t, fmt.Sprint("gradient ", i), values, want.Gradient[i], 1e-13)
			same(t, fmt.Sprint("product ", i), tangents, want.Product[i], 1e-13)
		}
	})
}

// dual is values + tangents·ε; nil tangents are zeros.
func dual(values, tangents []float32) []complex128 {
	x := make([]complex128, len(values))
	for k, v := range values {
		x[k] = complex(float64(v), 0)
		if tangents != nil {
			x[k] = complex(float64(v), float64(tangents[k]))
		}
	}
	return x
}

func same(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, PyTorch has %d", what, len(got), len(want))
	}
	for k, v := range want {
		if !(math.Abs(got[k]-v) <= tolerance*(1+math.Abs(v))) {
			t.Errorf("%s: value %d is %v, PyTorch has %v", what, k, got[k], v)
		}
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
	got, err := Logits(context.Background(), g, nn.Params{}, images, 1)
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
	got, err := Logits(context.Background(), g, nn.Params{}, images, 1)
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
	if _, err := New(only(t, nn.ReLU{}, nn.Shape{3}), nn.CrossEntropy, 0); err == nil {
		t.Error("no error for 0 threads")
	}
}

func TestLogitsOfWhatDoesNotFitIsAnError(t *testing.T) {
	g := only(t, nn.Linear{Out: 2}, nn.Shape{3})
	good := formula.Images(1, 1, nn.Shape{3})
	good.Labels[0] = 0
	if _, err := Logits(context.Background(), g, nn.Params{}, good, 1); err == nil {
		t.Error("no error for missing states")
	}
	if _, err := Logits(context.Background(), g, formula.States(g, 1, 1), formula.Images(1, 1, nn.Shape{4}), 1); err == nil {
		t.Error("no error for images of another length")
	}
}
