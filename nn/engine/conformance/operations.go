package conformance

import (
	"fmt"
	"testing"

	"lsrun/nn"
)

// network builds a graph that ends in a vector.
type network struct {
	name  string
	input nn.Shape
	build func(b *nn.Builder) int // returns the last node
}

func (n network) graph(t *testing.T) *nn.Graph {
	t.Helper()
	b := nn.NewBuilder(n.name, n.input)
	last := n.build(b)
	if len(b.Shape(last)) == 3 {
		b.Add("flatten", nn.Flatten{}, last)
	}
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// operation is one with the shape of its input.
type operation struct {
	nn.Op
	input nn.Shape
}

func (o operation) name() string { return fmt.Sprintf("%s %+v on %v", o.Kind(), o.Op, o.input) }

// alone is the operation on the input.
func (o operation) alone() network {
	return network{"one", o.input, func(b *nn.Builder) int { return b.Add("op", o.Op, 0) }}
}

// between has layers with parameters before and after the operation, so that the
// derivatives by its input count.
func (o operation) between() network {
	return network{"between", o.input, func(b *nn.Builder) int {
		var before nn.Op = nn.Linear{Out: o.input[0], Bias: true}
		if len(o.input) == 3 {
			before = nn.Conv2d(o.input[0], 1, 1, 0).WithBias()
		}
		return (&draft{Builder: b}).chain(0, before, o.Op, nn.Flatten{}, full)
	}}
}

// operations come with every option and with sizes that divide by nothing.
func operations() []operation {
	var list []operation
	one := func(op nn.Op, input ...int) { list = append(list, operation{op, input}) }
	for _, c := range convolutions() {
		one(c.Conv, c.input...)
		one(c.WithBias(), c.input...)
	}
	for _, input := range []int{1, 3, 8, 17, 100, 513} {
		for _, out := range []int{1, 2, 7, 16, 33} {
			one(nn.Linear{Out: out}, input)
			one(nn.Linear{Out: out, Bias: true}, input)
		}
	}
	for _, input := range []nn.Shape{{1}, {19}, {1, 1, 1}, {3, 5, 7}, {17, 4, 4}} {
		one(nn.BatchNorm{Eps: 1e-5}, input...)
		one(nn.BatchNorm{Eps: 0.1}, input...)
		for _, op := range []nn.Op{nn.ReLU{}, nn.SELU{}, nn.Tanh{}, nn.Sigmoid{}, nn.ELU{Alpha: 1}, nn.ELU{Alpha: 0.3},
			nn.GELU{}, nn.GELU{Tanh: true}, nn.Dropout{P: 0.5}, nn.AlphaDropout{P: 0.1},
			nn.Softmax{}, nn.LogSoftmax{}, nn.Flatten{}} {
			one(op, input...)
		}
	}
	for _, w := range pools() {
		one(nn.MaxPool{Window: w.Window}, w.input...)
		one(nn.AvgPool{Window: w.Window}, w.input...)
		one(nn.AvgPool{Window: w.Window, CountPad: true}, w.input...)
	}
	for _, out := range [][2]int{{1, 1}, {2, 3}, {5, 7}, {6, 6}, {9, 4}} {
		one(nn.AdaptiveAvgPool{Out: out}, 3, 5, 7)
		one(nn.AdaptiveMaxPool{Out: out}, 3, 5, 7)
	}
	for _, s := range []nn.Subsample{{Out: 3, Stride: 1}, {Out: 3, Stride: 2}, {Out: 6, Stride: 2}, {Out: 8, Stride: 3}} {
		one(s, 3, 8, 7)
	}
	return list
}

type convolution struct {
	nn.Conv
	input nn.Shape
}

// convolutions lists geometries: name them by the smallest change to a plain one.
func convolutions() []convolution {
	list := []convolution{
		// one by one
		{nn.Conv2d(1, 1, 1, 0), nn.Shape{1, 1, 1}},
		{nn.Conv2d(16, 1, 1, 0), nn.Shape{8, 8, 8}},
		{nn.Conv2d(5, 1, 1, 0), nn.Shape{3, 7, 9}},
		{nn.Conv2d(7, 1, 2, 0), nn.Shape{33, 9, 5}},
		{nn.Conv2d(3, 1, 1, 1), nn.Shape{4, 5, 5}},
		// three by three, even and odd pictures
		{nn.Conv2d(16, 3, 1, 1), nn.Shape{16, 8, 8}},
		{nn.Conv2d(6, 3, 1, 1), nn.Shape{3, 32, 32}},
		{nn.Conv2d(17, 3, 1, 1), nn.Shape{5, 7, 11}},
		{nn.Conv2d(9, 3, 2, 1), nn.Shape{7, 9, 8}},
		{nn.Conv2d(4, 3, 1, 0), nn.Shape{2, 3, 3}},
		{nn.Conv2d(4, 3, 1, 2), nn.Shape{2, 1, 1}},
		{nn.Conv2d(4, 3, 3, 1), nn.Shape{2, 10, 13}},
		{nn.Conv2d(3, 3, 1, 1), nn.Shape{130, 4, 4}},
		{nn.Conv2d(130, 3, 1, 1), nn.Shape{18, 4, 8}}, // several blocks of columns, and of channels
		{nn.Conv2d(33, 3, 1, 1), nn.Shape{9, 9, 32}},  // pictures that are divided by an odd number
		// large enough for transforms: padded by nothing and by more than keeps sizes, and with strides
		{nn.Conv2d(12, 3, 1, 0), nn.Shape{9, 13, 13}},
		{nn.Conv2d(12, 3, 1, 2), nn.Shape{9, 6, 14}},
		{nn.Conv2d(16, 3, 2, 1), nn.Shape{8, 16, 16}},
		{nn.Conv2d(9, 3, 2, 1), nn.Shape{17, 13, 15}},
		{nn.Conv2d(12, 3, 2, 0), nn.Shape{9, 15, 18}},
		{nn.Conv2d(10, 3, 2, 2), nn.Shape{11, 11, 13}},
		{nn.Conv2d(8, 3, 2, 3), nn.Shape{8, 10, 12}},
		// larger kernels
		{nn.Conv2d(6, 5, 1, 2), nn.Shape{3, 11, 9}},
		{nn.Conv2d(6, 5, 1, 0), nn.Shape{1, 14, 14}},
		{nn.Conv2d(24, 5, 1, 2), nn.Shape{12, 11, 9}}, // large enough for transforms
		{nn.Conv2d(9, 7, 1, 3), nn.Shape{9, 10, 8}},
		{nn.Conv2d(17, 4, 1, 1), nn.Shape{16, 9, 13}},
		{nn.Conv{Out: 8, Kernel: [2]int{3, 5}, Stride: [2]int{1, 1}, Pad: [2]int{0, 3}, Dilation: [2]int{1, 1}, Groups: 1}, nn.Shape{13, 8, 8}},
		{nn.Conv2d(5, 7, 2, 3), nn.Shape{3, 15, 17}},
		{nn.Conv2d(5, 11, 4, 2), nn.Shape{3, 31, 35}},
		{nn.Conv2d(3, 2, 2, 0), nn.Shape{4, 6, 8}},
		{nn.Conv2d(3, 4, 1, 1), nn.Shape{2, 6, 7}},
	}
	changed := func(change func(c *nn.Conv), out, kernel, stride, pad int, input ...int) {
		c := nn.Conv2d(out, kernel, stride, pad)
		change(&c)
		list = append(list, convolution{c, input})
	}
	// asymmetric
	changed(func(c *nn.Conv) { c.Kernel, c.Pad = [2]int{1, 3}, [2]int{0, 1} }, 5, 3, 1, 1, 3, 6, 7)
	changed(func(c *nn.Conv) { c.Kernel, c.Pad = [2]int{5, 1}, [2]int{2, 0} }, 5, 5, 1, 2, 3, 6, 7)
	changed(func(c *nn.Conv) { c.Stride = [2]int{1, 2} }, 5, 3, 1, 1, 3, 6, 7)
	changed(func(c *nn.Conv) { c.Stride, c.Pad = [2]int{3, 1}, [2]int{0, 2} }, 5, 3, 1, 1, 3, 8, 7)
	// dilated
	changed(func(c *nn.Conv) { c.Dilation = [2]int{2, 2} }, 5, 3, 1, 2, 4, 9, 8)
	changed(func(c *nn.Conv) { c.Dilation = [2]int{1, 3} }, 5, 3, 2, 3, 4, 9, 8)
	// grouped and depthwise
	changed(func(c *nn.Conv) { c.Groups = 2 }, 6, 3, 1, 1, 4, 7, 6)
	changed(func(c *nn.Conv) { c.Groups = 3 }, 9, 1, 1, 0, 6, 5, 5)
	changed(func(c *nn.Conv) { c.Groups = 7 }, 7, 3, 1, 1, 7, 8, 9)
	changed(func(c *nn.Conv) { c.Groups = 5 }, 10, 3, 2, 1, 5, 8, 9)
	changed(func(c *nn.Conv) { c.Groups, c.Dilation = 4, [2]int{2, 2} }, 8, 3, 1, 2, 4, 8, 9)
	return list
}

type pooling struct {
	nn.Window
	input nn.Shape
}

func pools() []pooling {
	ceil := func(w nn.Window) nn.Window { w.Ceil = true; return w }
	return []pooling{
		{nn.Square(2, 2, 0), nn.Shape{3, 8, 8}},
		{nn.Square(2, 2, 0), nn.Shape{3, 7, 9}},
		{nn.Square(3, 2, 1), nn.Shape{5, 8, 7}},
		{nn.Square(3, 2, 0), nn.Shape{2, 13, 13}},
		{nn.Square(3, 1, 1), nn.Shape{2, 4, 5}},
		{nn.Square(2, 3, 1), nn.Shape{2, 9, 10}},
		{nn.Square(4, 4, 0), nn.Shape{9, 4, 4}},
		{ceil(nn.Square(2, 2, 0)), nn.Shape{3, 7, 9}},
		{ceil(nn.Square(3, 2, 0)), nn.Shape{3, 8, 6}},
		{ceil(nn.Square(3, 2, 1)), nn.Shape{3, 8, 6}},
		{ceil(nn.Square(2, 3, 1)), nn.Shape{2, 9, 10}},
		{ceil(nn.Square(3, 4, 1)), nn.Shape{2, 11, 6}},
		{nn.Window{Kernel: [2]int{1, 3}, Stride: [2]int{1, 2}, Pad: [2]int{0, 1}}, nn.Shape{2, 5, 6}},
		{nn.Window{Kernel: [2]int{4, 2}, Stride: [2]int{3, 1}, Pad: [2]int{2, 0}, Ceil: true}, nn.Shape{2, 9, 5}},
	}
}
