package cpu

import (
	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// tape is a graph lowered for derivatives: layers that run forwards and backwards over a block of
// images.
//
// Batch norm is folded into the weights before it (fold.go), so that the layers differentiate by
// effective parameters φ: weights and shifts. Of everything that a layer computes there are four planes: values x
// and adjoints x̄ = ∂L/∂x, the base state, and along a vector their derivatives dx and dx̄. Every layer is linear
// in what a second pass adds, so that one code serves both orders: where the first has a product W·x, the
// second has dW·x + W·dx.
type tape struct {
	graph     *nn.Graph
	kernel    *kernel.Kernel
	exact     bool
	live      bool // in train mode (live.go)
	users     nn.Users
	at        []*picture // by node: where its output is
	pictures  []*picture
	layers    []layer
	groups    []group
	norms     []*batchNorm // in the order of their nodes; of a live tape
	segments  []segment    // of a live tape
	plane     int          // floats of a plane for one image
	choices   int          // of maxima for one image
	signs     int          // bytes of the signs of one image
	brief     [4]int       // by plane: floats of brief pictures
	packed64  int          // float64s of the weights in the order of the kernels
	packed    [2]int       // by order: floats of the weights in the order of the kernels
	phi       int          // effective parameters
	gradient  int          // sums of derivatives by them
	outerKept int          // floats of sums that outlast a round
	block     int          // images in a block
	top       *edge        // where the loss hands on
	tapeRooms
}

// tapeRooms are the sizes of a thread's scratch memory, in elements.
type tapeRooms struct{ sums, sums64, rows, inputs, columns, outer, channels int }

func (r *tapeRooms) grow(s tapeRooms) {
	r.sums, r.rows, r.inputs = max(r.sums, s.sums), max(r.rows, s.rows), max(r.inputs, s.inputs)
	r.sums64, r.columns = max(r.sums64, s.sums64), max(r.columns, s.columns)
	r.outer, r.channels = max(r.outer, s.outer), max(r.channels, s.channels)
}

// plane is one of the four numbers that there are of every element of a picture.
type plane int

const (
	values plane = iota
	adjoints
	tangents        // derivatives of values along a vector
	adjointTangents // of adjoints
)

// order of derivatives: a pass of the first computes values and adjoints, one of the second what they
// become along a vector.
type order int

const (
	first order = iota
	second
)

// ahead is the plane that a pass forward fills, behind that of a pass backward.
func (o order) ahead() plane  { return [...]plane{values, tangents}[o] }
func (o order) behind() plane { return [...]plane{adjoints, adjointTangents}[o] }

// picture is a layer's output for each image of a block, at the same place of every plane but where it is brief.
type picture struct {
	geometry
	shape     nn.Shape // channels, height, width
	offset    int      // in a plane of one image
	constant  bool     // depends on no parameter: its tangents are zero, and nobody asks for its adjoints
	rectified bool     // by ReLU, which lets through where signs have a bit, in all planes
	signs     int      // where its signs are among those of one image
	brief     [4]bool  // by plane: there is room for a round's images alone
	at        [4]int   // where, behind the other pictures
	gap       int      // after every image
}

// liveGap keeps images of one plane apart that several hands work on: kernels read some values past an image's end, and drop what they make
// of them.
const liveGap = 64

// size is of one image, with the gap after it.
func (p *picture) size() int { return p.geometry.size() + p.gap }

// edge is an input of a layer, and says how the layer hands adjoints on.
type edge struct {
	*picture
	passes, borrows bool // hands on the adjoints of the output as they are; can add to those of another picture

	adds   bool     // to the adjoints that layers after it have handed on
	masks  bool     // it is the last to do so, and masks them
	lends  bool     // hands nothing on: the next to do so adds to the adjoints of the output instead
	lender *picture // that output, of the edge before
}

// layer is some nodes of the graph that are computed together.
type layer interface {
	// inputs are in the order in which backward hands on.
	inputs() []*edge
	output() *picture
	// decide computes the output in float64, and which of it ReLU lets through.
	decide(h *hand)
	forward(h *hand, o order)
	backward(h *hand, o order)
}

// Limits of a block.
const (
	blockImages = 16
	blockBytes  = 128 << 20 // of its planes in float32
)

// record lowers g for derivatives.
func record(g *nn.Graph, k *kernel.Kernel, exact bool) *tape {
	t := &tape{graph: g, kernel: k, exact: exact}
	t.record()
	return t
}

func (t *tape) record() {
	if !t.exact {
		t.graph = t.graph.PoolFirst()
	}
	g := t.graph
	t.users = g.Users()
	t.at = make([]*picture, len(g.Nodes))
	if t.live {
		t.norms = make([]*batchNorm, t.normsBefore(len(g.Nodes)))
	}
	t.at[0] = t.picture(g.Input)
	t.at[0].constant = true
	chains := t.chains()
	for n := 1; n < len(g.Nodes); n++ {
		if c := chains[n]; c != nil {
			t.lower(*c)
		}
	}
	t.direct()
	image := 0 // without gaps
	for _, p := range t.pictures {
		image += lined(p.size())
		if t.live {
			p.gap = liveGap
		}
		p.offset = t.plane
		t.plane += lined(p.size())
		if p.rectified {
			p.signs = t.signs
			t.signs += p.height * p.width * p.signBytes()
		}
	}
	t.block = max(1, min(blockImages, blockBytes/(4*4*image)))
	t.divide()
	t.shorten()
	if t.live {
		t.cut()
	}
	for _, l := range t.layers {
		if l, ok := l.(interface{ plan(t *tape) tapeRooms }); ok {
			t.grow(l.plan(t))
		}
	}
	for _, p := range t.pictures {
		t.channels = max(t.channels, p.channels)
	}
}

// group is consecutive layers that take some of a block's images at a time, before the next ones come: few
// where pictures are large, so that what a layer writes is in the caches when the next reads it; as many as share
// the weights well where they are small.
type group struct{ first, end, images int }

// groupPixels is about how many pixels of the larger picture a layer takes at a time; of its output, if it has weights, which
// more images share then.
const groupPixels = 1024

// divide groups the layers.
func (t *tape) divide() {
	for i, l := range t.layers {
		area := l.output().height * l.output().width
		if _, ok := l.(*conv); !ok {
			for _, e := range l.inputs() {
				area = max(area, e.height*e.width)
			}
		}
		images := max(1, min(t.block, groupPixels/area))
		if last := len(t.groups) - 1; last >= 0 && t.groups[last].images == images && !t.waits(i) {
			t.groups[last].end++
			continue
		}
		t.groups = append(t.groups, group{i, i + 1, images})
	}
	for _, g := range t.groups {
		for _, l := range t.layers[g.first:g.end] {
			switch l := l.(type) {
			case *conv:
				l.rounds = g.images < t.block
				l.early = l.rounds && !t.live && !l.in.constant
			case *normalisation:
				l.early = g.images < t.block && !l.in.constant
			}
		}
	}
}

// waits reports whether layer i needs all images of what comes before it.
func (t *tape) waits(i int) bool {
	_, ok := t.layers[i].(*batchNorm)
	return ok
}

func (t *tape) picture(shape nn.Shape) *picture {
	if len(shape) == 1 {
		shape = nn.Shape{shape[0], 1, 1}
	}
	p := &picture{shape: shape, geometry: geometry{channels: shape[0], height: shape[1], width: shape[2]}}
	t.pictures = append(t.pictures, p)
	return p
}

// direct decides, from the last layer to the first, who adds to adjoints and who finishes them.
func (t *tape) direct() {
	type giver struct {
		*edge
		out *picture
	}
	t.top = &edge{picture: t.at[t.graph.Output()]}
	last := map[*picture]giver{t.top.picture: {t.top, nil}}
	for i := len(t.layers) - 1; i >= 0; i-- {
		for _, e := range t.layers[i].inputs() {
			before, ok := last[e.picture]
			e.adds = ok // the others write, on what the block before has left there
			if ok && before.passes && !before.adds && e.borrows {
				before.lends, e.lender = true, before.out
			}
			last[e.picture] = giver{e, t.layers[i].output()}
		}
	}
	for p, g := range last {
		g.masks = p.rectified
	}
	for _, l := range t.norms { // which mask what they sum
		if g, ok := last[l.out]; ok {
			g.masks = false
		}
	}
}

// chain is consecutive nodes that one layer computes: a head, then batch norms, a sum with another
// node and ReLU, as far as they are there.
type chain struct {
	head, last int
	norms      []int
	residual   int // the node that is added, or −1
	relu       bool
}

// chains groups the nodes of g, by their last one; nodes inside of a chain have none. The order of last
// nodes is one in which chains can be computed.
func (t *tape) chains() []*chain {
	g := t.graph
	byLast := make([]*chain, len(g.Nodes))
	taken := make([]bool, len(g.Nodes))
	for n := 1; n < len(g.Nodes); n++ {
		if taken[n] {
			continue
		}
		c := &chain{head: n, last: n, residual: -1}
		for {
			next, _, ok := t.users.Only(c.last)
			if !ok || taken[next] || !t.takes(c, next) {
				break
			}
			c.last, taken[next] = next, true
		}
		byLast[c.last] = c
	}
	return byLast
}

// takes extends c by node n, which alone uses its last one, if it can. Live batch norms are heads, as convolutions are.
func (t *tape) takes(c *chain, n int) bool {
	g := t.graph
	head := g.Nodes[c.head].Op
	_, convolves := head.(nn.Conv)
	_, multiplies := head.(nn.Linear)
	_, normalises := head.(nn.BatchNorm)
	_, sums := head.(nn.Add)
	weighs := convolves || multiplies || normalises && t.live
	switch g.Nodes[n].Op.(type) {
	case nn.BatchNorm:
		if t.live || !weighs && !normalises || c.residual >= 0 || c.relu {
			return false
		}
		c.norms = append(c.norms, n)
		return true
	case nn.Add:
		in := g.Nodes[n].Inputs
		if !weighs || len(in) != 2 || c.residual >= 0 || c.relu {
			return false
		}
		c.residual = in[0] + in[1] - c.last
		return true
	case nn.ReLU:
		if !weighs && !normalises && !sums || c.relu {
			return false
		}
		c.relu = true
		return true
	}
	return false
}

// lower appends the layer of c.
func (t *tape) lower(c chain) {
	node := t.graph.Nodes[c.head]
	in := make([]*edge, len(node.Inputs))
	constant := true
	for i, k := range node.Inputs {
		in[i] = &edge{picture: t.at[k]}
		constant = constant && in[i].constant
	}
	output := func() *picture {
		out := t.picture(t.graph.Nodes[c.last].Shape)
		out.constant, out.rectified = constant, c.relu
		t.at[c.last] = out
		return out
	}
	pass := func(in []*edge) {
		for _, e := range in {
			e.passes, e.borrows = true, true
		}
	}
	add := func(l layer) { t.layers = append(t.layers, l) }
	switch op := node.Op.(type) {
	case nn.Dropout:
		t.drop(c, op.P, false, in[0], output)
	case nn.AlphaDropout:
		t.drop(c, op.P, true, in[0], output)
	case nn.Flatten:
		if in[0].height*in[0].width == 1 {
			t.at[c.last] = in[0].picture
			return
		}
		add(&flat{in: in[0], out: output()})
	case nn.Conv:
		constant = false
		add(t.conv(c, op, in[0], output()))
	case nn.Linear:
		constant = false
		one := nn.Conv2d(op.Out, 1, 1, 0)
		one.Bias = op.Bias
		add(t.conv(c, one, in[0], output()))
	case nn.BatchNorm:
		constant = false
		if t.live {
			t.normaliseBatch(c, op, in[0], output())
			return
		}
		add(t.normalise(c, in[0], output()))
	case nn.Add:
		pass(in)
		add(&addition{in: in, out: output()})
	case nn.ReLU:
		c.relu = true
		pass(in)
		add(&addition{in: in, out: output()})
	case nn.Concat:
		add(&concatenation{in: in, out: output()})
	case nn.Subsample:
		add(&sample{in: in[0], out: output(), stride: op.Stride})
	case nn.MaxPool:
		add(t.maximum(in[0], output(), windows(op.Window)))
	case nn.AdaptiveMaxPool:
		add(t.maximum(in[0], output(), adaptiveWindow))
	case nn.AvgPool:
		add(&average{in: in[0], out: output(), window: windows(op.Window), countPad: op.CountPad})
	case nn.AdaptiveAvgPool:
		add(&average{in: in[0], out: output(), window: adaptiveWindow})
	case nn.Softmax:
		add(&normalised{in: in[0], out: output()})
	case nn.LogSoftmax:
		add(&normalised{in: in[0], out: output(), logarithm: true})
	default:
		add(&nonlinear{in: in[0], out: output(), op: op})
	}
}
