package cuda

import (
	"cmp"
	"slices"

	"lsrun/nn"
)

// program is a lowered graph.
type program struct {
	input, output *value
	steps         []step
	buffers       []*buffer
	arena         int64   // floats an image needs for the values
	states        []int64 // by entry: where it begins in the states of a point
	length        int64   // floats of a point's states
	packing
}

// value is the output of a step for one image: all of a buffer, or consecutive
// channels of one that is the concatenation of several values.
type value struct {
	shape  nn.Shape // channels, height, width; 1×1 for vectors
	inside *value   // the concatenation that it is part of, or nil
	from   int      // its first channel there
	buffer *buffer  // nil if inside is not
}

// buffer is a picture of every image, its channels innermost and padded to a multiple of four.
type buffer struct {
	pixel       int  // floats from a pixel to the next
	size        int  // of one image
	resident    bool // the images themselves, or the logits: not in the arena
	first, last int  // the steps that use it first and last
	offset      int64
}

// entryBlock is what entries' sizes are rounded up to in the states, so that a block of threads has values of one entry.
const entryBlock = 256

// lowering is a program in the making.
type lowering struct {
	program
	graph     *nn.Graph
	precision Precision
	users     nn.Users
	at        []*value     // by node: where its output is; nil while it is not lowered
	open      map[int]bool // sums that a step before them has already promised to compute
	allocated []*value
}

func lower(g *nn.Graph, precision Precision) *program {
	l := &lowering{graph: g, precision: precision, users: g.Users(), at: make([]*value, len(g.Nodes)), open: map[int]bool{}}
	for _, e := range g.Entries {
		l.states = append(l.states, l.length)
		l.length += roundUp(int64(e.Shape.Size()), entryBlock)
	}
	l.at[0] = l.allocate(g.Input)
	l.at[0].buffer.resident = true
	for n := range g.Nodes {
		l.need(n)
	}
	l.input, l.output = l.at[0], l.at[g.Output()]
	if l.output.inside != nil || l.output.buffer.resident {
		l.output = l.rescale(l.output, l.allocate(l.output.shape), epilogue{})
	}
	l.output.buffer.resident = true
	l.place()
	return &l.program
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

func (l *lowering) allocate(shape nn.Shape) *value {
	if len(shape) == 1 {
		shape = nn.Shape{shape[0], 1, 1}
	}
	pixel := int(roundUp(int64(shape[0]), 4))
	v := &value{shape: shape, buffer: &buffer{pixel: pixel, size: pixel * shape[1] * shape[2]}}
	l.allocated = append(l.allocated, v)
	return v
}

// root is the outermost value that v is part of, and from v's first channel there.
func (v *value) root() (root *value, from int) {
	for v.inside != nil {
		from += v.from
		v = v.inside
	}
	return v, from
}

// need lowers node n, and what it is computed from, unless an earlier step has done so.
func (l *lowering) need(n int) {
	if l.at[n] != nil {
		return
	}
	for _, k := range l.graph.Nodes[n].Inputs {
		l.need(k)
	}
	if l.at[n] == nil { // else the step of an input has taken it along
		l.node(n)
	}
}

// node lowers node n, and those after it that its step can take along.
func (l *lowering) node(n int) {
	node := l.graph.Nodes[n]
	in := make([]*value, len(node.Inputs))
	for i, k := range node.Inputs {
		in[i] = l.at[k]
	}
	switch op := node.Op.(type) {
	case nn.Dropout, nn.AlphaDropout:
		l.at[n] = in[0]
	case nn.Flatten:
		if in[0].shape[1]*in[0].shape[2] == 1 || l.users.OnlyLinear(n) {
			l.at[n] = in[0]
		} else {
			l.alone(n, op, in[0])
		}
	case nn.Conv:
		l.conv(n, op, in[0], nil)
	case nn.Linear:
		// Over a flattened picture this is a kernel as large as the picture.
		kernel := [2]int{in[0].shape[1], in[0].shape[2]}
		l.conv(n, nn.Conv{Out: op.Out, Kernel: kernel, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1, Bias: op.Bias}, in[0], nil)
	case nn.Add:
		l.sum(n, in)
	case nn.BatchNorm:
		if l.prologue(n, in[0]) {
			return
		}
		out := l.allocate(node.Shape)
		l.rescale(in[0], out, l.takeAlong(epilogue{norms: []int{n}}, n, out, true))
	case nn.ReLU, nn.SELU, nn.ELU, nn.GELU, nn.Tanh, nn.Sigmoid:
		out := l.allocate(node.Shape)
		l.rescale(in[0], out, l.takeAlong(epilogue{activation: op}, n, out, true))
	case nn.Concat:
		l.concat(n, in)
	default:
		l.alone(n, op, in[0])
	}
}

// alone lowers an operation that joins no other.
func (l *lowering) alone(n int, op nn.Op, in *value) {
	s := &elements{in: in, out: l.allocate(l.graph.Nodes[n].Shape), layer: -1}
	window := func(w nn.Window) { s.kernel, s.stride, s.pad = pair(w.Kernel), pair(w.Stride), pair(w.Pad) }
	switch op := op.(type) {
	case nn.Flatten:
		s.name = "flatten"
	case nn.MaxPool:
		s.name, s.kind = "pool", poolMax
		window(op.Window)
	case nn.AvgPool:
		s.name, s.kind = "pool", poolMean
		if op.CountPad {
			s.kind = poolMeanPadded
		}
		window(op.Window)
	case nn.AdaptiveMaxPool:
		s.name, s.kind = "pool", poolMax
	case nn.AdaptiveAvgPool:
		s.name, s.kind = "pool", poolMean
	case nn.Subsample:
		s.name, s.stride = "subsample", [2]int32{int32(op.Stride), int32(op.Stride)}
	case nn.Softmax:
		s.name = "softmax"
	case nn.LogSoftmax:
		s.name, s.kind = "softmax", 1
	default:
		panic("cuda: unknown operation")
	}
	l.steps = append(l.steps, s)
	l.at[n] = s.out
}

func pair(p [2]int) [2]int32 { return [2]int32{int32(p[0]), int32(p[1])} }

// epilogue is what a step does to its sums before it writes them:
// activation(norms(sum) + residual).
type epilogue struct {
	norms      []int // nodes
	residual   *value
	activation nn.Op
}

// takeAlong extends the epilogue ep of the step that computes node n by the nodes after it as
// far as it can; the nodes on the way are needed by nobody else. The last one's output is out. Without all, ReLU is the
// only activation that the step knows.
func (l *lowering) takeAlong(ep epilogue, n int, out *value, all bool) epilogue {
	for {
		l.at[n] = out
		next, op, ok := l.users.Only(n)
		if !ok {
			return ep
		}
		switch op.(type) {
		case nn.Dropout, nn.AlphaDropout:
		case nn.BatchNorm:
			if ep.residual != nil || ep.activation != nil || len(ep.norms) == mostNorms {
				return ep
			}
			ep.norms = append(ep.norms, next)
		case nn.Add:
			inputs := l.graph.Nodes[next].Inputs
			if len(inputs) != 2 || ep.residual != nil || ep.activation != nil || l.open[next] {
				return ep
			}
			l.open[next] = true // the other side must leave it to us
			other := inputs[0] + inputs[1] - n
			l.need(other)
			ep.residual = l.at[other]
		case nn.ReLU, nn.SELU, nn.ELU, nn.GELU, nn.Tanh, nn.Sigmoid:
			if _, relu := op.(nn.ReLU); ep.activation != nil || !all && !relu {
				return ep
			}
			ep.activation = op
		default:
			return ep
		}
		n = next
	}
}

// prologue lowers node n, a batch norm, together with a ReLU and a 1×1 convolution that alone take
// it. It reports whether it could.
func (l *lowering) prologue(n int, in *value) bool {
	relu, next, ok := l.users.Prologue(n)
	if !ok {
		return false
	}
	l.at[n], l.at[relu] = in, in // nobody else asks for them
	l.conv(next, l.graph.Nodes[next].Op.(nn.Conv), in, []int{n})
	return true
}

// conv lowers node n, the convolution c or a linear map in its form, of ReLU(norms(in)) if there are norms.
func (l *lowering) conv(n int, c nn.Conv, in *value, norms []int) {
	out := l.allocate(l.graph.Nodes[n].Shape)
	ep := l.takeAlong(epilogue{}, n, out, false)
	entries := l.graph.Nodes[n].Entries
	bias := int64(-1)
	if c.Bias {
		bias = l.states[entries[1]]
	}
	s := &product{conv: c, in: in, out: out, residual: ep.residual, bounded: ep.activation != nil,
		panel: len(l.panels), layer: l.layer(c.Out, bias, ep.norms), before: -1, precision: l.precision}
	if norms != nil {
		s.before = l.layer(in.shape[0], -1, norms)
	}
	channels, places := in.shape[0]/c.Groups, c.Kernel[0]*c.Kernel[1]
	w := panel{source: l.states[entries[0]], outputs: int32(c.Out), channels: int32(channels), places: int32(places),
		outputStep: int32(channels * places), channelStep: int32(places), placeStep: 1, units: -1}
	if s.patch = l.precision != Float32 && patches(c, in.shape); s.patch {
		l.addPatch(w, l.precision, &l.layers[s.layer])
	} else {
		l.addLines(w, c.Groups, l.precision)
	}
	l.steps = append(l.steps, s)
}

// patches reports whether patch.h can compute c of pictures, a function of shapes alone.
func patches(c nn.Conv, in nn.Shape) bool {
	plain := nn.Conv2d(c.Out, 3, 1, 1)
	plain.Bias = c.Bias
	const fewest = 8 // channels: with less, most of a block's 16 would be zero
	most, pixels := patchTile(c.Out)
	of, width := patchOf(in, most), in[2]
	used := of.pictures * of.height * width
	return c == plain && in[0] >= fewest && used <= most && 2*used >= most && of.pixels <= pixels
}

// layer plans the scales and shifts of channels.
func (l *lowering) layer(channels int, bias int64, norms []int) int {
	at := l.addLayer(channels, bias)
	f := &l.layers[at]
	f.count = int32(len(norms))
	for i, n := range norms {
		e := l.graph.Nodes[n].Entries
		f.norms[i] = norm{gamma: l.states[e[0]], beta: l.states[e[1]], mean: l.states[e[2]], variance: l.states[e[3]],
			eps: l.graph.Nodes[n].Op.(nn.BatchNorm).Eps}
	}
	return at
}

// sum lowers node n, a sum, from left to right.
func (l *lowering) sum(n int, in []*value) {
	sum := in[0]
	for _, v := range in[1 : len(in)-1] {
		sum = l.rescale(sum, l.allocate(l.graph.Nodes[n].Shape), epilogue{residual: v})
	}
	out := l.allocate(l.graph.Nodes[n].Shape)
	l.rescale(sum, out, l.takeAlong(epilogue{residual: in[len(in)-1]}, n, out, true))
}

// concat lowers node n by moving its inputs to where they will be needed; the images, and what is already
// part of a concatenation, are copied.
func (l *lowering) concat(n int, in []*value) {
	whole := l.allocate(l.graph.Nodes[n].Shape)
	l.at[n] = whole
	from := 0
	for _, part := range in {
		if part.inside != nil || part.buffer.resident {
			part = l.rescale(part, l.allocate(part.shape), epilogue{})
		}
		part.inside, part.from, part.buffer = whole, from, nil
		from += part.shape[0]
	}
}

// rescale appends the step out = ep(in) and returns out.
func (l *lowering) rescale(in, out *value, ep epilogue) *value {
	s := &elements{name: "affine", in: in, out: out, residual: ep.residual, layer: -1}
	if ep.norms != nil {
		s.layer = l.layer(out.shape[0], -1, ep.norms)
	}
	s.kind, s.a, s.b = activation(ep.activation)
	l.steps = append(l.steps, s)
	return out
}

// place gives every buffer its place in the arena, now that it is known how long each is needed: large ones first, each at the
// lowest place where nothing that is needed at the same time lies.
func (l *lowering) place() {
	for _, v := range l.allocated {
		if v.buffer != nil {
			v.buffer.first = len(l.steps)
			l.buffers = append(l.buffers, v.buffer)
		}
	}
	for i, s := range l.steps {
		for _, v := range s.values() {
			root, _ := v.root()
			root.buffer.first, root.buffer.last = min(root.buffer.first, i), i
		}
	}
	sorted := slices.Clone(l.buffers)
	slices.SortStableFunc(sorted, func(a, b *buffer) int { return cmp.Compare(b.size, a.size) })
	var placed []*buffer
	for _, b := range sorted {
		if b.resident {
			continue
		}
		for _, o := range placed { // in the order of their places
			if o.first <= b.last && b.first <= o.last && o.offset < b.offset+int64(b.size) {
				b.offset = max(b.offset, o.offset+int64(o.size))
			}
		}
		l.arena = max(l.arena, b.offset+int64(b.size))
		placed = append(placed, b)
		slices.SortStableFunc(placed, func(a, b *buffer) int { return cmp.Compare(a.offset, b.offset) })
	}
}
