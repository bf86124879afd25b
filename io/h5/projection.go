package h5

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Projection is where the checkpoints of training paths lie in the plane of two directions.
type Projection struct {
	X, Y []float64 // in units of the directions, one a checkpoint: path after path, each by epoch
	// Facts is what lsrun knows besides; nil in files of the paper's code, which hold one path.
	Facts *PathFacts
}

// PathFacts are about the checkpoints of a projection, its paths and its plane.
type PathFacts struct {
	// One a checkpoint:
	Path         []int64   // which of the paths it belongs to, from 0, never falling
	Epoch        []int64   // rising within a path
	File         []string  // its file's name, without folder
	LearningRate []float64 // at its epoch's end; NaN where nobody knows
	Distance     []float64 // from the plane: the Euclidean length of what the projection leaves out

	// One a path:
	Name []string  // its folder's name
	Held []float64 // the share of its variance that the plane holds, from 0 to 1; NaN of a single checkpoint

	// Explained is the share of the variance that each axis explains, from 0 to 1: two numbers
	// if the axes are principal components of these checkpoints, else nil.
	Explained []float64
	// Notes are texts: "model", "type" (weights or states), "ignore" (biasbn or none), "origin" (the
	// file of the network at (0, 0), an absolute path), "origin_sha256" and "directions_sha256" (of the directions.h5 of a
	// run on the plane).
	Notes map[string]string
}

// EncodeProjection writes the paper's layout, proj_xcoord and proj_ycoord (float64, one value a
// checkpoint), and beside it
//
//	lsrun                            group; each note is an attribute
//	lsrun/path                       int64, one a checkpoint, as the next ones: which path, from 0
//	lsrun/epoch                      int64
//	lsrun/file                       string: the names of the files, one a line
//	lsrun/learning_rate              float64; NaN where nobody knows
//	lsrun/distance                   float64
//	lsrun/path_name                  string: the names of the paths, one a line
//	lsrun/held                       float64, one a path
//	lsrun/explained_variance_ratio_  float64, one an axis; only of principal components
//
// as PathFacts has them. Where there are several paths, a script of the paper sees one: the
// second begins where lsrun/path rises.
func EncodeProjection(p *Projection) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("encoding the projection file: %w", err)
	}
	return encode("the projection file", func(w *writer) {
		n := len(p.X)
		w.floats("proj_xcoord", p.X, n)
		w.floats("proj_ycoord", p.Y, n)
		f := p.Facts
		if f == nil {
			return
		}
		w.group("lsrun")
		w.notes("lsrun", f.Notes)
		w.integers("lsrun/path", f.Path, n)
		w.integers("lsrun/epoch", f.Epoch, n)
		w.text("lsrun/file", strings.Join(f.File, "\n"))
		w.floats("lsrun/learning_rate", f.LearningRate, n)
		w.floats("lsrun/distance", f.Distance, n)
		w.text("lsrun/path_name", strings.Join(f.Name, "\n"))
		w.floats("lsrun/held", f.Held, len(f.Name))
		if f.Explained != nil {
			w.floats("lsrun/explained_variance_ratio_", f.Explained, len(f.Explained))
		}
	})
}

// DecodeProjection reads a projection file of the paper's code or of ours.
func DecodeProjection(data []byte) (*Projection, error) {
	p := &Projection{}
	err := decode("the projection file", data, func(r *reader) error {
		names, err := r.names("/")
		if err != nil {
			return err
		}
		if !slices.Contains(names, "proj_xcoord") {
			return fmt.Errorf("there is no dataset proj_xcoord, only %s: this is not a projection file", list(names))
		}
		if p.X, err = r.vector("proj_xcoord"); err != nil {
			return err
		}
		if p.Y, err = r.vector("proj_ycoord"); err != nil {
			return err
		}
		if slices.Contains(names, "lsrun") {
			if p.Facts, err = readFacts(r); err != nil {
				return err
			}
		}
		return p.check()
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func readFacts(r *reader) (*PathFacts, error) {
	names, err := r.names("lsrun")
	vector := func(name string) (v []float64) {
		if err == nil {
			v, err = r.vector("lsrun/" + name)
		}
		return v
	}
	integers := func(name string) (v []int64) {
		if err == nil {
			v, err = r.integers("lsrun/"+name, 1)
		}
		return v
	}
	lines := func(name string) (v []string) {
		if err == nil {
			v, err = r.lines("lsrun/" + name)
		}
		return v
	}
	f := &PathFacts{
		Path: integers("path"), Epoch: integers("epoch"), File: lines("file"), LearningRate: vector("learning_rate"), Distance: vector("distance"),
		Name: lines("path_name"), Held: vector("held"),
	}
	if slices.Contains(names, "explained_variance_ratio_") {
		f.Explained = vector("explained_variance_ratio_")
	}
	if err == nil {
		f.Notes, err = r.notes("lsrun")
	}
	return f, err
}

// check returns an error unless everything is as long as it should be and the paths follow one another.
func (p *Projection) check() error {
	n := len(p.X)
	if len(p.Y) != n {
		return fmt.Errorf("proj_xcoord has %d values and proj_ycoord %d", n, len(p.Y))
	}
	f := p.Facts
	if f == nil {
		return nil
	}
	if len(f.Path) != n || len(f.Epoch) != n || len(f.File) != n || len(f.LearningRate) != n || len(f.Distance) != n {
		return fmt.Errorf("for %d checkpoints there are %d values of lsrun/path, %d of epoch, %d of file, %d of learning_rate, %d of distance",
			n, len(f.Path), len(f.Epoch), len(f.File), len(f.LearningRate), len(f.Distance))
	}
	if len(f.Held) != len(f.Name) {
		return fmt.Errorf("lsrun/held has %d values for %d paths", len(f.Held), len(f.Name))
	}
	if f.Explained != nil && len(f.Explained) != 2 {
		return fmt.Errorf("lsrun/explained_variance_ratio_ has %d values for two axes", len(f.Explained))
	}
	for i, path := range f.Path {
		if path < 0 || path >= int64(len(f.Name)) || i > 0 && path < f.Path[i-1] {
			return fmt.Errorf("checkpoint %d belongs to path %d: there are %d, which must follow one another", i, path, len(f.Name))
		}
	}
	if slices.ContainsFunc(slices.Concat(f.File, f.Name), func(name string) bool { return strings.Contains(name, "\n") }) {
		return fmt.Errorf("a name has several lines")
	}
	return nil
}

// Bounds are the least and the largest coordinates of all checkpoints and of the origin.
func (p *Projection) Bounds() (minX, maxX, minY, maxY float64) {
	for i := range p.X {
		minX, maxX = math.Min(minX, p.X[i]), math.Max(maxX, p.X[i])
		minY, maxY = math.Min(minY, p.Y[i]), math.Max(maxY, p.Y[i])
	}
	return minX, maxX, minY, maxY
}
