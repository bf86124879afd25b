package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"lsrun/hessian"
	"lsrun/io/figure"
	"lsrun/shard"
)

// Of the picture of a density.
const (
	densityPoints = 600
	densityWidths = 150  // standard deviations of the kernel from one end of the spectrum to the other
	densityDepth  = 1e-8 // the lowest density by the highest: less than one eigenvalue of millions makes
)

// drawDensity draws a smoothed spectral density on a logarithmic scale.
func drawDensity(d *hessian.Density, subject string, h *shard.Hessian, format string) ([]byte, error) {
	ends := d.Range()
	width := max(ends.Width(), 1e-6*max(math.Abs(ends.Low), math.Abs(ends.High), 1e-300)) / densityWidths
	low, step := ends.Low-4*width, (ends.Width()+8*width)/(densityPoints-1)
	line := shard.Surface{Layers: []shard.Layer{{Name: "density"}}}
	highest := 0.0
	for i := range densityPoints {
		t := low + float64(i)*step
		density, _ := d.At(t, width)
		line.X = append(line.X, t)
		line.Layers[0].Values = append(line.Layers[0].Values, density)
		highest = max(highest, density)
	}
	log, floor := true, densityDepth*highest
	return figure.Draw(&line, figure.Options{Kind: figure.Curve, Metric: "density", XLabel: "eigenvalue", Log: &log, VMin: &floor,
		Caption: fmt.Sprintf("%s: spectral density of the Hessian %s; random vectors: %d, of %d steps; kernel of width %.2g.", subject,
			describeHessian(h), len(d.Probes), len(d.Probes[0].Nodes), width)}, format)
}

// drawDensityAt draws the density at the point of a surface that text, X or X,Y, names.
func drawDensityAt(s *shard.Surface, text, format string) ([]byte, error) {
	plan, err := shard.ParsePlan(s.Plan)
	if err != nil {
		return nil, fmt.Errorf("--density-at %s: the surface has no plan that says what its Hessians are of: %w", text, err)
	}
	k, err := pointNamed(s, text)
	if err != nil {
		return nil, err
	}
	layer := s.Layer(maxEig)
	if layer == nil || plan.Hessian == nil || plan.Hessian.DensitySteps == 0 {
		return nil, usagef("--density-at %s: the surface has no densities: plan with --hessian --density", text)
	}
	q := densityAt(layer, k)
	if q.Nodes == nil {
		return nil, fmt.Errorf("--density-at %s: there is no density at this point: it is %v there", text, layer.Status[k])
	}
	return drawDensity(&hessian.Density{Probes: []hessian.Quadrature{q}}, fmt.Sprintf("%s at (%s)", plan.Network.Model, text), plan.Hessian, format)
}

// densityAt is the quadrature that is recorded beside max_eig at point k, without nodes if there is none.
func densityAt(layer *shard.Layer, k int) (q hessian.Quadrature) {
	for i := 0; layer.Beside[densityNode(i)] != nil; i++ {
		if node := layer.Beside[densityNode(i)][k]; !math.IsNaN(node) {
			q.Nodes, q.Weights = append(q.Nodes, node), append(q.Weights, layer.Beside[densityWeight(i)][k])
		}
	}
	return q
}

// pointNamed is the point at the coordinates that text names.
func pointNamed(s *shard.Surface, text string) (int, error) {
	axes := [][]float64{s.X}
	if s.Y != nil {
		axes = append(axes, s.Y)
	}
	words := strings.Split(text, ",")
	if len(words) != len(axes) {
		return 0, usagef("--density-at %s: one coordinate for each axis, with a comma between them", text)
	}
	k := 0
	for a := len(axes) - 1; a >= 0; a-- {
		v, err := strconv.ParseFloat(strings.TrimSpace(words[a]), 64)
		if err != nil {
			return 0, usagef("--density-at %s: %q is not a number", text, words[a])
		}
		nearest := 0
		for i, c := range axes[a] {
			if math.Abs(c-v) < math.Abs(axes[a][nearest]-v) {
				nearest = i
			}
		}
		if width := axes[a][len(axes[a])-1] - axes[a][0]; !(math.Abs(axes[a][nearest]-v) <= 1e-9*max(width, math.Abs(axes[a][nearest]))) {
			return 0, usagef("--density-at %s: no point of the grid is there: the nearest coordinate is %g", text, axes[a][nearest])
		}
		k = k*len(axes[a]) + nearest
	}
	return k, nil
}
