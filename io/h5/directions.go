package h5

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lsrun/nn"
)

// Directions is a direction file: the groups xdirection and ydirection, each with a
// dataset "0", "1", … for every entry of the network's parameters or states.
type Directions struct {
	// X and Y are in the file's order, with the datasets' names. Y is nil for a line.
	// A tensor whose Data is nil is written as zeros of its Shape.
	X, Y nn.Params
	// Extra holds further datasets of numbers, as PCA's explained_variance_.
	Extra map[string][]float64
}

// EncodeDirections writes float32 datasets, but scalars that are integers
// (num_batches_tracked) as int64, as the paper's code does. Names in X and Y are not used.
func EncodeDirections(d *Directions) ([]byte, error) {
	return encode("the direction file", func(w *writer) {
		writeDirection(w, "xdirection", d.X)
		if d.Y != nil {
			writeDirection(w, "ydirection", d.Y)
		}
		for _, name := range sortedKeys(d.Extra) {
			w.floats(name, d.Extra[name], len(d.Extra[name]))
		}
	})
}

func writeDirection(w *writer, group string, tensors nn.Params) {
	w.group(group)
	for i, t := range tensors {
		data := t.Data
		if data == nil {
			data = make([]float32, t.Shape.Size())
		}
		path := group + "/" + strconv.Itoa(i)
		if len(t.Shape) == 0 && len(data) == 1 && integral(data[0]) {
			w.integers(path, []int64{int64(data[0])})
		} else {
			w.singles(path, data, t.Shape...)
		}
	}
}

// DecodeDirections reads the paper's direction files and ours. Numbers of any type become
// float32. Entries have the names "0", "1", …; a gap among them is an error.
func DecodeDirections(data []byte) (*Directions, error) {
	d := &Directions{}
	err := decode("the direction file", data, func(r *reader) error {
		names, err := r.names("/")
		if err != nil {
			return err
		}
		if !slices.Contains(names, "xdirection") {
			return fmt.Errorf("there is no group xdirection, only %s: this is not a direction file", list(names))
		}
		for _, name := range names {
			switch name {
			case "xdirection":
				d.X, err = readDirection(r, name)
			case "ydirection":
				d.Y, err = readDirection(r, name)
			default:
				err = d.readExtra(r, name)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func readDirection(r *reader, group string) (nn.Params, error) {
	names, err := r.names(group)
	if err != nil {
		return nil, err
	}
	tensors := make(nn.Params, len(names))
	for i := range tensors {
		name := strconv.Itoa(i)
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("group %s holds %d datasets, but none called %s: they must be numbered 0 to %d without a gap",
				group, len(names), name, len(names)-1)
		}
		v, err := r.read(group + "/" + name)
		if err != nil {
			return nil, err
		}
		data, ok := v.float32s()
		if !ok {
			return nil, fmt.Errorf("dataset %s/%s holds a string, where numbers were expected", group, name)
		}
		tensors[i] = nn.Tensor{Name: name, Shape: append(nn.Shape{}, v.shape...), Data: data}
	}
	return tensors, nil
}

// readExtra keeps vectors of numbers and passes over everything else.
func (d *Directions) readExtra(r *reader, name string) error {
	if dataset, err := r.isDataset(name); !dataset || err != nil {
		return err
	}
	set, k, err := r.open(name)
	if err != nil {
		return err
	}
	set.Close()
	if len(k.shape) != 1 || !k.numeric() {
		return nil
	}
	values, _, err := r.floats(name)
	if err != nil {
		return err
	}
	if d.Extra == nil {
		d.Extra = map[string][]float64{}
	}
	d.Extra[name] = values
	return nil
}

// list is names for an error message.
func list(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
