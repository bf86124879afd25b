package h5

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"lsrun/shard"
)

// EncodeSurface writes the paper's layout: dir_file, xcoordinates, ycoordinates, and a
// float64 dataset for each layer, of shape (ny, nx), or (nx) for a line. Beside it
//
//	lsrun                 group; each note is an attribute
//	lsrun/plan            string: the plan's bytes
//	lsrun/layers          string: the layers' names in order, one a line
//	lsrun/status_names    string: the names of the status codes 0, 1, …, one a line
//	lsrun/status/LAYER    uint8: status codes
//	lsrun/BESIDE/LAYER    float64: standard errors and the like
func (Codec) EncodeSurface(s *shard.Surface) ([]byte, error) {
	return encode("the surface file", func(w *writer) {
		w.text("dir_file", s.DirFile)
		w.floats("xcoordinates", s.X, len(s.X))
		if s.Y != nil {
			w.floats("ycoordinates", s.Y, len(s.Y))
		}
		w.group("lsrun")
		w.notes("lsrun", s.Notes)
		if s.Plan != nil {
			w.text("lsrun/plan", string(s.Plan))
		}
		w.text("lsrun/status_names", strings.Join(shard.StatusNames(), "\n"))
		w.group("lsrun/status")
		var names, besides []string
		for _, l := range s.Layers {
			names = append(names, l.Name)
			for beside := range l.Beside {
				besides = append(besides, beside)
			}
		}
		w.text("lsrun/layers", strings.Join(names, "\n"))
		slices.Sort(besides)
		for _, beside := range slices.Compact(besides) {
			w.simpleName(beside)
			w.group("lsrun/" + beside)
		}
		for _, l := range s.Layers {
			w.layer(l, shapeOf(s))
		}
	})
}

func (w *writer) layer(l shard.Layer, shape []int) {
	w.simpleName(l.Name)
	w.floats(l.Name, l.Values, shape...)
	if l.Status != nil {
		w.bytes8("lsrun/status/"+l.Name, codes(l.Status), shape...)
	}
	for _, beside := range sortedKeys(l.Beside) {
		w.floats("lsrun/"+beside+"/"+l.Name, l.Beside[beside], shape...)
	}
}

// DecodeSurface reads our surface files, the paper's and others of its layout.
//
// Files without the group lsrun: every dataset with a value for each point is a layer, in
// the order of names. A plane may also be declared (nx, ny) as the paper's code does, which
// nevertheless fills it with x running fastest: it is read so, and a note says it. A value
// of exactly −1 is what that code leaves where it computed nothing: it becomes NaN with
// the status Missing, and the other points of such a layer get their statuses too.
func (Codec) DecodeSurface(data []byte) (*shard.Surface, error) {
	s := &shard.Surface{}
	err := decode("the surface file", data, func(r *reader) error {
		names, err := r.names("/")
		if err != nil {
			return err
		}
		if !slices.Contains(names, "xcoordinates") {
			return fmt.Errorf("there is no dataset xcoordinates, only %s: this is not a surface file", list(names))
		}
		if s.X, err = r.vector("xcoordinates"); err != nil {
			return err
		}
		if slices.Contains(names, "ycoordinates") {
			if s.Y, err = r.vector("ycoordinates"); err != nil {
				return err
			}
		}
		if slices.Contains(names, "dir_file") {
			if s.DirFile, err = r.text("dir_file"); err != nil {
				return err
			}
		}
		if slices.Contains(names, "lsrun") {
			return readOurs(r, s)
		}
		return readForeign(r, s, names)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func readOurs(r *reader, s *shard.Surface) (err error) {
	if s.Notes, err = r.notes("lsrun"); err != nil {
		return err
	}
	groups, err := r.names("lsrun")
	if err != nil {
		return err
	}
	if slices.Contains(groups, "plan") {
		plan, err := r.text("lsrun/plan")
		if err != nil {
			return err
		}
		s.Plan = []byte(plan)
	}
	statusNames, err := r.lines("lsrun/status_names")
	if err != nil {
		return err
	}
	names, err := r.lines("lsrun/layers")
	if err != nil {
		return err
	}
	for _, name := range names {
		values, err := r.layer(name, s)
		if err != nil {
			return err
		}
		s.Layers = append(s.Layers, shard.Layer{Name: name, Values: values})
	}
	for _, group := range groups {
		switch group {
		case "plan", "layers", "status_names":
			continue
		}
		if err := readBeside(r, s, group, statusNames); err != nil {
			return err
		}
	}
	return nil
}

// readBeside reads what one of lsrun's groups records about the layers.
func readBeside(r *reader, s *shard.Surface, group string, statusNames []string) error {
	names, err := r.names("lsrun/" + group)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := "lsrun/" + group + "/" + name
		l := s.Layer(name)
		if l == nil {
			return fmt.Errorf("dataset %s belongs to no layer", path)
		}
		if group == "status" {
			l.Status, err = readStatus(r, path, s, statusNames)
		} else {
			if l.Beside == nil {
				l.Beside = map[string][]float64{}
			}
			l.Beside[group], err = r.layer(path, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readStatus(r *reader, path string, s *shard.Surface, names []string) ([]shard.Status, error) {
	v, err := r.read(path)
	if err != nil {
		return nil, err
	}
	codes, ok := v.data.([]uint8)
	if !ok || !slices.Equal(v.shape, shapeOf(s)) {
		return nil, fmt.Errorf("dataset %s: it is not an array of status codes of shape %v", path, shapeOf(s))
	}
	status, err := statuses(codes, names)
	if err != nil {
		return nil, fmt.Errorf("dataset %s: %w", path, err)
	}
	return status, nil
}

// layer reads an array over s's grid.
func (r *reader) layer(path string, s *shard.Surface) ([]float64, error) {
	values, shape, err := r.floats(path)
	if err == nil && !slices.Equal(shape, shapeOf(s)) {
		err = fmt.Errorf("dataset %s: its shape is %v, but the grid's is %v", path, shape, shapeOf(s))
	}
	return values, err
}

func readForeign(r *reader, s *shard.Surface, names []string) error {
	for _, name := range names {
		if name == "xcoordinates" || name == "ycoordinates" {
			continue
		}
		dataset, err := r.isDataset(name)
		if err != nil {
			return err
		}
		if !dataset {
			continue
		}
		set, k, err := r.open(name)
		if err != nil {
			return err
		}
		set.Close()
		swapped := s.Y != nil && slices.Equal(k.shape, []int{len(s.X), len(s.Y)})
		if !k.numeric() || !swapped && !slices.Equal(k.shape, shapeOf(s)) {
			continue
		}
		values, _, err := r.floats(name)
		if err != nil {
			return err
		}
		s.Layers = append(s.Layers, foreignLayer(name, values))
		if swapped && len(s.X) != len(s.Y) {
			s.Notes = map[string]string{"layout": fmt.Sprintf(
				"planes are declared (nx, ny) = (%d, %d) and were read with x running fastest, as the paper's code fills them", len(s.X), len(s.Y))}
		}
	}
	return nil
}

func foreignLayer(name string, values []float64) shard.Layer {
	l := shard.Layer{Name: name, Values: values}
	if !slices.Contains(values, -1) {
		return l
	}
	l.Status = make([]shard.Status, len(values))
	for i, v := range values {
		if v == -1 {
			l.Values[i], l.Status[i] = math.NaN(), shard.Missing
		} else {
			l.Status[i] = shard.StatusOf(v)
		}
	}
	return l
}

// shapeOf is the shape of an array over the grid.
func shapeOf(s *shard.Surface) []int {
	if s.Y == nil {
		return []int{len(s.X)}
	}
	return []int{len(s.Y), len(s.X)}
}
