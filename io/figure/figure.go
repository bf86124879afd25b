// Package figure draws surfaces (shard.Surface) for publication, as PNG, SVG or PDF.
//
// A line becomes loss and accuracy over α with two vertical axes, or, where there are several lines, curves with the
// band of their seeds; a plane becomes labelled contour lines, filled contours, a heat map over α and β, or a shaded surface
// in space, with paths of checkpoints on it; several planes become panels with one scale. Values are drawn as what they
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
	Relief  Kind = "relief"  // the surface in space, lit, with a colour bar
)

// Kinds are the ways to draw s, the customary first. Contours need two points on each axis.
func Kinds(s *shard.Surface) []Kind {
	switch {
	case s.Y == nil:
		return []Kind{Curve}
	case len(s.X) < 2 || len(s.Y) < 2:
		return []Kind{Heat}
	}
	return []Kind{Contour, Filled, Heat, Relief}
}

// Options say how to draw. Their zero value is a good picture.
type Options struct {
	Kind   Kind   // "" for the first of Kinds
	Metric string // a layer; "" for train_loss, and on a line for loss and accuracy of train and test
	// Log draws losses on a logarithmic scale. nil chooses it for a plane whose loss
	// is positive and spans two decades or more.
	Log *bool
	// VMin and VMax bound the values drawn (on a line: the left axis); beyond them a colour stays
	// that of the bound, and a relief ends at VMax. VLevel is the distance of contour levels, counted from VMin.
	VMin, VMax, VLevel *float64
	XLabel, YLabel     string  // of the axes of a line or plane; "" for α and β
	Title, Caption     string  // wrapped, but not at no-break spaces; digits after ^ are raised
	Facts              string  // what the file says about the picture; "" for the caption
	Style              Style   // "" for Paper
	Width, Height      float64 // in mm; 0 for what suits the style, and the height that suits
	// Azimuth and Elevation are where a relief is seen from, in degrees: turned from the α axis towards the
	// β axis, and above the plane. nil for −60 and 40.
	Azimuth, Elevation *float64
}

// Unsuitable is the error of Options that cannot be met, or not for what is drawn.
type Unsuitable struct{ text string }

func (e Unsuitable) Error() string { return e.text }

func unsuitable(format string, args ...any) error { return Unsuitable{fmt.Sprintf(format, args...)} }

// Subject is what a panel or a curve shows.
type Subject struct {
	Name string // above the panel, or in the legend; "" for none
	// Surfaces is a plane, or lines that differ in their seeds: the curve is their mean.
	Surfaces []*shard.Surface
	Paths    []Path // on the plane
	Marks    []Mark // on the plane
}

// Draw returns the picture of one surface as a file of the given format: "png" (300 dots an inch), "svg" or "pdf".
func Draw(s *shard.Surface, opt Options, format string) ([]byte, error) {
	return DrawAll([]Subject{{Surfaces: []*shard.Surface{s}}}, opt, format)
}

// DrawAll is Draw for several subjects: curves in one frame, or planes side by side with one scale for all.
func DrawAll(subjects []Subject, opt Options, format string) ([]byte, error) {
	if err := check(subjects); err != nil {
		return nil, err
	}
	first := subjects[0].Surfaces[0]
	kinds := Kinds(first)
	if opt.Kind == "" {
		opt.Kind = kinds[0]
	}
	for _, s := range subjects {
		if kinds := Kinds(s.Surfaces[0]); !slices.Contains(kinds, opt.Kind) {
			return nil, unsuitable("%sa surface of %s cannot be drawn as %q, only as %v", s.prefix(), s.Surfaces[0].Extent(), opt.Kind, kinds)
		}
	}
	build := plane
	if opt.Kind == Curve {
		build = curve
	}
	fig, err := build(subjects, opt)
	if err != nil {
		return nil, err
	}
	return fig.encode(opt, format)
}

// prefix names the subject in an error.
func (s Subject) prefix() string {
	if s.Name == "" {
		return ""
	}
	return s.Name + ": "
}

// check returns an error unless every subject has something to draw.
func check(subjects []Subject) error {
	if len(subjects) == 0 {
		return fmt.Errorf("there is nothing to draw")
	}
	for _, s := range subjects {
		if len(s.Surfaces) == 0 {
			return fmt.Errorf("%sthere is no surface to draw", s.prefix())
		}
		for _, surface := range s.Surfaces {
			if err := surface.Check(); err != nil {
				return fmt.Errorf("%s%w", s.prefix(), err)
			}
		}
		if first := s.Surfaces[0]; len(s.Surfaces) > 1 {
			for _, other := range s.Surfaces[1:] {
				if first.Y != nil || other.Y != nil {
					return fmt.Errorf("%sseveral planes have no mean picture: draw each in a panel of its own", s.prefix())
				}
				if !slices.Equal(first.X, other.X) {
					return fmt.Errorf("%sits lines have different coordinates (%s and %s): a mean needs the same", s.prefix(), first.Extent(), other.Extent())
				}
			}
		}
		for _, p := range s.Paths {
			if err := p.check(); err != nil {
				return fmt.Errorf("%s%w", s.prefix(), err)
			}
		}
	}
	return nil
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
