package web

import (
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lsrun/shard"
)

// bowl is a loss over a plane of nx × ny points, with an accuracy that falls as it rises.
func bowl(nx, ny int) *shard.Surface {
	x, y := shard.Axis{Min: -1, Max: 1, N: nx}, shard.Axis{Min: -0.6, Max: 0.6, N: ny}
	s := &shard.Surface{X: x.Coordinates(), Y: y.Coordinates()}
	loss, acc := shard.Layer{Name: "train_loss"}, shard.Layer{Name: "train_acc"}
	for _, b := range s.Y {
		for _, a := range s.X {
			v := 0.05 * math.Pow(10, 2.4*(a*a+1.5*b*b)+0.25*math.Sin(7*a)*math.Cos(9*b))
			loss.Values = append(loss.Values, v)
			loss.Status = append(loss.Status, shard.Done)
			acc.Values = append(acc.Values, 100*math.Exp(-v))
		}
	}
	s.Layers = []shard.Layer{loss, acc}
	return s
}

// descent is a path into the bowl.
var descent = Path{Name: "sgd", X: []float64{-0.9, -0.7, -0.4, -0.2, -0.05, 0}, Y: []float64{0.5, 0.2, 0.25, 0.1, 0.05, 0}, Epochs: []int{0, 1, 2, 5, 10, 30}}

// write writes a page to a file and returns its URL.
func write(t *testing.T, title string, surfaces ...Surface) string {
	t.Helper()
	page, err := Page(title, surfaces)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, page, 0o666); err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func caption(metric string) string {
	return "resnet20, model_8.t7; directions over weights, random (seed 0, idx 0), normalised by filter with biasbn ignored; " +
		"1,000 of 50,000 training images, standard error at most 0.02 (" + metric + ")."
}

// evil is a text that would run, were it taken for anything but text.
const evil = "</script><script>window.evil=1</script><!--<script> <img src=x onerror=window.evil=1> \u2028 ${window.evil=1} {{.Policy}} \" ' &amp;"

func TestTextsOfASurfaceAreDataInThePage(t *testing.T) {
	s := bowl(7, 5)
	s.Layers[1].Name = evil
	page, err := Page(evil, []Surface{{Name: evil, Surface: s, Caption: func(string) string { return evil }, Paths: []Path{{Name: evil, X: []float64{0}, Y: []float64{0}}}}})
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	if n := strings.Count(strings.ToLower(text), "<script"); n != 3 {
		t.Errorf("the page has %d script tags, want its data, library and script", n)
	}
	if strings.Contains(text, "<img") {
		t.Error("the page holds a surface's text as it is")
	}
}

func TestThePageShipsTheLibrarysLicence(t *testing.T) {
	page, err := Page("bowl", []Surface{{Name: "bowl", Surface: bowl(3, 3)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"The MIT License", "three.js authors", "THE SOFTWARE IS PROVIDED"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

func TestSurfacesThatCannotBeShownAreRefused(t *testing.T) {
	line := &shard.Surface{X: []float64{0, 1}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{1, 2}}}}
	point := &shard.Surface{X: []float64{0}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{1}}}}
	falling := bowl(3, 3)
	falling.X[1] = 5
	for _, c := range []struct {
		what     string
		surfaces []Surface
		want     string
	}{
		{"nothing", nil, "needs a surface"},
		{"no metrics", []Surface{{Name: "a.h5", Surface: &shard.Surface{X: []float64{0, 1}}}}, "a.h5: there is nothing to draw"},
		{"a row", []Surface{{Name: "a.h5", Surface: bowl(3, 1)}}, "lsrun plot draws it"},
		{"a point", []Surface{{Name: "a.h5", Surface: point}}, "line of one point"},
		{"a line beside a plane", []Surface{{Name: "a.h5", Surface: bowl(3, 3)}, {Name: "b.h5", Surface: line}}, "a.h5 is a plane and b.h5 a line"},
		{"unordered coordinates", []Surface{{Name: "a.h5", Surface: falling}}, "must be finite and rise"},
		{"a path over a line", []Surface{{Name: "a.h5", Surface: line, Paths: []Path{descent}}}, "a path lies in a plane"},
		{"an empty path", []Surface{{Name: "a.h5", Surface: bowl(3, 3), Paths: []Path{{}}}}, "no checkpoints"},
	} {
		if _, err := Page("title", c.surfaces); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}
