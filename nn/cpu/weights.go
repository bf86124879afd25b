package cpu

import (
	"context"
	"math"

	"lsrun/nn"
)

// panel is the part of the weights that belongs to the channels of a step that one product
// computes, prepared at every point anew. Batch norm is folded to a scale and a shift of the
// channel, computed in float64 and rounded once; scaling the sum instead of the weights
// saves a rounding of each.
type panel struct {
	first, count int   // output channels
	norms        []int // batch norms after it
	bias         int   // entries, or −1
	weight       int
	scale, shift int // where those of its first channel are

	channels int // inputs of the weights: channels, and places of the kernel
	places   int
	packed   int // where in program.weights its weights begin
	columns  int
	winograd *winograd // or nil
}

// fold plans the scales and shifts of the given number of channels after norms.
func (l *lowering) fold(scale, shift, channels int, norms []int) {
	for o := 0; o < channels; o += foldedChannels {
		l.panels = append(l.panels, panel{first: o, count: min(foldedChannels, channels-o), norms: norms,
			bias: -1, weight: -1, scale: scale + o, shift: shift + o})
	}
}

// foldedChannels bounds the channels of a panel.
const foldedChannels = 32

// weigh makes room for the weights of c, which is node n, and plans their preparation: for the tiles of w unless it is nil. It
// returns where they begin.
func (l *lowering) weigh(n int, c nn.Conv, channels int, f finish, norms []int, w *winograd) (weights int) {
	whole := l.panel(n, c, norms)
	whole.channels, whole.winograd = channels, w
	weights = l.weights
	terms := channels * whole.places
	perGroup := c.Out / c.Groups
	for g := range c.Groups {
		for o := 0; o < perGroup; {
			part := whole
			part.columns = l.kernel.Columns(perGroup - o)
			part.first, part.count = g*perGroup+o, min(part.columns, perGroup-o)
			part.packed, part.scale, part.shift = l.weights, f.scale+part.first, f.shift+part.first
			l.source = max(l.source, terms*part.count)
			if w != nil {
				l.source = max(l.source, terms*part.count+w.Taps*w.Taps*part.columns)
				l.weights += w.terms * part.columns
			} else {
				l.weights += terms * part.columns
			}
			l.panels = append(l.panels, part)
			o += part.count
		}
	}
	if w != nil {
		l.weights += (w.Positions() - 1) * w.position
	}
	return weights
}

// panel is what all panels of c, which is node n, have in common.
func (l *lowering) panel(n int, c nn.Conv, norms []int) panel {
	entries := l.graph.Nodes[n].Entries
	p := panel{norms: norms, bias: -1, weight: entries[0], places: c.Kernel[0] * c.Kernel[1]}
	if c.Bias {
		p.bias = entries[1]
	}
	return p
}

// columns is how many the panels of the given number of channels have together.
func (l *lowering) columns(channels int) int {
	n := 0
	for channels > 0 {
		columns := l.kernel.Columns(channels)
		n += columns
		channels -= columns
	}
	return n
}

// prepare turns the team to p and moves to a point.
func (t *team) prepare(ctx context.Context, p *program, at nn.Point) {
	t.use(p)
	t.share(ctx, len(p.panels), func(w *worker, i int) {
		panel := &p.panels[i]
		w.fold(panel, at)
		switch {
		case panel.weight < 0:
		case panel.winograd != nil:
			w.packTransformed(panel, at)
		default:
			w.pack(panel, at)
		}
	})
}

// part writes elements from…from+len(dst)−1 of an entry at a point into dst.
func (w *worker) part(dst []float32, entry, from int, at nn.Point) []float32 {
	cut := func(p nn.Params) nn.Params {
		if p == nil || p[entry].Data == nil {
			return nil
		}
		return nn.Params{{Data: p[entry].Data[from : from+len(dst)]}}
	}
	plane := w.engine.Plane
	nn.Plane{Theta: cut(plane.Theta), X: cut(plane.X), Y: cut(plane.Y)}.Entry(dst, 0, at)
	return dst
}

// fold computes the scale and shift of p's channels.
func (w *worker) fold(p *panel, at nn.Point) {
	var room [4][foldedChannels]float32
	var scale, shift [foldedChannels]float64
	bias := room[0][:p.count]
	if p.bias >= 0 {
		w.part(bias, p.bias, p.first, at)
	}
	for o := range bias {
		scale[o], shift[o] = 1, float64(bias[o])
	}
	for _, n := range p.norms {
		node := &w.engine.Graph.Nodes[n]
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

// weightsOf is p's weights at a point, [output][channel][place].
func (w *worker) weightsOf(p *panel, at nn.Point) []float32 {
	terms := p.channels * p.places
	return w.part(w.source[:p.count*terms], p.weight, p.first*terms, at)
}

// pack brings p's weights into the order of the kernels, [panel][place][channel][column]. Nobody reads the sums of columns that p lacks.
func (w *worker) pack(p *panel, at nn.Point) {
	source := w.weightsOf(p, at)
	terms := p.channels * p.places
	packed := w.weights[p.packed:]
	for o := range p.count {
		row := source[o*terms:][:terms]
		for c := range p.channels {
			for ij, v := range row[c*p.places:][:p.places] {
				packed[(ij*p.channels+c)*p.columns+o] = v
			}
		}
	}
}

// packTransformed brings G·g·Gᵀ of every piece g, computed in float64 and rounded once, into the order of the kernels:
// [position][panel][piece][channel][column].
func (w *worker) packTransformed(p *panel, at nn.Point) {
	source, s := w.weightsOf(p, at), p.winograd
	g := w.source[len(source):][:s.Taps*s.Taps*p.columns]
	packed := w.weights[p.packed:]
	for _, piece := range s.pieces {
		clear(g)
		for c := range p.channels {
			for o := range p.count {
				taps := source[(o*p.channels+c)*p.places:][:p.places]
				for _, tap := range piece.taps {
					g[tap[1]*p.columns+o] = taps[tap[0]]
				}
			}
			s.Filter(packed, s.position, g, p.columns, p.columns)
			packed = packed[p.columns:]
		}
	}
}
