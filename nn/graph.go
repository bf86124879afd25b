// Package nn describes feed-forward networks: a Graph of operations in topological order,
// the Params that it is evaluated with, the Loss, and the images.
//
// A graph holds no numbers. Its entries are named, shaped and ordered as PyTorch's
// state_dict() has them, so that a checkpoint is a Params in the same order. Activations
// have the shape (C, H, W) or (D) of one image; engines add the batch.
package nn

import "fmt"

// Role says what an entry of the state dict is.
type Role uint8

const (
	Learnable    Role = iota // a parameter: named_parameters() has it
	RunningMean              // batch norm's running mean
	RunningVar               // batch norm's running variance
	BatchCounter             // num_batches_tracked: never used in evaluation
)

// Entry is one tensor of the state dict.
type Entry struct {
	Name  string
	Shape Shape
	Role  Role
}

// Node is one operation applied to the outputs of earlier nodes.
type Node struct {
	Name    string // PyTorch's module path, or a descriptive one for functional operations
	Op      Op     // nil for node 0, the input
	Inputs  []int  // nodes whose outputs it takes
	Entries []int  // indices into Graph.Entries, in the order of Op.Entries
	Shape   Shape  // of its output for one image
}

// Graph is a network: Nodes[0] is the input image, the last node gives the logits.
type Graph struct {
	Name    string
	Input   Shape
	Classes int
	Entries []Entry
	Nodes   []Node
}

// Op is an operation. Its methods see the shapes of its inputs for one image.
// A pointer-free value type: two equal values are the same operation.
type Op interface {
	// Kind is the operation's name in listings: "conv", "linear", …
	Kind() string
	// Shape is the output's shape, or an error that says which input does not fit.
	Shape(in []Shape) (Shape, error)
	// Entries lists the tensors that it needs, named relative to its module.
	Entries(in []Shape) []Entry
	// MACs is the number of multiply-adds for one image, counting those of
	// convolutions and linear maps only, as is usual.
	MACs(in []Shape) int64
}

// Output is the index of the node that gives the logits.
func (g *Graph) Output() int { return len(g.Nodes) - 1 }

// InShapes are the shapes of node n's inputs.
func (g *Graph) InShapes(n int) []Shape {
	shapes := make([]Shape, len(g.Nodes[n].Inputs))
	for i, k := range g.Nodes[n].Inputs {
		shapes[i] = g.Nodes[k].Shape
	}
	return shapes
}

// MACs is the number of multiply-adds that one image costs.
func (g *Graph) MACs() int64 {
	var n int64
	for i, node := range g.Nodes {
		if node.Op != nil {
			n += node.Op.MACs(g.InShapes(i))
		}
	}
	return n
}

// Parameters is the number of learnable values.
func (g *Graph) Parameters() int {
	n := 0
	for _, e := range g.Entries {
		if e.Role == Learnable {
			n += e.Shape.Size()
		}
	}
	return n
}

// HasRunningStatistics reports whether the network has batch norm, so that its states
// are more than its parameters.
func (g *Graph) HasRunningStatistics() bool {
	for _, e := range g.Entries {
		if e.Role != Learnable {
			return true
		}
	}
	return false
}

// Builder grows a Graph. Entries are named and ordered by the order of the calls, which
// must therefore be the order in which the PyTorch module registers its children.
// The first mistake is kept and returned by Graph; later calls then do nothing.
type Builder struct {
	graph Graph
	err   error
}

// NewBuilder starts a graph; node 0 is its input image.
func NewBuilder(name string, input Shape) *Builder {
	return &Builder{graph: Graph{Name: name, Input: input, Nodes: []Node{{Name: "input", Shape: input}}}}
}

// Shape is the shape of node n's output.
func (b *Builder) Shape(n int) Shape {
	if b.err != nil {
		return nil
	}
	return b.graph.Nodes[n].Shape
}

// Add appends op as module name over the given nodes and returns the new node's index.
func (b *Builder) Add(name string, op Op, inputs ...int) int {
	if b.err != nil {
		return 0
	}
	in := make([]Shape, len(inputs))
	for i, k := range inputs {
		in[i] = b.graph.Nodes[k].Shape
	}
	shape, err := op.Shape(in)
	if err == nil {
		for _, d := range shape {
			if d <= 0 {
				err = fmt.Errorf("its output would be %v: the input is too small", shape)
			}
		}
	}
	if err != nil {
		b.err = fmt.Errorf("%s on %v input: %s (%s): %w", b.graph.Name, b.graph.Input, name, op.Kind(), err)
		return 0
	}
	node := Node{Name: name, Op: op, Inputs: inputs, Shape: shape}
	for _, e := range op.Entries(in) {
		node.Entries = append(node.Entries, len(b.graph.Entries))
		e.Name = name + "." + e.Name
		b.graph.Entries = append(b.graph.Entries, e)
	}
	b.graph.Nodes = append(b.graph.Nodes, node)
	return len(b.graph.Nodes) - 1
}

// Graph returns the finished graph; the last node added gives the logits.
func (b *Builder) Graph() (*Graph, error) {
	if b.err != nil {
		return nil, b.err
	}
	out := b.graph.Nodes[len(b.graph.Nodes)-1].Shape
	if len(out) != 1 {
		return nil, fmt.Errorf("%s on %v input: the output is %v, not a vector of logits", b.graph.Name, b.graph.Input, out)
	}
	b.graph.Classes = out[0]
	return &b.graph, nil
}
