package vtk

import (
	"encoding/xml"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lsrun/shard"
)

// plane is a surface of f, 5 × 3 points unless other axes are given.
func plane(f func(x, y float64) float64, axes ...shard.Axis) *shard.Surface {
	if axes == nil {
		axes = []shard.Axis{{Min: -1, Max: 1, N: 5}, {Min: 2, Max: 3, N: 3}}
	}
	s := &shard.Surface{X: axes[0].Coordinates(), Y: axes[1].Coordinates()}
	l := shard.Layer{Name: "train_loss"}
	for _, y := range s.Y {
		for _, x := range s.X {
			l.Values = append(l.Values, f(x, y))
		}
	}
	s.Layers = []shard.Layer{l}
	return s
}

// vtp is what a reader finds in a file.
type vtp struct {
	Type   string `xml:"type,attr"`
	Pieces []struct {
		Points int     `xml:"NumberOfPoints,attr"`
		Polys  int     `xml:"NumberOfPolys,attr"`
		Point  []array `xml:"PointData>DataArray"`
		Cell   []array `xml:"CellData>DataArray"`
		Place  []array `xml:"Points>DataArray"`
		Faces  []array `xml:"Polys>DataArray"`
	} `xml:"PolyData>Piece"`
}

type array struct {
	Name       string `xml:"Name,attr"`
	Type       string `xml:"type,attr"`
	Components int    `xml:"NumberOfComponents,attr"`
	Text       string `xml:",chardata"`
}

func (a array) numbers(t *testing.T) []float64 {
	t.Helper()
	var out []float64
	for word := range strings.FieldsSeq(a.Text) {
		v, err := strconv.ParseFloat(word, 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func read(t *testing.T, s *shard.Surface, opt Options) vtp {
	t.Helper()
	opt.Metric = "train_loss"
	m, err := Build(s, opt)
	if err != nil {
		t.Fatal(err)
	}
	var file vtp
	if err := xml.Unmarshal(m.Encode(), &file); err != nil {
		t.Fatal(err)
	}
	if file.Type != "PolyData" || len(file.Pieces) != 1 {
		t.Fatalf("a file of type %q with %d pieces", file.Type, len(file.Pieces))
	}
	return file
}

func TestAPlaneThatIsNoSquareBecomesPointsAndQuadrilaterals(t *testing.T) {
	file := read(t, plane(func(x, y float64) float64 { return 10*y + x }), Options{})
	p := file.Pieces[0]
	if p.Points != 15 || p.Polys != 8 {
		t.Errorf("%d points and %d polygons, want 15 and 8", p.Points, p.Polys)
	}
	places := p.Place[0].numbers(t)
	if len(places) != 45 || p.Place[0].Components != 3 {
		t.Fatalf("%d coordinates in tuples of %d", len(places), p.Place[0].Components)
	}
	if got, want := places[3*6:3*6+3], []float64{-0.5, 2.5, 24.5}; !slices.Equal(got, want) {
		t.Errorf("point 6, the second of the second row, is at %v, want %v", got, want)
	}
	faces, ends := p.Faces[0].numbers(t), p.Faces[1].numbers(t)
	if p.Faces[0].Name != "connectivity" || p.Faces[1].Name != "offsets" || len(ends) != 8 || ends[7] != 32 {
		t.Fatalf("polygons end at %v", ends)
	}
	if got, want := faces[4*5:4*6], []float64{6, 7, 12, 11}; !slices.Equal(got, want) {
		t.Errorf("polygon 5 has the corners %v, want %v", got, want)
	}
	// Seen from above all run counterclockwise: each has the area of a cell.
	for q := range 8 {
		var area float64
		for k := range 4 {
			a, b := int(faces[4*q+k]), int(faces[4*q+(k+1)%4])
			area += (places[3*a]*places[3*b+1] - places[3*b]*places[3*a+1]) / 2
		}
		if math.Abs(area-0.25) > 1e-12 {
			t.Errorf("polygon %d has the area %g, want 0.25", q, area)
		}
	}
	// The mean of 10y + x over a cell is its value in the middle.
	if got := p.Cell[0].numbers(t); p.Cell[0].Name != "averaged zvalue" || len(got) != 8 || math.Abs(got[5]-(10*2.75-0.25)) > 1e-12 {
		t.Errorf("%s: %v", p.Cell[0].Name, got)
	}
}

func TestHeightsAreClippedThenLogarithms(t *testing.T) {
	zmax := 2.0
	s := plane(func(x, y float64) float64 { return x + 1 }) // 0, 0.5, 1, 1.5, 2
	s.Layers[0].Values[4] = math.Inf(1)
	s.Layers[0].Values[9] = 700
	p := read(t, s, Options{Log: true, ZMax: &zmax}).Pieces[0]
	z, v := p.Point[0].numbers(t), p.Point[1].numbers(t)
	if p.Point[0].Name != "zvalue" || p.Point[1].Name != "train_loss" {
		t.Errorf("the arrays are %s and %s", p.Point[0].Name, p.Point[1].Name)
	}
	for k, want := range map[int]float64{0: math.Log(0.1), 2: math.Log(1.1), 4: math.Log(2.1), 9: math.Log(2.1)} {
		if z[k] != want {
			t.Errorf("point %d is %g high, want %g", k, z[k], want)
		}
	}
	if v[9] != 700 || v[2] != 1 {
		t.Errorf("the values themselves are %v", v)
	}
}

func TestPointsWithoutAValueLeaveAHole(t *testing.T) {
	s := plane(func(x, y float64) float64 { return x })
	l := &s.Layers[0]
	l.Values[0] = math.Inf(1)
	l.Status = make([]shard.Status, 15)
	for k := range l.Status {
		l.Status[k] = shard.Done
	}
	l.Status[0], l.Status[7] = shard.Inf, shard.Missing // a corner, and the middle
	p := read(t, s, Options{}).Pieces[0]
	if p.Points != 13 || p.Polys != 8-1-4 {
		t.Errorf("%d points and %d polygons, want 13 and 3", p.Points, p.Polys)
	}
	places := p.Place[0].numbers(t)
	for q, v := range p.Faces[0].numbers(t) {
		if x, y := places[3*int(v)], places[3*int(v)+1]; x == 0 && y == 2.5 || x == -1 && y == 2 {
			t.Errorf("corner %d lies at a point without a value", q)
		}
	}
}

// A cubic polynomial in each variable is its own spline, whatever the knots.
func TestInterpolationReproducesCubics(t *testing.T) {
	f := func(x, y float64) float64 { return 1 + x*x*x - 2*x + (y-2)*(y-2)*(y-2)*(1+x) - y*y*x*x }
	s := plane(f, shard.Axis{Min: -1, Max: 2, N: 7}, shard.Axis{Min: 0, Max: 3, N: 4})
	s.X[2] += 0.1 // not equidistant
	s = &shard.Surface{X: s.X, Y: s.Y, Layers: []shard.Layer{{Name: "train_loss"}}}
	for _, y := range s.Y {
		for _, x := range s.X {
			s.Layers[0].Values = append(s.Layers[0].Values, f(x, y))
		}
	}
	p := read(t, s, Options{Interp: 20}).Pieces[0]
	if p.Points != 400 || p.Polys != 361 {
		t.Errorf("%d points and %d polygons, want 400 and 361", p.Points, p.Polys)
	}
	places := p.Place[0].numbers(t)
	for k := range p.Points {
		x, y, z := places[3*k], places[3*k+1], places[3*k+2]
		if want := f(x, y); math.Abs(z-want) > 1e-11 {
			t.Fatalf("at (%g, %g) there is %g, want %g", x, y, z, want)
		}
	}
	if x, y := places[3*399], places[3*399+1]; x != 2 || y != 3 {
		t.Errorf("the last point is (%g, %g)", x, y)
	}
}

func TestWhatHasNoPolygonsIsRefused(t *testing.T) {
	flat := func(x, y float64) float64 { return 1 }
	bare := func(x, y float64) float64 { return math.NaN() }
	two := shard.Axis{Min: 0, Max: 1, N: 2}
	for want, c := range map[string]struct {
		s   *shard.Surface
		opt Options
	}{
		"one point on a line has no polygons":             {&shard.Surface{X: []float64{0}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{1}}}}, Options{Metric: "train_loss"}},
		"2 × 1 points has no polygons":                    {plane(flat, two, shard.Axis{N: 1}), Options{Metric: "train_loss"}},
		"there is no test_loss: the surface has train":    {plane(flat), Options{Metric: "test_loss"}},
		"no point has a finite train_loss to write":       {plane(bare), Options{Metric: "train_loss"}},
		"the value at (-1, 2) is NaN, and splines need":   {plane(bare, shard.Axis{Min: -1, Max: 1, N: 5}, shard.Axis{Min: 2, Max: 3, N: 4}), Options{Metric: "train_loss", Interp: 9}},
		"need 4 points a side, and there are 5 × 3":       {plane(flat), Options{Metric: "train_loss", Interp: 9}},
		"1 points a side: ask for 2 to 10000":             {plane(flat), Options{Metric: "train_loss", Interp: 1}},
		"coordinates must be finite and rise":             {&shard.Surface{X: []float64{0, 0}, Y: []float64{1, 2}}, Options{}},
		"the surface has no metrics at all":               {&shard.Surface{X: []float64{0, 1}, Y: []float64{1, 2}}, Options{Metric: "train_loss"}},
		"layer train_loss has 1 values and 0 statuses fo": {&shard.Surface{X: []float64{0, 1}, Y: []float64{1, 2}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{1}}}}, Options{}},
	} {
		if _, err := Build(c.s, c.opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
