package figure

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

	"lsrun/shard"
)

var update = flag.Bool("update", false, "write the golden pictures")

func picture(t *testing.T, s *shard.Surface, opt Options) image.Image {
	t.Helper()
	return pictureOf(t, alone(s), opt)
}

func pictureOf(t *testing.T, subjects []Subject, opt Options) image.Image {
	t.Helper()
	data, err := DrawAll(subjects, opt, "png")
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestPicturesLookAsTheyDid(t *testing.T) {
	walked := []Subject{{Surfaces: []*shard.Surface{bumpy()}, Paths: []Path{descent()},
		Marks: []Mark{{X: 0.3, Y: 0.5, Kind: Checkpoint, Name: "other.t7"}, {X: 0, Y: 0, Kind: Minimum}}}}
	pair := []Subject{
		{Name: "without skip connections", Surfaces: []*shard.Surface{reference(t, "resnet20_noshort_surface")}},
		{Name: "ResNet-20", Surfaces: []*shard.Surface{reference(t, "resnet20_surface")}},
	}
	seeds := []Subject{{Name: "narrow", Surfaces: parabolas(1, 1)}, {Name: "wide", Surfaces: parabolas(3, 0.6)}}
	for name, c := range map[string]struct {
		subjects []Subject
		opt      Options
	}{
		"curve":   {alone(reference(t, "resnet20_interpolation")), Options{Title: "Interpolation", Caption: "Largest standard error 0.01 over 640 images."}},
		"contour": {alone(bumpy()), Options{}},
		"filled":  {alone(bumpy()), Options{Kind: Filled}},
		"heat":    {alone(reference(t, "resnet20_noshort_surface")), Options{Kind: Heat, Metric: "test_loss"}},
		"path":    {walked, Options{XLabel: "component 1 (83.1 %)", YLabel: "component 2 (9.4 %)"}},
		"dark":    {walked, Options{Style: Dark, Caption: "Light on dark."}},
		"bands":   {seeds, Options{}},
		"panels":  {pair, Options{Kind: Filled, Width: 110}},
		"relief":  {walked, Options{Kind: Relief, VMax: ptr(10.)}},
		"reliefs": {pair, Options{Kind: Relief, Width: 110}},
		"slides":  {seeds, Options{Style: Slides, Width: 130}},
	} {
		if c.opt.Width == 0 {
			c.opt.Width = 60
		}
		got := pictureOf(t, c.subjects, c.opt)
		file := "testdata/" + name + ".png"
		if *update {
			var b bytes.Buffer
			if err := errors.Join(png.Encode(&b, got), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got.Bounds() != want.Bounds() {
			t.Errorf("%s is %v, was %v", name, got.Bounds(), want.Bounds())
			continue
		}
		if n, all := differing(got, want), got.Bounds().Dx()*got.Bounds().Dy(); n > all/1000 {
			t.Errorf("%s: %d of %d pixels differ; look at it, and run with -update if it is right", name, n, all)
		}
	}
}

// differing counts the pixels that differ visibly.
func differing(a, b image.Image) (n int) {
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if !alike(a.At(x, y), b.At(x, y), 32) {
				n++
			}
		}
	}
	return n
}

func alike(a, b color.Color, tolerance int) bool {
	r, g, bl, _ := a.RGBA()
	R, G, B, _ := b.RGBA()
	for _, d := range []int{int(r>>8) - int(R>>8), int(g>>8) - int(G>>8), int(bl>>8) - int(B>>8)} {
		if d < -tolerance || d > tolerance {
			return false
		}
	}
	return true
}

// alone is a surface that is the only subject.
func alone(s *shard.Surface) []Subject { return []Subject{{Surfaces: []*shard.Surface{s}}} }

// chartOf is a plane's chart.
func chartOf(t *testing.T, s *shard.Surface, opt Options) *chart {
	t.Helper()
	charts, err := newCharts(alone(s), opt)
	if err != nil {
		t.Fatal(err)
	}
	return charts[0]
}

// frameOf is where the picture's frame is, in points.
func frameOf(t *testing.T, s *shard.Surface, opt Options) layout {
	t.Helper()
	build := plane
	if s.Y == nil {
		build = curve
	}
	fig, err := build(alone(s), opt)
	if err != nil {
		t.Fatal(err)
	}
	look, err := opt.Style.look()
	if err != nil {
		t.Fatal(err)
	}
	l, err := fig.arrange(opt, look)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// at is the pixel at a fraction of the frame's width and height.
func (l layout) at(img image.Image, x, y float64) color.Color {
	size := l.frames[0].Size()
	px := (l.frames[0].Min.X + vg.Length(x)*size.X).Dots(dotsPerInch)
	py := (l.h - l.frames[0].Min.Y - vg.Length(y)*size.Y).Dots(dotsPerInch)
	return img.At(int(px), int(py))
}

func TestHeatMapShowsEachPointInItsCell(t *testing.T) {
	// Two rows of four: values 0 … 3, then what is not finite, and 6.
	s := &shard.Surface{X: []float64{0, 1, 2, 3}, Y: []float64{5, 6}, Layers: []shard.Layer{{
		Name:   "train_acc",
		Values: []float64{0, 2, 4, 6, math.NaN(), math.Inf(1), math.Inf(-1), 0},
		Status: []shard.Status{shard.Done, shard.Done, shard.Done, shard.Done, shard.NaN, shard.Inf, shard.Inf, shard.Missing},
	}}}
	opt := Options{Kind: Heat, Metric: "train_acc"}
	img, l := picture(t, s, opt), frameOf(t, s, opt)
	for k, want := range []color.Color{viridis(0), viridis(1. / 3), viridis(2. / 3), viridis(1), grey, crimson, black, white} {
		// Beside the middle, where the cross of a missing point is, and somewhere between two lines of a hatched one.
		found := false
		for _, d := range []float64{0.02, 0.03, 0.04, 0.05} {
			found = found || alike(l.at(img, (float64(k%4)+0.5+2*d)/4, (float64(k/4)+0.5)/2), want, 2)
		}
		if !found {
			t.Errorf("the cell of point %d has no pixel of colour %v", k, want)
		}
	}
}

func TestFilledContoursShowTheBandOfTheValue(t *testing.T) {
	axis := shard.Axis{Min: -1, Max: 1, N: 31}
	s := sample(axis, axis, func(x, y float64) float64 {
		if x > 0.5 && y > 0.5 {
			return math.NaN()
		}
		return x
	})
	opt := Options{Kind: Filled, VMin: ptr(-0.9), VMax: ptr(0.9), VLevel: ptr(0.6)} // levels −0.9, −0.3, 0.3, 0.9
	img, l := picture(t, s, opt), frameOf(t, s, opt)
	for k, x := range []float64{0.025, 0.2, 0.45, 0.75, 0.975} {
		if got, want := l.at(img, x, 0.25), viridis(float64(k)/4); !alike(got, want, 2) {
			t.Errorf("at x = %g the colour is %v, want that of band %d, %v", x, got, k, want)
		}
	}
	var hatched, ground int
	for k := range 100 {
		switch c := l.at(img, 0.8+0.001*float64(k), 0.9); {
		case alike(c, grey, 2):
			ground++
		case alike(c, darkGrey, 60):
			hatched++
		}
	}
	if ground < 20 || hatched < 2 {
		t.Errorf("NaN is not hatched grey: %d grey and %d dark pixels of 100", ground, hatched)
	}
}

func TestCurveLeavesAGapAtNaN(t *testing.T) {
	s := &shard.Surface{X: []float64{0, 1, 2, 3, 4}, Layers: []shard.Layer{
		{Name: "train_loss", Values: []float64{1, 1, math.NaN(), 1, 1}},
	}}
	opt := Options{VMin: ptr(0.), VMax: ptr(2.)}
	img, l := picture(t, s, opt), frameOf(t, s, opt)
	for _, x := range []float64{0.05, 0.2, 0.8, 0.95} {
		if c := l.at(img, x, 0.5); !alike(c, blue, 2) {
			t.Errorf("at %g of the width the loss is not drawn: %v", x, c)
		}
	}
	for x := 0.3; x < 0.7; x += 0.01 {
		if c := l.at(img, x, 0.5); alike(c, blue, 40) {
			t.Errorf("at %g of the width, beside NaN, the loss is drawn", x)
		}
	}
}

func TestAccuracyHasAnAxisOfItsOwn(t *testing.T) {
	s := &shard.Surface{X: []float64{0, 1}, Layers: []shard.Layer{
		{Name: "train_loss", Values: []float64{1, 1}}, {Name: "train_acc", Values: []float64{75, 75}},
	}}
	opt := Options{VMin: ptr(0.), VMax: ptr(4.)}
	img, l := picture(t, s, opt), frameOf(t, s, opt)
	if c := l.at(img, 0.4, 0.25); !alike(c, blue, 2) {
		t.Errorf("a loss of 1 is not at a quarter of 0 … 4: %v", c)
	}
	if c := l.at(img, 0.4, 0.75); !alike(c, red, 2) {
		t.Errorf("an accuracy of 75 %% is not at three quarters: %v", c)
	}
}

func TestLabelsLieOnTheirLinesApartFromEachOther(t *testing.T) {
	many := Options{Kind: Contour, VMin: ptr(0.1), VMax: ptr(10.), VLevel: ptr(0.5)}
	for _, drawn := range []struct {
		surface *shard.Surface
		opt     Options
		least   int // labels
	}{
		{bumpy(), Options{Kind: Contour}, 5},
		{reference(t, "resnet20_surface"), Options{Kind: Contour}, 5},
		{reference(t, "resnet20_noshort_surface"), Options{Kind: Contour}, 5},
		{reference(t, "resnet20_surface"), many, 4},
		{bumpy(), many, 2},
	} {
		c := chartOf(t, drawn.surface, drawn.opt)
		r := vg.Rectangle{Max: vg.Point{X: 200, Y: 200}}
		lines := c.contourLines(r)
		labels := placeLabels(r, lines, c.origin(r))
		if len(labels) < drawn.least {
			t.Errorf("only %d labels on %d lines", len(labels), len(lines))
		}
		for n, a := range labels {
			on := pointAt(lines[a.line].pts, (a.start+a.end)/2)
			if distance(on, a.center) > contourSize/2 {
				t.Errorf("label %s is %.1f points off its line", lines[a.line].text, distance(on, a.center))
			}
			for m, other := range lines {
				if m != a.line && covers(a, other.pts) {
					t.Errorf("label %s covers a line of another contour", lines[a.line].text)
				}
			}
			for _, b := range append(labels[:n:n], c.origin(r)) {
				if !apart(a, b) && !apart(b, a) {
					t.Errorf("labels %s and %d overlap", lines[a.line].text, b.line)
				}
			}
		}
	}
}

// covers tells whether any of many points along a line is in the label's box.
func covers(a label, pts []vg.Point) bool {
	for k := 1; k < len(pts); k++ {
		for s := range 50 {
			d := pts[k-1].Add(pts[k].Sub(pts[k-1]).Scale(vg.Length(s) / 50)).Sub(a.center)
			x, y := d.Dot(a.along), d.Dot(vg.Point{X: -a.along.Y, Y: a.along.X})
			if max(x, -x) < a.half.X && max(y, -y) < a.half.Y {
				return true
			}
		}
	}
	return false
}

func TestOfManyLevelsEverySecondIsNamed(t *testing.T) {
	c := chartOf(t, bumpy(), Options{Kind: Contour, VMin: ptr(0.1), VMax: ptr(10.), VLevel: ptr(0.5)})
	var names []string
	for _, l := range c.contourLines(vg.Rectangle{Max: vg.Point{X: 200, Y: 200}}) {
		if l.text != "" && !slices.Contains(names, l.text) {
			names = append(names, l.text)
		}
	}
	if want := []string{"0.1", "1.1", "2.1", "3.1", "4.1", "5.1", "6.1", "7.1", "8.1", "9.1"}; !slices.Equal(names, want) {
		t.Errorf("the levels 0.1, 0.6, … 9.6 are named %v, want %v", names, want)
	}
}

func TestAContourPictureNamesItsMetricWithoutALineSample(t *testing.T) {
	fig, err := plane(alone(bumpy()), Options{Kind: Contour})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range fig.legend {
		names = append(names, e.name)
	}
	if fig.heading != "train loss" || !slices.Equal(names, []string{"NaN", "+∞", "missing"}) {
		t.Errorf("heading %q, legend %v", fig.heading, names)
	}
}

func TestOnlyAxesWithCurvesAreDrawn(t *testing.T) {
	s := reference(t, "resnet20_interpolation")
	for metric, want := range map[string]string{"": "loss | accuracy (%)", "train_loss": "loss", "test_acc": "accuracy (%)"} {
		fig, err := curve(alone(s), Options{Metric: metric})
		if err != nil {
			t.Fatal(err)
		}
		frame := fig.panels[0]
		got := frame.y.label
		if frame.right != nil {
			got += " | " + frame.right.label
		}
		if got != want {
			t.Errorf("metric %q has the axes %q, want %q", metric, got, want)
		}
		if plain := frame.y.color == black; plain != (metric != "") {
			t.Errorf("metric %q: the left axis is black: %t", metric, plain)
		}
	}
}

func TestTextIsWrappedIntoBalancedLines(t *testing.T) {
	room := func(s string) vg.Length { return width(s, captionSize) + 0.01 }
	for _, c := range []struct {
		text, room string // as wide as this
		want       []string
	}{
		{"", "x", nil},
		{"one line", "one line", []string{"one line"}},
		{"nnnn nnnn nnnn nn", "nnnn nnnn nnnn", []string{"nnnn nnnn", "nnnn nn"}}, // not a lonely nn
		{"nnnn batch-norm", "nnnn batch-", []string{"nnnn", "batch-norm"}},
		{"nn 640\u00a0nnn", "nn 640 nn", []string{"nn", "640\u00a0nnn"}},
		{"nnnnnnnnnn", "nnnn", []string{"nnnn", "nnnn", "nn"}}, // a word longer than a line
	} {
		if got := wrap(c.text, captionSize, room(c.room)); !slices.Equal(got, c.want) {
			t.Errorf("%q in the room of %q: %q, want %q", c.text, c.room, got, c.want)
		}
	}
}

func TestALongTitleStaysOnThePage(t *testing.T) {
	s := reference(t, "resnet20_interpolation")
	title := strings.Repeat("A long title of a picture ", 4)
	img := picture(t, s, Options{Title: title})
	size := img.Bounds().Size()
	edge := int(vg.Length(margin - 0.5).Dots(dotsPerInch))
	for y := range size.Y / 5 {
		for x := range edge {
			if !alike(img.At(x, y), white, 2) || !alike(img.At(size.X-1-x, y), white, 2) {
				t.Fatalf("ink in the margin, %d dots from a side and %d from the top", x, y)
			}
		}
	}
	if l := frameOf(t, s, Options{Title: title}); len(l.title) != 2 || strings.Join(l.title, " ") != strings.TrimSpace(title) {
		t.Errorf("the title is set as %q", l.title)
	}
}

// apart tells whether a side of a separates the two boxes.
func apart(a, b label) bool {
	for _, axis := range []struct {
		unit vg.Point
		half vg.Length
	}{{a.along, a.half.X}, {vg.Point{X: -a.along.Y, Y: a.along.X}, a.half.Y}} {
		lo, hi := vg.Length(math.Inf(1)), vg.Length(math.Inf(-1))
		for _, c := range b.corners() {
			d := c.Sub(a.center).Dot(axis.unit)
			lo, hi = min(lo, d), max(hi, d)
		}
		if lo > axis.half || hi < -axis.half {
			return true
		}
	}
	return false
}

func TestEveryFormatIsWhatItSaysAndTheSameEachTime(t *testing.T) {
	for _, s := range []*shard.Surface{bumpy(), reference(t, "resnet20_interpolation")} {
		for _, kind := range Kinds(s) {
			for format, check := range map[string]func(*testing.T, []byte){"png": checkPNG, "svg": checkSVG, "pdf": checkPDF} {
				opt := Options{Kind: kind, Title: "a < b & \"c\" −αβ", Caption: strings.Repeat("words and more ", 20), Width: 70, Height: 65}
				first, err := Draw(s, opt, format)
				if err != nil {
					t.Fatal(err)
				}
				check(t, first)
				again, err := Draw(s, opt, format)
				if err != nil || !bytes.Equal(first, again) {
					t.Errorf("%s as %s differs from one time to the next (%v)", kind, format, err)
				}
			}
		}
	}
}

func checkPNG(t *testing.T, data []byte) {
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	// 70 × 65 mm at 300 dots an inch of 25.4 mm.
	if math.Abs(float64(c.Width)-826.8) > 1 || math.Abs(float64(c.Height)-767.7) > 1 {
		t.Errorf("the picture has %d × %d dots", c.Width, c.Height)
	}
	// The chunk after the header: its length 9, 11811 dots a metre each way, unit 1, the metre; then its sum,
	// as Python's zlib has it.
	if want := "\x00\x00\x00\x09pHYs\x00\x00\x2e\x23\x00\x00\x2e\x23\x01\x78\xa5\x3f\x76"; string(data[33:33+21]) != want {
		t.Errorf("the resolution is written as %q", data[33:33+21])
	}
}

func checkSVG(t *testing.T, data []byte) {
	d := xml.NewDecoder(bytes.NewReader(data))
	root := ""
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("SVG is not well-formed: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok && root == "" {
			root = e.Name.Local
		}
	}
	if root != "svg" {
		t.Errorf("the root element is %q", root)
	}
	data = regexp.MustCompile(`base64,[^"]*`).ReplaceAll(data, nil) // any letters may stand there
	if bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Inf")) {
		t.Error("SVG has a coordinate that is not finite")
	}
}

func checkPDF(t *testing.T, data []byte) {
	if !bytes.HasPrefix(data, []byte("%PDF-1.")) || !bytes.HasSuffix(bytes.TrimSpace(data), []byte("%%EOF")) {
		t.Error("not a PDF file from start to end")
	}
	if n := len(regexp.MustCompile(`/Type /Page\b`).FindAll(data, -1)); n != 1 {
		t.Errorf("%d pages", n)
	}
	for _, date := range regexp.MustCompile(`Date \(D:(\d{8})`).FindAllSubmatch(data, -1) {
		if string(date[1]) != "20000101" { // the same on every day
			t.Errorf("PDF has the date %s", date[1])
		}
	}
}

func TestOddSurfacesAreDrawn(t *testing.T) {
	line := func(v ...float64) *shard.Surface {
		s := &shard.Surface{Layers: []shard.Layer{{Name: "train_loss", Values: v}}}
		for k := range v {
			s.X = append(s.X, float64(k))
		}
		return s
	}
	grid := func(nx, ny int, f func(x, y float64) float64) *shard.Surface {
		axis := func(n int) shard.Axis {
			return shard.Axis{Min: -1, Max: map[bool]float64{true: -1, false: 3}[n == 1], N: n}
		}
		return sample(axis(nx), axis(ny), f)
	}
	at := func(i float64) func(x, y float64) float64 {
		return func(x, y float64) float64 {
			if x == -1 && y == -1 {
				return 7
			}
			return i
		}
	}
	constant := func(x, y float64) float64 { return 2.5 }
	for name, s := range map[string]*shard.Surface{
		"one point of a line": line(1), "a constant line": line(2, 2, 2), "zeros": line(0, 0),
		"one finite value on a line": line(math.NaN(), 3, math.Inf(1)),
		"one point":                  grid(1, 1, constant), "a row": grid(6, 1, bowl), "a column": grid(1, 6, bowl),
		"two by two": grid(2, 2, bowl), "constant": grid(5, 4, constant), "zero": grid(3, 3, func(x, y float64) float64 { return 0 }),
		"one finite value": grid(4, 4, at(math.NaN())), "infinite but one": grid(4, 4, at(math.Inf(-1))),
		"fifteen decades": grid(9, 9, func(x, y float64) float64 { return 1e-3 * math.Pow(10, 15*(x+1)/4) }),
		"negative":        grid(4, 7, func(x, y float64) float64 { return x - 5 }),
		"hardly changing": grid(4, 4, func(x, y float64) float64 { return 1 + 1e-15*x }),
		"tiny":            grid(4, 4, func(x, y float64) float64 { return 1e-310 * (2 + x) }),
	} {
		for _, kind := range Kinds(s) {
			for _, format := range []string{"png", "svg", "pdf"} {
				data, err := Draw(s, Options{Kind: kind, Width: 60}, format)
				if err != nil {
					t.Errorf("%s as %s: %v", name, kind, err)
				} else if format == "svg" {
					checkSVG(t, data)
				}
			}
		}
	}
}

func TestAPictureWithoutContourLinesSaysWhy(t *testing.T) {
	axis := shard.Axis{Min: -1, Max: 1, N: 4}
	fig, err := plane(alone(sample(axis, axis, func(x, y float64) float64 { return 2.5 })), Options{Kind: Contour})
	if err != nil || fig.note != "No contour lines: every finite train loss is 2.5." {
		t.Errorf("note %q, error %v", fig.note, err)
	}
	fig, err = plane(alone(sample(axis, axis, bowl)), Options{Kind: Contour, VMin: ptr(0.5), VLevel: ptr(0.25)})
	if err != nil || fig.note != "Levels 0.5 to 2 in steps of 0.25." {
		t.Errorf("a bowl with levels asked for has the note %q, error %v", fig.note, err)
	}
	fig, err = plane(alone(sample(axis, axis, bowl)), Options{Kind: Contour})
	if err != nil || fig.note != "" {
		t.Errorf("a bowl has the note %q, error %v", fig.note, err)
	}
}

func TestLevelsAreLogarithmicWhenTheLossSpansDecades(t *testing.T) {
	axis := shard.Axis{Min: -1, Max: 1, N: 9}
	wide := sample(axis, axis, func(x, y float64) float64 { return math.Pow(10, 2*x) })
	flat := sample(axis, axis, func(x, y float64) float64 { return 1 + 9*x*x })
	for _, c := range []struct {
		s    *shard.Surface
		opt  Options
		want bool
	}{
		{wide, Options{}, true}, {flat, Options{}, false},
		{wide, Options{Log: ptr(false)}, false}, {flat, Options{Log: ptr(true)}, true},
		{wide, Options{VLevel: ptr(1.)}, false}, // steps are linear
	} {
		if chart := chartOf(t, c.s, c.opt); chart.scale.log != c.want {
			t.Errorf("%+v: logarithmic %t", c.opt, chart.scale.log)
		}
	}
}

func TestWhatCannotBeDrawnIsRefusedWithAReason(t *testing.T) {
	axis := shard.Axis{Min: -1, Max: 1, N: 3}
	bowls := sample(axis, axis, bowl)
	nan := sample(axis, axis, func(x, y float64) float64 { return math.NaN() })
	line := reference(t, "resnet20_interpolation")
	for _, c := range []struct {
		s      *shard.Surface
		opt    Options
		format string
		want   string
	}{
		{line, Options{Metric: "max_eig"}, "png", "there is no max_eig: the surface has train_loss, train_acc, test_loss, test_acc"},
		{bowls, Options{Metric: "test_loss"}, "png", "there is no test_loss: the surface has train_loss"},
		{&shard.Surface{X: []float64{0}}, Options{}, "png", "no metrics at all"},
		{nan, Options{}, "png", "no finite value of train_loss to draw"},
		{nan, Options{Kind: Heat}, "pdf", "no finite value of train_loss to draw"},
		{bowls, Options{Log: ptr(true)}, "png", "cannot draw train loss on a logarithmic scale from 0: give a positive vmin"},
		{bowls, Options{Kind: Curve}, "png", `3 × 3 points cannot be drawn as "curve", only as [contour filled heat relief]`},
		{line, Options{Kind: Heat}, "png", `11 points on a line cannot be drawn as "heat"`},
		{bowls, Options{}, "gif", `unknown picture format "gif": use png, svg or pdf`},
		{bowls, Options{VMin: ptr(2.), VMax: ptr(1.)}, "png", "vmin must be under vmax"},
		{bowls, Options{VMax: ptr(math.NaN())}, "png", "must be finite"},
		{bowls, Options{VLevel: ptr(-1.)}, "png", "the step must be positive"},
		{bowls, Options{Width: 20, Height: 20}, "png", "too little room"},
		{bowls, Options{Width: 5000}, "png", "0 (automatic) to 1000 mm"},
		{&shard.Surface{X: []float64{0, 0}, Layers: line.Layers}, Options{}, "png", "x coordinates must be finite and rise, but number 1 is 0"},
		{&shard.Surface{X: []float64{0, 1}, Layers: line.Layers}, Options{}, "png", "layer train_loss has 11 values"},
		{&shard.Surface{}, Options{}, "png", "no x coordinates"},
		{sample(axis, axis, func(x, y float64) float64 { return 1e308 * x }), Options{}, "png", "draw it on a logarithmic one, or give vmin and vmax"},
	} {
		_, err := Draw(c.s, c.opt, c.format)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.opt, err, c.want)
		}
	}
}

func TestLogarithmicScaleTakesZeroWithAPositiveVMin(t *testing.T) {
	axis := shard.Axis{Min: -1, Max: 1, N: 5}
	s := sample(axis, axis, bowl) // 0 in the middle
	for _, kind := range Kinds(s) {
		if _, err := Draw(s, Options{Kind: kind, Log: ptr(true), VMin: ptr(0.01)}, "svg"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestKindsFitTheSurface(t *testing.T) {
	for _, c := range []struct {
		s    shard.Surface
		want []Kind
	}{
		{shard.Surface{X: make([]float64, 5)}, []Kind{Curve}},
		{shard.Surface{X: make([]float64, 5), Y: make([]float64, 2)}, []Kind{Contour, Filled, Heat, Relief}},
		{shard.Surface{X: make([]float64, 5), Y: make([]float64, 1)}, []Kind{Heat}},
	} {
		if got := Kinds(&c.s); !slices.Equal(got, c.want) {
			t.Errorf("%d × %d points: %v, want %v", len(c.s.X), len(c.s.Y), got, c.want)
		}
	}
}

// Whatever the values, Draw returns a picture or an error.
func FuzzDraw(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 250, 251, 252, 0, 9}, uint8(3), false, 0.1, 2.0, 0.5)
	f.Add([]byte{7, 7, 7, 7}, uint8(2), true, 0.0, 0.0, 0.0)
	f.Add([]byte{9, 240, 30}, uint8(0), true, 1e-300, 1e300, 1e-9)
	f.Fuzz(func(t *testing.T, raw []byte, nx uint8, log bool, vmin, vmax, vlevel float64) {
		special := map[byte]float64{250: math.NaN(), 251: math.Inf(1), 252: math.Inf(-1), 253: 1e308, 254: -1e308, 255: 5e-324}
		l := shard.Layer{Name: "train_loss"}
		for _, b := range raw[:min(len(raw), 100)] {
			v, ok := special[b]
			if !ok {
				v = (float64(b) - 20) * math.Pow(10, float64(b%20)-8)
			}
			l.Values = append(l.Values, v)
		}
		s := &shard.Surface{}
		n := len(l.Values)
		if w := int(nx % 12); w > 0 {
			for j := range n / w {
				s.Y = append(s.Y, float64(j*j))
			}
			n = w
			l.Values = l.Values[:w*len(s.Y)]
		}
		for i := range n {
			s.X = append(s.X, float64(i)-2)
		}
		s.Layers = []shard.Layer{l}
		for _, kind := range Kinds(s) {
			opt := Options{Kind: kind, Log: &log, Width: 35} // small, to be quick
			for _, o := range []struct {
				to **float64
				v  *float64
			}{{&opt.VMin, &vmin}, {&opt.VMax, &vmax}, {&opt.VLevel, &vlevel}} {
				if *o.v != 0 {
					*o.to = o.v
				}
			}
			if data, err := Draw(s, opt, "svg"); err == nil {
				checkSVG(t, data)
			}
		}
	})
}
