package shard

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxPoints bounds a grid, so that its arrays can be allocated and its points counted in
// an int32.
const maxPoints = 1 << 28

// Axis is N equidistant coordinates from Min to Max, both included.
type Axis struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
	N   int     `json:"points"`
}

// ParseAxis reads the paper's "min:max:points", as in "-1:1:51".
func ParseAxis(text string) (Axis, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Axis{}, fmt.Errorf("axis %q is not min:max:points, as in -1:1:51", text)
	}
	var a Axis
	var err error
	if a.Min, err = finite(parts[0]); err != nil {
		return Axis{}, fmt.Errorf("axis %q: its minimum %w", text, err)
	}
	if a.Max, err = finite(parts[1]); err != nil {
		return Axis{}, fmt.Errorf("axis %q: its maximum %w", text, err)
	}
	if a.N, err = strconv.Atoi(parts[2]); err != nil && !errors.Is(err, strconv.ErrRange) { // which Check refuses
		return Axis{}, fmt.Errorf("axis %q: its number of points %q is not a whole number", text, parts[2])
	}
	return a, a.Check()
}

func finite(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number", text)
	}
	return v, nil
}

// Check returns an error unless the axis has points in rising order.
func (a Axis) Check() error {
	switch {
	case a.N < 1:
		return fmt.Errorf("axis %v has no points: ask for at least one", a)
	case a.N == 1 && a.Min != a.Max:
		return fmt.Errorf("axis %v: one point cannot be both ends: write %g:%g:1, or ask for more points", a, a.Min, a.Min)
	case a.N > 1 && !(a.Min < a.Max):
		return fmt.Errorf("axis %v: its minimum must be under its maximum", a)
	case math.IsInf(a.Max-a.Min, 0):
		return fmt.Errorf("axis %v: its ends are too far apart for float64", a)
	case a.N > maxPoints:
		return fmt.Errorf("axis %v has more than %d points: ask for fewer", a, maxPoints)
	}
	return nil
}

func (a Axis) String() string { return fmt.Sprintf("%g:%g:%d", a.Min, a.Max, a.N) }

// Coordinates are NumPy's linspace(Min, Max, N), bit for bit.
func (a Axis) Coordinates() []float64 {
	c := make([]float64, a.N)
	for i := range c {
		c[i] = a.At(i)
	}
	return c
}

// At is coordinate i. The conversion keeps the compiler from fusing the product into the
// sum, which would round once where NumPy rounds twice.
func (a Axis) At(i int) float64 {
	if i > 0 && i == a.N-1 {
		return a.Max
	}
	if i == 0 {
		return a.Min
	}
	step := (a.Max - a.Min) / float64(a.N-1)
	return float64(float64(i)*step) + a.Min
}

// Grid is the product of one or two axes. Its points are numbered with x running fastest:
// point j·nx + i is at (x_i, y_j).
type Grid struct {
	X Axis  `json:"x"`
	Y *Axis `json:"y,omitempty"` // nil for a line
}

// Check returns an error unless both axes have points in rising order.
func (g Grid) Check() error {
	if err := g.X.Check(); err != nil {
		return err
	}
	if g.Y == nil {
		return nil
	}
	if err := g.Y.Check(); err != nil {
		return err
	}
	if g.X.N > maxPoints/g.Y.N {
		return fmt.Errorf("a grid of %d × %d points has more than %d: ask for fewer", g.X.N, g.Y.N, maxPoints)
	}
	return nil
}

// Points is the number of points.
func (g Grid) Points() int {
	if g.Y == nil {
		return g.X.N
	}
	return g.X.N * g.Y.N
}

// At is the place of point k; y is 0 on a line.
func (g Grid) At(k int) (x, y float64) {
	if g.Y != nil {
		y = g.Y.At(k / g.X.N)
	}
	return g.X.At(k % g.X.N), y
}

// Origin is the point at (0, 0), if the grid has one.
func (g Grid) Origin() (k int, ok bool) {
	for k := range g.Points() {
		if x, y := g.At(k); x == 0 && y == 0 {
			return k, true
		}
	}
	return 0, false
}
