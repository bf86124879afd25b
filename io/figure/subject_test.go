package figure

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"image"
	"image/color"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/plot/vg"

	"lsrun/shard"
)

func TestABandIsMeanAndStandardDeviation(t *testing.T) {
	lines := parabolas(2, 1)
	lines[3].Layers[0].Values[7] = math.NaN()
	b, err := newBand(Subject{Surfaces: lines}, "train_loss")
	if err != nil {
		t.Fatal(err)
	}
	for k := range b.x {
		var values []float64
		for _, s := range lines {
			values = append(values, s.Layers[0].Values[k])
		}
		mean, deviation := stat.MeanStdDev(values, nil)
		if k == 7 {
			if !math.IsNaN(b.mean.Values[k]) {
				t.Errorf("where one line is NaN the mean is %g", b.mean.Values[k])
			}
			continue
		}
		for _, c := range [][2]float64{{b.mean.Values[k], mean}, {b.low.Values[k], mean - deviation}, {b.high.Values[k], mean + deviation}} {
			if math.Abs(c[0]-c[1]) > 1e-12 {
				t.Errorf("point %d: %g, want %g", k, c[0], c[1])
			}
		}
	}
	fig, err := bands([]Subject{{Surfaces: lines}}, Options{Metric: "train_loss"})
	if err != nil || !strings.Contains(fig.note, "gaps") || !strings.Contains(fig.note, "one standard deviation") {
		t.Errorf("the note says %q, error %v", fig.note, err)
	}
}

func TestPanelsHaveOneScale(t *testing.T) {
	grid := shard.Axis{Min: -1, Max: 1, N: 9}
	low := sample(grid, grid, func(x, y float64) float64 { return 1 + x/10 })
	high := sample(grid, grid, func(x, y float64) float64 { return 9 + x })
	subjects := []Subject{{Name: "low", Surfaces: []*shard.Surface{low}}, {Name: "high", Surfaces: []*shard.Surface{high}}}
	charts, err := newCharts(subjects, Options{Kind: Heat})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range charts {
		if c.scale.lo != 0.9 || c.scale.hi != 10 || !slices.Equal(c.levels, charts[0].levels) {
			t.Errorf("%s has the scale %v with the levels %v", c.subject.Name, c.scale, c.levels)
		}
	}
	// The same value has the same colour in both.
	img := pictureOf(t, subjects, Options{Kind: Heat})
	fig, err := plane(subjects, Options{Kind: Heat})
	if err != nil {
		t.Fatal(err)
	}
	look, _ := Paper.look()
	l, err := fig.arrange(Options{}, look)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range []float64{1, 9} {
		r := l.frames[k]
		x, y := (r.Min.X+r.Max.X)/2, l.h-(r.Min.Y+0.55*r.Size().Y)
		if got := img.At(int(x.Dots(dotsPerInch)+8), int(y.Dots(dotsPerInch)+8)); !alike(got, viridis((v-0.9)/9.1), 3) {
			t.Errorf("%g has the colour %v in panel %d", v, got, k)
		}
	}
}

func TestAPathIsDrawnWhereItsCheckpointsAre(t *testing.T) {
	grid := shard.Axis{Min: -1, Max: 1, N: 9}
	s := sample(grid, grid, func(x, y float64) float64 { return 5 + x })
	path := Path{X: []float64{-0.8, 0.02, 0.6, 7}, Y: []float64{-0.8, 0.02, -0.3, 0.1}, Epochs: []int{0, 150, 225, 300}, Drops: []int{1}}
	subjects := []Subject{{Surfaces: []*shard.Surface{s}, Paths: []Path{path}}}
	opt := Options{Kind: Contour, VLevel: ptr(100.)}
	img, l := pictureOf(t, subjects, opt), frameOf(t, s, opt)
	// The legend takes a line: measure with it.
	fig, err := plane(subjects, opt)
	if err != nil {
		t.Fatal(err)
	}
	look, _ := Paper.look()
	if l, err = fig.arrange(opt, look); err != nil {
		t.Fatal(err)
	}
	for k, want := range []ink{black, red, black} {
		if got := l.at(img, (path.X[k]+1)/2, (path.Y[k]+1)/2); !alike(got, want, 3) {
			t.Errorf("checkpoint %d has the colour %v", k, got)
		}
	}
	if got := l.at(img, (-0.39+1)/2, (-0.39+1)/2); !alike(got, black, 3) {
		t.Errorf("half way between the first two checkpoints the colour is %v", got)
	}
	if got := l.at(img, 1, 0.5+(-0.3+0.4/6.4*0.4)/2); alike(got, white, 3) {
		t.Errorf("the path does not leave the frame: %v", got)
	}
	if len(fig.legend) != 1 || fig.legend[0].name != "learning rate drops" {
		t.Errorf("the legend is %v", fig.legend)
	}
}

func TestTheEndsAndTheDropsOfAPathAreNamedFirst(t *testing.T) {
	p := descent()
	names := p.named()
	if !slices.Equal(names[:4], []int{0, 30, 15, 22}) || len(names) > 4+mostNumbers {
		t.Errorf("named are %v", names)
	}
	one := Path{X: []float64{0}, Y: []float64{0}, Epochs: []int{7}}
	if names := one.named(); !slices.Equal(names, []int{0}) {
		t.Errorf("of one checkpoint %v are named", names)
	}
}

func TestStylesChangeColoursAndSizes(t *testing.T) {
	s := reference(t, "resnet20_surface")
	paper, dark, slides := picture(t, s, Options{}), picture(t, s, Options{Style: Dark}), picture(t, s, Options{Style: Slides})
	if !alike(paper.At(2, 2), rgb(0xffffff), 0) || !alike(dark.At(2, 2), rgb(0x14171c), 0) || !alike(slides.At(2, 2), rgb(0xffffff), 0) {
		t.Errorf("the grounds are %v, %v and %v", paper.At(2, 2), dark.At(2, 2), slides.At(2, 2))
	}
	if paper.Bounds() != dark.Bounds() {
		t.Errorf("dark is %v, paper %v", dark.Bounds(), paper.Bounds())
	}
	if w := float64(slides.Bounds().Dx()); math.Abs(w-240/25.4*dotsPerInch) > 1 {
		t.Errorf("slides are %g dots wide", w)
	}
	// At equal relative width a picture is the same but for its size.
	small, large := frameOf(t, s, Options{Width: 100}), frameOf(t, s, Options{Width: 220, Style: Slides})
	if d := small.frames[0].Max.Sub(large.frames[0].Max); math.Abs(float64(d.X))+math.Abs(float64(d.Y)) > 1e-6 {
		t.Errorf("the frames are %v and %v", small.frames[0], large.frames[0])
	}
	if _, err := Draw(s, Options{Style: "poster"}, "png"); err == nil || !strings.Contains(err.Error(), "use paper, slides or dark") {
		t.Errorf("an unknown style: %v", err)
	}
}

func TestThePictureFileSaysWhatItShows(t *testing.T) {
	const facts = "α & <β>: 1,000 images; BN frozen"
	s := reference(t, "resnet20_surface")
	for _, opt := range []Options{{Caption: facts}, {Facts: facts, Caption: "short"}} {
		for format, say := range map[string]func(*testing.T, []byte) string{"png": pngText, "svg": svgText, "pdf": pdfText} {
			data, err := Draw(s, opt, format)
			if err != nil {
				t.Fatal(err)
			}
			if got := say(t, data); got != facts {
				t.Errorf("%s says %q", format, got)
			}
		}
	}
}

// pngText is the text of the chunk iTXt, after checking the sums of all chunks.
func pngText(t *testing.T, data []byte) (text string) {
	for at := 8; at < len(data); {
		n := int(binary.BigEndian.Uint32(data[at:]))
		chunk := data[at+4 : at+8+n]
		if got := binary.BigEndian.Uint32(data[at+8+n:]); got != crc32.ChecksumIEEE(chunk) {
			t.Fatalf("chunk %s has a wrong sum", chunk[:4])
		}
		if after, ok := bytes.CutPrefix(chunk, []byte("iTXtDescription\x00\x00\x00\x00\x00")); ok {
			text = string(after)
		}
		at += 12 + n
	}
	return text
}

func svgText(t *testing.T, data []byte) string {
	checkSVG(t, data)
	found := regexp.MustCompile(`<desc>(.*)</desc>`).FindSubmatch(data)
	if found == nil {
		return ""
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(string(found[1]))
}

// pdfText is the subject in the information dictionary that the last cross-reference section names.
func pdfText(t *testing.T, data []byte) string {
	checkPDF(t, data)
	starts := regexp.MustCompile(`startxref\s+(\d+)`).FindAllSubmatch(data, -1)
	at, err := strconv.Atoi(string(starts[len(starts)-1][1]))
	if err != nil || !bytes.HasPrefix(data[at:], []byte("xref\n")) {
		t.Fatalf("startxref %d leads to %q", at, data[at:min(at+10, len(data))])
	}
	section := regexp.MustCompile(`^xref\n(\d+) 1\n(\d{10}) 00000 n \ntrailer\n<< /Size \d+ /Root \d+ 0 R /Info (\d+) 0 R /Prev (\d+) >>`).FindSubmatch(data[at:])
	if section == nil || !bytes.Equal(section[1], section[3]) || string(section[4]) != string(starts[0][1]) {
		t.Fatalf("the last section is %q", data[at:])
	}
	object, _ := strconv.Atoi(string(section[2]))
	dictionary := regexp.MustCompile(`^(\d+) 0 obj\n<<.*/Subject <FEFF([0-9A-F]*)> >>`).FindSubmatch(data[object:])
	if dictionary == nil || !bytes.Equal(dictionary[1], section[1]) {
		t.Fatalf("object %s is %q", section[1], data[object:object+40])
	}
	raw, err := hex.DecodeString(string(dictionary[2]))
	if err != nil {
		t.Fatal(err)
	}
	var units []uint16
	for k := 0; k+1 < len(raw); k += 2 {
		units = append(units, binary.BigEndian.Uint16(raw[k:]))
	}
	return string(utf16.Decode(units))
}

func TestSubjectsThatCannotBeDrawnTogetherAreRefused(t *testing.T) {
	grid := shard.Axis{Min: -1, Max: 1, N: 5}
	bowls := sample(grid, grid, bowl)
	bare := sample(grid, grid, func(x, y float64) float64 { return math.NaN() })
	line := reference(t, "resnet20_interpolation")
	other := parabolas(1, 1)[0]
	point := &shard.Surface{X: []float64{0}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{1}}}}
	for _, c := range []struct {
		subjects []Subject
		opt      Options
		want     string
	}{
		{nil, Options{}, "nothing to draw"},
		{[]Subject{{Name: "a"}}, Options{}, "a: there is no surface"},
		{[]Subject{{Name: "a", Surfaces: []*shard.Surface{line, other}}}, Options{}, "a: its lines have different coordinates (11 points on a line and 41 points"},
		{[]Subject{{Surfaces: []*shard.Surface{bowls, bowls}}}, Options{}, "several planes have no mean picture"},
		{[]Subject{{Surfaces: []*shard.Surface{bowls}}, {Name: "b", Surfaces: []*shard.Surface{line}}}, Options{}, `b: a surface of 11 points on a line cannot be drawn as "contour"`},
		{[]Subject{{Surfaces: []*shard.Surface{bowls}}, {Name: "b", Surfaces: []*shard.Surface{bare}}}, Options{}, "b: no finite value of train_loss"},
		{[]Subject{{Surfaces: []*shard.Surface{line}}, {Name: "b", Surfaces: []*shard.Surface{other}}}, Options{Metric: "train_acc"}, "b: there is no train_acc"},
		{[]Subject{{Surfaces: []*shard.Surface{bowls}, Paths: []Path{{X: []float64{0}}}}}, Options{}, "1 x, 0 y coordinates and 0 epochs"},
		{[]Subject{{Surfaces: []*shard.Surface{bowls}, Paths: []Path{{X: []float64{math.NaN()}, Y: []float64{0}, Epochs: []int{0}}}}}, Options{}, "must be finite"},
	} {
		if _, err := DrawAll(c.subjects, c.opt, "png"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
	if _, err := Draw(point, Options{}, "png"); err != nil {
		t.Errorf("one point on a line: %v", err)
	}
}

func TestTextsOfAPathKeepApart(t *testing.T) {
	r := vg.Rectangle{Max: vg.Point{X: 200, Y: 200}}
	c := chartOf(t, bumpy(), Options{})
	c.subject.Paths = []Path{descent()}
	pts, texts := c.onPage(r, descent()), c.epochs(r)
	if len(texts) < 4 {
		t.Errorf("only %d epochs are named", len(texts))
	}
	var keepOut []label
	for n, a := range texts {
		keepOut = append(keepOut, a.label)
		if covers(a.label, pts) {
			t.Errorf("text %d covers the path", n)
		}
		for _, b := range texts[:n] {
			if !apart(a.label, b.label) && !apart(b.label, a.label) {
				t.Errorf("%s and %s overlap", a.text, b.text)
			}
		}
	}
	for _, l := range placeLabels(r, c.contourLines(r), keepOut...) {
		for _, a := range texts {
			if !apart(a.label, l) && !apart(l, a.label) {
				t.Errorf("epoch %s overlaps the label of a contour", a.text)
			}
		}
	}
}

// A PDF image's first row is at the upper end of the unit square, which the matrices before it map onto the page.
func TestImagesInAPDFStandUpright(t *testing.T) {
	l, err := Paper.look()
	if err != nil {
		t.Fatal(err)
	}
	p, finish, err := newPage(100, 100, "pdf", l, "")
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewNRGBA(image.Rect(0, 0, 1, 2)) // red over blue
	img.Set(0, 0, color.NRGBA{R: 255, A: 255})
	img.Set(0, 1, color.NRGBA{B: 255, A: 255})
	p.DrawImage(vg.Rectangle{Min: vg.Point{X: 10, Y: 20}, Max: vg.Point{X: 50, Y: 80}}, img)
	data, err := finish()
	if err != nil {
		t.Fatal(err)
	}
	upright, firstRed, images := true, false, 0
	for _, object := range regexp.MustCompile(`(?s)obj\s*<<(.*?)>>\s*stream\r?\n(.*?)\r?\nendstream`).FindAllSubmatch(data, -1) {
		body := object[2]
		if bytes.Contains(object[1], []byte("/FlateDecode")) {
			z, err := zlib.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		switch before, _, drawn := bytes.Cut(body, []byte(" Do")); {
		case drawn:
			for _, m := range regexp.MustCompile(`\S+ \S+ \S+ (\S+) \S+ \S+ cm`).FindAllSubmatch(before, -1) {
				upright = upright != bytes.HasPrefix(m[1], []byte("-"))
			}
		case bytes.Contains(object[1], []byte("/Subtype /Image")) && bytes.Contains(object[1], []byte("/DeviceRGB")):
			images++
			firstRed = body[1] == 255 && body[3] == 0 // after the row's filter, which leaves a first pixel of a first row alone
		}
	}
	if images != 1 {
		t.Fatalf("%d images were found", images)
	}
	if upright != firstRed {
		t.Errorf("the matrices keep the image upright: %t; its first row is the upper one: %t", upright, firstRed)
	}
}
