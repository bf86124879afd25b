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

// graph is one layer as a line.
type graph struct {
	layer *shard.Layer
	scale scale
	style draw.LineStyle
}

// curve draws layers over α: accuracies on the right axis, everything else on the left; train solid, test dashed.
// Several subjects, or several lines of one, become curves with bands.
func curve(subjects []Subject, opt Options) (figure, error) {
	s := subjects[0].Surfaces[0]
	if len(subjects) > 1 || len(subjects[0].Surfaces) > 1 {
		return bands(subjects, opt)
	}
	layers, err := curveLayers(s, opt.Metric)
	if err != nil {
		return figure{}, err
	}
	accuracies := slices.IndexFunc(layers, func(l *shard.Layer) bool { return isAccuracy(l.Name) })
	if accuracies < 0 {
		accuracies = len(layers)
	}
	left, right := layers[:accuracies], layers[accuracies:]
	if len(left) == 0 { // accuracy alone
		left, right = right, left
	}

	fig := figure{pairs: true}
	x := horizontal(orElse(opt.XLabel, "α"), s.X)
	y, err := curveAxis(left, opt)
	if err != nil {
		return figure{}, err
	}
	frame := panel{x: &x, y: &y}
	graphs := graphsOf(left, y)
	if len(right) > 0 {
		a := accuracyAxis()
		frame.right = &a
		graphs = append(graphs, graphsOf(right, a)...)
	} else {
		y.color = black // nothing to tell apart
	}
	for _, g := range graphs {
		fig.legend = append(fig.legend, entry{spoken(g.layer.Name), func(p page, r vg.Rectangle) {
			y := (r.Min.Y + r.Max.Y) / 2
			p.line(g.style, vg.Point{X: r.Min.X, Y: y}, vg.Point{X: r.Max.X, Y: y})
		}})
	}
	lacks, legend := lacking(left, right, len(s.X))
	fig.legend = append(fig.legend, legend...)
	frame.body = func(p page, r vg.Rectangle) {
		place := func(at float64) vg.Length { return r.Min.X + vg.Length(x.norm(at))*r.Size().X }
		for k, c := range lacks {
			if c != finite {
				x0, x1 := cell(s.X, k)
				band := vg.Rectangle{Min: vg.Point{X: place(x0), Y: r.Min.Y}, Max: vg.Point{X: place(x1), Y: r.Max.Y}}
				p.fill(classColors[c], band)
				c.ink(p, band)
			}
		}
		for _, g := range graphs {
			g.draw(p, r, s.X, place)
		}
	}
	fig.panels = []panel{frame}
	return fig, nil
}

// curveLayers are the layers to draw, accuracies last.
func curveLayers(s *shard.Surface, metric string) ([]*shard.Layer, error) {
	names := []string{metric}
	if metric == "" {
		names = nil
		for _, name := range []string{"train_loss", "test_loss", "train_acc", "test_acc"} {
			if s.Layer(name) != nil {
				names = append(names, name)
			}
		}
		if names == nil {
			names = []string{"train_loss"} // for the error
		}
	}
	var layers []*shard.Layer
	some := false
	for _, name := range names {
		l, err := s.Find(name)
		if err != nil {
			return nil, err
		}
		_, _, ok := bounds(l)
		some = some || ok
		layers = append(layers, l)
	}
	if !some {
		return nil, fmt.Errorf("no finite value of %s to draw", strings.Join(names, ", "))
	}
	return layers, nil
}

// curveAxis is the left axis. A loss starts at zero, as in the paper.
func curveAxis(layers []*shard.Layer, opt Options) (axis, error) {
	name := layers[0].Name
	if isAccuracy(name) {
		return accuracyAxis(), nil
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, l := range layers {
		if a, b, ok := bounds(l); ok {
			lo, hi = min(lo, a), max(hi, b)
		}
	}
	if lo > hi { // only the accuracies are finite
		lo, hi = 1, 1
	}
	log := opt.Log != nil && *opt.Log
	sc, err := newScale(spoken(name), lo, hi, log, opt.VMin, opt.VMax)
	if err != nil {
		return axis{}, err
	}
	sc = sc.padded(opt.VMin == nil, opt.VMax == nil)
	if opt.VMin == nil && lo >= 0 && !log {
		sc.lo = 0
	}
	a := ticked(sc, 6)
	a.label, a.color = spoken(name), black
	if isLoss(name) {
		a.label, a.color = "loss", blue
	}
	return a, nil
}

func accuracyAxis() axis {
	a := ticked(scale{lo: 0, hi: 100}, 6)
	a.label, a.color = "accuracy (%)", red
	return a
}

func graphsOf(layers []*shard.Layer, a axis) []graph {
	var g []graph
	for _, l := range layers {
		line := draw.LineStyle{Color: a.color, Width: 1}
		if strings.HasPrefix(l.Name, "test_") {
			line.Dashes = []vg.Length{3.5, 2}
		}
		g = append(g, graph{l, a.scale, line})
	}
	return g
}

// draw joins neighbouring finite values and leaves gaps elsewhere; a value without neighbours is a dot.
func (g graph) draw(p page, r vg.Rectangle, x []float64, place func(float64) vg.Length) {
	frame := draw.Canvas{Canvas: p.Canvas, Rectangle: r}
	var run []vg.Point
	flush := func() {
		if len(run) == 1 && frame.Contains(run[0]) {
			dot(p, run[0], g.style.Color)
		}
		p.StrokeLines(g.style, frame.ClipLinesY(run)...)
		run = nil
	}
	for k, v := range g.layer.Values {
		if classOf(g.layer, k) != finite {
			flush()
			continue
		}
		run = append(run, vg.Point{X: place(x[k]), Y: r.Min.Y + vg.Length(g.scale.high(v))*r.Size().Y})
	}
	flush()
}

func dot(p page, at vg.Point, c color.Color) {
	d := vg.Point{X: 1.2, Y: 1.2}
	p.fill(c, vg.Rectangle{Min: at.Sub(d), Max: at.Add(d)})
}

// lacking tells for each point what to mark it with: the class of the first layer that
// has no finite value there. The legend says which layers lack what, unless all do.
func lacking(left, right []*shard.Layer, points int) ([]class, []entry) {
	marks := make([]class, points)
	has := func(c class) func(*shard.Layer) bool {
		return func(l *shard.Layer) bool {
			for k := range points {
				if classOf(l, k) == c {
					return true
				}
			}
			return false
		}
	}
	var legend []entry
	for c := notANumber; c < classes; c++ {
		var who []string
		everyone := true
		for _, group := range [][]*shard.Layer{left, right} {
			names := namesWhere(group, has(c))
			everyone = everyone && len(names) == len(group)
			if len(names) > 1 && len(names) == len(group) {
				names = []string{strings.TrimPrefix(names[0], "train ")} // train and test
			}
			who = append(who, names...)
		}
		if len(who) == 0 {
			continue
		}
		e := classEntry(c)
		if !everyone {
			e.name += ": " + strings.Join(who, ", ")
		}
		legend = append(legend, e)
	}
	for _, l := range slices.Concat(left, right) {
		for k := range marks {
			if marks[k] == finite {
				marks[k] = classOf(l, k)
			}
		}
	}
	return marks, legend
}

func namesWhere(layers []*shard.Layer, ok func(*shard.Layer) bool) []string {
	var names []string
	for _, l := range layers {
		if ok(l) {
			names = append(names, spoken(l.Name))
		}
	}
	return names
}
