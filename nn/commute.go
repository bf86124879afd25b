package nn

import "slices"

// PoolFirst is g with means of windows taken before the 1×1 convolutions that alone they follow, instead of after them. Both maps are
// linear, one of them among the channels of a pixel, the other among the pixels of a channel, so that their order is free; and the
// convolution has fewer pixels to map then. Entries, their order and the nodes' number stay.
func (g *Graph) PoolFirst() *Graph {
	users := g.Users()
	changed := *g
	changed.Nodes = slices.Clone(g.Nodes)
	for n := 1; n < len(g.Nodes); n++ {
		pool, op, _ := users.Only(n)
		if !pointwise(g.Nodes[n].Op) || !averages(op) {
			continue
		}
		conv, mean := g.Nodes[n], g.Nodes[pool]
		mean.Inputs, conv.Inputs = conv.Inputs, []int{n}
		mean.Shape, conv.Shape = append(Shape{g.InShapes(n)[0][0]}, mean.Shape[1:]...), mean.Shape
		if mean.Shape.Size() < g.InShapes(n)[0].Size() {
			changed.Nodes[n], changed.Nodes[pool] = mean, conv
		}
	}
	return &changed
}

// pointwise reports whether op maps every pixel by itself.
func pointwise(op Op) bool {
	c, ok := op.(Conv)
	return ok && c.Kernel == [2]int{1, 1} && c.Stride == [2]int{1, 1} && c.Pad == [2]int{}
}

// averages reports whether op takes means of nothing but pixels, so that a constant stays what it is.
func averages(op Op) bool {
	switch op := op.(type) {
	case AvgPool:
		return !op.CountPad || op.Pad == [2]int{}
	case AdaptiveAvgPool:
		return true
	}
	return false
}
