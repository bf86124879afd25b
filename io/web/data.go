package web

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"lsrun/shard"
)

// Surface is a surface with what the page says about it.
type Surface struct {
	Name string
	*shard.Surface
	Caption        func(metric string) string // what was computed; nil for nothing
	XLabel, YLabel string                     // of the axes; "" for α and β
	Limits         func(metric string) (low, high *float64)
	Paths          []Path    // of training, over a plane
	Densities      []Density // of the Hessian, where recorded
}

// Path is where the checkpoints of a training run lie in a plane, in order.
type Path struct {
	Name   string
	X, Y   []float64
	Epochs []int // one a checkpoint; nil where nobody knows
}

// Density is a quadrature of the Hessian's spectral density at the point (X, Y): nodes in rising order, and their weights.
type Density struct {
	X, Y           float64
	Nodes, Weights []float64
}

// standardError is the name under which a layer keeps its standard errors.
const standardError = "standard_error"

// Status is how far a run is.
type Status struct {
	Points   int    `json:"points"`
	Done     int    `json:"done"`
	Headline string `json:"headline"` // in a few words
	Text     string `json:"text"`     // all of it
	Problem  string `json:"problem"`  // why there is no surface; "" if there is one
}

type document struct {
	Surfaces    []surface `json:"surfaces"`
	StatusNames []string  `json:"statusNames"`
	Status      *Status   `json:"status,omitempty"`
}

type surface struct {
	Name      string    `json:"name"`
	Axes      []string  `json:"axes"`
	Metrics   []metric  `json:"metrics"`
	Paths     []path    `json:"paths"`
	Densities []density `json:"densities,omitempty"`
}

type metric struct {
	Name    string      `json:"name"`
	Title   string      `json:"title"`
	Unit    string      `json:"unit"`
	Caption string      `json:"caption"`
	Limits  *[2]float64 `json:"limits"` // of the scale
	X       numbers     `json:"x"`
	Y       numbers     `json:"y"` // null for a line
	Values  numbers     `json:"values"`
	Error   numbers     `json:"error"`  // standard errors, or null
	Status  []byte      `json:"status"` // shard.Status, or null
}

type path struct {
	Name   string  `json:"name"`
	X      numbers `json:"x"`
	Y      numbers `json:"y"`
	Epochs []int   `json:"epochs"` // or null
}

type density struct {
	X       float64 `json:"x"`
	Y       float64 `json:"y"`
	Nodes   numbers `json:"nodes"`
	Weights numbers `json:"weights"`
}

// numbers are written as base64 of little-endian float64s: exact, and with NaN and infinities, which JSON lacks.
type numbers []float64

func (n numbers) MarshalJSON() ([]byte, error) {
	if n == nil {
		return []byte("null"), nil
	}
	raw := make([]byte, 0, 8*len(n))
	for _, v := range n {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return []byte(`"` + base64.StdEncoding.EncodeToString(raw) + `"`), nil
}

// Data returns surfaces as the page's script wants them: JSON in which every metric has the coordinates of the points that
// were planned for it. It may stand between script tags, whatever the texts in it are.
func Data(surfaces []Surface, status *Status) ([]byte, error) {
	doc := document{Surfaces: []surface{}, StatusNames: shard.StatusNames(), Status: status}
	for _, s := range surfaces {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		if (s.Y == nil) != (surfaces[0].Y == nil) {
			return nil, fmt.Errorf("%s is a %s and %s a %s: a page shows lines or planes, not both", surfaces[0].Name, shape(surfaces[0]), s.Name, shape(s))
		}
		doc.Surfaces = append(doc.Surfaces, s.encode())
	}
	return json.Marshal(doc)
}

func shape(s Surface) string {
	if s.Y == nil {
		return "line"
	}
	return "plane"
}

// check returns an error unless there is something to draw.
func (s Surface) check() error {
	if err := s.Surface.Check(); err != nil {
		return err
	}
	switch {
	case len(s.Layers) == 0:
		return fmt.Errorf("there is nothing to draw: the surface has no metrics at all")
	case s.Y != nil && (len(s.X) < 2 || len(s.Y) < 2):
		return fmt.Errorf("a plane of %d × %d points has no surface to turn: lsrun plot draws it", len(s.X), len(s.Y))
	case s.Y == nil && len(s.X) < 2:
		return fmt.Errorf("a line of one point is no curve: lsrun inspect prints its values")
	case s.Y == nil && s.Paths != nil:
		return fmt.Errorf("a path lies in a plane, and this is a line")
	case slices.ContainsFunc(s.Paths, func(p Path) bool { return len(p.X) == 0 }):
		return fmt.Errorf("the path has no checkpoints")
	}
	return nil
}

func (s Surface) encode() surface {
	out := surface{Name: s.Name, Axes: []string{cmp.Or(s.XLabel, "α"), cmp.Or(s.YLabel, "β")}, Paths: []path{}}
	for _, layer := range s.Layers {
		if m := s.metric(layer.Name); len(m.X) > 0 { // else it was planned nowhere
			out.Metrics = append(out.Metrics, m)
		}
	}
	for _, p := range s.Paths {
		out.Paths = append(out.Paths, path{p.Name, p.X, p.Y, p.Epochs})
	}
	for _, d := range s.Densities {
		out.Densities = append(out.Densities, density{X: d.X, Y: d.Y, Nodes: d.Nodes, Weights: d.Weights})
	}
	return out
}

// metric is a layer over the points that were planned for it.
func (s Surface) metric(name string) metric {
	part := s.Planned(name)
	layer := part.Layer(name)
	m := metric{Name: name, Title: title(name), X: part.X, Y: part.Y, Values: layer.Values, Error: layer.Beside[standardError]}
	if strings.HasSuffix(name, "_acc") {
		m.Unit = "%"
	}
	for _, status := range layer.Status {
		m.Status = append(m.Status, byte(status))
	}
	if s.Caption != nil {
		m.Caption = s.Caption(name)
	}
	if s.Limits != nil {
		if low, high := s.Limits(name); low != nil && high != nil {
			m.Limits = &[2]float64{*low, *high}
		}
	}
	return m
}

// title is a metric's name in words: "train loss".
func title(name string) string {
	switch name {
	case "eig_ratio":
		return "|λmin/λmax|"
	case "signed_eig_ratio":
		return "λmin/λmax"
	}
	return strings.NewReplacer("_acc", " accuracy", "_eig", " eigenvalue", "_", " ").Replace(name)
}
