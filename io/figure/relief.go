package figure

import (
	"image"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
)

// A relief is computed sample by sample with a depth buffer, several samples a pixel, and set into the picture as an image:
// no seams between polygons, and a file of bounded size whatever the grid.
//
// Between four neighbouring points the surface is the bilinear patch; normals are interpolated from central differences
// (Phong 1975), so that light falls smoothly.

const (
	oversampling = 3        // samples a pixel and direction, where there is room for them
	mostSamples  = 12 << 20 // of an image: 8 bytes each
	fineness     = 120      // parts of the larger side that patches are divided into, at least
	ambient      = 0.45
	diffuse      = 0.60
	specular     = 0.16
	gloss        = 4    // squarings: the cosine's power is 16
	underside    = 0.72 // of the light from above that the back of the surface shows
	lineDark     = 0.60 // of a colour's brightness under a contour line
	lineHalf     = 0.28 // points
	lift         = 0.01 // that lines on the surface lie before it
)

// corner is a corner of a triangle: its place among the samples, how near it is, its height as a part of the scale, and its normal.
type corner struct {
	x, y, depth, t float64
	normal         vector
}

// canvas is the samples of an image.
type canvas struct {
	w, h    int
	perUnit float64 // samples that one length of the box is
	perDot  float64 // samples a point
	depth   []float32
	color   []color.NRGBA // nothing where A is 0
}

// drawSurface sets the image of the surface into the page.
func (s stage) drawSurface(p page) {
	boxW, boxH := s.size()
	dots := float64(p.look.factor) * dotsPerInch / 72 // pixels a point
	w, h := int(math.Ceil(boxW*s.unit*dots))+2, int(math.Ceil(boxH*s.unit*dots))+2
	over := oversampling
	for over > 1 && w*h*over*over > mostSamples {
		over--
	}
	for w*h*over*over > mostSamples {
		dots /= 2
		w, h = w/2, h/2
	}
	c := &canvas{w: w * over, h: h * over, perUnit: s.unit * dots * float64(over), perDot: dots * float64(over)}
	c.depth = make([]float32, c.w*c.h)
	c.color = make([]color.NRGBA, c.w*c.h)
	for k := range c.depth {
		c.depth[k] = float32(math.Inf(-1))
	}
	s.paint(c)
	s.paintPaths(c)
	size := vg.Point{X: vg.Length(float64(w) / dots), Y: vg.Length(float64(h) / dots)}
	corner := s.center.Sub(size.Scale(0.5))
	p.DrawImage(vg.Rectangle{Min: corner, Max: corner.Add(size)}, c.shrunk(over))
}

// paint fills the canvas with the surface: patch by patch, each as small triangles.
func (s stage) paint(c *canvas) {
	normals := s.normals()
	b := s.brush()
	f, nx := s.field, len(s.field.x)
	parts := max(1, (fineness+max(nx, len(f.y))-1)/max(nx, len(f.y)))
	corners := make([]corner, (parts+1)*(parts+1))
	for j := range len(f.y) - 1 {
		for i := range nx - 1 {
			if !f.complete(i, j) {
				continue
			}
			for n := range corners {
				u, v := float64(n%(parts+1))/float64(parts), float64(n/(parts+1))/float64(parts)
				corners[n] = s.corner(c, normals, i, j, u, v)
			}
			for n := range parts * parts {
				a := n/parts*(parts+1) + n%parts
				for _, tri := range [2][3]int{{a, a + 1, a + parts + 2}, {a, a + parts + 2, a + parts + 1}} {
					c.triangle(corners[tri[0]], corners[tri[1]], corners[tri[2]], b)
				}
			}
		}
	}
}

// normals are the surface's at the grid points, from the slopes to the neighbours that have a value.
func (s stage) normals() []vector {
	f, nx := s.field, len(s.field.x)
	out := make([]vector, len(f.z))
	slope := func(k, step, at, n int, c []float64, side float64) float64 {
		lo, hi := k, k
		a, b := at, at
		if at > 0 && !math.IsNaN(f.z[k-step]) {
			lo, a = k-step, at-1
		}
		if at+1 < n && !math.IsNaN(f.z[k+step]) {
			hi, b = k+step, at+1
		}
		if a == b {
			return 0
		}
		return boxHeight * (s.part(f.z[hi]) - s.part(f.z[lo])) / (2 * side * (c[b] - c[a]) / (c[n-1] - c[0]))
	}
	for k := range out {
		i, j := k%nx, k/nx
		out[k] = vector{-slope(k, 1, i, nx, f.x, s.half[0]), -slope(k, nx, j, len(f.y), f.y, s.half[1]), 1}.unit()
	}
	return out
}

// part is a height of the field as a part of the scale; what is below it lies on the floor, and nothing is so high that
// its place would not be a number.
func (v *view) part(z float64) float64 {
	lo, hi := v.scale.of(v.scale.lo), v.scale.of(v.scale.hi)
	const highest = 1e6
	return min(max((z-lo)/(hi-lo), 0), highest)
}

// corner is the place (u, v) of the patch right above grid point (i, j).
func (s stage) corner(c *canvas, normals []vector, i, j int, u, v float64) corner {
	f, nx := s.field, len(s.field.x)
	k := j*nx + i
	weight := [4]float64{(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v}
	var t float64
	var normal vector
	for n, at := range [4]int{k, k + 1, k + nx, k + nx + 1} {
		t += weight[n] * s.part(f.z[at])
		normal = normal.add(normals[at].scale(weight[n]))
	}
	place := s.ground((1-u)*f.x[i]+u*f.x[i+1], (1-v)*f.y[j]+v*f.y[j+1])
	place[2] = boxHeight * t
	x, y, depth := s.sample(c, place)
	return corner{x, y, depth, t, normal}
}

// sample is a place of the box among the samples, and how near it is.
func (s stage) sample(c *canvas, place vector) (x, y, depth float64) {
	x, y = s.flat(place)
	return float64(c.w)/2 + c.perUnit*x, float64(c.h)/2 - c.perUnit*y, s.toward.dot(place)
}

// brush is how the surface looks: its colours from floor to ceiling, the heights of contour lines, and the light.
type brush struct {
	colors               []color.NRGBA
	levels               []float64
	light, shine, toward vector // shine is half way between light and viewer
}

func (s stage) brush() *brush {
	const steps = 1024
	b := &brush{toward: s.toward}
	for k := range steps {
		b.colors = append(b.colors, color.NRGBAModel.Convert(viridis(float64(k)/(steps-1))).(color.NRGBA))
	}
	for _, l := range s.levels {
		b.levels = append(b.levels, s.scale.norm(l))
	}
	b.light = s.toward.scale(0.35).add(s.right.scale(-0.55)).add(vector{0, 0, 0.75}).unit()
	b.shine = b.light.add(s.toward).unit()
	return b
}

// paint is the colour of a height under the light, by Phong's model with Blinn's shine; the back is darker than the front.
func (b *brush) paint(t float64, normal vector, line bool) color.NRGBA {
	c := b.colors[int(math.Round(min(max(t, 0), 1)*float64(len(b.colors)-1)))]
	normal = normal.unit()
	strength := 1.
	if normal.dot(b.toward) < 0 {
		normal, strength = normal.scale(-1), underside
	}
	k := strength * (ambient + diffuse*max(normal.dot(b.light), 0))
	if line {
		k *= lineDark
	}
	bright := max(normal.dot(b.shine), 0)
	for range gloss {
		bright *= bright
	}
	bright *= 255 * specular * strength
	shade := func(v uint8) uint8 { return uint8(min(float64(v)*k+bright, 255)) }
	return color.NRGBA{R: shade(c.R), G: shade(c.G), B: shade(c.B), A: 255}
}

// triangle paints the samples whose centres are inside and nearer than what is there, up to the scale's upper end.
func (c *canvas) triangle(p, q, r corner, ink *brush) {
	area := (q.x-p.x)*(r.y-p.y) - (r.x-p.x)*(q.y-p.y)
	if area == 0 || min(p.t, q.t, r.t) > 1 {
		return
	}
	// t rises by so much a sample.
	slope := math.Hypot((q.t-p.t)*(r.y-p.y)-(r.t-p.t)*(q.y-p.y), (r.t-p.t)*(q.x-p.x)-(q.t-p.t)*(r.x-p.x)) / math.Abs(area)
	wide := lineHalf * c.perDot * slope
	var lines []float64
	for _, l := range ink.levels {
		if min(p.t, q.t, r.t)-wide <= l && l <= max(p.t, q.t, r.t)+wide {
			lines = append(lines, l)
		}
	}
	x0, x1 := max(int(math.Ceil(min(p.x, q.x, r.x)-0.5)), 0), min(int(math.Floor(max(p.x, q.x, r.x)-0.5)), c.w-1)
	y0, y1 := max(int(math.Ceil(min(p.y, q.y, r.y)-0.5)), 0), min(int(math.Floor(max(p.y, q.y, r.y)-0.5)), c.h-1)
	const edge = -1e-9 // two triangles share what lies on their edge
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			dx, dy := float64(x)+0.5-p.x, float64(y)+0.5-p.y
			b := (dx*(r.y-p.y) - dy*(r.x-p.x)) / area
			g := (dy*(q.x-p.x) - dx*(q.y-p.y)) / area
			a := 1 - b - g
			if a < edge || b < edge || g < edge {
				continue
			}
			k := y*c.w + x
			depth, t := float32(a*p.depth+b*q.depth+g*r.depth), a*p.t+b*q.t+g*r.t
			if depth <= c.depth[k] || t > 1+1e-9 {
				continue
			}
			normal := p.normal.scale(a).add(q.normal.scale(b)).add(r.normal.scale(g))
			line := slices.ContainsFunc(lines, func(l float64) bool { return math.Abs(t-l) < wide })
			c.depth[k], c.color[k] = depth, ink.paint(t, normal, line)
		}
	}
}

// paintPaths lays the paths and marks onto the surface.
func (s stage) paintPaths(c *canvas) {
	for n, path := range s.subject.Paths {
		pen := pathInks[n%len(pathInks)]
		for k := range path.X {
			if k > 0 {
				s.paintSegment(c, path, k, pen)
			}
		}
		for k := range path.X {
			radius, ink := pathDot, pen
			if slices.Contains(path.Drops, k) {
				radius, ink = dropDot, red
			}
			s.paintSpot(c, path.X[k], path.Y[k], radius, ink, math.Hypot)
		}
	}
	for _, m := range s.subject.Marks {
		s.paintSpot(c, m.X, m.Y, markRadius, black, m.Kind.norm)
		s.paintSpot(c, m.X, m.Y, markRadius-0.9, white, m.Kind.norm)
		if m.Kind == Minimum {
			s.paintSpot(c, m.X, m.Y, 0.9, black, math.Hypot)
		}
	}
}

// paintSegment draws the way to checkpoint k.
func (s stage) paintSegment(c *canvas, path Path, k int, pen ink) {
	x0, y0, _ := s.sample(c, s.ground(path.X[k-1], path.Y[k-1]))
	x1, y1, _ := s.sample(c, s.ground(path.X[k], path.Y[k]))
	most := 4 * float64(c.w+c.h)
	steps := int(min(2*math.Hypot(x1-x0, y1-y0), most))
	for n := range steps {
		t := (float64(n) + 0.5) / float64(steps)
		s.paintSpot(c, (1-t)*path.X[k-1]+t*path.X[k], (1-t)*path.Y[k-1]+t*path.Y[k], pathWidth/2, pen, math.Hypot)
	}
}

// norm is the distance in which a mark of this kind is a disc.
func (k MarkKind) norm(x, y float64) float64 {
	if k == Checkpoint { // a square
		return 1.2 * max(math.Abs(x), math.Abs(y))
	}
	return math.Hypot(x, y)
}

// paintSpot puts a spot onto the surface at (x, y), where there is one and nothing before it.
func (s stage) paintSpot(c *canvas, x, y float64, radius vg.Length, pen ink, norm func(x, y float64) float64) {
	t := s.part(s.field.value(x, y))
	if math.IsNaN(t) || t > 1 {
		return
	}
	place := s.ground(x, y)
	place[2] = boxHeight * t
	cx, cy, depth := s.sample(c, place)
	r := float64(radius) * c.perDot
	for py := max(int(cy-r), 0); py <= min(int(cy+r), c.h-1); py++ {
		for px := max(int(cx-r), 0); px <= min(int(cx+r), c.w-1); px++ {
			k := py*c.w + px
			if norm(float64(px)+0.5-cx, float64(py)+0.5-cy) <= r && float32(depth+lift+r/c.perUnit) > c.depth[k] {
				c.color[k] = onWhite[pen] // the surface's colours, too, are the same on any ground
			}
		}
	}
}

// value is the field's bilinear interpolation at (x, y), NaN outside and where a corner has none.
func (f field) value(x, y float64) float64 {
	i, j := interval(f.x, x), interval(f.y, y)
	if !f.complete(i, j) {
		return math.NaN()
	}
	k, nx := j*len(f.x)+i, len(f.x)
	u, v := (x-f.x[i])/(f.x[i+1]-f.x[i]), (y-f.y[j])/(f.y[j+1]-f.y[j])
	return (1-v)*((1-u)*f.z[k]+u*f.z[k+1]) + v*((1-u)*f.z[k+nx]+u*f.z[k+nx+1])
}

// interval is the last i with at[i] ≤ v that begins an interval; −1 where v is outside.
func interval(at []float64, v float64) int {
	if !(at[0] <= v && v <= at[len(at)-1]) {
		return -1
	}
	i, found := slices.BinarySearch(at, v)
	if !found || i == len(at)-1 {
		i--
	}
	return i
}

// shrunk is the image with over × over samples a pixel.
func (c *canvas) shrunk(over int) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, c.w/over, c.h/over))
	for y := range c.h / over {
		for x := range c.w / over {
			var r, g, b, n int
			for k := range over * over {
				s := c.color[(y*over+k/over)*c.w+x*over+k%over]
				if s.A > 0 {
					r, g, b, n = r+int(s.R), g+int(s.G), b+int(s.B), n+1
				}
			}
			if n > 0 {
				img.SetNRGBA(x, y, color.NRGBA{R: uint8(r / n), G: uint8(g / n), B: uint8(b / n), A: uint8(255 * n / (over * over))})
			}
		}
	}
	return img
}
