package shard

// Surface is what was computed over a grid. Arrays have one element a point, numbered as
// in Grid, so that a plane is an (ny, nx) array with y as its first axis.
type Surface struct {
	DirFile string    // the direction file's name, as the paper's scripts want it
	X       []float64 // nx coordinates
	Y       []float64 // ny coordinates; nil for a line
	Layers  []Layer   // in the plan's order
	// Plan is the plan's canonical bytes; nil for files that lsrun did not write.
	Plan []byte
	// Notes are further facts, by name: versions, kernels, hosts.
	Notes map[string]string
}

// Layer is one metric over the grid.
type Layer struct {
	Name   string
	Values []float64
	Status []Status             // nil for files that lsrun did not write
	Beside map[string][]float64 // standard errors and the like
}

// Layer returns the layer called name, or nil.
func (s *Surface) Layer(name string) *Layer {
	for i := range s.Layers {
		if s.Layers[i].Name == name {
			return &s.Layers[i]
		}
	}
	return nil
}
