package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"lsrun/shard"
)

// hues tell curves apart, to the colour-blind too (Okabe and Ito 2008).
var hues = []color.NRGBA{rgb(0x0072b2), rgb(0xd55e00), rgb(0x009e73), rgb(0xcc79a7), rgb(0x56b4e9), rgb(0xe69f00)}

// hue is that of subject n; on a dark ground the light ones come first.
func hue(n int, dark bool) color.NRGBA {
	const light = 4 // the first light one
	if dark {
		n += light
	}
	return hues[n%len(hues)]
}

// band is the mean of a layer over several lines, and the mean less and plus a standard deviation (of n − 1) over them.
// Where any of the lines has no finite value, neither has the band.
type band struct {
	x               []float64
	mean, low, high shard.Layer
	scale           scale
	hue             color.NRGBA
	dashed          bool
}

// bands draws the mean of each subject's lines, with the band of their deviation.
func bands(subjects []Subject, opt Options) (figure, error) {
	names, err := bandLayers(subjects, opt.Metric)
	if err != nil {
		return figure{}, err
	}
	var all []*band
	var layers []*shard.Layer // that the axis must show
	lo, hi := math.Inf(1), math.Inf(-1)
	for n, s := range subjects {
		for _, name := range names {
			b, err := newBand(s, name)
			if err != nil {
				return figure{}, err
			}
			b.hue, b.dashed = hue(n, opt.Style == Dark), strings.HasPrefix(name, "test_") && len(names) > 1
			all = append(all, b)
			layers = append(layers, &b.low, &b.mean, &b.high)
			lo, hi = min(lo, b.x[0]), max(hi, b.x[len(b.x)-1])
		}
	}
	if !slices.ContainsFunc(layers, func(l *shard.Layer) bool { _, _, ok := bounds(l); return ok }) {
		return figure{}, fmt.Errorf("no finite value of %s to draw", strings.Join(names, ", "))
	}
	y, err := curveAxis(layers, opt)
	if err != nil {
		return figure{}, err
	}
	y.color = black
	x := horizontal(orElse(opt.XLabel, "α"), []float64{lo, hi})
	fig := figure{legend: bandLegend(subjects, names, opt.Style == Dark), note: bandNote(subjects, all)}
	fig.panels = []panel{{x: &x, y: &y, body: func(p page, r vg.Rectangle) {
		place := func(at float64) vg.Length { return r.Min.X + vg.Length(x.norm(at))*r.Size().X }
		for _, b := range all {
			b.scale = y.scale
			b.fill(p, r, place)
		}
		for _, b := range all {
			line := draw.LineStyle{Color: b.hue, Width: 1}
			if b.dashed {
				line.Dashes = []vg.Length{3.5, 2}
			}
			graph{&b.mean, b.scale, line}.draw(p, r, b.x, place)
		}
	}}}
	return fig, nil
}

// bandLayers are the layers to draw: the one asked for, or the losses that every line has.
func bandLayers(subjects []Subject, metric string) ([]string, error) {
	if metric != "" {
		return []string{metric}, nil
	}
	names := []string{"train_loss", "test_loss"}
	for _, s := range subjects {
		for _, surface := range s.Surfaces {
			names = slices.DeleteFunc(names, func(name string) bool { return surface.Layer(name) == nil })
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the lines have no loss in common: name a metric")
	}
	return names, nil
}

func newBand(s Subject, name string) (*band, error) {
	points := len(s.Surfaces[0].X)
	b := &band{x: s.Surfaces[0].X}
	var layers []*shard.Layer
	for _, surface := range s.Surfaces {
		l, err := surface.Find(name)
		if err != nil {
			return nil, fmt.Errorf("%s%w", s.prefix(), err)
		}
		layers = append(layers, l)
	}
	n := float64(len(layers))
	for _, to := range []*shard.Layer{&b.mean, &b.low, &b.high} {
		*to = shard.Layer{Name: name, Values: make([]float64, points)}
	}
	for k := range points {
		var sum, squares float64
		for _, l := range layers {
			v := l.Values[k]
			if classOf(l, k) != finite {
				v = math.NaN()
			}
			sum += v
		}
		mean := sum / n
		for _, l := range layers {
			d := l.Values[k] - mean
			squares += d * d
		}
		deviation := 0.
		if n > 1 {
			deviation = math.Sqrt(squares / (n - 1))
		}
		b.mean.Values[k], b.low.Values[k], b.high.Values[k] = mean, mean-deviation, mean+deviation
	}
	return b, nil
}

// fill shades from low to high, within the frame.
func (b *band) fill(p page, r vg.Rectangle, place func(float64) vg.Length) {
	shade := b.hue
	shade.A = 60
	at := func(k int, l *shard.Layer) vg.Point {
		t := min(max(b.scale.high(l.Values[k]), 0), 1)
		return vg.Point{X: place(b.x[k]), Y: r.Min.Y + vg.Length(t)*r.Size().Y}
	}
	var upper, lower []vg.Point
	flush := func() {
		if len(upper) > 1 {
			slices.Reverse(lower)
			var path vg.Path
			for n, q := range slices.Concat(upper, lower) {
				if n == 0 {
					path.Move(q)
				} else {
					path.Line(q)
				}
			}
			path.Close()
			p.SetColor(shade)
			p.Fill(path)
		}
		upper, lower = nil, nil
	}
	for k := range b.x {
		if math.IsNaN(b.mean.Values[k]) || math.IsInf(b.mean.Values[k], 0) {
			flush()
			continue
		}
		upper, lower = append(upper, at(k, &b.high)), append(lower, at(k, &b.low))
	}
	flush()
}

// bandLegend names the subjects by their colours and, where there are both, train and test by their lines.
func bandLegend(subjects []Subject, names []string, dark bool) []entry {
	sample := func(line draw.LineStyle, shade color.Color) func(page, vg.Rectangle) {
		return func(p page, r vg.Rectangle) {
			if shade != nil {
				p.fill(shade, r)
			}
			y := (r.Min.Y + r.Max.Y) / 2
			p.line(line, vg.Point{X: r.Min.X, Y: y}, vg.Point{X: r.Max.X, Y: y})
		}
	}
	var legend []entry
	for n, s := range subjects {
		line, shade := draw.LineStyle{Color: hue(n, dark), Width: 1}, hue(n, dark)
		shade.A = 60
		name, ground := s.Name, color.Color(shade)
		if k := len(s.Surfaces); k > 1 {
			name = strings.TrimSpace(fmt.Sprintf("%s (%d lines)", name, k))
		} else {
			ground = nil
		}
		if name != "" {
			legend = append(legend, entry{name, sample(line, ground)})
		}
	}
	if len(names) > 1 {
		legend = append(legend,
			entry{"train", sample(draw.LineStyle{Color: black, Width: 1}, nil)},
			entry{"test", sample(draw.LineStyle{Color: black, Width: 1, Dashes: []vg.Length{3.5, 2}}, nil)})
	}
	return legend
}

// bandNote says what the band is, and why it may have gaps.
func bandNote(subjects []Subject, all []*band) string {
	var notes []string
	if slices.ContainsFunc(subjects, func(s Subject) bool { return len(s.Surfaces) > 1 }) {
		notes = append(notes, "Curves are means, bands ± one standard deviation over the lines.")
	}
	gap := func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
	if slices.ContainsFunc(all, func(b *band) bool { return slices.ContainsFunc(b.mean.Values, gap) }) {
		notes = append(notes, "They have gaps where a line has no finite value.")
	}
	return strings.Join(notes, " ")
}
