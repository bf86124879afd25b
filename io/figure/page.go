package figure

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"sync"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"
)

const dotsPerInch = 300

func init() { // equal input, equal bytes
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	fpdf.SetDefaultCreationDate(epoch)
	fpdf.SetDefaultModificationDate(epoch)
	fpdf.SetDefaultCatalogSort(true)
}

// page is what a picture is drawn on. Lengths are points, to be enlarged by the look's factor; y points upwards.
type page struct {
	draw.Canvas
	look look
}

// newPage returns an empty page and what writes it out, with facts about the picture in the file.
func newPage(w, h vg.Length, format string, look look, facts string) (page, func() ([]byte, error), error) {
	var canvas vg.CanvasWriterTo
	var add func(file []byte, facts string) []byte
	width, height := look.factor*w, look.factor*h
	switch format {
	case "png":
		canvas, add = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dotsPerInch))}, describePNG
	case "svg":
		canvas, add = vgsvg.New(width, height), describeSVG
	case "pdf":
		canvas, add = vgpdf.New(width, height), describePDF
	default:
		return page{}, nil, fmt.Errorf("unknown picture format %q: use png, svg or pdf", format)
	}
	p := page{draw.NewCanvas(dressed{canvas, look, format == "pdf"}, w, h), look}
	const over = 1 // the last row of pixels may be a fraction
	p.fill(white, vg.Rectangle{Min: vg.Point{X: -over, Y: -over}, Max: vg.Point{X: w + over, Y: h + over}})
	return p, func() ([]byte, error) {
		var out bytes.Buffer
		if _, err := canvas.WriteTo(&out); err != nil {
			return nil, fmt.Errorf("writing the picture as %s: %w", format, err)
		}
		return add(out.Bytes(), facts), nil
	}, nil
}

func (p page) fill(c color.Color, r vg.Rectangle) {
	p.SetColor(c)
	p.Fill(r.Path())
}

func (p page) outline(s draw.LineStyle, r vg.Rectangle) {
	p.SetLineStyle(s)
	p.Stroke(r.Path())
}

func (p page) line(s draw.LineStyle, pts ...vg.Point) { p.StrokeLines(s, pts) }

// style is how a text is set.
type style struct {
	size   vg.Length
	color  color.Color
	align  vg.Length // 0 starts at the given point, 0.5 is centred on it, 1 ends there
	upward bool      // a quarter turn counterclockwise
}

// capHeight is the height of capitals and digits, as a part of the font's size.
const capHeight = 0.7

// text sets one line with its baseline through at.
func (p page) text(s string, at vg.Point, st style) {
	along := vg.Point{X: 1}
	if st.upward {
		along = vg.Point{Y: 1}
	}
	p.SetColor(st.color)
	p.Fill(glyphs(s, at.Sub(along.Scale(st.align*width(s, st.size))), along, st.size))
}

// haloed is text on a rim of the ground's colour, to be read on anything.
func (p page) haloed(s string, at vg.Point, st style) {
	path := glyphs(s, at.Sub(vg.Point{X: st.align * width(s, st.size)}), vg.Point{X: 1}, st.size)
	p.SetLineStyle(draw.LineStyle{Color: white, Width: 1.5})
	p.Stroke(path)
	p.SetColor(st.color)
	p.Fill(path)
}

// disc fills a circle.
func (p page) disc(c color.Color, center vg.Point, radius vg.Length) {
	var path vg.Path
	path.Move(center.Add(vg.Point{X: radius}))
	path.Arc(center, radius, 0, 2*math.Pi)
	path.Close()
	p.SetColor(c)
	p.Fill(path)
}

var face = sync.OnceValue(func() *sfnt.Font {
	cache := font.NewCache(liberation.Collection())
	return cache.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans"}, 0).Face
})

// width is how long a line of text is.
func width(s string, size vg.Length) vg.Length {
	var end vg.Length
	typeset(s, func(_ sfnt.GlyphIndex, at, _, scale, advance vg.Length) { end = at + scale*advance })
	return end * size
}

// typeset calls set for each glyph of s with its place on the baseline, rise above it and
// scale, all as a part of the font's size, and its advance before scaling. Digits and signs after ^ are raised.
func typeset(s string, set func(g sfnt.GlyphIndex, at, rise, scale, advance vg.Length)) {
	var buf sfnt.Buffer
	em := fixed.Int26_6(face().UnitsPerEm())
	var at, rise vg.Length
	scale := vg.Length(1)
	runes := []rune(s)
	for i, r := range runes {
		if r == '^' && i+1 < len(runes) && raisable(runes[i+1]) {
			scale, rise = 0.68, 0.38
			continue
		}
		if !raisable(r) {
			scale, rise = 1, 0
		}
		g, err := face().GlyphIndex(&buf, r)
		if err != nil {
			panic("figure: the font has no character map")
		}
		a, err := face().GlyphAdvance(&buf, g, em, 0)
		if err != nil {
			panic("figure: the font has no advance of its glyph")
		}
		advance := vg.Length(a) / vg.Length(em)
		set(g, at, rise, scale, advance)
		at += scale * advance
	}
}

func raisable(r rune) bool { return '0' <= r && r <= '9' || r == '−' || r == '+' }

// glyphs are the outlines of s along a unit vector, as cubic Bézier curves, which all formats have.
func glyphs(s string, origin, along vg.Point, size vg.Length) vg.Path {
	var path vg.Path
	var buf sfnt.Buffer
	em := fixed.Int26_6(face().UnitsPerEm())
	typeset(s, func(g sfnt.GlyphIndex, at, rise, scale, _ vg.Length) {
		segments, err := face().LoadGlyph(&buf, g, em, nil)
		if err != nil {
			panic("figure: the font has no outline of its glyph")
		}
		place := func(q fixed.Point26_6) vg.Point { // the font's y points downwards
			x := size * (at + scale*vg.Length(q.X)/vg.Length(em))
			y := size * (rise - scale*vg.Length(q.Y)/vg.Length(em))
			return origin.Add(vg.Point{X: x*along.X - y*along.Y, Y: x*along.Y + y*along.X})
		}
		path = appendOutline(path, segments, place)
	})
	return path
}

func appendOutline(path vg.Path, segments sfnt.Segments, place func(fixed.Point26_6) vg.Point) vg.Path {
	var last vg.Point
	for i, s := range segments {
		a, b, c := place(s.Args[0]), place(s.Args[1]), place(s.Args[2])
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if i > 0 {
				path.Close()
			}
			path.Move(a)
			last = a
		case sfnt.SegmentOpLineTo:
			path.Line(a)
			last = a
		case sfnt.SegmentOpQuadTo:
			path.CubeTo(last.Add(a.Sub(last).Scale(2./3)), b.Add(a.Sub(b).Scale(2./3)), b)
			last = b
		case sfnt.SegmentOpCubeTo:
			path.CubeTo(a, b, c)
			last = c
		}
	}
	if len(segments) > 0 {
		path.Close()
	}
	return path
}
