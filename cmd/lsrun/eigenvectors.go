package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/hessian"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/shard"
)

// eigenvectors is the source of directions along eigenvectors of the Hessian at θ.
const eigenvectors = "eigenvectors"

// parseEigenvector reads --dir-x and --dir-y: eig:1 is the vector of the largest eigenvalue, eig:-1 that of the smallest.
func parseEigenvector(c *cli.Context, flag string) (int, error) {
	number, ok := strings.CutPrefix(c.String(flag), "eig:")
	k, err := strconv.Atoi(number)
	if !ok || err != nil || k == 0 || max(k, -k) > maxTopK {
		return 0, usagef("--%s %s: eig:1 to eig:%d from the largest eigenvalue down, eig:-1 to eig:-%d from the smallest up", flag, c.String(flag), maxTopK, maxTopK)
	}
	return k, nil
}

// directionsAlongEigenvectors makes the directions unit eigenvectors, zero outside the parameters of the Hessian.
func (s *subject) directionsAlongEigenvectors(c *cli.Context, d *shard.Directions, plane *nn.Plane) error {
	var err error
	if d.X.Eigenvector, err = parseEigenvector(c, "dir-x"); err != nil {
		return err
	}
	if c.String("dir-type") == typeName(true) {
		return usagef("--dir-type states: eigenvectors are over weights, as batch norm's statistics are constants of the Hessian")
	}
	most := max(d.X.Eigenvector, -d.X.Eigenvector)
	if d.Y != nil {
		if d.Y.Eigenvector, err = parseEigenvector(c, "dir-y"); err != nil {
			return err
		}
		if d.Y.Eigenvector == d.X.Eigenvector {
			return usagef("--dir-x and --dir-y are the same eigenvector: the plane would be a line")
		}
		most = max(most, d.Y.Eigenvector, -d.Y.Eigenvector)
	}
	h, err := s.describeHessian(c)
	if err != nil {
		return err
	}
	h.TopK, h.RatioTolerance = max(h.TopK, min(most+1, maxTopK)), 0 // vectors are as exact as their residuals, by the distance to the next eigenvalue
	d.Source, d.Type, d.Hessian, d.Seed = eigenvectors, typeName(false), h, 0
	o := cpu.Options{Threads: threads(c), Exact: c.Bool("exact")}
	if c.String("device") == onCPU {
		o.Kernel = c.String("kernel")
	}
	e, err := cpu.New(s.graph, s.loss, o)
	if err != nil {
		return usageError{err.Error()}
	}
	defer e.Close()
	if err := e.SetPlane(nn.Plane{Theta: s.theta}); err != nil {
		return err
	}
	v, err := newCurvature(h, s.graph, e, hessianImages(h, s.images.train))
	if err != nil {
		return err
	}
	spectrum, err := v.at(c.Context, nn.Point{}, h.Seed, nil)
	if err != nil {
		return err
	}
	if spectrum.Status != hessian.Converged {
		return fmt.Errorf("the eigenvectors of the Hessian: %s after %d products: raise --hessian-products or --hessian-tol", spectrum.Status, spectrum.Products)
	}
	axes, params := []*shard.Direction{&d.X, d.Y}, []*nn.Params{&plane.X, &plane.Y}
	for i, axis := range axes {
		if axis == nil {
			continue
		}
		if *params[i], err = v.along(spectrum, axis, s.graph); err != nil {
			return err
		}
		if part := leaning(spectrum, axis.Eigenvector); part > 0.1 {
			fmt.Fprintf(c.App.ErrWriter, "lsrun: warning: eig:%d may hold up to %.0f %% of the eigenvectors beside it, whose eigenvalues are near: --hessian-tol less than %g tells them apart\n",
				axis.Eigenvector, 100*part, h.Tolerance)
		}
	}
	return nil
}

// pairsFrom are the pairs from an end that eig:k counts from, and the index of its own among them.
func pairsFrom(s *hessian.Spectrum, k int) ([]hessian.Pair, int) {
	if k < 0 {
		return s.Bottom, -k - 1
	}
	return s.Top, k - 1
}

// leaning bounds the sine of the angle between eig:k and the exact eigenvector: its residual by the distance to the next eigenvalue
// (Parlett, The Symmetric Eigenvalue Problem, SIAM 1998, theorem 11.7.1).
func leaning(s *hessian.Spectrum, k int) float64 {
	pairs, i := pairsFrom(s, k)
	gap := math.Inf(1)
	for _, j := range []int{i - 1, i + 1} {
		if j >= 0 && j < len(pairs) {
			gap = min(gap, math.Abs(pairs[i].Value-pairs[j].Value))
		}
	}
	return min(1, pairs[i].Residual/gap)
}

// along is an axis's eigenvector as a direction, its largest element positive.
func (v *curvature) along(s *hessian.Spectrum, axis *shard.Direction, graph *nn.Graph) (nn.Params, error) {
	pairs, k := pairsFrom(s, axis.Eigenvector)
	if k >= len(pairs) {
		return nil, usagef("eig:%d: the Hessian has only %d dimensions", axis.Eigenvector, v.operator.Dim())
	}
	axis.Eigenvalue = pairs[k].Value
	largest := 0.0
	for _, x := range pairs[k].Vector {
		if math.Abs(x) > math.Abs(largest) {
			largest = x
		}
	}
	whole := make([]float64, graph.Parameters())
	v.operator.Scatter(pairs[k].Vector, whole)
	direction := make(nn.Params, len(graph.Entries))
	for i, e := range graph.Entries {
		direction[i] = nn.Tensor{Name: e.Name, Shape: e.Shape}
		if e.Role != nn.Learnable {
			continue
		}
		data := make([]float32, e.Shape.Size())
		for k := range data {
			data[k] = float32(math.Copysign(1, largest) * whole[k])
		}
		direction[i].Data, whole = data, whole[len(data):]
	}
	return direction, nil
}

// describeEigenvectors says which ones directions follow.
func describeEigenvectors(d shard.Directions) string {
	if d.Y == nil {
		return fmt.Sprintf("eigenvector %d of the Hessian (eigenvalue %.4g)", d.X.Eigenvector, d.X.Eigenvalue)
	}
	return fmt.Sprintf("eigenvectors %d and %d of the Hessian (eigenvalues %.4g and %.4g)", d.X.Eigenvector, d.Y.Eigenvector, d.X.Eigenvalue, d.Y.Eigenvalue)
}
