package figure

import (
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Path is where the checkpoints of a training run lie on a plane, in their order.
type Path struct {
	Name   string    // in the legend where there are several; "" for none
	X, Y   []float64 // one a checkpoint
	Epochs []int     // the checkpoints' epochs
	Drops  []int     // the checkpoints, as indices, after which the learning rate fell
}

// check returns an error unless the path has finite places.
func (p Path) check() error {
	if len(p.X) == 0 || len(p.X) != len(p.Y) || len(p.X) != len(p.Epochs) {
		return fmt.Errorf("a path of %d x, %d y coordinates and %d epochs cannot be drawn", len(p.X), len(p.Y), len(p.Epochs))
	}
	for k := range p.X {
		if v := p.X[k] + p.Y[k]; math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("checkpoint %d of the path lies at (%g, %g): its places must be finite", k, p.X[k], p.Y[k])
		}
	}
	return nil
}

// Mark is a place on a plane.
type Mark struct {
	X, Y float64
	Kind MarkKind
	Name string // beside it; "" for none
}

// MarkKind says what is at a mark.
type MarkKind int

const (
	Checkpoint MarkKind = iota // a network of its own
	Minimum                    // a value lower than all neighbouring ones
)

const (
	pathWidth   vg.Length = 0.9
	pathDot     vg.Length = 1.5 // radius of a checkpoint
	dropDot     vg.Length = 2.1 // of a drop of the learning rate
	markRadius  vg.Length = 2.8
	epochSize   vg.Length = 6 // of text
	mostNumbers           = 5 // epochs named on a path, beside its ends and drops
)

// pathInks tell several paths apart.
var pathInks = []ink{black, blue, crimson, darkGrey}

// onPage are the places of the path's checkpoints on the page, within the frame or not.
func (c *chart) onPage(r vg.Rectangle, path Path) []vg.Point {
	pts := make([]vg.Point, len(path.X))
	for k := range pts {
		pts[k] = c.place(r, path.X[k], path.Y[k])
	}
	return pts
}

// obstacles are the paths and marks, for what keeps clear of them.
func (c *chart) obstacles(r vg.Rectangle) []contourLine {
	var lines []contourLine
	for _, path := range c.subject.Paths {
		lines = append(lines, contourLine{pts: c.onPage(r, path)})
	}
	for _, m := range c.subject.Marks {
		o := c.place(r, m.X, m.Y)
		lines = append(lines, contourLine{pts: []vg.Point{o.Sub(vg.Point{X: markRadius}), o.Add(vg.Point{X: markRadius + width(m.Name, epochSize)})}})
	}
	return lines
}

// drawPaths draws the paths of checkpoints: a dot each, red where the learning rate fell, with some of the epochs.
func (c *chart) drawPaths(p page, r vg.Rectangle) {
	frame := draw.Canvas{Canvas: p.Canvas, Rectangle: r}
	for n, path := range c.subject.Paths {
		pts := c.onPage(r, path)
		pen := pathInks[n%len(pathInks)]
		for _, piece := range frame.ClipLinesXY(pts) {
			p.line(draw.LineStyle{Color: white, Width: pathWidth + 1.4}, piece...)
		}
		for _, piece := range frame.ClipLinesXY(pts) {
			p.line(draw.LineStyle{Color: pen, Width: pathWidth}, piece...)
		}
		for k, at := range pts {
			if frame.Contains(at) {
				path.draw(p, k, at, pen)
			}
		}
	}
	for _, e := range c.epochs(r) {
		p.haloed(e.text, e.center.Sub(vg.Point{Y: capHeight / 2 * epochSize}), style{size: epochSize, color: black, align: 0.5})
	}
}

// draw draws checkpoint k.
func (path Path) draw(p page, k int, at vg.Point, pen ink) {
	for _, d := range path.Drops {
		if d == k {
			p.disc(white, at, dropDot+0.7)
			p.disc(red, at, dropDot)
			return
		}
	}
	p.disc(white, at, pathDot+0.4)
	p.disc(pen, at, pathDot)
}

// named are the checkpoints whose epoch is written, the most important first: the ends, the drops, and some between.
func (path Path) named() []int {
	n := len(path.X)
	order := append([]int{0, n - 1}, path.Drops...)
	for step := n; step >= 1; step /= 2 { // halves, quarters, …
		for k := step / 2; k < n && len(order) < mostNumbers+2+len(path.Drops); k += max(step, 1) {
			order = append(order, k)
		}
	}
	seen := make([]bool, n)
	var out []int
	for _, k := range order {
		if 0 <= k && k < n && !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}

// epoch is the text beside a checkpoint, and its room.
type epoch struct {
	label
	text string
}

// epochs are the texts beside paths: none meets its path or another text, and where there is no room there is none.
func (c *chart) epochs(r vg.Rectangle) []epoch {
	const away = dropDot + 1
	frame := draw.Canvas{Rectangle: r}
	var out []epoch
	var placed []label
	for _, path := range c.subject.Paths {
		pts := c.onPage(r, path)
		line := []contourLine{{pts: pts}}
		for _, k := range path.named() {
			e := epoch{text: fmt.Sprint(path.Epochs[k])}
			half := vg.Point{X: width(e.text, epochSize)/2 + 0.5, Y: capHeight/2*epochSize + 0.5}
			for _, side := range []vg.Point{{X: 1}, {X: -1}, {Y: 1}, {Y: -1}, {X: 0.8, Y: 0.8}, {X: -0.8, Y: 0.8}, {X: 0.8, Y: -0.8}, {X: -0.8, Y: -0.8}} {
				center := pts[k].Add(vg.Point{X: side.X * (half.X + away), Y: side.Y * (half.Y + away)})
				e.label = label{line: -1, center: center, along: vg.Point{X: 1}, half: half}
				if frame.Contains(pts[k]) && e.free(r, line, placed) {
					out, placed = append(out, e), append(placed, e.label)
					break
				}
			}
		}
	}
	return out
}

// drawMarks draws checkpoints as squares and minima as rings with a point, both with their names.
func (c *chart) drawMarks(p page, r vg.Rectangle) {
	frame := draw.Canvas{Canvas: p.Canvas, Rectangle: r}
	for _, m := range c.subject.Marks {
		at := c.place(r, m.X, m.Y)
		if !frame.Contains(at) {
			continue
		}
		m.Kind.draw(p, at)
		text := style{size: epochSize, color: black}
		beside := markRadius + 1.5
		if at.X+beside+width(m.Name, epochSize) > r.Max.X {
			beside, text.align = -beside, 1
		}
		p.haloed(m.Name, at.Add(vg.Point{X: beside, Y: -capHeight / 2 * epochSize}), text)
	}
}

func (k MarkKind) draw(p page, at vg.Point) {
	if k == Checkpoint {
		d := vg.Point{X: 0.75 * markRadius, Y: 0.75 * markRadius}
		box := vg.Rectangle{Min: at.Sub(d), Max: at.Add(d)}
		p.fill(white, box)
		p.outline(draw.LineStyle{Color: black, Width: 1}, box)
		return
	}
	p.disc(white, at, markRadius+0.6)
	p.disc(black, at, markRadius)
	p.disc(white, at, markRadius-0.9)
	p.disc(black, at, 0.9)
}

// markLegend explains the marks and paths that subjects have.
func markLegend(subjects []Subject) []entry {
	var legend []entry
	dots := func(name string, c ink, radius vg.Length) entry {
		return entry{name, func(p page, r vg.Rectangle) {
			at := vg.Point{X: r.Max.X - radius, Y: (r.Min.Y + r.Max.Y) / 2}
			if radius == pathDot { // on its line
				p.line(draw.LineStyle{Color: c, Width: pathWidth}, vg.Point{X: r.Min.X, Y: at.Y}, vg.Point{X: r.Max.X, Y: at.Y})
				at.X = (r.Min.X + r.Max.X) / 2
			}
			p.disc(c, at, radius)
		}}
	}
	drops, kinds := false, [2]bool{}
	for _, s := range subjects {
		for n, path := range s.Paths {
			drops = drops || len(path.Drops) > 0
			if path.Name != "" && len(subjects) == 1 {
				legend = append(legend, dots(path.Name, pathInks[n%len(pathInks)], pathDot))
			}
		}
		for _, m := range s.Marks {
			kinds[m.Kind] = true
		}
	}
	if drops {
		legend = append(legend, dots("learning rate drops", red, dropDot))
	}
	for kind, name := range []string{"checkpoint", "minimum"} {
		if kinds[kind] {
			legend = append(legend, entry{name, func(p page, r vg.Rectangle) {
				MarkKind(kind).draw(p, vg.Point{X: r.Max.X - markRadius, Y: (r.Min.Y + r.Max.Y) / 2})
			}})
		}
	}
	return legend
}
