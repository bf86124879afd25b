package figure

import (
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	contourSize vg.Length = 6.5 // of labels on contour lines
	airEnds     vg.Length = 1.5 // between a label and the ends of its line
	airSides    vg.Length = 1   // between a label and other lines
	stub        vg.Length = 2   // the least of a line that stays on either side of a label
)

// contourLine is a polyline on the page.
type contourLine struct {
	pts   []vg.Point
	text  string // "" for a line without label
	style draw.LineStyle
}

// label is where a text sits on its line: an oriented box over the stretch from start to end.
type label struct {
	line       int
	start, end vg.Length // along the line
	center     vg.Point
	along      vg.Point // unit vector, pointing right
	half       vg.Point // half its length along, half its height across
}

// drawLabelled draws lines, each interrupted under its label. No label covers keepOut or meets the obstacles, which are
// drawn by others.
func drawLabelled(p page, r vg.Rectangle, lines, obstacles []contourLine, keepOut []label) {
	placed := placeLabels(r, slices.Concat(lines, obstacles), keepOut...)
	for n, l := range lines {
		for _, piece := range l.without(n, placed) {
			p.line(l.style, piece...)
		}
	}
	for _, lab := range placed {
		l := lines[lab.line]
		across := vg.Point{X: -lab.along.Y, Y: lab.along.X}
		at := lab.center.Sub(lab.along.Scale(width(l.text, contourSize) / 2)).Sub(across.Scale(capHeight / 2 * contourSize))
		path := glyphs(l.text, at, lab.along, contourSize)
		p.SetLineStyle(draw.LineStyle{Color: white, Width: 1.5})
		p.Stroke(path)
		p.SetColor(black)
		p.Fill(path)
	}
}

// placeLabels gives a line a label where it has a straight stretch, clear of other lines,
// other labels and the frame. A level none of whose lines has such a place may have a label where a line bends.
func placeLabels(r vg.Rectangle, lines []contourLine, keepOut ...label) []label {
	placed := slices.Clone(keepOut)
	named := map[string]bool{}
	try := func(n int, least vg.Length) {
		if lab, ok := bestPlace(r, lines, n, placed, least); ok {
			placed = append(placed, lab)
			named[lines[n].text] = true
		}
	}
	for n, l := range lines {
		if l.text != "" {
			try(n, 0.97)
		}
	}
	for n, l := range lines {
		if l.text != "" && !named[l.text] {
			try(n, 0.85)
		}
	}
	return placed[len(keepOut):]
}

// bestPlace tries places along line n and returns the straightest that is free, of equals the one nearest
// to the middle. The ratio of chord to arc must be least or more.
func bestPlace(r vg.Rectangle, lines []contourLine, n int, placed []label, least vg.Length) (best label, ok bool) {
	const tries = 60
	line := lines[n]
	length := pathLength(line.pts)
	need := width(line.text, contourSize) + 2*airEnds
	if length < need+2*stub {
		return label{}, false
	}
	var top vg.Length
	for k := range tries {
		along := (vg.Length(k) + 0.5) / tries
		lab, straight := line.labelAt(stub+(length-need-2*stub)*along, need)
		score := straight - 0.02*max(along-0.5, 0.5-along)
		if lab.line = n; straight >= least && score > top && lab.free(r, lines, placed) {
			best, ok, top = lab, true, score
		}
	}
	return best, ok
}

// labelAt is the label over need points of the line from start on, and how straight the line is there.
func (l contourLine) labelAt(start, need vg.Length) (lab label, straight vg.Length) {
	a, b := pointAt(l.pts, start), pointAt(l.pts, start+need)
	chord := distance(a, b)
	if chord == 0 {
		return label{}, 0
	}
	lab = label{start: start, end: start + need, half: vg.Point{X: need / 2, Y: capHeight/2*contourSize + airSides}}
	lab.along = b.Sub(a).Scale(1 / chord)
	if lab.along.X < 0 {
		lab.along = lab.along.Scale(-1)
	}
	lab.center = pointAt(l.pts, start+need/2).Add(a.Add(b).Scale(0.5)).Scale(0.5)
	return lab, chord / need
}

// free tells whether nothing else is in the label's box.
func (l label) free(r vg.Rectangle, lines []contourLine, placed []label) bool {
	for _, c := range l.corners() {
		if c.X < r.Min.X+1 || c.X > r.Max.X-1 || c.Y < r.Min.Y+1 || c.Y > r.Max.Y-1 {
			return false
		}
	}
	for _, other := range placed {
		c := other.corners()
		if l.meets(append(c[:], c[0], other.center)) {
			return false
		}
	}
	for n, line := range lines {
		if n != l.line && l.meets(line.pts) {
			return false
		}
	}
	return true
}

func (l label) corners() [4]vg.Point {
	u := l.along.Scale(l.half.X)
	v := vg.Point{X: -l.along.Y, Y: l.along.X}.Scale(l.half.Y)
	return [4]vg.Point{
		l.center.Sub(u).Sub(v), l.center.Add(u).Sub(v), l.center.Add(u).Add(v), l.center.Sub(u).Add(v),
	}
}

// meets tells whether a polyline enters the label's box.
func (l label) meets(pts []vg.Point) bool {
	local := make([]vg.Point, len(pts))
	for k, p := range pts {
		d := p.Sub(l.center)
		local[k] = vg.Point{X: d.Dot(l.along), Y: d.Dot(vg.Point{X: -l.along.Y, Y: l.along.X})}
	}
	box := draw.Canvas{Rectangle: vg.Rectangle{Min: vg.Point{X: -l.half.X, Y: -l.half.Y}, Max: l.half}}
	return len(box.ClipLinesXY(local)) > 0
}

// without returns the line but for the stretch under its label.
func (l contourLine) without(n int, placed []label) [][]vg.Point {
	for _, lab := range placed {
		if lab.line == n {
			return [][]vg.Point{stretch(l.pts, 0, lab.start), stretch(l.pts, lab.end, pathLength(l.pts))}
		}
	}
	return [][]vg.Point{l.pts}
}

func distance(a, b vg.Point) vg.Length {
	return vg.Length(math.Hypot(float64(b.X-a.X), float64(b.Y-a.Y)))
}

func pathLength(pts []vg.Point) (sum vg.Length) {
	for k := 1; k < len(pts); k++ {
		sum += distance(pts[k-1], pts[k])
	}
	return sum
}

// pointAt is the point s along the line.
func pointAt(pts []vg.Point, s vg.Length) vg.Point {
	for k := 1; k < len(pts); k++ {
		d := distance(pts[k-1], pts[k])
		if s <= d {
			return pts[k-1].Add(pts[k].Sub(pts[k-1]).Scale(s / d))
		}
		s -= d
	}
	return pts[len(pts)-1]
}

// stretch is the line from a to b along it.
func stretch(pts []vg.Point, a, b vg.Length) []vg.Point {
	out := []vg.Point{pointAt(pts, a)}
	var s vg.Length
	for k := 1; k < len(pts); k++ {
		s += distance(pts[k-1], pts[k])
		if a < s && s < b {
			out = append(out, pts[k])
		}
	}
	return append(out, pointAt(pts, b))
}
