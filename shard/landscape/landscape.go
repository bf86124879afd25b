// Package landscape measures surfaces: sharpness, level sets, minima, and barriers between them.
//
// A layer over a grid is made continuous first. On a line values are joined by straight lines. On a plane each cell is cut
// into the four triangles between its corners and its centre, whose value is the mean of the corners, and the
// layer is linear in each triangle. All measures are those of this function L: areas and barriers exactly, up to rounding.
//
// Where a value is NaN or was not computed, L does not exist; a measure that needs it there is NaN. +∞ is a value.
// Lengths are in units of the directions.
package landscape

import (
	"fmt"
	"math"
	"slices"

	"lsrun/shard"
)

// Point is a place on a line, where Y is 0, or on a plane.
type Point struct{ X, Y float64 }

// Landscape is the function L.
type Landscape struct {
	x, y []float64 // y is nil for a line
	z    []float64 // of grid point j·nx + i; NaN where L does not exist
}

// New makes a landscape of a layer. It is an error if there is no such layer, or no finite value in it.
func New(s *shard.Surface, metric string) (*Landscape, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	layer, err := s.Find(metric)
	if err != nil {
		return nil, err
	}
	l := &Landscape{x: s.X, y: s.Y, z: make([]float64, len(layer.Values))}
	some := false
	for k, v := range layer.Values {
		if l.z[k] = v; !layer.Computed(k) {
			l.z[k] = math.NaN()
		}
		some = some || finite(l.z[k])
	}
	if !some {
		return nil, fmt.Errorf("no point has a finite %s", metric)
	}
	return l, nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Line reports whether the landscape has one dimension.
func (l *Landscape) Line() bool { return l.y == nil }

// Has reports whether p lies on the grid.
func (l *Landscape) Has(p Point) bool {
	within := func(at []float64, v float64) bool { return at[0] <= v && v <= at[len(at)-1] }
	if l.Line() {
		return within(l.x, p.X) && p.Y == 0
	}
	return within(l.x, p.X) && within(l.y, p.Y)
}

// Radius is how far one may go from p in every direction without leaving the grid.
func (l *Landscape) Radius(p Point) float64 {
	r := min(p.X-l.x[0], l.x[len(l.x)-1]-p.X)
	if !l.Line() {
		r = min(r, p.Y-l.y[0], l.y[len(l.y)-1]-p.Y)
	}
	return r
}

// interval is the i for which v lies between at[i] and at[i+1], and how far on the way: 0 to 1. On one coordinate it is 0 and 0.
func interval(at []float64, v float64) (i int, part float64) {
	if len(at) == 1 {
		return 0, 0
	}
	i, _ = slices.BinarySearch(at, v)
	i = min(max(i-1, 0), len(at)-2)
	return i, (v - at[i]) / (at[i+1] - at[i])
}

// weight is a vertex's share in a value. Vertices are the grid points, by number, and after them the centres of the cells,
// numbered as their lower left corners.
type weight struct {
	vertex int
	share  float64
}

// shares are the vertices of the triangle (on a line: the ends of the segment) around p, and their shares in L there.
func (l *Landscape) shares(p Point) []weight {
	i, u := interval(l.x, p.X)
	nx := len(l.x)
	if l.Line() || len(l.y) == 1 {
		return []weight{{i, 1 - u}, {min(i+1, nx-1), u}}
	}
	j, v := interval(l.y, p.Y)
	k := j*nx + i
	if nx == 1 {
		return []weight{{k, 1 - v}, {k + 1, v}}
	}
	centre := len(l.z) + k
	// Along the side of the cell that is nearest, and from it towards the centre.
	a, b, along, off := k, k+1, u, v // below
	if u < off {
		a, b, along, off = k, k+nx, v, u // left
	}
	if 1-v < off {
		a, b, along, off = k+nx, k+nx+1, u, 1-v // above
	}
	if 1-u < off {
		a, b, along, off = k+1, k+nx+1, v, 1-u // right
	}
	return []weight{{a, 1 - along - off}, {b, along - off}, {centre, 2 * off}}
}

// vertex is the value of a vertex.
func (l *Landscape) vertex(n int) float64 {
	if n < len(l.z) {
		return l.z[n]
	}
	k, nx := n-len(l.z), len(l.x)
	return (l.z[k] + l.z[k+1] + l.z[k+nx] + l.z[k+nx+1]) / 4
}

// At is L(p), NaN where it does not exist.
func (l *Landscape) At(p Point) float64 {
	if !l.Has(p) {
		return math.NaN()
	}
	return l.mean(l.shares(p))
}

// mean leaves out vertices without a share, which may be infinite. Of equal values it is that value, without rounding.
func (l *Landscape) mean(shares []weight) float64 {
	var base, above float64
	some := false
	for _, w := range shares {
		v := l.vertex(w.vertex)
		switch {
		case w.share == 0:
		case !finite(v):
			above += v
		case !some:
			base, some = v, true
		default:
			above += w.share * (v - base)
		}
	}
	return base + above
}

// grid is where grid point k is.
func (l *Landscape) grid(k int) Point {
	p := Point{X: l.x[k%len(l.x)]}
	if !l.Line() {
		p.Y = l.y[k/len(l.x)]
	}
	return p
}

// Lowest is the grid point with the lowest finite value.
func (l *Landscape) Lowest() (p Point, value float64) {
	value = math.Inf(1)
	for k, v := range l.z {
		if v < value && finite(v) {
			p, value = l.grid(k), v
		}
	}
	return p, value
}

// Minima are the inner grid points whose finite value is lower than all their two or eight neighbours', the lowest first.
func (l *Landscape) Minima() []Point {
	nx, ny := len(l.x), max(len(l.y), 1)
	var found []int
	for k, v := range l.z {
		i, j := k%nx, k/nx
		if !finite(v) || i == 0 || i == nx-1 || !l.Line() && (j == 0 || j == ny-1) {
			continue
		}
		lowest := true
		for dj := -1; dj <= 1; dj++ {
			for di := -1; di <= 1; di++ {
				if (di != 0 || dj != 0) && (!l.Line() || dj == 0) {
					lowest = lowest && v < l.z[k+dj*nx+di]
				}
			}
		}
		if lowest {
			found = append(found, k)
		}
	}
	slices.SortStableFunc(found, func(a, b int) int {
		if l.z[a] < l.z[b] {
			return -1
		}
		return 1
	})
	var out []Point
	for _, k := range found {
		out = append(out, l.grid(k))
	}
	return out
}
