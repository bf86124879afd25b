package cpu

import (
	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// program is a lowered graph.
type program struct {
	graph         *nn.Graph
	input, output *value
	steps         []step
	nodes         []int // by step: the node whose output it computes first
	ends          []int // by stage: the step after its last
	batch         []int // by stage: images in its micro-batch
	buffers       []*buffer
	arena         int     // floats that a thread needs for the values
	rooms         rooms   // what it needs besides
	weights       int     // floats of all prepared weights
	panels        []panel // the parts of the weights, prepared independently
}

// rooms are the sizes of a thread's scratch memory, in elements: the largest that any step needs.
type rooms struct{ sums, rows, inputs, columns, channels, source int }

func (r *rooms) grow(s rooms) {
	r.sums, r.rows, r.inputs = max(r.sums, s.sums), max(r.rows, s.rows), max(r.inputs, s.inputs)
	r.columns, r.channels, r.source = max(r.columns, s.columns), max(r.channels, s.channels), max(r.source, s.source)
}

// step is one pass over a micro-batch.
type step interface {
	run(w *worker, n int)
	// values are its output and inputs. A second input is a residual: every value of it is read just
	// before the output's is written, so that the output may take its place.
	values() (out *value, in []*value)
}

// lowering is a program in the making.
type lowering struct {
	graph     *nn.Graph
	kernel    *kernel.Kernel
	exact     bool
	users     nn.Users
	at        []*value     // by node: where its output is; nil while it is not lowered
	open      map[int]bool // sums that a step before them has already promised to compute
	steps     []step
	nodes     []int
	current   int // the node that is being lowered
	allocated []*value
	weights   int
	source    int
	panels    []panel
}

// lower compiles g. exact forbids Winograd's transforms, and any order of operations but the graph's.
func lower(g *nn.Graph, k *kernel.Kernel, exact bool, cache int) *program {
	if !exact {
		g = g.PoolFirst()
	}
	l := &lowering{graph: g, kernel: k, exact: exact, users: g.Users(),
		at: make([]*value, len(g.Nodes)), open: map[int]bool{}}
	l.at[0] = l.allocate(g.Input)
	for n := range g.Nodes {
		l.need(n)
	}
	return l.finish(cache)
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
		l.current = n
		l.node(n)
	}
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
		if in[0].shape[1]*in[0].shape[2] == 1 || l.users.OnlyLinear(n) {
			l.at[n] = in[0]
		} else {
			l.at[n] = l.append(alone(op, in[0], l.allocate(node.Shape)))
		}
	case nn.Conv:
		l.conv(n, op, in[0], nil)
	case nn.Linear:
		// Over a flattened picture this is a kernel as large as the picture.
		kernel := [2]int{in[0].shape[1], in[0].shape[2]}
		l.conv(n, nn.Conv{Out: op.Out, Kernel: kernel, Stride: [2]int{1, 1}, Dilation: [2]int{1, 1}, Groups: 1, Bias: op.Bias}, in[0], nil)
	case nn.Add:
		l.sum(n, in)
	case nn.BatchNorm, nn.ReLU, nn.SELU, nn.ELU, nn.GELU, nn.Tanh, nn.Sigmoid:
		if !l.prologue(n, in[0]) {
			l.affine(n, in[0])
		}
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
	l.steps, l.nodes = append(l.steps, s), append(l.nodes, l.current)
	out, _ := s.values()
	return out
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
	for {
		l.at[n] = out
		next, op, ok := l.users.Only(n)
		if !ok {
			return ep
		}
		switch op.(type) {
		case nn.Dropout, nn.AlphaDropout:
		case nn.BatchNorm:
			if ep.residual != nil || ep.activation != nil {
				return ep
			}
			ep.norms = append(ep.norms, next)
		case nn.Add:
			inputs := l.graph.Nodes[next].Inputs
			if len(inputs) != 2 || ep.residual != nil || ep.activation != nil || l.open[next] {
				return ep
			}
			l.open[next] = true // the other side must leave it to us
			current := l.current
			other := inputs[0] + inputs[1] - n
			l.need(other)
			l.current = current
			ep.residual = l.at[other]
		case nn.ReLU, nn.SELU, nn.ELU, nn.GELU, nn.Tanh, nn.Sigmoid:
			if ep.activation != nil {
				return ep
			}
			ep.activation = op
		default:
			return ep
		}
		n = next
	}
}

// conv lowers node n, the convolution c or a linear map in its form, of ReLU(norms(in)) if there are norms.
func (l *lowering) conv(n int, c nn.Conv, in *value, norms []int) {
	out := l.allocate(l.graph.Nodes[n].Shape)
	ep := l.takeAlong(epilogue{}, n, out)
	f := finish{out: out, residual: ep.residual, activation: ep.activation}
	f.scale, f.shift = l.scaling(c.Out)
	switch w := algorithmFor(l.kernel, c, in.shape, l.exact); {
	case w != nil:
		l.winograd(n, c, *w, in, f, ep.norms)
	case c.Groups > 1 && c.Groups == c.Out && c.Groups == in.shape[0]:
		l.depthwise(n, c, in, f, ep.norms)
	default:
		l.product(n, c, in, f, ep.norms, norms)
	}
}

// algorithmFor is the transform for c over pictures of the given shape, or nil where sums are computed directly: a function of shapes alone,
// so that it is the same for every kernel and machine.
func algorithmFor(k *kernel.Kernel, c nn.Conv, in nn.Shape, exact bool) *kernel.Winograd {
	plain := nn.Conv2d(c.Out, 3, 1, 0)
	plain.Kernel, plain.Stride, plain.Pad, plain.Bias = c.Kernel, c.Stride, c.Pad, c.Bias
	fewestIn, fewestOut := 8, 8 // channels: with less, transforms take longer than they save
	if c.Kernel == [2]int{3, 3} && c.Stride == [2]int{1, 1} {
		fewestIn = 3 // which are transformed but once
	}
	if exact || c != plain || in[0] < fewestIn || c.Out < fewestOut {
		return nil
	}
	height, width := (in[1]+2*c.Pad[0]-c.Kernel[0])/c.Stride[0]+1, (in[2]+2*c.Pad[1]-c.Kernel[1])/c.Stride[1]+1
	products := func(w *kernel.Winograd) (n int) { // of a pair of channels in a picture
		for _, s := range sumsOf(w, pieces(c, w)) {
			n += s.count * s.pieces
		}
		return n * ((height + w.Tile - 1) / w.Tile) * ((width + w.Tile - 1) / w.Tile)
	}
	var best *kernel.Winograd
	least := height * width * c.Kernel[0] * c.Kernel[1] * 2 / 3 // or transforms take longer than they save
	for _, w := range transformsFor(k, c) {
		if n := products(w); n <= least {
			best, least = w, n-1
		}
	}
	return best
}

// transformsFor are the transforms that suit a kernel of such size and stride, the largest tiles first.
func transformsFor(k *kernel.Kernel, c nn.Conv) []*kernel.Winograd {
	switch {
	case c.Stride == [2]int{1, 1} && min(c.Kernel[0], c.Kernel[1]) >= 3:
		return []*kernel.Winograd{&k.F4, &k.F2}
	case c.Stride == [2]int{2, 2} && c.Kernel == [2]int{3, 3}:
		return []*kernel.Winograd{&k.F42}
	}
	return nil
}

// prologue lowers node n, a batch norm, together with a ReLU and a 1×1 convolution that alone take
// it. It reports whether it could.
func (l *lowering) prologue(n int, in *value) bool {
	if _, ok := l.graph.Nodes[n].Op.(nn.BatchNorm); !ok {
		return false
	}
	relu, next, ok := l.users.Prologue(n)
	if !ok {
		return false
	}
	l.at[n], l.at[relu] = in, in // nobody else asks for them
	l.current = next
	l.conv(next, l.graph.Nodes[next].Op.(nn.Conv), in, []int{n})
	return true
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
		whole.buffer.require(part.buffer.before, part.buffer.after)
		part.inside, part.from, part.buffer = whole, from, nil
		from += part.shape[0]
	}
}

// rescale appends the step out = ep(in).
func (l *lowering) rescale(in, out *value, ep epilogue) {
	channels := out.shape[0]
	scale, shift := l.scaling(channels)
	l.fold(scale, shift, channels, ep.norms)
	l.append(&affine{in: in, finish: finish{out: out, residual: ep.residual, activation: ep.activation, scale: scale, shift: shift}})
}

// scaling makes room for a scale and a shift of each of n channels.
func (l *lowering) scaling(n int) (scale, shift int) {
	scale = lined(l.weights)
	shift = scale + lined(n)
	l.weights = shift + lined(n)
	return scale, shift
}

// finish finds out how long every buffer is needed and how the work is cut, now that every
// value's place and border are known.
func (l *lowering) finish(cache int) *program {
	p := &program{graph: l.graph, input: l.at[0], output: l.at[l.graph.Output()], steps: l.steps, nodes: l.nodes,
		panels: l.panels, weights: l.weights}
	p.stages()
	for _, v := range l.allocated {
		if v.buffer != nil {
			v.buffer.first = len(l.steps)
			p.buffers = append(p.buffers, v.buffer)
		}
	}
	p.input.place().first = -1 // load writes it
	for i, s := range l.steps {
		out, in := s.values()
		out.place().first = min(out.place().first, i)
		for _, v := range append(in, out) {
			v.place().last, v.place().stage = i, p.stage(i)
		}
	}
	p.output.place().last, p.output.place().stage = len(l.steps), len(p.ends)-1
	for i, s := range l.steps {
		out, in := s.values()
		// What a later stage reads must outlast all rounds of the stages before it.
		if b := out.place(); p.stage(i) < b.stage {
			b.first = -1
		}
		if len(in) == 2 && out.buffer != nil && out.buffer.first == i && in[1].place() != in[0].place() {
			out.buffer.over = in[1].buffer
		}
	}
	p.setBatches(cache)
	p.rooms.source = l.source
	for _, s := range l.steps {
		if s, ok := s.(planner); ok {
			p.rooms.grow(s.plan(cache))
		}
	}
	return p
}

// planner is a step that cuts its work once every value has its place. It returns the scratch
// memory that it needs.
type planner interface{ plan(cache int) rooms }
