package figure

import (
	"image"
	"image/color"

	"gonum.org/v1/plot/vg"
)

// Style is what pictures are made for: their colours, and the size of everything in them.
type Style string

const (
	Paper  Style = "paper"  // dark on white; text of 7 to 9 points, one column of 88 mm
	Slides Style = "slides" // the same 2.2 times as large, 240 mm wide
	Dark   Style = "dark"   // paper's sizes, light on dark
)

// look is what a style means.
type look struct {
	factor vg.Length // of all lengths
	column float64   // the width of a picture in mm, where nobody asks for another
	wide   float64   // that of several panels side by side
	inks   *[inks]color.NRGBA
	dark   bool
}

// look returns an error for an unknown style; the empty one is Paper.
func (s Style) look() (look, error) {
	switch s {
	case Paper, "":
		return look{1, 88, 180, &onWhite, false}, nil
	case Slides:
		return look{2.2, 240, 320, &onWhite, false}, nil
	case Dark:
		return look{1, 88, 180, &onDark, true}, nil
	}
	return look{}, unsuitable("unknown style %q: use paper, slides or dark", s)
}

// ink is a colour by its purpose; a style says what it looks like. Its own value is that on white.
type ink int

const (
	white    ink = iota // the ground
	black               // lines and text
	faint               // the caption
	blue                // a loss, where there is an accuracy
	red                 // an accuracy, and drops of the learning rate
	grey                // the ground of NaN
	crimson             // that of +∞
	negative            // that of −∞
	darkGrey            // hatching, frames of samples
	pale                // grids behind surfaces
	inks
)

var onWhite = [inks]color.NRGBA{
	white: rgb(0xffffff), black: rgb(0x000000), faint: rgb(0x3c3c3c), blue: rgb(0x1f55b4), red: rgb(0xc8261f), grey: rgb(0xdddddd),
	crimson: rgb(0xd6275a), negative: rgb(0x000000), darkGrey: rgb(0x606060), pale: rgb(0xd0d0d0),
}

var onDark = [inks]color.NRGBA{
	white: rgb(0x14171c), black: rgb(0xe8eaed), faint: rgb(0xb4b9c0), blue: rgb(0x7fb2ff), red: rgb(0xff7a70), grey: rgb(0x3a3f47),
	crimson: rgb(0xd6275a), negative: rgb(0xffffff), darkGrey: rgb(0x9aa0a8), pale: rgb(0x3d434b),
}

func rgb(v uint32) color.NRGBA {
	return color.NRGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 255}
}

func (i ink) RGBA() (r, g, b, a uint32) { return onWhite[i].RGBA() }

// of is the colour that c has in the look.
func (l look) of(c color.Color) color.Color {
	if i, ok := c.(ink); ok {
		return l.inks[i]
	}
	return c
}

// dressed is a canvas that draws in a look: in its colours, and everything larger by its factor.
type dressed struct {
	vg.Canvas
	look      look
	overturns bool // the canvas draws images upside down, as gonum/plot's PDF does
}

func (d dressed) SetColor(c color.Color)   { d.Canvas.SetColor(d.look.of(c)) }
func (d dressed) SetLineWidth(w vg.Length) { d.Canvas.SetLineWidth(d.look.factor * w) }
func (d dressed) Stroke(p vg.Path)         { d.Canvas.Stroke(d.path(p)) }
func (d dressed) Fill(p vg.Path)           { d.Canvas.Fill(d.path(p)) }
func (d dressed) at(p vg.Point) vg.Point   { return p.Scale(d.look.factor) }
func (d dressed) area(r vg.Rectangle) vg.Rectangle {
	return vg.Rectangle{Min: d.at(r.Min), Max: d.at(r.Max)}
}

func (d dressed) DrawImage(r vg.Rectangle, img image.Image) {
	if d.overturns {
		img = overturned(img)
	}
	d.Canvas.DrawImage(d.area(r), img)
}

// overturned is the image with its lowest row first.
func overturned(img image.Image) image.Image {
	b := img.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			out.Set(x, b.Dy()-1-y, img.At(b.Min.X+x, b.Min.Y+y))
		}
	}
	return out
}

func (d dressed) SetLineDash(pattern []vg.Length, offset vg.Length) {
	var scaled []vg.Length
	for _, l := range pattern {
		scaled = append(scaled, d.look.factor*l)
	}
	d.Canvas.SetLineDash(scaled, d.look.factor*offset)
}

// path is p as large as the look wants it.
func (d dressed) path(p vg.Path) vg.Path {
	if d.look.factor == 1 {
		return p
	}
	out := make(vg.Path, len(p))
	for n, c := range p {
		c.Pos, c.Radius = d.at(c.Pos), d.look.factor*c.Radius
		var control []vg.Point
		for _, q := range c.Control {
			control = append(control, d.at(q))
		}
		c.Control = control
		out[n] = c
	}
	return out
}
