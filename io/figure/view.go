package figure

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// vector is a place or direction in the box that a relief stands in: x and y from −half to half, z from 0 to boxHeight.
type vector [3]float64

func (a vector) add(b vector) vector    { return vector{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }
func (a vector) scale(s float64) vector { return vector{s * a[0], s * a[1], s * a[2]} }
func (a vector) dot(b vector) float64   { return a[0]*b[0] + a[1]*b[1] + a[2]*b[2] }
func (a vector) unit() vector           { return a.scale(1 / math.Sqrt(a.dot(a))) }

const (
	boxHeight      = 0.8 // the larger side of the ground is 2
	usualAzimuth   = -60.
	usualElevation = 40.
	fullTurn       = 360.
	straightDown   = 90.
	axisEnds       = 13. // points left and right of the box, for numbers
	axisFoot       = 23. // and under it
	shortEdge      = 20. // points under which an edge has no ticks
)

// view is a chart in space, in parallel projection.
type view struct {
	*chart
	half              [2]float64 // of the ground's sides
	right, up, toward vector     // on the page, and out of it to who looks
}

func newView(c *chart, opt Options) *view {
	azimuth, elevation := usualAzimuth, usualElevation
	if opt.Azimuth != nil {
		azimuth = *opt.Azimuth
	}
	if opt.Elevation != nil {
		elevation = *opt.Elevation
	}
	sa, ca := math.Sincos(azimuth * 2 * math.Pi / fullTurn)
	se, ce := math.Sincos(elevation * 2 * math.Pi / fullTurn)
	v := &view{chart: c, half: [2]float64{1, 1},
		right: vector{-sa, ca, 0}, up: vector{-se * ca, -se * sa, ce}, toward: vector{ce * ca, ce * sa, se}}
	if a := aspect(c.x.scale, c.y.scale); a <= 1 {
		v.half[1] = a
	} else {
		v.half[0] = 1 / a
	}
	return v
}

// checkView refuses what cannot be seen from there.
func checkView(opt Options) error {
	if e := opt.Elevation; e != nil && !(0 <= *e && *e <= straightDown) {
		return unsuitable("a relief cannot be drawn from an elevation of %g degrees: 0 to 90 are above the plane", *e)
	}
	if a := opt.Azimuth; a != nil && !(-fullTurn <= *a && *a <= fullTurn) {
		return unsuitable("a relief cannot be drawn from an azimuth of %g degrees: use −360 to 360", *a)
	}
	return nil
}

// size is the size of the box on the page, in its own lengths; the middle of its ground and ceiling is in the middle.
func (v *view) size() (w, h float64) {
	w = 2 * (v.half[0]*math.Abs(v.right[0]) + v.half[1]*math.Abs(v.right[1]))
	h = 2*(v.half[0]*math.Abs(v.up[0])+v.half[1]*math.Abs(v.up[1])) + boxHeight*v.up[2]
	return w, h
}

// aspect is the height by width of a frame that suits the view, with room for the axes.
func (v *view) aspect() float64 {
	const usual = 200. // points across
	w, h := v.size()
	return (h/w*(usual-2*axisEnds) + axisFoot) / usual
}

// stage is where the box stands on the page.
type stage struct {
	*view
	center vg.Point // of the box
	unit   float64  // points that one length of the box is
}

func (v *view) stage(r vg.Rectangle) stage {
	w, h := v.size()
	room := r.Size()
	unit := min((float64(room.X)-2*axisEnds)/w, (float64(room.Y)-axisFoot)/h)
	middle := vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: r.Min.Y + axisFoot + (room.Y-axisFoot)/2}
	return stage{v, middle, unit}
}

// flat is a place of the box on the page, in the box's lengths from its centre.
func (v *view) flat(p vector) (x, y float64) {
	p[2] -= boxHeight / 2
	return v.right.dot(p), v.up.dot(p)
}

// spot is a place of the box on the page.
func (s stage) spot(p vector) vg.Point {
	x, y := s.flat(p)
	return s.center.Add(vg.Point{X: vg.Length(s.unit * x), Y: vg.Length(s.unit * y)})
}

// ground is the place of (x, y) on the floor.
func (v *view) ground(x, y float64) vector {
	return vector{(2*v.x.norm(x) - 1) * v.half[0], (2*v.y.norm(y) - 1) * v.half[1], 0}
}

// far is the corner of the floor behind everything; the opposite one is in front.
func (v *view) far() vector {
	return vector{math.Copysign(v.half[0], -v.toward[0]), math.Copysign(v.half[1], -v.toward[1]), 0}
}

// draw draws walls, surface and axes, from the back to the front.
func (v *view) draw(p page, r vg.Rectangle) {
	s := v.stage(r)
	s.drawWalls(p)
	s.drawSurface(p)
	s.drawAxes(p)
}

// drawWalls draws the grid of floor and back walls.
func (s stage) drawWalls(p page) {
	grid, edge := draw.LineStyle{Color: pale, Width: 0.4}, draw.LineStyle{Color: darkGrey, Width: 0.4}
	far := s.far()
	near := vector{-far[0], -far[1], 0}
	line := func(st draw.LineStyle, pts ...vector) {
		var flat []vg.Point
		for _, q := range pts {
			flat = append(flat, s.spot(q))
		}
		p.line(st, flat...)
	}
	lift := func(q vector, z float64) vector { q[2] = z; return q }
	for _, x := range s.x.at {
		q := s.ground(x, s.y.lo)[0]
		line(grid, vector{q, near[1], 0}, vector{q, far[1], 0}, vector{q, far[1], boxHeight})
	}
	for _, y := range s.y.at {
		q := s.ground(s.x.lo, y)[1]
		line(grid, vector{near[0], q, 0}, vector{far[0], q, 0}, vector{far[0], q, boxHeight})
	}
	for _, z := range s.scale.ticks(8) {
		h := boxHeight * s.scale.norm(z)
		line(grid, vector{near[0], far[1], h}, vector{far[0], far[1], h}, vector{far[0], near[1], h})
	}
	line(edge, vector{near[0], far[1], 0}, far, vector{far[0], near[1], 0})
	line(edge, far, lift(far, boxHeight))
	line(edge, vector{near[0], far[1], 0}, vector{near[0], far[1], boxHeight}, lift(far, boxHeight), vector{far[0], near[1], boxHeight}, vector{far[0], near[1], 0})
}

// drawAxes draws the floor's front edges with their numbers.
func (s stage) drawAxes(p page) {
	near := s.far().scale(-1)
	s.edge(p, s.x, func(v float64) vector { return vector{s.ground(v, s.y.lo)[0], near[1], 0} }, vector{0, near[1], 0})
	s.edge(p, s.y, func(v float64) vector { return vector{near[0], s.ground(s.x.lo, v)[1], 0} }, vector{near[0], 0, 0})
}

// edge draws an axis along the places at, with its ticks to the outside.
func (s stage) edge(p page, a axis, at func(float64) vector, outside vector) {
	from, to := s.spot(at(a.lo)), s.spot(at(a.hi))
	p.line(thin, from, to)
	if distance(from, to) < shortEdge {
		return
	}
	origin := s.spot(vector{})
	out := s.spot(outside).Sub(origin)
	if length := distance(out, vg.Point{}); length > 0 {
		out = out.Scale(1 / length)
	}
	ink := style{size: labelSize, color: a.color, align: 0.5}
	beyond := func(base vg.Point, text string, away vg.Length) { // text whose box begins so far outside
		half := vg.Point{X: width(text, labelSize) / 2, Y: capHeight / 2 * labelSize}
		reach := away + max(out.X, -out.X)*half.X + max(out.Y, -out.Y)*half.Y
		p.text(text, base.Add(out.Scale(reach)).Sub(vg.Point{Y: half.Y}), ink)
	}
	stride := 1
	for stride < len(a.at) && distance(from, to)*vg.Length(stride) < vg.Length(len(a.at))*2.2*labelSize {
		stride++
	}
	var widest vg.Length
	for k, v := range a.at {
		base := s.spot(at(v))
		p.line(thin, base, base.Add(out.Scale(tickLength)))
		if k%stride == 0 {
			beyond(base, a.names[k], tickLength+1)
			widest = max(widest, width(a.names[k], labelSize))
		}
	}
	s.name(p, a, from, to, out, tickLength+4+max(out.X, -out.X)*widest+max(out.Y, -out.Y)*labelSize)
}

// name writes an axis's label along its edge, so far outside, to be read from left to right; smaller where the edge is short.
func (s stage) name(p page, a axis, from, to, out vg.Point, away vg.Length) {
	if from.X > to.X {
		from, to = to, from
	}
	along := to.Sub(from).Scale(1 / distance(from, to))
	across := vg.Point{X: -along.Y, Y: along.X}
	middle := from.Add(to).Scale(0.5)
	const part, least = 0.85, 0.7 // of the edge, at most, but not smaller than that part of its size
	size := labelSize * max(least, min(1, part*distance(from, to)/width(a.label, labelSize)))
	away = max(away*max(across.Dot(out), -across.Dot(out)), tickLength+labelSize) + capHeight/2*size
	if across.Dot(out) < 0 {
		away = -away
	}
	at := middle.Add(across.Scale(away - capHeight/2*size)).Sub(along.Scale(width(a.label, size) / 2))
	p.SetColor(a.color)
	p.Fill(glyphs(a.label, at, along, size))
}

// cutNote says what of the surfaces is not there.
func cutNote(charts []*chart) string {
	var cut, holes string
	for _, c := range charts {
		if _, hi, _ := bounds(c.layer); hi > c.scale.hi {
			cut = fmt.Sprintf("Cut off above %s.", number(c.scale.hi))
		}
		for k := range c.layer.Values {
			if classOf(c.layer, k) != finite {
				holes = "Holes have no finite value."
			}
		}
	}
	return strings.TrimSpace(cut + " " + holes)
}
