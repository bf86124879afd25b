package shard

import "slices"

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
