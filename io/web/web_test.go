package web

import (
	"math"
	"os"
	"path/filepath"
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
			acc.Values = append(acc.Values, 100*math.Exp(-v))
		}
	}
	s.Layers = []shard.Layer{loss, acc}
	return s
}

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
	return "file://" + path
}

func TestDraft(t *testing.T) {
	path := Path{X: []float64{-0.9, -0.7, -0.4, -0.2, -0.05, 0}, Y: []float64{0.5, 0.2, 0.25, 0.1, 0.05, 0}}
	b := open(t, write(t, "draft", Surface{Name: "surface.h5", Surface: bowl(101, 61), Paths: []Path{path}, Caption: func(m string) string { return "Caption of " + m }}), desktop)
	b.keep("draft")
}
