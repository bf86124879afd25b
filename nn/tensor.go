package nn

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Shape lists the extents of a tensor. An activation's shape leaves out the batch:
// (C, H, W) for pictures, (D) for vectors. A scalar has the empty shape.
type Shape []int

// Size is the number of elements, 1 for a scalar.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same extents.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// String writes the extents joined by ×, and "scalar" for the empty shape.
func (s Shape) String() string {
	if len(s) == 0 {
		return "scalar"
	}
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = strconv.Itoa(d)
	}
	return strings.Join(parts, "×")
}

// Tensor is a named, dense, row-major float32 array: len(Data) == Shape.Size().
// In a direction, nil Data stands for zeros: the entry is not perturbed.
type Tensor struct {
	Name  string
	Shape Shape
	Data  []float32
}

// Params is an ordered list of named tensors: the states of a network in
// state_dict() order, or a direction shaped like them.
type Params []Tensor

// Lookup returns the tensor called name, or nil.
func (p Params) Lookup(name string) *Tensor {
	for i := range p {
		if p[i].Name == name {
			return &p[i]
		}
	}
	return nil
}

// Elements is the number of stored values over all tensors.
func (p Params) Elements() int {
	n := 0
	for i := range p {
		n += len(p[i].Data)
	}
	return n
}

// Point is a place in the plane θ + α·δ + β·η. On a line β is 0.
type Point struct{ Alpha, Beta float64 }

// Plane is what a landscape is drawn over: states θ and the directions δ (X) and η (Y),
// all in the order of the graph's entries. Y is nil for a line; X and Y are nil for θ alone.
type Plane struct {
	Theta, X, Y Params
}

// Check returns an error unless θ and both directions fit the entries of g.
func (p Plane) Check(g *Graph) error {
	for _, part := range []struct {
		name   string
		params Params
		sparse bool
	}{{"the network's states", p.Theta, false}, {"the x direction", p.X, true}, {"the y direction", p.Y, true}} {
		if part.sparse && part.params == nil {
			continue
		}
		if len(part.params) != len(g.Entries) {
			return fmt.Errorf("%s: %d entries, but %s has %d", part.name, len(part.params), g.Name, len(g.Entries))
		}
		for i, e := range g.Entries {
			t := part.params[i]
			if t.Data == nil && part.sparse {
				continue
			}
			if len(t.Data) != e.Shape.Size() {
				return fmt.Errorf("%s: entry %s has %d values, but %s needs %v", part.name, e.Name, len(t.Data), g.Name, e.Shape)
			}
		}
	}
	return nil
}

// Entry writes entry i of the states at point at into dst:
//
//	dst[k] = float32(θ[k] + (α·δ[k] + β·η[k])), evaluated in float64 and rounded once.
//
// Every engine moves by this function, so that a point means the same float32 network
// to all of them. At (0, 0) dst is θ bit for bit.
func (p Plane) Entry(dst []float32, i int, at Point) {
	theta := p.Theta[i].Data
	var x, y []float32
	if p.X != nil {
		x = p.X[i].Data
	}
	if p.Y != nil {
		y = p.Y[i].Data
	}
	// The conversions forbid the compiler to fuse, which would round otherwise elsewhere.
	switch {
	case x == nil && y == nil, at == Point{}: // where a sum would lose the sign of −0
		copy(dst, theta)
	case y == nil:
		for k, t := range theta {
			dst[k] = float32(float64(t) + float64(at.Alpha*float64(x[k])))
		}
	case x == nil:
		for k, t := range theta {
			dst[k] = float32(float64(t) + float64(at.Beta*float64(y[k])))
		}
	default:
		for k, t := range theta {
			step := float64(at.Alpha*float64(x[k])) + float64(at.Beta*float64(y[k]))
			dst[k] = float32(float64(t) + step)
		}
	}
}
