package cpu

import (
	"context"
	"math"

	"lsrun/nn"
	"lsrun/nn/cpu/kernel"
)

// panel is the part of the weights that belongs to up to TileCols output channels of a
// step, prepared at every point anew. Batch norm is folded to a scale and a shift of the
// channel, computed in float64 and rounded once; scaling the sum instead of the weights
// saves a rounding of each.
type panel struct {
	first, count int   // output channels
	norms        []int // batch norms after it
	bias         int   // entries, or −1
	weight       int
	channels     int // inputs of the weights: channels, and places of the kernel
	places       int
	packed       int // where in program.weights its weights begin, [place][channel][TileCols]
	scale, shift int // where those of its first channel are
}

// weigh makes room for the weights of p, which is node n, and plans their preparation.
func (l *lowering) weigh(p *product, n int, norms []int) {
	entries := l.graph.Nodes[n].Entries
	whole := panel{norms: norms, bias: -1, weight: entries[0],
		channels: p.in.shape[0] / p.Groups, places: p.Kernel[0] * p.Kernel[1]}
	if p.Bias {
		whole.bias = entries[1]
	}
	p.scale, p.shift = l.scaling(p.Out)
	p.weights = l.weights
	l.prepare = max(l.prepare, p.terms()*kernel.TileCols)
	perGroup := p.Out / p.Groups
	for g := range p.Groups {
		for o := 0; o < perGroup; o += kernel.TileCols {
			part := whole
			part.first, part.count = g*perGroup+o, min(kernel.TileCols, perGroup-o)
			part.packed, part.scale, part.shift = l.weights, p.scale+part.first, p.shift+part.first
			l.weights += p.terms() * kernel.TileCols
			l.panels = append(l.panels, part)
		}
	}
}

// prepare moves to a point.
func (e *Engine) prepare(ctx context.Context, at nn.Point) {
	e.share(ctx, len(e.program.panels), func(w *worker, i int) {
		p := &e.program.panels[i]
		w.fold(p, at)
		if p.weight >= 0 {
			w.pack(p, at)
		}
	})
}

// part writes elements from…from+len(dst)−1 of an entry at a point into dst.
func (e *Engine) part(dst []float32, entry, from int, at nn.Point) []float32 {
	cut := func(p nn.Params) nn.Params {
		if p == nil || p[entry].Data == nil {
			return nil
		}
		return nn.Params{{Data: p[entry].Data[from : from+len(dst)]}}
	}
	nn.Plane{Theta: cut(e.Plane.Theta), X: cut(e.Plane.X), Y: cut(e.Plane.Y)}.Entry(dst, 0, at)
	return dst
}

// fold computes the scale and shift of p's channels.
func (w *worker) fold(p *panel, at nn.Point) {
	var room [4][kernel.TileCols]float32
	var scale, shift [kernel.TileCols]float64
	bias := room[0][:p.count]
	if p.bias >= 0 {
		w.part(bias, p.bias, p.first, at)
	}
	for o := range bias {
		scale[o], shift[o] = 1, float64(bias[o])
	}
	for _, n := range p.norms {
		node := &w.Graph.Nodes[n]
		var own [4][]float32 // weight, bias, running mean, running variance
		for k := range own {
			own[k] = w.part(room[k][:p.count], node.Entries[k], p.first, at)
		}
		for o := range p.count {
			s := float64(own[0][o]) / math.Sqrt(float64(own[3][o])+node.Op.(nn.BatchNorm).Eps)
			scale[o] *= s
			shift[o] = float64((shift[o]-float64(own[2][o]))*s) + float64(own[1][o])
		}
	}
	for o := range p.count {
		w.weights[p.scale+o], w.weights[p.shift+o] = float32(scale[o]), float32(shift[o])
	}
}

// pack brings p's weights into the order of the kernels; the columns that p lacks stay zero.
func (w *worker) pack(p *panel, at nn.Point) {
	terms := p.channels * p.places
	source := w.part(w.scratch[:p.count*terms], p.weight, p.first*terms, at)
	packed := w.weights[p.packed:][:terms*kernel.TileCols]
	for o := range p.count {
		row := source[o*terms:][:terms]
		for c := range p.channels {
			for ij, v := range row[c*p.places:][:p.places] {
				packed[(ij*p.channels+c)*kernel.TileCols+o] = v
			}
		}
	}
}
