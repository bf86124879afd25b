package cuda

import (
	"context"
	"unsafe"

	"lsrun/nn"
)

// tape is a graph lowered for derivatives: layers that run forwards and backwards over a block of images (kernels/derive.h).
//
// Of everything that a layer computes there are four planes: values x and adjoints x̄ = ∂L/∂x, the base state, and
// along a vector their derivatives dx and dx̄. Layers differentiate by effective parameters φ: the weights and biases, and the scales and
// shifts of frozen batch norms, which are linear in the parameters.
type tape struct {
	packing   packing
	graph     *nn.Graph
	pictures  []*picture
	at        []*picture // by node: where its output is
	layers    []layer
	plane     int64 // floats of a plane for one image
	phi       int   // effective parameters
	block     int   // images in a block
	precision Precision
}

// picture is a layer's output for each image of a block, at the same place of every plane.
type picture struct {
	channels, height, width int
	pixel                   int // floats from a pixel to the next: the channels, padded to a multiple of four
	offset                  int64
	constant                bool // depends on no parameter
}

func (p *picture) size() int64 { return int64(p.pixel) * int64(p.height) * int64(p.width) }

// edge is an input of a layer.
type edge struct {
	*picture
	adds bool // adjoints are added to those that later layers have handed on
}

// plane is one of the four numbers that there are of every element of a picture.
type plane int

const (
	values plane = iota
	adjoints
	tangents        // derivatives of values along a vector
	adjointTangents // of adjoints
)

// layer is an operation, with what it takes along.
type layer interface {
	// inputs are in the order in which backward hands on.
	inputs() []*edge
	output() *picture
	// forward computes the values in float64.
	forward(h *hand)
	// tangent computes their derivatives along a vector.
	tangent(h *hand)
	// backward hands on adjoints or, in the second order, their derivatives, and adds up those by φ.
	backward(h *hand, second bool)
}

// weighted is a layer with parameters.
type weighted interface {
	// effective says where the layer's parameters are in φ.
	effective(p *parameters)
}

// Limits of a block: planes of two values of four bytes for each order, and one of eight.
const (
	blockImages = 512
	blockBytes  = 16 << 30
	planeBytes  = 4*4 + 8
)

// record lowers g for derivatives of at most so many images at a time.
func record(g *nn.Graph, most int, precision Precision) *tape {
	t := &tape{graph: g, precision: precision.ofDerivatives(), at: make([]*picture, len(g.Nodes))}
	t.at[0] = t.picture(g.Input)
	t.at[0].constant = true
	users := make([][]int, len(g.Nodes))
	live := make([]bool, len(g.Nodes))
	live[g.Output()] = true
	for n := len(g.Nodes) - 1; n > 0; n-- {
		for _, k := range g.Nodes[n].Inputs {
			if live[n] {
				live[k] = true
				users[k] = append(users[k], n)
			}
		}
	}
	first := make([]int, len(g.Entries)) // in a vector of parameters
	parameters := 0
	for i, e := range g.Entries {
		first[i] = parameters
		if e.Role == nn.Learnable {
			parameters += e.Shape.Size()
		}
	}
	for n := 1; n < len(g.Nodes); n++ {
		if live[n] && t.at[n] == nil {
			t.lower(n, users, first)
		}
	}
	t.direct()
	for _, p := range t.pictures {
		p.offset = t.plane
		t.plane += p.size()
	}
	t.block = int(max(1, min(int64(most), blockBytes/(planeBytes*t.plane))))
	return t
}

// parts is how many partial sums a layer has at most in a block of so many images.
func (t *tape) parts(images int) (most int64) {
	for _, l := range t.layers {
		if l, ok := l.(interface{ room(images int) int64 }); ok {
			most = max(most, l.room(images))
		}
	}
	return most
}

func (t *tape) picture(shape nn.Shape) *picture {
	if len(shape) == 1 {
		shape = nn.Shape{shape[0], 1, 1}
	}
	p := &picture{channels: shape[0], height: shape[1], width: shape[2], pixel: padded(shape[0])}
	t.pictures = append(t.pictures, p)
	return p
}

func padded(channels int) int { return int(roundUp(int64(channels), 4)) }

// direct decides, from the last layer to the first, who adds to adjoints. Those of the output are the loss's.
func (t *tape) direct() {
	given := map[*picture]bool{t.at[t.graph.Output()]: true}
	for i := len(t.layers) - 1; i >= 0; i-- {
		for _, e := range t.layers[i].inputs() {
			e.adds = given[e.picture]
			given[e.picture] = true
		}
	}
}

// takePhi makes room in φ.
func (t *tape) takePhi(size int) (at int) {
	at = t.phi
	t.phi += size
	return at
}

// lower appends the layer of node n and of those after it that it takes along.
func (t *tape) lower(n int, users [][]int, first []int) {
	node := t.graph.Nodes[n]
	in := make([]*edge, len(node.Inputs))
	constant := true
	for i, k := range node.Inputs {
		in[i] = &edge{picture: t.at[k]}
		constant = constant && in[i].constant
	}
	// output is of consecutive nodes; those inside are needed by nobody else.
	output := func(nodes ...int) *picture {
		out := t.picture(node.Shape)
		out.constant = constant
		for _, n := range nodes {
			t.at[n] = out
		}
		return out
	}
	add := func(l layer) { t.layers = append(t.layers, l) }
	// next is the only user of node n if it is an operation of the wanted kind.
	next := func(n int, kind nn.Op) int {
		if len(users[n]) == 1 && t.graph.Nodes[users[n][0]].Op.Kind() == kind.Kind() {
			return users[n][0]
		}
		return 0
	}
	rectify := func(c *combine, nodes ...int) {
		if relu := next(nodes[len(nodes)-1], nn.ReLU{}); relu > 0 {
			c.kind, c.a, c.b = activation(nn.ReLU{})
			nodes = append(nodes, relu)
		}
		c.out = output(nodes...)
	}
	switch op := node.Op.(type) {
	case nn.Dropout, nn.AlphaDropout:
		t.at[n] = in[0].picture
	case nn.Flatten:
		if in[0].height*in[0].width == 1 {
			t.at[n] = in[0].picture
			return
		}
		add(&move{in: in[0], out: output(n), kind: moveFlatten})
	case nn.Conv:
		constant = false
		add(t.conv(op, in[0], output(n), node.Entries, first))
	case nn.Linear:
		constant = false
		one := nn.Conv2d(op.Out, 1, 1, 0)
		one.Bias = op.Bias
		add(t.conv(one, in[0], output(n), node.Entries, first))
	case nn.BatchNorm:
		constant = false
		c := &combine{in: in[0], norm: t.norm(op, node.Entries, first, in[0].pixel)}
		nodes := []int{n}
		if sum := next(n, nn.Add{}); sum > 0 {
			both := t.graph.Nodes[sum].Inputs
			if other := both[0] + both[1] - n; len(both) == 2 && other < n {
				c.residual = &edge{picture: t.at[other]}
				nodes = append(nodes, sum)
			}
		}
		rectify(c, nodes...)
		add(c)
	case nn.Add:
		for i, e := range in[1:] {
			c := &combine{in: in[0], residual: e}
			if i+2 < len(in) {
				c.out = output()
				in[0] = &edge{picture: c.out}
			} else {
				rectify(c, n)
			}
			add(c)
		}
	case nn.Concat:
		out, from := output(n), 0
		for _, e := range in {
			add(&move{in: e, out: out, kind: movePart, from: from})
			from += e.channels
		}
	case nn.Subsample:
		add(&move{in: in[0], out: output(n), kind: moveSubsample, stride: op.Stride})
	case nn.MaxPool:
		add(&pool{in: in[0], out: output(n), kind: poolMax, window: op.Window})
	case nn.AvgPool:
		p := &pool{in: in[0], out: output(n), kind: poolMean, window: op.Window}
		if op.CountPad {
			p.kind = poolMeanPadded
		}
		add(p)
	case nn.AdaptiveMaxPool:
		add(&pool{in: in[0], out: output(n), kind: poolMax})
	case nn.AdaptiveAvgPool:
		add(&pool{in: in[0], out: output(n), kind: poolMean})
	case nn.Softmax:
		add(&normalise{in: in[0], out: output(n)})
	case nn.LogSoftmax:
		add(&normalise{in: in[0], out: output(n), logarithm: true})
	default:
		c := &combine{in: in[0], out: output(n)}
		c.kind, c.a, c.b = activation(op)
		add(c)
	}
}

// packedWeights are what the packing of a tape makes of φ for the convolutions that patch.h computes.
type packedWeights struct{ weights, factors address }

// hand is a block of images in the work of a tape. The first error ends it.
type hand struct {
	ctx    context.Context
	device device
	tape   *tape
	err    error

	capacity         int // images that there is room for
	count            int // images in hand
	planes           [4]address
	values64         address
	phi64, phi, dPhi address
	parts, gradient  address
	own, along       packedWeights // of φ, and of its derivative along the vector in hand
	bare             bool          // compute the base state alone, no derivatives by φ
}

// at is plane l of p; at64 are its values in float64.
func (h *hand) at(l plane, p *picture) address {
	return h.planes[l].at(int64(h.capacity) * p.offset)
}

func (h *hand) at64(p *picture) address { return h.values64.at(2 * int64(h.capacity) * p.offset) }

func (h *hand) launch(k launch, arguments unsafe.Pointer) {
	if h.err == nil {
		h.err = h.ctx.Err()
	}
	if h.err == nil {
		h.err = h.device.launch(k, arguments)
	}
}

// each runs a kernel with a thread for each of count elements.
func (h *hand) each(kernel string, count int64, arguments unsafe.Pointer) {
	h.launch(launch{kernel: kernel, grid: [3]int{int((count + 255) / 256), 1, 1}, block: 256}, arguments)
}

// reduce adds up parts of count sums, step apart from one another, to those by φ.
func (h *hand) reduce(parts address, at, count, step, splits int) {
	h.launch(launch{kernel: "reduce", grid: [3]int{blocks(count, 32), 1, 1}, block: 256, shared: 8 * 256},
		unsafe.Pointer(&reduceArguments{parts, h.gradient.at(2 * int64(at)), int64(count), int64(step), int32(splits)}))
}

// behind is the plane of adjoints of an order.
func behind(second bool) plane {
	if second {
		return adjointTangents
	}
	return adjoints
}

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
