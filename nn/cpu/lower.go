package cpu

import (
	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// program is a lowered graph.
type program struct {
	input, output *value
	steps         []step
	opened        [][]*buffer // by step: those that it is the first to write
	buffers       []*buffer
	batch         int     // images in a micro-batch
	arena         int     // floats that a thread needs for the values
	weights       int     // floats of all prepared weights
	prepare       int     // floats of the largest part of the weights that is prepared at once
	channels      int     // the most of any value
	row           int     // the most pixels in a row of a product's output
	panels        []panel // the parts of the weights, prepared independently
}

// step is one pass over a micro-batch.
type step interface {
	run(w *worker, n int)
	values() (out *value, in []*value)
}

// lowering is a program in the making.
type lowering struct {
	graph     *nn.Graph
	users     [][]int  // by node: the nodes that take its output
	at        []*value // by node: where its output is; nil while it is not lowered
	steps     []step
	allocated []*value
	weights   int
	prepare   int
	panels    []panel
}

func lower(g *nn.Graph) program {
	l := &lowering{graph: g, users: make([][]int, len(g.Nodes)), at: make([]*value, len(g.Nodes))}
	for n, node := range g.Nodes {
		for _, k := range node.Inputs {
			l.users[k] = append(l.users[k], n)
		}
	}
	l.at[0] = l.allocate(g.Input)
	for n := range g.Nodes {
		if l.at[n] == nil { // else an earlier step has taken it along
			l.node(n)
		}
	}
	return l.finish()
}

func (l *lowering) allocate(shape nn.Shape) *value {
	v := newValue(shape)
	l.allocated = append(l.allocated, v)
	return v
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
		if in[0].shape[1]*in[0].shape[2] == 1 || l.onlyForLinear(n) {
			l.at[n] = in[0]
		} else {
			l.at[n] = l.append(alone(op, in[0], l.allocate(node.Shape)))
		}
	case nn.Conv:
		l.product(n, op, in[0])
	case nn.Linear:
		// Over a flattened picture this is a kernel as large as the picture.
		kernel := [2]int{in[0].shape[1], in[0].shape[2]}
		l.product(n, nn.Conv{Out: op.Out, Kernel: kernel, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1, Bias: op.Bias}, in[0])
	case nn.Add:
		l.sum(n, in)
	case nn.BatchNorm, nn.ReLU, nn.SELU, nn.ELU, nn.GELU, nn.Tanh, nn.Sigmoid:
		l.affine(n, in[0])
	case nn.Concat:
		l.concat(n, in)
	default:
		l.at[n] = l.append(alone(op, in[0], l.allocate(node.Shape)))
	}
}

// alone is the step of an operation that joins no other.
func alone(op nn.Op, in, out *value) step {
	switch op := op.(type) {
	case nn.Flatten:
		return &flatten{in: in, out: out}
	case nn.MaxPool:
		return &pool{in: in, out: out, window: windows(op.Window), largest: true}
	case nn.AvgPool:
		return &pool{in: in, out: out, window: windows(op.Window), countPad: op.CountPad}
	case nn.AdaptiveMaxPool:
		return &pool{in: in, out: out, window: adaptiveWindow, largest: true}
	case nn.AdaptiveAvgPool:
		return &pool{in: in, out: out, window: adaptiveWindow}
	case nn.Subsample:
		return &subsample{in: in, out: out, stride: op.Stride}
	case nn.Softmax:
		return &softmax{in: in, out: out}
	case nn.LogSoftmax:
		return &softmax{in: in, out: out, logarithm: true}
	}
	panic("cpu: unknown operation")
}

// append adds a step and returns its output.
func (l *lowering) append(s step) *value {
	l.steps = append(l.steps, s)
	out, _ := s.values()
	return out
}

// onlyForLinear reports whether nothing but linear maps takes node n's output.
func (l *lowering) onlyForLinear(n int) bool {
	for _, user := range l.users[n] {
		switch l.graph.Nodes[user].Op.(type) {
		case nn.Linear:
		case nn.Dropout, nn.AlphaDropout:
			if !l.onlyForLinear(user) {
				return false
			}
		default:
			return false
		}
	}
	return len(l.users[n]) > 0
}

// epilogue is what a step does to its sums before it writes them:
// activation(norms(sum) + residual).
type epilogue struct {
	norms      []int // nodes
	residual   *value
	activation nn.Op
}

// takeAlong extends the epilogue ep of the step that computes node n by the nodes after it as
// far as it can; the nodes on the way are needed by nobody else. The last one's output is out.
func (l *lowering) takeAlong(ep epilogue, n int, out *value) epilogue {
	for ; ; n = l.users[n][0] {
		l.at[n] = out
		if len(l.users[n]) != 1 {
			return ep
		}
		next := l.users[n][0]
		switch op := l.graph.Nodes[next].Op.(type) {
		case nn.Dropout, nn.AlphaDropout:
		case nn.BatchNorm:
			if ep.residual != nil || ep.activation != nil {
				return ep
			}
			ep.norms = append(ep.norms, next)
		case nn.Add:
			inputs := l.graph.Nodes[next].Inputs
			other := inputs[0] + inputs[1] - n
			if len(inputs) != 2 || ep.residual != nil || ep.activation != nil || l.at[other] == nil {
				return ep
			}
			ep.residual = l.at[other]
		case nn.ReLU, nn.SELU, nn.ELU, nn.GELU, nn.Tanh, nn.Sigmoid:
			if ep.activation != nil {
				return ep
			}
			ep.activation = op
		default:
			return ep
		}
	}
}

// product lowers node n, the convolution c or a linear map in its form.
func (l *lowering) product(n int, c nn.Conv, in *value) {
	out := l.allocate(l.graph.Nodes[n].Shape)
	ep := l.takeAlong(epilogue{}, n, out)
	in.place().require(c.Pad)
	p := &product{Conv: c, in: in, out: out, residual: ep.residual, activation: ep.activation}
	l.weigh(p, n, ep.norms)
	l.append(p)
}

// affine lowers node n, a batch norm or an activation that could not be taken along.
func (l *lowering) affine(n int, in *value) {
	ep := epilogue{activation: l.graph.Nodes[n].Op}
	if _, ok := ep.activation.(nn.BatchNorm); ok {
		ep = epilogue{norms: []int{n}}
	}
	out := l.allocate(l.graph.Nodes[n].Shape)
	l.rescale(in, out, l.takeAlong(ep, n, out))
}

// sum lowers node n, a sum, from left to right.
func (l *lowering) sum(n int, in []*value) {
	sum := in[0]
	for _, v := range in[1 : len(in)-1] {
		next := l.allocate(l.graph.Nodes[n].Shape)
		l.rescale(sum, next, epilogue{residual: v})
		sum = next
	}
	out := l.allocate(l.graph.Nodes[n].Shape)
	l.rescale(sum, out, l.takeAlong(epilogue{residual: in[len(in)-1]}, n, out))
}

// concat lowers node n by moving its inputs to where they will be needed; what is already
// part of a concatenation is copied.
func (l *lowering) concat(n int, in []*value) {
	whole := l.allocate(l.graph.Nodes[n].Shape)
	l.at[n] = whole
	from := 0
	for _, part := range in {
		if part.inside != nil {
			copied := l.allocate(part.shape)
			l.rescale(part, copied, epilogue{})
			part = copied
		}
		whole.buffer.require(part.buffer.pad)
		part.inside, part.from, part.buffer = whole, from, nil
		from += part.shape[0]
	}
}

// rescale appends the step out = ep(in).
func (l *lowering) rescale(in, out *value, ep epilogue) {
	channels := out.shape[0]
	scale, shift := l.scaling(channels)
	for o := 0; o < channels; o += kernel.TileCols {
		l.panels = append(l.panels, panel{first: o, count: min(kernel.TileCols, channels-o), norms: ep.norms,
			bias: -1, weight: -1, scale: scale + o, shift: shift + o})
	}
	l.append(&affine{in: in, out: out, residual: ep.residual, activation: ep.activation, scale: scale, shift: shift})
}

// scaling makes room for a scale and a shift of each of n channels.
func (l *lowering) scaling(n int) (scale, shift int) {
	scale, shift = l.weights, l.weights+n
	l.weights += 2 * n
	return scale, shift
}

// finish finds out how long every buffer is needed and how the sums are cut, now that every
// value's place and border are known.
func (l *lowering) finish() program {
	p := program{input: l.at[0], output: l.at[l.graph.Output()], steps: l.steps, panels: l.panels,
		weights: l.weights, prepare: l.prepare, opened: make([][]*buffer, len(l.steps))}
	for _, v := range l.allocated {
		p.channels = max(p.channels, v.shape[0])
		if v.buffer != nil {
			v.buffer.first = len(l.steps)
			p.buffers = append(p.buffers, v.buffer)
		}
	}
	p.input.place().first = -1 // load writes it
	for i, s := range l.steps {
		out, in := s.values()
		b := out.place()
		if i < b.first {
			p.opened[i] = append(p.opened[i], b)
			b.first = i
		}
		for _, v := range append(in, out) {
			v.place().last = i
		}
		if s, ok := s.(*product); ok {
			s.plan()
			p.row = max(p.row, s.out.shape[2])
		}
	}
	p.output.place().last = len(l.steps)
	p.setBatch(microBatch(p.weights, layout(p.buffers, 1)))
	return p
}

// setBatch lays out the arena for micro-batches of n images.
func (p *program) setBatch(n int) {
	p.batch = n
	p.arena = layout(p.buffers, n)
}

// microBatch is how many images pass through the steps together: enough that the weights
// are not read from far away for each, few enough that the activations stay near. One image
// takes the given number of floats.
func microBatch(weights, image int) int {
	const most = 8 << 20 // floats of an arena
	return max(1, min(max(4, weights>>20), 16, most/image))
}
