// Package figure draws a shard.Surface for publication, as PNG, SVG or PDF.
//
// A line becomes loss and accuracy over α with two vertical axes; a plane becomes labelled
// contour lines, filled contours or a heat map over α and β. Values are drawn as what they
// are: interpolation is linear (in the logarithm, where the scale is logarithmic) and only
// between four neighbouring finite values; NaN, ±Inf and missing points get marks of their
// own, which the legend explains.
//
// Lengths are in points (1/72 inch) inside, in millimetres in Options. Text is drawn as
// outlines of gonum/plot's Liberation Sans: a picture looks the same everywhere, may use any
// letter of the font (the PDF back end of gonum/plot alone knows only Latin-1), and equal
// input gives equal bytes.
package figure

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"lsrun/shard"
)

// Kind is a way to draw a surface.
type Kind string

const (
	Curve   Kind = "curve"   // lines over α
	Contour Kind = "contour" // contour lines with labels
	Filled  Kind = "filled"  // the bands between contour lines, with a colour bar
	Heat    Kind = "heat"    // one cell a point, with a colour bar
)

// Kinds are the ways to draw s, the customary first. Contours need two points on each axis.
func Kinds(s *shard.Surface) []Kind {
	switch {
	case s.Y == nil:
		return []Kind{Curve}
	case len(s.X) < 2 || len(s.Y) < 2:
		return []Kind{Heat}
	}
	return []Kind{Contour, Filled, Heat}
}

// Options say how to draw. Their zero value is a good picture.
type Options struct {
	Kind   Kind   // "" for the first of Kinds
	Metric string // a layer; "" for train_loss, and on a line for loss and accuracy of train and test
	// Log draws losses on a logarithmic scale. nil chooses it for a plane whose loss
	// is positive and spans two decades or more.
	Log *bool
	// VMin and VMax bound the values drawn (on a line: the left axis); beyond them a colour stays
	// that of the bound. VLevel is the distance of contour levels, counted from VMin.
	VMin, VMax, VLevel *float64
	XLabel             string  // of a curve's horizontal axis; "" for α
	Title, Caption     string  // wrapped, but not at no-break spaces; digits after ^ are raised
	Width, Height      float64 // in mm; 0 for one column, 88 mm, and the height that suits
}

// Draw returns the picture as a file of the given format: "png" (300 dots an inch), "svg" or "pdf".
func Draw(s *shard.Surface, opt Options, format string) ([]byte, error) {
	if err := check(s); err != nil {
		return nil, err
	}
	kinds := Kinds(s)
	if opt.Kind == "" {
		opt.Kind = kinds[0]
	}
	if !slices.Contains(kinds, opt.Kind) {
		return nil, fmt.Errorf("a surface of %s cannot be drawn as %q, only as %v", extent(s), opt.Kind, kinds)
	}
	build := plane
	if opt.Kind == Curve {
		build = curve
	}
	fig, err := build(s, opt)
	if err != nil {
		return nil, err
	}
	return fig.encode(opt, format)
}

func extent(s *shard.Surface) string {
	if s.Y == nil {
		return fmt.Sprintf("%d points on a line", len(s.X))
	}
	return fmt.Sprintf("%d × %d points", len(s.X), len(s.Y))
}

// check returns an error unless s has rising coordinates and layers of its size.
func check(s *shard.Surface) error {
	points := len(s.X)
	if err := rising("x", s.X); err != nil {
		return err
	}
	if s.Y != nil {
		points *= len(s.Y)
		if err := rising("y", s.Y); err != nil {
			return err
		}
	}
	for _, l := range s.Layers {
		if len(l.Values) != points || l.Status != nil && len(l.Status) != points {
			return fmt.Errorf("layer %s has %d values and %d statuses for %s", l.Name, len(l.Values), len(l.Status), extent(s))
		}
	}
	return nil
}

func rising(name string, c []float64) error {
	if len(c) == 0 {
		return fmt.Errorf("the surface has no %s coordinates", name)
	}
	for i, v := range c {
		if math.IsNaN(v) || math.IsInf(v, 0) || i > 0 && v <= c[i-1] {
			return fmt.Errorf("the surface's %s coordinates must be finite and rise, but number %d is %g", name, i, v)
		}
	}
	return nil
}

// find returns the layer called name, or an error that lists what there is.
func find(s *shard.Surface, name string) (*shard.Layer, error) {
	if l := s.Layer(name); l != nil {
		return l, nil
	}
	var names []string
	for _, l := range s.Layers {
		names = append(names, l.Name)
	}
	if names == nil {
		return nil, fmt.Errorf("there is no %s to draw: the surface has no metrics at all", name)
	}
	return nil, fmt.Errorf("there is no %s to draw: the surface has %s", name, strings.Join(names, ", "))
}

// spoken is a metric's name in words: "train loss".
func spoken(name string) string {
	switch name {
	case "eig_ratio":
		return "|λmin/λmax|"
	case "signed_eig_ratio":
		return "λmin/λmax"
	}
	return strings.NewReplacer("_acc", " accuracy", "_eig", " eigenvalue", "_", " ").Replace(name)
}

// quantity is a metric's name in words with its unit.
func quantity(name string) string {
	if isAccuracy(name) {
		return spoken(name) + " (%)"
	}
	return spoken(name)
}

func isAccuracy(name string) bool { return strings.HasSuffix(name, "_acc") }
func isLoss(name string) bool     { return strings.HasSuffix(name, "_loss") }
