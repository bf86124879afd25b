// Package vtk writes a plane as a polygonal surface for ParaView, in VTK's XML format for PolyData (.vtp, "VTK File
// Formats" of the VTK User's Guide), with the arrays of the paper's h52vtp.py:
//
//	Points              (α, β, z) of every grid point that has a finite z, x running fastest
//	PointData zvalue    z: the value, clipped at ZMax, then ln(z + 0.1) if Log
//	PointData METRIC    the value itself
//	CellData "averaged zvalue"   the mean z of a polygon's corners
//	Polys               a quadrilateral for every four neighbouring points, counterclockwise seen from above, strip by strip along x
//
// Everything is text, so that equal surfaces are equal bytes on every machine.
package vtk

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"

	"lsrun/shard"
)

// Options are those of h52vtp.py.
type Options struct {
	Metric string   // the layer to write
	Log    bool     // z is ln(value + 0.1), which keeps a loss of 0 finite
	ZMax   *float64 // larger values, +∞ included, are written as this
	Interp int      // so many points a side by bicubic interpolation; 0 for those of the grid
}

// Mesh is a surface of quadrilaterals.
type Mesh struct {
	Metric string
	Points [][3]float64
	Values []float64 // of the metric at the points
	Quads  [][4]int  // the points at the corners
	Left   int       // points of the grid that were left out because their z is not finite
}

// Build makes the mesh of a plane's layer. Points without a finite z are left out, with the polygons that they are corners of.
func Build(s *shard.Surface, opt Options) (*Mesh, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	if len(s.X) < 2 || len(s.Y) < 2 {
		return nil, fmt.Errorf("a surface of %s has no polygons: .vtp files need a plane of two points a side or more", s.Extent())
	}
	l, err := s.Find(opt.Metric)
	if err != nil {
		return nil, err
	}
	x, y, values := s.X, s.Y, computed(l)
	if opt.Interp != 0 {
		if x, y, values, err = refine(x, y, values, opt.Interp); err != nil {
			return nil, fmt.Errorf("interpolating %s: %w", opt.Metric, err)
		}
	}
	m := &Mesh{Metric: opt.Metric}
	number := make([]int, len(values)) // of each grid point in the mesh, −1 if it is left out
	for k, v := range values {
		z := height(v, opt)
		number[k] = -1
		if math.IsNaN(z) || math.IsInf(z, 0) {
			m.Left++
			continue
		}
		number[k] = len(m.Points)
		m.Points = append(m.Points, [3]float64{x[k%len(x)], y[k/len(x)], z})
		m.Values = append(m.Values, v)
	}
	if m.Points == nil {
		return nil, fmt.Errorf("no point has a finite %s to write", opt.Metric)
	}
	for j := range len(y) - 1 {
		for i := range len(x) - 1 {
			k := j*len(x) + i
			q := [4]int{number[k], number[k+1], number[k+len(x)+1], number[k+len(x)]}
			if min(q[0], q[1], q[2], q[3]) >= 0 {
				m.Quads = append(m.Quads, q)
			}
		}
	}
	return m, nil
}

// computed are the layer's values, NaN where it has none.
func computed(l *shard.Layer) []float64 {
	values := make([]float64, len(l.Values))
	for k, v := range l.Values {
		values[k] = v
		if !l.Computed(k) {
			values[k] = math.NaN()
		}
	}
	return values
}

// height is z of a value: clipped before the logarithm, as in h52vtp.py.
func height(v float64, opt Options) float64 {
	if opt.ZMax != nil && v > *opt.ZMax {
		v = *opt.ZMax
	}
	if opt.Log {
		return math.Log(v + 0.1)
	}
	return v
}

// Encode writes the mesh as a .vtp file.
func (m *Mesh) Encode() []byte {
	w := &writer{}
	w.line(0, `<?xml version="1.0"?>`)
	w.line(0, `<VTKFile type="PolyData" version="1.0" byte_order="LittleEndian" header_type="UInt64">`)
	w.line(1, `<PolyData>`)
	w.line(2, `<Piece NumberOfPoints="%d" NumberOfVerts="0" NumberOfLines="0" NumberOfStrips="0" NumberOfPolys="%d">`, len(m.Points), len(m.Quads))
	w.line(3, `<PointData Scalars="zvalue">`)
	w.floats("zvalue", 1, func(yield func(float64)) {
		for _, p := range m.Points {
			yield(p[2])
		}
	})
	w.floats(m.Metric, 1, func(yield func(float64)) {
		for _, v := range m.Values {
			yield(v)
		}
	})
	w.line(3, `</PointData>`)
	w.line(3, `<CellData>`)
	w.floats("averaged zvalue", 1, func(yield func(float64)) {
		for _, q := range m.Quads {
			yield((m.Points[q[0]][2] + m.Points[q[1]][2] + m.Points[q[2]][2] + m.Points[q[3]][2]) / 4)
		}
	})
	w.line(3, `</CellData>`)
	w.line(3, `<Points>`)
	w.floats("Points", 3, func(yield func(float64)) {
		for _, p := range m.Points {
			yield(p[0])
			yield(p[1])
			yield(p[2])
		}
	})
	w.line(3, `</Points>`)
	w.line(3, `<Polys>`)
	w.integers("connectivity", func(yield func(int)) {
		for _, q := range m.Quads {
			for _, p := range q {
				yield(p)
			}
		}
	})
	w.integers("offsets", func(yield func(int)) {
		for n := range m.Quads {
			yield(4 * (n + 1))
		}
	})
	w.line(3, `</Polys>`)
	w.line(2, `</Piece>`)
	w.line(1, `</PolyData>`)
	w.line(0, `</VTKFile>`)
	return w.Bytes()
}

// writer is the text so far.
type writer struct{ bytes.Buffer }

func (w *writer) line(depth int, format string, args ...any) {
	for range depth {
		w.WriteString("  ")
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// floats writes an array of tuples of float64, each number in the fewest digits that give it back.
func (w *writer) floats(name string, tuple int, each func(yield func(float64))) {
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(name)) // a Buffer's writes do not fail
	w.array(fmt.Sprintf(`type="Float64" Name="%s" NumberOfComponents="%d"`, &escaped, tuple), 3*tuple, func(yield func(string)) {
		each(func(v float64) { yield(strconv.FormatFloat(v, 'g', -1, 64)) })
	})
}

func (w *writer) integers(name string, each func(yield func(int))) {
	w.array(fmt.Sprintf(`type="Int64" Name="%s"`, name), 12, func(yield func(string)) {
		each(func(v int) { yield(strconv.Itoa(v)) })
	})
}

// array writes an array, so many numbers a line.
func (w *writer) array(attributes string, perLine int, each func(yield func(string))) {
	w.line(4, `<DataArray %s format="ascii">`, attributes)
	n := 0
	each(func(number string) {
		if n > 0 && n%perLine == 0 {
			w.WriteByte('\n')
		} else if n > 0 {
			w.WriteByte(' ')
		}
		w.WriteString(number)
		n++
	})
	if n > 0 {
		w.WriteByte('\n')
	}
	w.line(4, `</DataArray>`)
}
