package cpu

import "lsrun/nn"

// depthwise is a convolution of every channel by itself.
type depthwise struct {
	nn.Conv
	finish
	in      *value
	weights int   // where they begin in program.weights, [place][channel]
	taps    []int // distances from an output's first input
}

// depthwise lowers node n.
func (l *lowering) depthwise(n int, c nn.Conv, in *value, f finish, norms []int) {
	in.place().require(c.Pad, c.Pad)
	d := &depthwise{Conv: c, finish: f, in: in, weights: l.weights}
	places := c.Kernel[0] * c.Kernel[1]
	for o := 0; o < c.Out; o += foldedChannels {
		part := l.panel(n, c, norms)
		part.first, part.count, part.channels, part.columns = o, min(foldedChannels, c.Out-o), 1, c.Out
		part.packed, part.scale, part.shift = l.weights+o, f.scale+o, f.shift+o
		l.source = max(l.source, places*part.count)
		l.panels = append(l.panels, part)
	}
	l.weights += places * c.Out
	l.append(d)
}

func (d *depthwise) values() (*value, []*value) { return d.finish.values(d.in) }

// plan lists the taps, row by row.
func (d *depthwise) plan(int) rooms {
	b := d.in.place()
	for i := range d.Kernel[0] {
		for j := range d.Kernel[1] {
			d.taps = append(d.taps, i*d.Dilation[0]*b.row()+j*d.Dilation[1]*b.channels)
		}
	}
	return rooms{sums: d.out.shape[2] * d.Out}
}

func (d *depthwise) run(w *worker, n int) {
	for i := range n {
		for y := range d.out.shape[1] {
			w.kernel.Depthwise(w.sums, d.Out, w.pixels(d.in, i, y*d.Stride[0]-d.Pad[0], -d.Pad[1]), d.Stride[1]*d.in.stride(),
				d.out.shape[2], d.taps, w.weights[d.weights:], d.Out)
			d.row(w, i, y, 0, d.Out, w.sums, d.Out)
		}
	}
}
