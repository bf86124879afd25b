package engine

import (
	"errors"
	"fmt"

	"lsrun/nn"
)

// Resident is the part of an engine that keeps images and plane in the memory of the
// host, where the caller put them: engines that compute there embed it.
type Resident struct {
	Graph *nn.Graph
	Plane *nn.Plane // nil until SetPlane
}

// images is the handle to a resident set.
type images struct{ *nn.Images }

// Load keeps set for evaluation; it is not copied.
func (r *Resident) Load(set *nn.Images) (Set, error) {
	if err := set.Check(r.Graph); err != nil {
		return nil, err
	}
	return images{set}, nil
}

// SetPlane keeps the plane for evaluation; it is not copied.
func (r *Resident) SetPlane(plane nn.Plane) error {
	if err := plane.Check(r.Graph); err != nil {
		return err
	}
	r.Plane = &plane
	return nil
}

// Points is one: the images of a point are divided among the threads.
func (r *Resident) Points(Set) int { return 1 }

// Accept checks the arguments of Evaluate and returns the images behind s.
func (r *Resident) Accept(s Set, points []nn.Point, outs []Output) (*nn.Images, error) {
	set, ok := s.(images)
	if !ok {
		return nil, errors.New("evaluate: the images were not loaded by this kind of engine")
	}
	if r.Plane == nil {
		return nil, errors.New("evaluate: no plane was set")
	}
	if len(points) != len(outs) {
		return nil, fmt.Errorf("evaluate: %d points, but room for the results of %d", len(points), len(outs))
	}
	for _, out := range outs {
		n, classes := set.Len(), r.Graph.Classes
		if len(out.Loss) != n || len(out.Predicted) != n || out.Logits != nil && len(out.Logits) != n*classes {
			return nil, fmt.Errorf("evaluate: room for %d losses, %d predictions and %d logits, but there are %d images of %d classes",
				len(out.Loss), len(out.Predicted), len(out.Logits), n, classes)
		}
	}
	return set.Images, nil
}
