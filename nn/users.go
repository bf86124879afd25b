package nn

// Users are, by node, the nodes that take its output, in rising order: what engines ask when they fuse operations.
type Users struct {
	graph *Graph
	of    [][]int
}

// Users finds who takes every node's output.
func (g *Graph) Users() Users {
	u := Users{g, make([][]int, len(g.Nodes))}
	for n, node := range g.Nodes {
		for _, k := range node.Inputs {
			u.of[k] = append(u.of[k], n)
		}
	}
	return u
}

// Only is the node that alone takes node n's output, and its operation; ok is false where there are several or none.
func (u Users) Only(n int) (user int, op Op, ok bool) {
	if len(u.of[n]) != 1 {
		return 0, nil, false
	}
	user = u.of[n][0]
	return user, u.graph.Nodes[user].Op, true
}

// OnlyLinear reports whether nothing but linear maps takes node n's output, which then needs no order of its own.
func (u Users) OnlyLinear(n int) bool {
	for _, user := range u.of[n] {
		switch u.graph.Nodes[user].Op.(type) {
		case Linear:
		case Dropout, AlphaDropout:
			if !u.OnlyLinear(user) {
				return false
			}
		default:
			return false
		}
	}
	return len(u.of[n]) > 0
}

// Prologue is the ReLU and the 1×1 convolution that alone follow the batch norm n, so that both may be applied to the
// convolution's inputs as they are read; ok is false where they do not.
func (u Users) Prologue(n int) (relu, conv int, ok bool) {
	relu, op, _ := u.Only(n)
	if _, is := op.(ReLU); !is {
		return 0, 0, false
	}
	conv, op, _ = u.Only(relu)
	c, is := op.(Conv)
	return relu, conv, is && c.Kernel == [2]int{1, 1} && c.Pad == [2]int{} && c.Groups == 1
}
