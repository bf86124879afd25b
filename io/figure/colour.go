package figure

import (
	"image/color"

	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// viridis is matplotlib's default colour map (van der Walt and Smith 2015, CC0), from ten of its values, interpolated in
// CIELAB: even steps look even, to the colour-blind and in grey as well.
var viridis = func() func(float64) color.Color {
	var controls []color.Color
	for _, rgb := range []uint32{0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725} {
		controls = append(controls, color.NRGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 255})
	}
	m, err := moreland.NewLuminance(controls)
	if err != nil {
		panic("figure: the colours are not in order of luminance")
	}
	m.SetMin(0)
	m.SetMax(1)
	return func(v float64) color.Color {
		c, err := m.At(min(max(v, 0), 1))
		if err != nil {
			panic("figure: no colour for a number between 0 and 1")
		}
		return c
	}
}()

// classColors are the grounds of cells without a finite value.
var classColors = [classes]color.Color{notANumber: grey, plusInf: crimson, minusInf: negative, missing: white}

// ink draws on the ground of a cell without a finite value: hatching for NaN, a cross for what is missing.
func (c class) ink(p page, r vg.Rectangle) {
	switch c {
	case notANumber:
		hatch(p, r)
	case missing:
		hair := draw.LineStyle{Color: darkGrey, Width: 0.3}
		p.line(hair, r.Min, r.Max)
		p.line(hair, vg.Point{X: r.Min.X, Y: r.Max.Y}, vg.Point{X: r.Max.X, Y: r.Min.Y})
	}
}

// hatch draws lines at 45° that go on from one rectangle to the next.
func hatch(p page, r vg.Rectangle) {
	const spacing = 3
	first := int((r.Min.X + r.Min.Y) / spacing)
	for k := first; vg.Length(k*spacing) < r.Max.X+r.Max.Y; k++ {
		sum := vg.Length(k * spacing) // of x and y along the line
		x0, x1 := max(r.Min.X, sum-r.Max.Y), min(r.Max.X, sum-r.Min.Y)
		if x0 < x1 {
			p.line(draw.LineStyle{Color: darkGrey, Width: 0.4}, vg.Point{X: x0, Y: sum - x0}, vg.Point{X: x1, Y: sum - x1})
		}
	}
}

// classEntry explains a class in the legend.
func classEntry(c class) entry {
	return entry{classNames[c], func(p page, r vg.Rectangle) {
		r.Min.X = r.Max.X - 1.4*r.Size().Y
		p.fill(classColors[c], r)
		c.ink(p, r)
		p.outline(draw.LineStyle{Color: darkGrey, Width: 0.3}, r)
	}}
}
