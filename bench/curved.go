package main

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"lsrun/io/checkpoint"
	"lsrun/io/dataset"
	"lsrun/nn"
	"lsrun/nn/direction"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// reference holds the one trained network, whose curvature is known; a path from the repository's root.
const (
	reference = "testdata/reference"
	trained   = "resnet20"
)

// curved is a network whose curvature is measured.
type curved struct {
	*network
	plane nn.Plane
	grid  []nn.Point // of the plane; nil: there is only θ
	known []ends     // at the grid's points, where the reference has them
}

// newCurved is the reference's network and the first of its images, or one of formula's.
func newCurved(name string, images int) (*curved, error) {
	g, err := zoo.New(name, zoo.Options{})
	if err != nil {
		return nil, err
	}
	if name == trained {
		return newTrained(g, images)
	}
	models, err := formula.Zoo(filepath.Join(reference, "zoo.json"))
	if err != nil {
		return nil, err
	}
	// With the reference's scale logits are ordinary, and so is the spectrum.
	states := formula.States(g, 1, cmp.Or(models[name].BNScale, 1))
	n, err := keep(g, states, formula.Images(1, images, g.Input))
	return &curved{network: n, plane: nn.Plane{Theta: states}}, err
}

// newTrained is the reference's ResNet-20; what is known of the plane is not read yet.
func newTrained(g *nn.Graph, images int) (*curved, error) {
	file, err := checkpoint.Read(filepath.Join(reference, "resnet20/model_8.t7"))
	if err != nil {
		return nil, err
	}
	theta, err := file.Fit(g)
	if err != nil {
		return nil, err
	}
	set, err := dataset.Load("cifar10", filepath.Join(reference, "data/cifar-10-batches-bin"))
	if err != nil {
		return nil, err
	}
	paper, err := dataset.ParsePreset("paper")
	if err != nil {
		return nil, err
	}
	pictures, err := set.TrainImages(dataset.Selection{}, paper)
	if err != nil {
		return nil, err
	}
	if images > pictures.Len() {
		return nil, fmt.Errorf("%d images, but the reference has %d", images, pictures.Len())
	}
	n, err := keep(g, theta, (&network{images: pictures}).first(images))
	return &curved{network: n, plane: nn.Plane{Theta: theta}}, err
}

// readPlane lets a child read the reference's directions, points and eigenvalues, which are HDF5. The
// eigenvalues are those of the first 128 images.
func (c *curved) readPlane(child *child) error {
	request := map[string]any{"do": "plane", "directions": filepath.Join(reference, "resnet20_filter.h5"), "surface": filepath.Join(reference, "resnet20_hessian.h5")}
	var surface struct {
		X   []float64 `json:"xcoordinates"`
		Y   []float64 `json:"ycoordinates"`
		Max []float64 `json:"max_eig"`
		Min []float64 `json:"min_eig"`
	}
	if err := child.ask(request, &surface); err != nil {
		return err
	}
	for _, axis := range []struct {
		file string
		d    *nn.Params
	}{{"x.f32", &c.plane.X}, {"y.f32", &c.plane.Y}} {
		values, err := readRaw[float32](filepath.Join(c.folder, axis.file))
		if err != nil {
			return err
		}
		if *axis.d, err = toDirection(c.graph, values); err != nil {
			return fmt.Errorf("%s: %w", axis.file, err)
		}
	}
	for j, beta := range surface.Y {
		for i, alpha := range surface.X {
			c.grid = append(c.grid, nn.Point{Alpha: alpha, Beta: beta})
			if k := j*len(surface.X) + i; c.images.Len() == paperBatch {
				c.known = append(c.known, ends{Largest: surface.Max[k], Smallest: surface.Min[k]})
			}
		}
	}
	return nil
}

// toDirection cuts the values of a direction over the parameters into tensors.
func toDirection(g *nn.Graph, values []float32) (nn.Params, error) {
	var tensors nn.Params
	for _, e := range g.Entries {
		if n := e.Shape.Size(); e.Role == nn.Learnable && n <= len(values) {
			tensors = append(tensors, nn.Tensor{Shape: e.Shape, Data: values[:n]})
			values = values[n:]
		}
	}
	if len(values) > 0 {
		return nil, fmt.Errorf("%d values are left over", len(values))
	}
	d, _, err := direction.Fit(g, tensors)
	return d, err
}

// readRaw is the inverse of writeRaw.
func readRaw[T float32 | float64](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	values := make([]T, info.Size()/int64(binary.Size(T(0))))
	return values, binary.Read(f, binary.LittleEndian, values)
}
