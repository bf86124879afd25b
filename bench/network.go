package main

import (
	"os"
	"path/filepath"

	"lsrun/nn"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// network is what all engines evaluate, and the folder where the other engines' programs find it.
type network struct {
	graph  *nn.Graph
	states nn.Params
	images *nn.Images
	folder string // temporary
}

// newNetwork has so many images, or if 0 as many as the largest batches take.
func newNetwork(name string, images int) (*network, error) {
	g, err := zoo.New(name, zoo.Options{})
	if err != nil {
		return nil, err
	}
	if images == 0 {
		images = poolSize(g)
	}
	return keep(g, formula.States(g, 1, 1), formula.Images(1, images, g.Input))
}

// keep leaves all in a new folder.
func keep(g *nn.Graph, states nn.Params, images *nn.Images) (n *network, err error) {
	n = &network{graph: g, states: states, images: images}
	if n.folder, err = os.MkdirTemp("", "lsrun-bench"); err != nil {
		return nil, err
	}
	if err := n.write(); err != nil {
		os.RemoveAll(n.folder)
		return nil, err
	}
	return n, nil
}

// poolSize is a multiple of the largest batch; each engine keeps a copy of that many images.
func poolSize(g *nn.Graph) int {
	const largest, bytes = 512, 320 << 20
	return min(20, max(1, bytes/(4*g.Input.Size())/largest)) * largest
}

// first is the head of the images.
func (n *network) first(images int) *nn.Images { return n.part(0, images) }

// part is the images from first to end−1.
func (n *network) part(first, end int) *nn.Images {
	all, size := n.images, n.images.Shape.Size()
	return &nn.Images{Shape: all.Shape, Pixels: all.Pixels[first*size : end*size], Labels: all.Labels[first:end]}
}

func (n *network) write() error {
	for name, content := range map[string][]byte{
		"torch_contender.py": torchProgram, "torch_gpu.py": torchOnCard, "torch_hessian.py": torchHessian, "ort_contender.mjs": onnxProgram,
	} {
		if err := os.WriteFile(filepath.Join(n.folder, name), content, 0o644); err != nil {
			return err
		}
	}
	return write(n.folder, n.graph, n.states, n.images)
}
