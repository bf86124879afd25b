package figure

import (
	"image/color"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	titleSize   vg.Length = 9
	labelSize   vg.Length = 8
	captionSize vg.Length = 7
	margin      vg.Length = 3 // around the whole picture
	tickLength  vg.Length = 2.5
	gap         vg.Length = 3
	barWidth    vg.Length = 8
)

var thin = draw.LineStyle{Color: black, Width: 0.5}

// axis is one side of the frame.
type axis struct {
	scale
	at    []float64 // ticks
	names []string  // their labels
	label string
	color color.Color
}

// ticked is an axis with about most labelled ticks.
func ticked(s scale, most int) axis {
	a := axis{scale: s, at: s.ticks(most)}
	for _, v := range a.at {
		a.names = append(a.names, number(v))
	}
	return a
}

// depth is the room that a vertical axis needs beside the frame.
func (a axis) depth() vg.Length {
	var widest vg.Length
	for _, l := range a.names {
		widest = max(widest, width(l, labelSize))
	}
	return tickLength + gap + widest + gap + labelSize
}

// entry is a line of the legend.
type entry struct {
	name   string
	sample func(page, vg.Rectangle)
}

// bar explains the colours.
type bar struct {
	axis
	paint func(page, vg.Rectangle)
}

// panel is a frame with what is in it.
type panel struct {
	x, y   *axis                    // below and on the left; nil for none
	right  *axis                    // nil for none
	title  string                   // "" for none
	aspect float64                  // height by width of the frame; 0 if any will do
	body   func(page, vg.Rectangle) // draws what is in the frame
}

// figure is a picture before it has a size: panels of one size, in rows.
type figure struct {
	panels  []panel
	bar     *bar // for all panels
	legend  []entry
	pairs   bool   // the legend has two columns
	heading string // what the values in the frames are, where no axis or bar says so
	note    string // goes before the caption
}

// layout is where everything goes.
type layout struct {
	w, h           vg.Length
	frames         []vg.Rectangle // of the panels
	columns        []vg.Length    // of the legend
	title, caption []string       // lines
}

const mm = vg.Millimeter

func (f figure) encode(opt Options, format string) ([]byte, error) {
	look, err := opt.Style.look()
	if err != nil {
		return nil, err
	}
	l, err := f.arrange(opt, look)
	if err != nil {
		return nil, err
	}
	p, finish, err := newPage(l.w, l.h, format, look, orElse(opt.Facts, opt.Caption))
	if err != nil {
		return nil, err
	}
	for k, panel := range f.panels {
		panel.body(p, l.frames[k])
		if panel.x != nil {
			p.outline(thin, l.frames[k])
		}
		panel.axes(p, l.frames[k])
	}
	if f.bar != nil {
		f.bar.draw(p, l.beside(f))
	}
	l.words(p, f)
	return finish()
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// perRow is how many of n panels stand side by side.
func perRow(n int) int {
	switch {
	case n == 4:
		return 2
	case n > 3:
		return 3
	}
	return n
}

// depth is the room for the vertical axes of all panels on the left of each, and below that for the horizontal ones.
func (f figure) depth() (left, below vg.Length) {
	for _, p := range f.panels {
		if p.y != nil {
			left = max(left, p.y.depth())
			below = tickLength + gap + 2*lineHeight(labelSize)
		}
	}
	return left, below
}

// arrange gives every part its place: title, legend, frames with their axes, caption, from top to bottom.
func (f figure) arrange(opt Options, look look) (layout, error) {
	const largest = 1000 // mm
	if opt.Width < 0 || opt.Height < 0 || !(opt.Width <= largest) || !(opt.Height <= largest) {
		return layout{}, unsuitable("a picture of %g × %g mm cannot be drawn: sides may be 0 (automatic) to %d mm", opt.Width, opt.Height, largest)
	}
	columns, rows := perRow(len(f.panels)), (len(f.panels)+perRow(len(f.panels))-1)/perRow(len(f.panels))
	across := look.column
	if columns > 1 {
		across = look.wide
	}
	if opt.Width > 0 {
		across = opt.Width
	}
	l := layout{w: vg.Length(across) * mm / look.factor}
	inner := l.w - 2*margin
	l.title = wrap(opt.Title, titleSize, inner)
	l.caption = wrap(f.note+" "+opt.Caption, captionSize, inner)
	most := len(f.legend)
	if f.pairs {
		most = 2
	}
	l.columns = legendColumns(f.legend, most, inner)

	beside, below := f.depth()
	right := margin + 2*gap
	if f.panels[0].right != nil {
		right = margin + f.panels[0].right.depth()
	}
	if f.bar != nil {
		right = margin + 2*gap + barWidth + f.bar.depth()
	}
	top := margin + gap
	if n := len(l.columns); n > 0 {
		top += vg.Length((len(f.legend)+n-1)/n) * lineHeight(labelSize)
	}
	if n := len(l.title); n > 0 {
		top += vg.Length(n)*lineHeight(titleSize) + gap/2
	}
	if f.heading != "" {
		top += lineHeight(labelSize)
	}
	var above vg.Length // of each frame
	aspect := vg.Length(0)
	for _, p := range f.panels {
		if p.title != "" {
			above = lineHeight(labelSize) + gap/2
		}
		aspect = max(aspect, vg.Length(p.aspect))
	}
	bottom := margin + vg.Length(len(l.caption))*lineHeight(captionSize)
	stepX, stepY := beside+2*gap, above+below+gap // from one frame to the next, but for its size
	n, m := vg.Length(columns), vg.Length(rows)
	w := (l.w - margin - beside - right - (n-1)*stepX) / n
	h := 0.7 * w
	if aspect > 0 {
		h = aspect * w
	}
	left := margin + beside
	l.h = top + m*(above+h+below) + (m-1)*gap + bottom
	if opt.Height > 0 {
		l.h = vg.Length(opt.Height) * mm / look.factor
		h = (l.h-top-bottom-(m-1)*gap)/m - above - below
		if aspect > 0 {
			fit := min(w, h/aspect)
			left += n * (w - fit) / 2
			w, h = fit, aspect*fit
		}
	}
	const least = 10 * mm
	if w < least || h < least {
		return layout{}, unsuitable("a picture of %.0f × %.0f mm leaves too little room beside its labels: ask for more width or height",
			look.factor*l.w/mm, look.factor*l.h/mm)
	}
	for k := range f.panels {
		corner := vg.Point{X: left + vg.Length(k%columns)*(w+stepX), Y: l.h - top - above - h - vg.Length(k/columns)*(h+stepY)}
		l.frames = append(l.frames, vg.Rectangle{Min: corner, Max: corner.Add(vg.Point{X: w, Y: h})})
	}
	return l, nil
}

// whole is the smallest rectangle around all frames.
func (l layout) whole() vg.Rectangle {
	r := l.frames[0]
	for _, f := range l.frames {
		r.Min = vg.Point{X: min(r.Min.X, f.Min.X), Y: min(r.Min.Y, f.Min.Y)}
		r.Max = vg.Point{X: max(r.Max.X, f.Max.X), Y: max(r.Max.Y, f.Max.Y)}
	}
	return r
}

// beside is where the colour bar goes: as high as all frames together, but not higher than is good to look at.
func (l layout) beside(f figure) vg.Rectangle {
	r := l.whole()
	if h := l.frames[0].Size().Y; f.panels[0].x == nil { // the frame of a view has empty corners
		r.Min.Y += 0.15 * h
		r.Max.Y -= 0.1 * h
	}
	return vg.Rectangle{Min: vg.Point{X: r.Max.X + 2*gap, Y: r.Min.Y}, Max: vg.Point{X: r.Max.X + 2*gap + barWidth, Y: r.Max.Y}}
}

func lineHeight(size vg.Length) vg.Length { return 1.25 * size }

// wrap breaks s at spaces (no-break ones excepted) into as few lines as fit into room, all about equally long.
func wrap(s string, size, room vg.Length) []string {
	var words []string
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }) {
		words = append(words, pieces(word, size, room)...)
	}
	best := fill(words, size, room)
	const precise = 0.1
	for lo, hi := vg.Length(0), room; hi-lo > precise; { // the narrowest room for as many lines
		middle := (lo + hi) / 2
		if lines := fill(words, size, middle); len(lines) == len(best) {
			best, hi = lines, middle
		} else {
			lo = middle
		}
	}
	return best
}

// fill puts as many words on each line as there is room for, at least one.
func fill(words []string, size, room vg.Length) []string {
	var lines []string
	for _, word := range words {
		n := len(lines) - 1
		if n >= 0 && width(lines[n]+" "+word, size) <= room {
			lines[n] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// pieces are the parts of a word that is too long for a line, and of any other the word.
func pieces(word string, size, room vg.Length) []string {
	parts := []string{""}
	for _, r := range word {
		n := len(parts) - 1
		if parts[n] != "" && width(parts[n]+string(r), size) > room {
			parts = append(parts, string(r))
		} else {
			parts[n] += string(r)
		}
	}
	return parts
}

const (
	sampleWidth vg.Length = 16
	legendGap             = 4 * gap // between columns
)

func (e entry) width() vg.Length { return sampleWidth + gap + width(e.name, labelSize) + legendGap }

// legendColumns are the widths of the legend's columns: as many as there is room for, at most so many.
func legendColumns(legend []entry, most int, room vg.Length) []vg.Length {
	for n := min(most, len(legend)); n > 0; n-- {
		widths := make([]vg.Length, n)
		total := -legendGap
		for k, e := range legend {
			widths[k%n] = max(widths[k%n], e.width())
		}
		for _, w := range widths {
			total += w
		}
		if total <= room || n == 1 {
			return widths
		}
	}
	return nil
}

// words sets title, heading, legend and caption.
func (l layout) words(p page, f figure) {
	y := l.h - margin
	all := l.whole()
	middle := (all.Min.X + all.Max.X) / 2
	var widest vg.Length
	for _, line := range l.title {
		widest = max(widest, width(line, titleSize))
	}
	center := max(margin+widest/2, min(middle, l.w-margin-widest/2))
	for _, line := range l.title {
		y -= lineHeight(titleSize)
		p.text(line, vg.Point{X: center, Y: y + 0.2*titleSize}, style{size: titleSize, color: black, align: 0.5})
	}
	if l.title != nil {
		y -= gap / 2
	}
	if f.heading != "" {
		y -= lineHeight(labelSize)
		p.text(f.heading, vg.Point{X: middle, Y: y + 0.2*labelSize}, style{size: labelSize, color: black, align: 0.5})
	}
	total := -legendGap
	for _, w := range l.columns {
		total += w
	}
	left := max(margin, min(middle-total/2, l.w-margin-total))
	x := left
	for k, e := range f.legend {
		if k%len(l.columns) == 0 {
			x = left
			y -= lineHeight(labelSize)
		}
		at := vg.Point{X: x, Y: y + 0.2*labelSize}
		e.sample(p, vg.Rectangle{Min: at, Max: at.Add(vg.Point{X: sampleWidth, Y: capHeight * labelSize})})
		p.text(e.name, at.Add(vg.Point{X: sampleWidth + gap}), style{size: labelSize, color: black})
		x += l.columns[k%len(l.columns)]
	}
	for k, panel := range f.panels {
		r := l.frames[k]
		p.text(panel.title, vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: r.Max.Y + gap}, style{size: labelSize, color: black, align: 0.5})
	}
	y = margin + vg.Length(len(l.caption))*lineHeight(captionSize)
	for _, line := range l.caption {
		y -= lineHeight(captionSize)
		p.text(line, vg.Point{X: margin, Y: y + 0.25*captionSize}, style{size: captionSize, color: faint})
	}
}

// axes draws ticks and labels around the frame.
func (f panel) axes(p page, r vg.Rectangle) {
	if f.x != nil {
		f.x.below(p, r)
	}
	if f.y != nil {
		f.y.beside(p, r, -1)
	}
	if f.right != nil {
		f.right.beside(p, r, +1)
	}
}

// draw draws the colour bar.
func (b *bar) draw(p page, r vg.Rectangle) {
	b.paint(p, r)
	p.outline(thin, r)
	b.beside(p, r, +1)
}

// below draws a horizontal axis under r.
func (a axis) below(p page, r vg.Rectangle) {
	place := func(v float64) vg.Length { return r.Min.X + vg.Length(a.norm(v))*r.Size().X }
	stride := 1
	for ; stride < len(a.names); stride++ {
		fits := true
		for i := stride; i < len(a.names); i += stride {
			need := (width(a.names[i-stride], labelSize)+width(a.names[i], labelSize))/2 + gap
			fits = fits && place(a.at[i])-place(a.at[i-stride]) >= need
		}
		if fits {
			break
		}
	}
	ink := style{size: labelSize, color: a.color, align: 0.5}
	y := r.Min.Y - tickLength - gap/2 - capHeight*labelSize
	for i, v := range a.at {
		x := place(v)
		p.line(draw.LineStyle{Color: a.color, Width: thin.Width}, vg.Point{X: x, Y: r.Min.Y}, vg.Point{X: x, Y: r.Min.Y - tickLength})
		if i%stride == 0 {
			p.text(a.names[i], vg.Point{X: x, Y: y}, ink)
		}
	}
	p.text(a.label, vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: y - lineHeight(labelSize)}, ink)
}

// beside draws a vertical axis on the left (side −1) or the right (+1) of r.
func (a axis) beside(p page, r vg.Rectangle, side vg.Length) {
	edge := r.Max.X
	ink := style{size: labelSize, color: a.color}
	if side < 0 {
		edge, ink.align = r.Min.X, 1
	}
	place := func(v float64) vg.Length { return r.Min.Y + vg.Length(a.norm(v))*r.Size().Y }
	mark := draw.LineStyle{Color: a.color, Width: thin.Width}
	tick := func(v float64, length vg.Length) {
		p.line(mark, vg.Point{X: edge, Y: place(v)}, vg.Point{X: edge + side*length, Y: place(v)})
	}
	stride := 1
	for stride < len(a.at) && r.Size().Y*vg.Length(stride) < vg.Length(len(a.at)-1)*lineHeight(labelSize) {
		stride++
	}
	for _, v := range a.minor() {
		tick(v, 0.6*tickLength)
	}
	for i, l := range a.names {
		tick(a.at[i], tickLength)
		if i%stride == 0 {
			p.text(l, vg.Point{X: edge + side*(tickLength+gap/2), Y: place(a.at[i]) - capHeight/2*labelSize}, ink)
		}
	}
	x := edge + side*a.depth()
	if side < 0 {
		x += capHeight * labelSize // upward text has its baseline on the right
	}
	ink.align, ink.upward = 0.5, true
	p.text(a.label, vg.Point{X: x, Y: (r.Min.Y + r.Max.Y) / 2}, ink)
}
