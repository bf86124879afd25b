package conformance

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"lsrun/nn"
)

// draft adds nodes with made-up names.
type draft struct {
	*nn.Builder
	count int
}

func (d *draft) add(op nn.Op, inputs ...int) int {
	d.count++
	return d.Add(fmt.Sprintf("%s%d", op.Kind(), d.count), op, inputs...)
}

func (d *draft) chain(x int, ops ...nn.Op) int {
	for _, op := range ops {
		x = d.add(op, x)
	}
	return x
}

var (
	norm = nn.BatchNorm{Eps: 1e-5}
	relu = nn.ReLU{}
	full = nn.Linear{Out: 5, Bias: true}
	mean = nn.AdaptiveAvgPool{Out: [2]int{1, 1}}
)

func conv3x3(out int) nn.Conv { return nn.Conv2d(out, 3, 1, 1) }

// networks are compositions that an optimising engine gets wrong first: what may be
// folded into what, and which values are still needed afterwards.
func networks() []network {
	picture, vector := nn.Shape{3, 8, 9}, nn.Shape{13}
	var list []network
	add := func(name string, input nn.Shape, build func(d *draft) int) {
		list = append(list, network{name, input, func(b *nn.Builder) int { return build(&draft{Builder: b}) }})
	}
	chain := func(name string, input nn.Shape, ops ...nn.Op) {
		add(name, input, func(d *draft) int { return d.chain(0, ops...) })
	}

	chain("a linear map of the input", vector, full)
	chain("a multilayer perceptron", vector, nn.Linear{Out: 20, Bias: true}, relu, nn.Linear{Out: 9}, nn.Tanh{}, full)
	chain("batch norm over vectors", vector, nn.Linear{Out: 20, Bias: true}, norm, relu, nn.Linear{Out: 9}, norm, full)
	chain("a self-normalising network", vector, nn.Linear{Out: 20, Bias: true}, nn.SELU{}, nn.AlphaDropout{P: 0.1}, full)
	chain("batch norm of the input", picture, norm, conv3x3(6), relu, nn.Flatten{}, full)
	chain("batch norm before a padded convolution", picture, conv3x3(6), relu, norm, conv3x3(4), nn.Flatten{}, full)
	chain("batch norm after a convolution", picture, conv3x3(6), norm, relu, nn.Flatten{}, full)
	chain("batch norm after a convolution with bias", picture, conv3x3(6).WithBias(), norm, relu, nn.Flatten{}, full)
	chain("batch norm after a grouped convolution", picture, conv3x3(6), relu,
		nn.Conv{Out: 6, Kernel: [2]int{3, 3}, Stride: [2]int{1, 1}, Pad: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 3}, norm, relu, nn.Flatten{}, full)
	chain("batch norm twice", picture, conv3x3(6), norm, norm, relu, nn.Flatten{}, full)
	chain("batch norm after pooling", picture, conv3x3(6), nn.MaxPool{Window: nn.Square(2, 2, 0)}, norm, relu, mean, nn.Flatten{}, full)
	chain("batch norm after flatten", picture, conv3x3(6), relu, nn.Flatten{}, norm, full)
	chain("dropout between convolution and batch norm", picture, conv3x3(6), nn.Dropout{P: 0.5}, norm, relu, nn.Flatten{}, full)
	chain("ReLU between convolution and batch norm", picture, conv3x3(6), relu, norm, nn.Flatten{}, full)
	chain("ReLU between convolution with bias and batch norm", picture, conv3x3(6).WithBias(), relu, norm, nn.Flatten{}, full)
	chain("batch norm last", picture, conv3x3(6), nn.Flatten{}, full, norm)
	chain("softmax last", picture, conv3x3(6), relu, nn.Flatten{}, full, nn.Softmax{})
	chain("log-softmax last", picture, conv3x3(6), relu, nn.Flatten{}, full, nn.LogSoftmax{})
	chain("softmax over the channels of a picture", picture, conv3x3(6), nn.Softmax{}, conv3x3(4), nn.Flatten{}, full)
	chain("all sizes of picture", nn.Shape{3, 32, 32}, conv3x3(8), norm, relu, nn.Conv2d(16, 3, 2, 1), norm, relu,
		nn.Conv2d(24, 3, 2, 1), norm, relu, nn.AvgPool{Window: nn.Square(8, 8, 0)}, nn.Flatten{}, full)

	add("a residual block with an identity", picture, func(d *draft) int {
		x := d.chain(0, conv3x3(6), norm, relu)
		y := d.chain(x, conv3x3(6), norm, relu, conv3x3(6), norm)
		return d.chain(d.add(nn.Add{}, y, x), relu, mean, nn.Flatten{}, full)
	})
	add("a residual block with a convolution in its shortcut", picture, func(d *draft) int {
		x := d.chain(0, conv3x3(6), norm, relu)
		y := d.chain(x, nn.Conv2d(8, 3, 2, 1), norm, relu, conv3x3(8), norm)
		s := d.chain(x, nn.Conv2d(8, 1, 2, 0), norm)
		return d.chain(d.add(nn.Add{}, y, s), relu, mean, nn.Flatten{}, full)
	})
	add("a residual block with a parameter-free shortcut", picture, func(d *draft) int {
		x := d.chain(0, conv3x3(5), norm, relu)
		y := d.chain(x, nn.Conv2d(8, 3, 2, 1), norm, relu, conv3x3(8), norm)
		s := d.add(nn.Subsample{Out: 8, Stride: 2}, x)
		return d.chain(d.add(nn.Add{}, s, y), relu, mean, nn.Flatten{}, full)
	})
	add("a pre-activation block", picture, func(d *draft) int {
		x := d.chain(0, conv3x3(6))
		y := d.chain(x, norm, relu, conv3x3(6), norm, relu, conv3x3(6))
		return d.chain(d.add(nn.Add{}, x, y), norm, relu, mean, nn.Flatten{}, full)
	})
	add("a convolution seen by batch norm and by a sum", picture, func(d *draft) int {
		x := d.chain(0, conv3x3(6))
		return d.chain(d.add(nn.Add{}, x, d.add(norm, x)), nn.Flatten{}, full)
	})
	add("a value needed before and after ReLU", picture, func(d *draft) int {
		x := d.chain(0, conv3x3(6), norm)
		return d.chain(d.add(nn.Concat{}, x, d.add(relu, x)), conv3x3(4), nn.Flatten{}, full)
	})
	add("the input needed at the end", picture, func(d *draft) int {
		y := d.chain(0, conv3x3(3), norm, relu, conv3x3(3))
		return d.chain(d.add(nn.Add{}, y, 0), nn.Flatten{}, full)
	})
	add("a sum of three and of twice the same", picture, func(d *draft) int {
		a, b := d.chain(0, conv3x3(4), relu), d.chain(0, conv3x3(4), norm)
		sum := d.add(nn.Add{}, a, b, a)
		return d.chain(d.add(nn.Add{}, sum, sum), nn.Flatten{}, full)
	})
	add("dense concatenations", picture, func(d *draft) int {
		x := d.chain(0, conv3x3(6))
		for range 3 {
			x = d.add(nn.Concat{}, d.chain(x, norm, relu, nn.Conv2d(8, 1, 1, 0), norm, relu, conv3x3(3)), x)
		}
		x = d.chain(x, norm, relu, nn.Conv2d(5, 1, 1, 0), nn.AvgPool{Window: nn.Square(2, 2, 0)})
		return d.chain(x, norm, relu, mean, nn.Flatten{}, full)
	})
	add("a concatenation of three and of the same", picture, func(d *draft) int {
		a, b := d.chain(0, conv3x3(4), relu), d.chain(0, conv3x3(2), norm)
		return d.chain(d.add(nn.Concat{}, a, b, a, 0), norm, nn.Flatten{}, full)
	})
	add("concatenated vectors", vector, func(d *draft) int {
		a, b := d.chain(0, nn.Linear{Out: 6}, norm), d.chain(0, nn.Linear{Out: 3, Bias: true}, relu)
		return d.chain(d.add(nn.Concat{}, a, b), full)
	})
	return list
}

// randomNetwork composes blocks drawn by seed.
func randomNetwork(t *testing.T, seed uint64) *nn.Graph {
	t.Helper()
	rng := generator(seed)
	input := nn.Shape{1 + rng.IntN(4), 6 + rng.IntN(8), 6 + rng.IntN(8)}
	net := network{"random", input, func(b *nn.Builder) int {
		d := &draft{Builder: b}
		x := d.add(conv3x3(width(rng)), 0)
		for range 2 + rng.IntN(4) {
			x = randomBlock(d, rng, x)
		}
		return randomHead(d, rng, x)
	}}
	return net.graph(t)
}

// width is a number of channels, round or not.
func width(rng *rand.Rand) int { return 1 + rng.IntN(20) }

func nonlinearity(rng *rand.Rand) nn.Op {
	return []nn.Op{relu, relu, relu, nn.SELU{}, nn.Tanh{}, nn.ELU{Alpha: 1}, nn.GELU{}}[rng.IntN(7)]
}

func randomConv(rng *rand.Rand, out int) nn.Conv {
	c := []nn.Conv{conv3x3(out), nn.Conv2d(out, 1, 1, 0), nn.Conv2d(out, 5, 1, 2), nn.Conv2d(out, 3, 2, 1)}[rng.IntN(4)]
	c.Bias = rng.IntN(2) == 0
	return c
}

func randomBlock(d *draft, rng *rand.Rand, x int) int {
	channels := d.Shape(x)[0]
	f := nonlinearity(rng)
	switch rng.IntN(8) {
	case 0: // plain
		return d.chain(x, randomConv(rng, width(rng)), norm, f)
	case 1: // without batch norm
		return d.chain(x, randomConv(rng, width(rng)), f)
	case 2: // pre-activation
		return d.chain(x, norm, f, randomConv(rng, width(rng)))
	case 3: // residual, first activation, then sum or the other way round
		y := d.chain(x, conv3x3(channels), norm, f, conv3x3(channels).WithBias(), norm)
		if rng.IntN(2) == 0 {
			return d.add(nn.Add{}, x, d.add(f, y))
		}
		return d.add(f, d.add(nn.Add{}, y, x))
	case 4: // residual, narrower picture
		out := channels + rng.IntN(5)
		y := d.chain(x, nn.Conv2d(out, 3, 2, 1), norm, f, conv3x3(out), norm)
		shortcut := d.add(nn.Subsample{Out: out, Stride: 2}, x)
		if rng.IntN(2) == 0 {
			shortcut = d.chain(x, nn.Conv2d(out, 1, 2, 0), norm)
		}
		return d.add(f, d.add(nn.Add{}, y, shortcut))
	case 5: // dense
		return d.add(nn.Concat{}, d.chain(x, norm, f, conv3x3(width(rng))), x)
	case 6: // depthwise, then across channels
		depthwise := conv3x3(channels)
		depthwise.Groups = channels
		return d.chain(x, depthwise, norm, f, nn.Conv2d(width(rng), 1, 1, 0), norm)
	default:
		window := nn.Square(3, 2, 1)
		window.Ceil = rng.IntN(2) == 0
		if rng.IntN(2) == 0 {
			return d.add(nn.MaxPool{Window: window}, x)
		}
		return d.chain(x, nn.AvgPool{Window: window, CountPad: rng.IntN(2) == 0}, norm)
	}
}

func randomHead(d *draft, rng *rand.Rand, x int) int {
	switch rng.IntN(3) {
	case 0:
		x = d.add(mean, x)
	case 1:
		x = d.add(nn.AdaptiveMaxPool{Out: [2]int{2, 1}}, x)
	}
	x = d.add(nn.Flatten{}, x)
	if rng.IntN(2) == 0 {
		x = d.chain(x, nn.Linear{Out: width(rng), Bias: rng.IntN(2) == 0}, norm, nonlinearity(rng), nn.Dropout{P: 0.5})
	}
	return d.add(nn.Linear{Out: 2 + rng.IntN(12), Bias: true}, x)
}
