package h5

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/hdf5"
)

// Description is what a file holds, in words.
type Description struct {
	Kind  string // "surface", "direction", "shard", "projection" or "data"
	Items []Item // in the order of paths
}

// Item is a group or dataset.
type Item struct {
	Path       string
	Type       string // "group", or NumPy's name of the values' type, or "string"
	Shape      []int  // empty for groups and scalars
	Value      string // of strings, and of up to 16 numbers
	Attributes []Attribute
}

// Attribute is a fact about a group or dataset. Text is empty unless it is a single string
// or number.
type Attribute struct{ Name, Text string }

// Describe lists everything in an HDF5 file.
func Describe(data []byte) (*Description, error) {
	d := &Description{}
	err := decode("the file", data, func(r *reader) error {
		names, err := r.names("/")
		if err != nil {
			return err
		}
		d.Kind = kindOf(names)
		return d.walk(r, "")
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// kindOf tells a file by the names in its root.
func kindOf(names []string) string {
	for _, known := range []struct {
		kind string
		has  []string
	}{
		{"surface", []string{"xcoordinates"}},
		{"direction", []string{"xdirection"}},
		{"projection", []string{"proj_xcoord", "proj_ycoord"}},
		{"shard", []string{"plan", "points", "unit", "values"}},
	} {
		if !slices.ContainsFunc(known.has, func(n string) bool { return !slices.Contains(names, n) }) {
			return known.kind
		}
	}
	return "data"
}

// These end the walk through groups that contain themselves.
const (
	maxDepth = 16
	maxItems = 1 << 16
)

func (d *Description) walk(r *reader, path string) error {
	if strings.Count(path, "/") > maxDepth {
		return fmt.Errorf("group %s: groups are nested deeper than %d", path, maxDepth)
	}
	if len(d.Items) > maxItems {
		return fmt.Errorf("it holds more than %d groups and datasets", maxItems)
	}
	group := "/" + path
	names, err := r.names(group)
	if err != nil {
		return err
	}
	if path == "" {
		if err := d.group(r, group); err != nil {
			return err
		}
	}
	for _, name := range names {
		child := strings.TrimPrefix(path+"/"+name, "/")
		dataset, err := r.isDataset(child)
		if err != nil {
			return err
		}
		if dataset {
			err = d.dataset(r, child)
		} else if err = d.group(r, child); err == nil {
			err = d.walk(r, child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Description) group(r *reader, path string) error {
	attributes, err := r.groupAttributes(path)
	if err == nil {
		d.Items = append(d.Items, Item{Path: path, Type: "group", Attributes: attributes})
	}
	return err
}

func (d *Description) dataset(r *reader, path string) error {
	set, k, err := r.open(path)
	if err != nil {
		return err
	}
	defer set.Close()
	item := Item{Path: path, Type: k.String(), Shape: k.shape}
	if item.Attributes, err = r.attributes(handle(set)); err != nil {
		return fmt.Errorf("dataset %s: %w", path, err)
	}
	if n := k.elements(); k.numeric() && n <= 16 || k.class == hdf5.T_STRING && n == 1 {
		v, err := r.read(path)
		if err != nil {
			return err
		}
		item.Value = strings.Trim(fmt.Sprint(v.data), "[]")
	}
	d.Items = append(d.Items, item)
	return nil
}
