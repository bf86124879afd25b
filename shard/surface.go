package shard

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Surface is what was computed over a grid. Arrays have one element a point, numbered as
// in Grid, so that a plane is an (ny, nx) array with y as its first axis.
type Surface struct {
	DirFile string    // the direction file's name, as the paper's scripts want it
	X       []float64 // nx coordinates
	Y       []float64 // ny coordinates; nil for a line
	Layers  []Layer   // in the plan's order
	// Plan is the plan's canonical bytes; nil for files that lsrun did not write.
	Plan []byte
	// Notes are further facts, by name: versions, kernels, hosts.
	Notes map[string]string
}

// Layer is one metric over the grid.
type Layer struct {
	Name   string
	Values []float64
	Status []Status             // nil for files that lsrun did not write
	Beside map[string][]float64 // standard errors and the like
}

// Layer returns the layer called name, or nil.
func (s *Surface) Layer(name string) *Layer {
	for i := range s.Layers {
		if s.Layers[i].Name == name {
			return &s.Layers[i]
		}
	}
	return nil
}

// UnknownMetric is the error of who asks for a layer that a surface does not have.
type UnknownMetric struct {
	Name string
	Has  []string
}

func (e UnknownMetric) Error() string {
	if e.Has == nil {
		return fmt.Sprintf("there is no %s: the surface has no metrics at all", e.Name)
	}
	return fmt.Sprintf("there is no %s: the surface has %s", e.Name, strings.Join(e.Has, ", "))
}

// Find returns the layer called name, or an UnknownMetric.
func (s *Surface) Find(name string) (*Layer, error) {
	if l := s.Layer(name); l != nil {
		return l, nil
	}
	var names []string
	for _, l := range s.Layers {
		names = append(names, l.Name)
	}
	return nil, UnknownMetric{name, names}
}

// Check returns an error unless s has finite, rising coordinates and layers of its size.
func (s *Surface) Check() error {
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
			return fmt.Errorf("layer %s has %d values and %d statuses for %s", l.Name, len(l.Values), len(l.Status), s.Extent())
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

// Extent says how large the surface is: "11 points on a line", "5 × 3 points".
func (s *Surface) Extent() string {
	switch {
	case s.Y != nil:
		return fmt.Sprintf("%d × %d points", len(s.X), len(s.Y))
	case len(s.X) == 1:
		return "one point on a line"
	}
	return fmt.Sprintf("%d points on a line", len(s.X))
}

// Computed reports whether the layer has a value at point k, which may be NaN or ±Inf.
func (l *Layer) Computed(k int) bool {
	if l.Status == nil {
		return true
	}
	switch l.Status[k] {
	case Missing, Failed, NotPlanned:
		return false
	}
	return true
}

// Planned is the part of the surface over the points at which the named layer was planned: the rows and
// columns that have any. It is s itself where that is all of it, or where there is no such layer.
func (s *Surface) Planned(name string) *Surface {
	layer := s.Layer(name)
	if layer == nil || !slices.Contains(layer.Status, NotPlanned) {
		return s
	}
	width := len(s.X)
	keepX, keepY := make([]bool, width), make([]bool, max(len(s.Y), 1))
	for k, status := range layer.Status {
		if status != NotPlanned {
			keepX[k%width], keepY[k/width] = true, true
		}
	}
	part := &Surface{DirFile: s.DirFile, X: kept(s.X, keepX), Plan: s.Plan, Notes: s.Notes}
	if s.Y != nil {
		part.Y = kept(s.Y, keepY)
	}
	points := make([]bool, len(layer.Status))
	for k := range points {
		points[k] = keepX[k%width] && keepY[k/width]
	}
	for _, l := range s.Layers {
		some := Layer{Name: l.Name, Values: kept(l.Values, points), Status: kept(l.Status, points), Beside: map[string][]float64{}}
		for beside, values := range l.Beside {
			some.Beside[beside] = kept(values, points)
		}
		part.Layers = append(part.Layers, some)
	}
	return part
}

// kept are the elements of values for which keep is true; nil stays nil.
func kept[T any](values []T, keep []bool) []T {
	var out []T
	for i, v := range values {
		if keep[i] {
			out = append(out, v)
		}
	}
	return out
}
