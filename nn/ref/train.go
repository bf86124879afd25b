package ref

import (
	"context"
	"math"

	"lsrun/nn"
	"lsrun/nn/engine"
)

var _ engine.Trainer = (*reference)(nil)

// Train goes node by node over the whole batch: batch norm needs all images at once. It uses one
// thread.
func (e *reference) Train(ctx context.Context, states nn.Params, batch *nn.Images, seed uint64, gradient []float32, moments []engine.Moments) (engine.TrainResult, error) {
	if err := engine.CheckTraining(e.Graph, states, batch, gradient, moments); err != nil {
		return engine.TrainResult{}, err
	}
	t := newTraining(e.Graph, states, batch, seed)
	for _, s := range t.steps {
		if err := ctx.Err(); err != nil {
			return engine.TrainResult{}, err
		}
		s.forward(s.out, s.in, s.entries)
	}
	result := t.judge(e.loss, batch.Labels)
	for k := len(t.steps) - 1; k >= 0; k-- {
		if err := ctx.Err(); err != nil {
			return engine.TrainResult{}, err
		}
		s := t.steps[k]
		s.backward(s.out, s.in, s.entries)
	}
	t.report(gradient, moments)
	return result, nil
}

// training holds a batch: every node's tensor for every image.
type training struct {
	graph   *nn.Graph
	nodes   [][]tensor[float64] // by node and image
	entries []tensor[float64]
	steps   []batchStep
}

// batchOperation is an operation in train mode on the tensors of a batch: out by image, in by input
// and image. Otherwise it is an operation.
type batchOperation interface {
	forward(out []tensor[float64], in [][]tensor[float64], entries []tensor[float64])
	backward(out []tensor[float64], in [][]tensor[float64], entries []tensor[float64])
}

type batchStep struct {
	batchOperation
	out     []tensor[float64]
	in      [][]tensor[float64]
	entries []tensor[float64]
}

func newTraining(g *nn.Graph, states nn.Params, batch *nn.Images, seed uint64) *training {
	t := &training{graph: g}
	for i, e := range g.Entries {
		entry := newTensor[float64](e.Shape)
		for k, v := range states[i].Data {
			entry.data[k] = float64(v)
		}
		t.entries = append(t.entries, entry)
	}
	for n, node := range g.Nodes {
		out := make([]tensor[float64], batch.Len())
		for i := range out {
			out[i] = newTensor[float64](node.Shape)
		}
		t.nodes = append(t.nodes, out)
		if node.Op == nil {
			continue
		}
		s := batchStep{batchOperation: live(node.Op, seed, n), out: out}
		for _, from := range node.Inputs {
			s.in = append(s.in, t.nodes[from])
		}
		for _, i := range node.Entries {
			s.entries = append(s.entries, t.entries[i])
		}
		t.steps = append(t.steps, s)
	}
	for i, image := range t.nodes[0] {
		for k := range image.data {
			image.data[k] = float64(batch.Pixels[i*len(image.data)+k])
		}
	}
	return t
}

// judge sets the adjoints of the logits to the derivatives of the mean loss.
func (t *training) judge(loss nn.Loss, labels []int32) (result engine.TrainResult) {
	n := float64(len(labels))
	for i, logits := range t.nodes[t.graph.Output()] {
		label := int(labels[i])
		result.Loss += loss.Image(logits.data, label) / n
		if nn.Predict(logits.data) == label {
			result.Correct++
		}
		loss.Gradient(logits.adjoint, logits.data, label)
		for k := range logits.adjoint {
			logits.adjoint[k] /= n
		}
	}
	return result
}

func (t *training) report(gradient []float32, moments []engine.Moments) {
	for i, e := range t.graph.Entries {
		if e.Role != nn.Learnable {
			continue
		}
		for k, v := range t.entries[i].adjoint {
			gradient[k] = float32(v)
		}
		gradient = gradient[len(t.entries[i].adjoint):]
	}
	for _, s := range t.steps {
		norm, ok := s.batchOperation.(liveNorm)
		if !ok {
			continue
		}
		for c := range moments[0].Mean {
			mean, variance, count := norm.moments(s.in[0], c)
			moments[0].Mean[c] = float32(mean)
			moments[0].Variance[c] = float32(variance * count / (count - 1))
		}
		moments = moments[1:]
	}
}

// live is op, node n of the graph, in train mode.
func live(op nn.Op, seed uint64, n int) batchOperation {
	switch op := op.(type) {
	case nn.BatchNorm:
		return liveNorm{op.Eps}
	case nn.Dropout:
		return dropout{engine.NewDropping(op.P, false), op.P, seed, n}
	case nn.AlphaDropout:
		return dropout{engine.NewDropping(op.P, true), op.P, seed, n}
	}
	return imageByImage{lower[float64](op)}
}

// imageByImage is an operation that takes every image for itself.
type imageByImage struct{ operation[float64] }

func (o imageByImage) forward(out []tensor[float64], in [][]tensor[float64], entries []tensor[float64]) {
	for i := range out {
		o.operation.forward(out[i], ofImage(in, i), entries)
	}
}

func (o imageByImage) backward(out []tensor[float64], in [][]tensor[float64], entries []tensor[float64]) {
	for i := range out {
		o.operation.backward(out[i], ofImage(in, i), entries)
	}
}

func ofImage(in [][]tensor[float64], i int) []tensor[float64] {
	list := make([]tensor[float64], len(in))
	for k := range in {
		list[k] = in[k][i]
	}
	return list
}

// liveNorm is batch norm by the moments of the batch. With n values x of a channel,
//
//	μ = Σx/n,  v = Σ(x − μ)²/n,  x̂ = (x − μ)/√(v + ε),  y = γ·x̂ + β
//	β̄ = Σȳ,  γ̄ = Σȳ·x̂,  x̄ = γ/√(v + ε)·(ȳ − β̄/n − x̂·γ̄/n)
type liveNorm struct{ eps float64 }

// moments are those of channel c: the mean and the biased variance of so many values.
func (b liveNorm) moments(in []tensor[float64], c int) (mean, variance, count float64) {
	for _, image := range in {
		x := image.channel(c).data
		count += float64(len(x))
		mean += sum(x)
	}
	mean /= count
	for _, image := range in {
		for _, x := range image.channel(c).data {
			variance += float64((x - mean) * (x - mean))
		}
	}
	return mean, variance / count, count
}

func (b liveNorm) forward(out []tensor[float64], in [][]tensor[float64], entries []tensor[float64]) {
	weight, bias := entries[0].data, entries[1].data
	for c := range weight {
		mean, variance, _ := b.moments(in[0], c)
		deviation := math.Sqrt(variance + b.eps)
		for i := range out {
			y := out[i].channel(c).data
			for k, x := range in[0][i].channel(c).data {
				y[k] = float64(weight[c]*((x-mean)/deviation)) + bias[c]
			}
		}
	}
}

func (b liveNorm) backward(out []tensor[float64], in [][]tensor[float64], entries []tensor[float64]) {
	weight, bias := entries[0], entries[1]
	for c := range weight.data {
		mean, variance, count := b.moments(in[0], c)
		deviation := math.Sqrt(variance + b.eps)
		var byWeight, byBias float64
		for i := range out {
			x := in[0][i].channel(c).data
			for k, v := range out[i].channel(c).adjoint {
				byWeight += float64(v * ((x[k] - mean) / deviation))
				byBias += v
			}
		}
		weight.adjoint[c] += byWeight
		bias.adjoint[c] += byBias
		for i := range out {
			x := in[0][i].channel(c)
			for k, v := range out[i].channel(c).adjoint {
				normal := (x.data[k] - mean) / deviation
				x.adjoint[k] += weight.data[c] / deviation * (v - byBias/count - float64(normal*byWeight/count))
			}
		}
	}
}

// dropout is live.
type dropout struct {
	engine.Dropping
	p    float64
	seed uint64
	node int
}

func (d dropout) forward(out []tensor[float64], in [][]tensor[float64], _ []tensor[float64]) {
	for i := range out {
		mask := engine.NewMask(d.seed, d.node, i, d.p)
		for k, x := range in[0][i].data {
			if mask.Keeps(k) {
				out[i].data[k] = float64(d.Scale*x) + d.Shift
			} else {
				out[i].data[k] = d.Dropped
			}
		}
	}
}

func (d dropout) backward(out []tensor[float64], in [][]tensor[float64], _ []tensor[float64]) {
	for i := range out {
		mask := engine.NewMask(d.seed, d.node, i, d.p)
		for k, v := range out[i].adjoint {
			if mask.Keeps(k) {
				in[0][i].adjoint[k] += float64(d.Scale * v)
			}
		}
	}
}
