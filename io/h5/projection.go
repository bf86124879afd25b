package h5

import "fmt"

// Projection is where the checkpoints of a training run lie in the plane of two
// directions: coordinates in units of the directions, one a checkpoint. The file has the
// datasets proj_xcoord and proj_ycoord.
type Projection struct{ X, Y []float64 }

// EncodeProjection writes a projection file.
func EncodeProjection(p *Projection) ([]byte, error) {
	if len(p.X) != len(p.Y) {
		return nil, fmt.Errorf("encoding the projection file: %d x and %d y coordinates", len(p.X), len(p.Y))
	}
	return encode("the projection file", func(w *writer) {
		w.floats("proj_xcoord", p.X, len(p.X))
		w.floats("proj_ycoord", p.Y, len(p.Y))
	})
}

// DecodeProjection reads a projection file of the paper's code or of ours.
func DecodeProjection(data []byte) (*Projection, error) {
	p := &Projection{}
	err := decode("the projection file", data, func(r *reader) (err error) {
		if p.X, err = r.vector("proj_xcoord"); err != nil {
			return err
		}
		if p.Y, err = r.vector("proj_ycoord"); err != nil {
			return err
		}
		if len(p.X) != len(p.Y) {
			return fmt.Errorf("proj_xcoord has %d values and proj_ycoord %d", len(p.X), len(p.Y))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}
