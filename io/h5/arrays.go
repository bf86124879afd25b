package h5

import (
	"fmt"
	"slices"

	"lsrun/io/dataset"
)

// ReadArrays reads the named datasets of anybody's file; those that are not there are left
// out. Unsigned bytes stay, floating-point numbers become float32, other integers int64.
func ReadArrays(data []byte, names ...string) (map[string]dataset.Array, error) {
	arrays := map[string]dataset.Array{}
	err := decode("the data file", data, func(r *reader) error {
		there, err := r.names("/")
		if err != nil {
			return err
		}
		for _, name := range names {
			if !slices.Contains(there, name) {
				continue
			}
			if arrays[name], err = r.array(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return arrays, nil
}

func (r *reader) array(path string) (dataset.Array, error) {
	v, err := r.read(path)
	if err != nil {
		return dataset.Array{}, err
	}
	a := dataset.Array{Shape: v.shape}
	switch d := v.data.(type) {
	case []uint8:
		a.Bytes = d
	case []int64:
		a.Ints = d
	case string:
		return dataset.Array{}, fmt.Errorf("dataset %s: it holds a string, where numbers were expected", path)
	default:
		a.Floats, _ = v.float32s()
	}
	return a, nil
}
