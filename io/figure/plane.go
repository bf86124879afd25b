package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"lsrun/shard"
)

// spread is from which ratio of the largest to the smallest loss on levels are logarithmic by default.
const spread = 100

// chart is a layer over a plane, with the scale of its values.
type chart struct {
	subject Subject
	dark    bool // the ground
	surface *shard.Surface
	layer   *shard.Layer
	scale   scale
	levels  []float64
	field   field // of scale.of(value)
	x, y    axis
}

// plane draws a layer of each subject over α and β, on one scale.
func plane(subjects []Subject, opt Options) (figure, error) {
	if err := checkView(opt); err != nil {
		return figure{}, err
	}
	charts, err := newCharts(subjects, opt)
	if err != nil {
		return figure{}, err
	}
	var fig figure
	switch first := charts[0]; opt.Kind {
	case Contour:
		fig.heading = quantity(first.layer.Name)
		fig.note = contourNote(charts, opt.VLevel)
	case Filled:
		fig.bar = first.bandBar()
	case Heat:
		fig.bar = first.gradientBar()
		fig.note = clampNote(charts)
	case Relief:
		fig.bar = first.gradientBar()
		fig.note = cutNote(charts)
	}
	for _, c := range charts {
		fig.panels = append(fig.panels, c.panel(opt))
	}
	fig.legend = chartLegend(charts, opt.Kind)
	return fig, nil
}

// panel is the chart in its frame.
func (c *chart) panel(opt Options) panel {
	if opt.Kind == Relief {
		v := newView(c, opt)
		return panel{title: c.subject.Name, aspect: v.aspect(), body: v.draw}
	}
	content := map[Kind]func(page, vg.Rectangle){Contour: c.drawLines, Filled: c.drawBands, Heat: c.drawCells}[opt.Kind]
	return panel{x: &c.x, y: &c.y, title: c.subject.Name, aspect: aspect(c.x.scale, c.y.scale), body: func(p page, r vg.Rectangle) {
		content(p, r)
		c.drawOrigin(p, r)
		c.drawPaths(p, r)
		c.drawMarks(p, r)
	}}
}

// chartLegend explains the marks that the charts use. A relief leaves holes where it has no value.
func chartLegend(charts []*chart, kind Kind) []entry {
	var seen [classes]bool
	var legend []entry
	for _, c := range charts {
		for k := range c.layer.Values {
			seen[classOf(c.layer, k)] = true
		}
	}
	for c := notANumber; c < classes && kind != Relief; c++ {
		if seen[c] {
			legend = append(legend, classEntry(c))
		}
	}
	var subjects []Subject
	for _, c := range charts {
		subjects = append(subjects, c.subject)
	}
	return append(legend, markLegend(subjects)...)
}

// newCharts lay out a layer of each subject on the scale of all their finite values.
func newCharts(subjects []Subject, opt Options) ([]*chart, error) {
	name := opt.Metric
	if name == "" {
		name = "train_loss"
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	var charts []*chart
	for _, s := range subjects {
		l, err := s.Surfaces[0].Find(name)
		if err != nil {
			return nil, fmt.Errorf("%s%w", s.prefix(), err)
		}
		a, b, ok := bounds(l)
		if !ok {
			return nil, fmt.Errorf("%sno finite value of %s to draw", s.prefix(), name)
		}
		lo, hi = min(lo, a), max(hi, b)
		charts = append(charts, &chart{subject: s, surface: s.Surfaces[0], layer: l, dark: opt.Style == Dark})
	}
	log := isLoss(name) && lo > 0 && hi/lo >= spread && opt.VLevel == nil
	if opt.Log != nil {
		log = *opt.Log
	}
	sc, err := newScale(spoken(name), lo, hi, log, opt.VMin, opt.VMax)
	if err != nil {
		return nil, err
	}
	levels, err := sc.levels(opt.VLevel)
	if err != nil {
		return nil, err
	}
	for _, c := range charts {
		c.scale, c.levels = sc, levels
		c.lay(opt)
	}
	return charts, nil
}

// lay gives the chart its heights and axes.
func (c *chart) lay(opt Options) {
	c.field = field{c.surface.X, c.surface.Y, make([]float64, len(c.layer.Values))}
	for k, v := range c.layer.Values {
		c.field.z[k] = c.height(k, v)
	}
	x, y := c.surface.X, c.surface.Y
	if opt.Kind == Heat {
		x, y = cells(x), cells(y)
	}
	c.x, c.y = horizontal(orElse(opt.XLabel, "α"), x), horizontal(orElse(opt.YLabel, "β"), y)
}

// height is the value of point k on its scale, NaN if it is not finite. What has no logarithm lies far below all levels.
func (c *chart) height(k int, v float64) float64 {
	switch {
	case classOf(c.layer, k) != finite:
		return math.NaN()
	case c.scale.log && v <= 0:
		return c.scale.of(c.scale.lo) - 10
	}
	return c.scale.of(v)
}

// horizontal is the axis of a coordinate.
func horizontal(label string, at []float64) axis {
	lo, hi := at[0], at[len(at)-1]
	sc := scale{lo: lo, hi: hi}
	if lo == hi {
		sc = around(lo, false)
	}
	a := ticked(sc, 6)
	a.label, a.color = label, black
	return a
}

// aspect is the height of the plane by its width, where that does not make it too narrow.
func aspect(x, y scale) float64 {
	if a := (y.hi - y.lo) / (x.hi - x.lo); 0.4 <= a && a <= 2.5 {
		return a
	}
	return 1
}

// cell is the part of an axis that is nearer to coordinate i than to any other.
func cell(at []float64, i int) (lo, hi float64) {
	lo, hi = at[i], at[i]
	if i > 0 {
		lo = (at[i-1] + at[i]) / 2
	}
	if i+1 < len(at) {
		hi = (at[i] + at[i+1]) / 2
	}
	return lo, hi
}

// cells are the ends of an axis on which each coordinate is in the middle of its cell.
func cells(at []float64) []float64 {
	n := len(at) - 1
	if n == 0 {
		return []float64{at[0] - 0.5, at[0] + 0.5}
	}
	return []float64{at[0] - (at[1]-at[0])/2, at[n] + (at[n]-at[n-1])/2}
}

// place is a point of the plane in the frame.
func (c *chart) place(r vg.Rectangle, x, y float64) vg.Point {
	size := r.Size()
	return vg.Point{X: r.Min.X + vg.Length(c.x.norm(x))*size.X, Y: r.Min.Y + vg.Length(c.y.norm(y))*size.Y}
}

// each calls draw with every point's cell, within the frame.
func (c *chart) each(r vg.Rectangle, draw func(i, j int, cell vg.Rectangle)) {
	ends := func(at []float64, i int, a axis) (lo, hi float64) {
		lo, hi = cell(at, i)
		if i == 0 {
			lo = a.lo
		}
		if i == len(at)-1 {
			hi = a.hi
		}
		return lo, hi
	}
	for j := range c.surface.Y {
		for i := range c.surface.X {
			x0, x1 := ends(c.surface.X, i, c.x)
			y0, y1 := ends(c.surface.Y, j, c.y)
			draw(i, j, vg.Rectangle{Min: c.place(r, x0, y0), Max: c.place(r, x1, y1)})
		}
	}
}

// drawGround fills the cells that paint gives a colour and marks those without a finite value. Each cell goes a
// little under its right and upper neighbour, drawn later, so that no white shows between them.
func (c *chart) drawGround(p page, r vg.Rectangle, paint func(k int) color.Color) {
	const under = 0.4
	nx := len(c.surface.X)
	c.each(r, func(i, j int, cell vg.Rectangle) {
		k := j*nx + i
		ground := classColors[classOf(c.layer, k)]
		if ground == nil {
			ground = paint(k)
		}
		if ground != nil {
			cell.Max.X = min(cell.Max.X+under, r.Max.X)
			cell.Max.Y = min(cell.Max.Y+under, r.Max.Y)
			p.fill(ground, cell)
		}
	})
	c.each(r, func(i, j int, cell vg.Rectangle) {
		classOf(c.layer, j*nx+i).ink(p, cell)
	})
}

func unpainted(int) color.Color { return nil }

// drawCells is the heat map.
func (c *chart) drawCells(p page, r vg.Rectangle) {
	c.drawGround(p, r, func(k int) color.Color {
		return viridis(c.scale.fraction(c.layer.Values[k]))
	})
}

// drawBands fills the bands between levels.
func (c *chart) drawBands(p page, r vg.Rectangle) {
	c.fillRegion(p, r, math.Inf(-1), c.bandColor(0))
	for n, l := range c.levels {
		c.fillRegion(p, r, c.scale.of(l), c.bandColor(n+1))
	}
	c.fillQuarters(p, r)
	for _, l := range c.levels {
		for _, line := range c.pagePaths(r, c.field.lines(c.scale.of(l))) {
			p.line(draw.LineStyle{Color: color.NRGBA{A: 110}, Width: 0.3}, line...)
		}
	}
	c.drawGround(p, r, unpainted)
}

// fillQuarters gives squares that cannot be interpolated, for lack of a value, at their finite
// corners the band of the corner: they are as good as a heat map there.
func (c *chart) fillQuarters(p page, r vg.Rectangle) {
	const over = 0.3 // beyond the quarter, to leave no seam
	f, nx := c.field, len(c.surface.X)
	for k, z := range f.z {
		if math.IsNaN(z) {
			continue
		}
		i, j := k%nx, k/nx
		for _, q := range [4][2]int{{i, j}, {i - 1, j}, {i, j - 1}, {i - 1, j - 1}} {
			inside := q[0] >= 0 && q[1] >= 0 && q[0]+1 < nx && q[1]+1 < len(f.y)
			if !inside || f.complete(q[0], q[1]) {
				continue
			}
			corner := c.place(r, f.x[i], f.y[j])
			center := c.place(r, (f.x[q[0]]+f.x[q[0]+1])/2, (f.y[q[1]]+f.y[q[1]+1])/2)
			p.fill(c.bandColor(c.band(z)), vg.Rectangle{
				Min: vg.Point{X: max(min(corner.X, center.X)-over, r.Min.X), Y: max(min(corner.Y, center.Y)-over, r.Min.Y)},
				Max: vg.Point{X: min(max(corner.X, center.X)+over, r.Max.X), Y: min(max(corner.Y, center.Y)+over, r.Max.Y)},
			})
		}
	}
}

// band is the number of levels up to z.
func (c *chart) band(z float64) (n int) {
	for _, l := range c.levels {
		if z >= c.scale.of(l) {
			n++
		}
	}
	return n
}

// fillRegion fills where the field is at least level. Higher regions cover lower ones: no gaps between bands.
func (c *chart) fillRegion(p page, r vg.Rectangle, level float64, ground color.Color) {
	var path vg.Path
	for _, ring := range c.pagePaths(r, c.field.region(level)) {
		path.Move(ring[0])
		for _, pt := range ring[1:] {
			path.Line(pt)
		}
		path.Close()
	}
	if path != nil {
		p.SetColor(ground)
		p.Fill(path)
	}
}

// bandColor is the colour under level n, of the last band above the last level.
func (c *chart) bandColor(n int) color.Color {
	if len(c.levels) == 0 {
		return viridis(0.5)
	}
	return viridis(float64(n) / float64(len(c.levels)))
}

// pagePaths moves lines of the plane into the frame. Points that fall together are one; lines of fewer than two are dropped.
func (c *chart) pagePaths(r vg.Rectangle, lines [][]point) [][]vg.Point {
	var out [][]vg.Point
	for _, line := range lines {
		var pts []vg.Point
		for _, q := range line {
			if pt := c.place(r, q.x, q.y); len(pts) == 0 || pt != pts[len(pts)-1] {
				pts = append(pts, pt)
			}
		}
		if len(pts) > 1 {
			out = append(out, pts)
		}
	}
	return out
}

const lineWidth = 0.8

// lineColor leaves out the end of the colour map that is too near to the ground's colour for lines.
func (c *chart) lineColor(v float64) color.Color {
	if c.dark {
		return viridis(0.25 + 0.75*v)
	}
	return viridis(0.85 * v)
}

// drawLines draws contour lines with their labels, which keep clear of paths.
func (c *chart) drawLines(p page, r vg.Rectangle) {
	c.drawGround(p, r, unpainted)
	keepOut := []label{c.origin(r)}
	for _, e := range c.epochs(r) {
		keepOut = append(keepOut, e.label)
	}
	drawLabelled(p, r, c.contourLines(r), c.obstacles(r), keepOut)
}

// contourLines are the lines of all levels. Of many levels only every k-th is named.
func (c *chart) contourLines(r vg.Rectangle) []contourLine {
	const mostNamed = 12
	stride := (len(c.levels) + mostNamed - 1) / mostNamed
	var all []contourLine
	for n, l := range c.levels {
		line := contourLine{style: draw.LineStyle{Color: c.lineColor(c.scale.fraction(l)), Width: lineWidth}}
		if n%stride == 0 {
			line.text = number(l)
		}
		for _, line.pts = range c.pagePaths(r, c.field.lines(c.scale.of(l))) {
			all = append(all, line)
		}
	}
	return all
}

// origin is the room of the cross at (0, 0).
func (c *chart) origin(r vg.Rectangle) label {
	const half = crossArm + 1
	return label{line: -1, center: c.place(r, 0, 0), along: vg.Point{X: 1}, half: vg.Point{X: half, Y: half}}
}

// contourNote says so where pictures of contour lines have none, and what the levels are if they were asked
// for: not every line has room for a label.
func contourNote(charts []*chart, vlevel *float64) string {
	lo, hi := math.Inf(1), math.Inf(-1)
	levels := charts[0].levels
	for _, c := range charts {
		a, b, _ := bounds(c.layer)
		lo, hi = min(lo, a), max(hi, b)
		for _, l := range levels {
			switch {
			case len(c.field.lines(c.scale.of(l))) == 0:
			case vlevel == nil || len(levels) == 1:
				return ""
			default:
				return fmt.Sprintf("Levels %s to %s in steps of %s.", number(levels[0]), number(levels[len(levels)-1]), number(*vlevel))
			}
		}
	}
	name := spoken(charts[0].layer.Name)
	if lo == hi {
		return fmt.Sprintf("No contour lines: every finite %s is %s.", name, number(lo))
	}
	return fmt.Sprintf("No contour lines: no level runs between neighbouring values of %s (%s to %s).", name, number(lo), number(hi))
}

// clampNote says so where colours do not tell values apart.
func clampNote(charts []*chart) string {
	for _, c := range charts {
		if lo, hi, _ := bounds(c.layer); lo < c.scale.lo || hi > c.scale.hi {
			return "Values beyond the colour bar have the colour of its end."
		}
	}
	return ""
}

// bandBar has blocks of one height, one for each band.
func (c *chart) bandBar() *bar {
	n := len(c.levels)
	a := axis{scale: scale{lo: 0, hi: float64(n + 1)}, label: quantity(c.layer.Name), color: black}
	for k, l := range c.levels {
		a.at = append(a.at, float64(k+1))
		a.names = append(a.names, number(l))
	}
	return &bar{a, func(p page, r vg.Rectangle) { stack(p, r, n+1, c.bandColor) }}
}

// gradientBar runs through the whole colour map.
func (c *chart) gradientBar() *bar {
	a := ticked(c.scale, 8)
	a.label, a.color = quantity(c.layer.Name), black
	const shades = 256
	return &bar{a, func(p page, r vg.Rectangle) {
		stack(p, r, shades, func(k int) color.Color { return viridis((float64(k) + 0.5) / shades) })
	}}
}

// stack fills r with n blocks, from below.
func stack(p page, r vg.Rectangle, n int, colorOf func(int) color.Color) {
	for k := range n {
		rest := r
		rest.Min.Y += r.Size().Y * vg.Length(k) / vg.Length(n)
		p.fill(colorOf(k), rest)
	}
}

const crossArm vg.Length = 3

// drawOrigin marks (0, 0), where the network itself is.
func (c *chart) drawOrigin(p page, r vg.Rectangle) {
	if c.x.lo > 0 || c.x.hi < 0 || c.y.lo > 0 || c.y.hi < 0 {
		return
	}
	o := c.place(r, 0, 0)
	cross := func(arm vg.Length, s draw.LineStyle) {
		p.line(s, o.Sub(vg.Point{X: arm}), o.Add(vg.Point{X: arm}))
		p.line(s, o.Sub(vg.Point{Y: arm}), o.Add(vg.Point{Y: arm}))
	}
	cross(crossArm+0.4, draw.LineStyle{Color: white, Width: 1.8})
	cross(crossArm, draw.LineStyle{Color: black, Width: 0.7})
}
