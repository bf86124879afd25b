package ref

import (
	"context"
	"sync"

	"lsrun/nn"
)

// pass holds what one image's evaluation computes, there and back.
type pass[N number] struct {
	nodes   []tensor[N]
	entries []tensor[N]
	steps   []step[N] // in topological order
	loss    float64
}

// step is a node's operation with its arguments.
type step[N number] struct {
	operation[N]
	out         tensor[N]
	in, entries []tensor[N]
}

// newPass has room for the evaluation of g with the given states, which it shares.
func newPass[N number](g *nn.Graph, states [][]N) *pass[N] {
	p := &pass[N]{nodes: make([]tensor[N], len(g.Nodes)), entries: make([]tensor[N], len(g.Entries))}
	for i, e := range g.Entries {
		p.entries[i] = tensor[N]{e.Shape, states[i], make([]N, len(states[i]))}
	}
	for n, node := range g.Nodes {
		p.nodes[n] = newTensor[N](node.Shape)
		if node.Op == nil {
			continue
		}
		s := step[N]{operation: lower[N](node.Op), out: p.nodes[n]}
		for _, from := range node.Inputs {
			s.in = append(s.in, p.nodes[from])
		}
		for _, i := range node.Entries {
			s.entries = append(s.entries, p.entries[i])
		}
		p.steps = append(p.steps, s)
	}
	return p
}

// forward evaluates image i and returns its logits.
func (p *pass[N]) forward(images *nn.Images, i int) []N {
	input := p.nodes[0].data
	for k, v := range images.Pixels[i*len(input) : (i+1)*len(input)] {
		input[k] = join[N](float64(v), 0)
	}
	for _, s := range p.steps {
		s.forward(s.out, s.in, s.entries)
	}
	return p.nodes[len(p.nodes)-1].data
}

// backward computes the loss of the image just evaluated and sets every adjoint to its
// derivative.
func (p *pass[N]) backward(loss nn.Loss, label int) {
	for _, tensors := range [][]tensor[N]{p.nodes, p.entries} {
		for _, t := range tensors {
			clear(t.adjoint)
		}
	}
	logits := p.nodes[len(p.nodes)-1]
	values, tangents := make([]float64, len(logits.data)), make([]float64, len(logits.data))
	for k, z := range logits.data {
		values[k], tangents[k] = parts(z)
	}
	p.loss = loss.Image(values, label)
	gradient, product := make([]float64, len(values)), make([]float64, len(values))
	loss.Gradient(gradient, values, label)
	loss.Product(product, values, tangents, label)
	for k := range logits.adjoint {
		logits.adjoint[k] = join[N](gradient[k], product[k])
	}
	for k := len(p.steps) - 1; k >= 0; k-- {
		s := p.steps[k]
		s.backward(s.out, s.in, s.entries)
	}
}

// eachImage calls work with every image from several goroutines, a pass for each, and then
// take with the same pass: one image at a time, in their order.
func eachImage[N number](ctx context.Context, passes []*pass[N], images *nn.Images, work, take func(p *pass[N], i int)) error {
	for first := 0; first < images.Len() && ctx.Err() == nil; first += len(passes) {
		wave := passes[:min(len(passes), images.Len()-first)]
		var workers sync.WaitGroup
		for k, p := range wave {
			workers.Go(func() { work(p, first+k) })
		}
		workers.Wait()
		for k, p := range wave {
			take(p, first+k)
		}
	}
	return ctx.Err()
}
