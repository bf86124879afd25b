package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/hessian"
	"lsrun/io/dataset"
	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/shard"
)

// The metrics of curvature, by the paper's names: λmax and λmin of the mean loss's Hessian.
const (
	maxEig = "max_eig"
	minEig = "min_eig"
)

// What is recorded beside the eigenvalues.
const (
	residual         = "residual"          // ‖H·x − λ·x‖
	lowerBound       = "lower"             // an interval that holds the eigenvalue
	upperBound       = "upper"             //
	ratioLower       = "ratio_lower"       // beside min_eig: one that holds |λmin/λmax|
	ratioUpper       = "ratio_upper"       //
	products         = "products"          // beside min_eig: of the Hessian and a vector
	trace            = "trace"             // beside max_eig: the sum of all eigenvalues, estimated
	traceError       = "trace_error"       // and its standard error
	signUndetermined = "sign_undetermined" // beside min_eig: 1 where its interval holds 0
)

var hessianFlags = []cli.Flag{
	&cli.StringFlag{Name: "hessian-params", Usage: "differentiate by the `weights` (tensors of more than one dimension, as the paper does) or by all parameters", Value: "weights"},
	&cli.StringFlag{Name: "hessian-images", Usage: "the mean over `N` training images, of all classes alike and nested for one seed; first:N for the first ones; or all", Value: "1000"},
	&cli.Uint64Flag{Name: "hessian-seed", Usage: "which images --hessian-images draws, and where the iterations start"},
	&cli.Float64Flag{Name: "hessian-tol", Usage: "how exact both eigenvalues are, relative to the larger magnitude", Value: 1e-3},
	&cli.Float64Flag{Name: "hessian-tol-ratio", Usage: "how exact |λmin/λmax| is, absolutely, instead of --hessian-tol", DefaultText: "--hessian-tol counts"},
	&cli.IntFlag{Name: "hessian-products", Usage: "give up after `N` products of the Hessian and a vector at a point", Value: 300},
	&cli.IntFlag{Name: "hessian-topk", Usage: "record the `K` eigenvalues at either end", Value: 1},
}

var hessianPlanFlags = slices.Concat([]cli.Flag{
	&cli.BoolFlag{Name: "hessian", Usage: "compute the largest and the smallest eigenvalue of the Hessian too"},
	&cli.BoolFlag{Name: "trace", Usage: "estimate the Hessian's trace too, with 30 products"},
	&cli.BoolFlag{Name: "density", Usage: "estimate its spectral density too, with 60 products"},
	&cli.StringFlag{Name: "hessian-grid", Usage: "at `NX`×NY points of the grid only, written 11x11, or 11 on a line (default: at all)"},
}, hessianFlags)

// planHessian reads the flags of curvature; nil if none is wanted.
func (s *subject) planHessian(c *cli.Context, grid shard.Grid) (*shard.Hessian, error) {
	if !c.Bool("hessian") {
		useless := hessianPlanFlags[1:]
		if c.String("dir-x") != "" {
			useless = hessianPlanFlags[1 : len(hessianPlanFlags)-len(hessianFlags)]
		}
		for _, flag := range useless {
			if name := flag.Names()[0]; c.IsSet(name) {
				return nil, usagef("--%s: it says how --hessian works, which is not given", name)
			}
		}
		return nil, nil
	}
	h, err := s.describeHessian(c)
	if err != nil {
		return nil, err
	}
	if c.Bool("trace") {
		h.TraceProducts = 30
	}
	if c.Bool("density") {
		h.DensitySteps = 60
	}
	h.StepX, h.StepY, err = hessianSteps(c.String("hessian-grid"), grid)
	return h, err
}

// describeHessian reads hessianFlags.
func (s *subject) describeHessian(c *cli.Context) (*shard.Hessian, error) {
	h := &shard.Hessian{Parameters: c.String("hessian-params"), Seed: c.Uint64("hessian-seed"), Tolerance: c.Float64("hessian-tol"),
		RatioTolerance: c.Float64("hessian-tol-ratio"), Products: c.Int("hessian-products"), TopK: c.Int("hessian-topk"), StepX: 1, StepY: 1}
	switch {
	case h.Parameters != "weights" && h.Parameters != "all":
		return nil, usagef("--hessian-params %s: weights or all", h.Parameters)
	case !(h.Tolerance > 0 && h.Tolerance < 1):
		return nil, usagef("--hessian-tol %g: between 0 and 1", h.Tolerance)
	case !(h.RatioTolerance >= 0):
		return nil, usagef("--hessian-tol-ratio %g: a positive number", h.RatioTolerance)
	case h.Products < 2:
		return nil, usagef("--hessian-products %d: at least 2", h.Products)
	case h.TopK < 1 || h.TopK > maxTopK:
		return nil, usagef("--hessian-topk %d: from 1 to %d", h.TopK, maxTopK)
	case s.images.train == nil:
		return nil, fmt.Errorf("the Hessian is that of the training loss, and %s has no training images", s.data.Path)
	}
	number := c.String("hessian-images")
	h.Choice = "balanced"
	if rest, ok := strings.CutPrefix(number, "first:"); ok {
		h.Choice, number = "first", rest
	}
	if number == "all" {
		h.Choice, h.Images = "all", s.images.train.Len()
		return h, nil
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return nil, usagef("--hessian-images %s: a number, first: and a number, or all", c.String("hessian-images"))
	}
	h.Images = min(n, s.images.train.Len())
	return h, nil
}

// hessianValues are the flags that plan a Hessian again, by name; --hessian-grid, which depends on the axes, is
// not among them.
func hessianValues(h *shard.Hessian) map[string]string {
	images := map[string]string{"balanced": strconv.Itoa(h.Images), "first": "first:" + strconv.Itoa(h.Images), "all": "all"}[h.Choice]
	values := map[string]string{"hessian": "true", "hessian-params": h.Parameters, "hessian-images": images,
		"hessian-seed": strconv.FormatUint(h.Seed, 10), "hessian-tol": strconv.FormatFloat(h.Tolerance, 'g', -1, 64),
		"hessian-products": strconv.Itoa(h.Products), "hessian-topk": strconv.Itoa(h.TopK)}
	values["trace"], values["density"] = strconv.FormatBool(h.TraceProducts > 0), strconv.FormatBool(h.DensitySteps > 0)
	if h.RatioTolerance > 0 {
		values["hessian-tol-ratio"] = strconv.FormatFloat(h.RatioTolerance, 'g', -1, 64)
	}
	return values
}

// hessianGrid is the --hessian-grid of a plan's Hessian.
func hessianGrid(h *shard.Hessian, grid shard.Grid) string {
	text := strconv.Itoa((grid.X.N-1)/h.StepX + 1)
	if grid.Y != nil {
		text += "x" + strconv.Itoa((grid.Y.N-1)/h.StepY+1)
	}
	return text
}

// describeHessian says in a few words what a Hessian is of, and how exact its eigenvalues are.
func describeHessian(h *shard.Hessian) string {
	parameters := "all parameters"
	if h.Parameters == "weights" {
		parameters = "the tensors of more than one dimension"
	}
	images := map[string]string{"balanced": "%s training images of all classes alike", "first": "the first %s training images",
		"all": "all %s training images"}[h.Choice]
	exactness := fmt.Sprintf("eigenvalues within %g of the larger one", h.Tolerance)
	if h.RatioTolerance > 0 {
		exactness = fmt.Sprintf("their ratio within %g", h.RatioTolerance)
	}
	return fmt.Sprintf("over %s, by %s, %s", fmt.Sprintf(images, count(int64(h.Images))), parameters, exactness)
}

// maxTopK bounds the eigenvalues at either end: the basis of the iteration holds four times as many vectors.
const maxTopK = 32

// hessianSteps reads --hessian-grid, whose points must be some of the grid's, the corners included.
func hessianSteps(text string, grid shard.Grid) (x, y int, err error) {
	if text == "" {
		return 1, 1, nil
	}
	parts := strings.Split(text, "x")
	axes := []shard.Axis{grid.X}
	if grid.Y != nil {
		axes = append(axes, *grid.Y)
	}
	if len(parts) != len(axes) {
		return 0, 0, usagef("--hessian-grid %s: one number of points for each axis of the grid, as in 11 or 11x11", text)
	}
	steps := []int{1, 1}
	for i, a := range axes {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 1 || n > a.N || n > 1 && (a.N-1)%(n-1) != 0 || n == 1 && a.N > 1 {
			return 0, 0, usagef("--hessian-grid %s: %s points cannot be spread over the %d of the axis: there may be %s", text, parts[i], a.N, spreads(a.N))
		}
		if n > 1 {
			steps[i] = (a.N - 1) / (n - 1)
		}
	}
	return steps[0], steps[1], nil
}

// spreads lists the numbers of points that can be evenly spread over n points with both ends.
func spreads(n int) string {
	var words []string
	for m := 2; m <= n; m++ {
		if (n-1)%(m-1) == 0 {
			words = append(words, strconv.Itoa(m))
		}
	}
	return strings.Join(words, ", ")
}

// hessianMetrics are what a plan with curvature adds.
func hessianMetrics(h *shard.Hessian) []shard.Metric {
	largest := shard.Metric{Name: maxEig, Beside: []string{residual, lowerBound, upperBound}}
	smallest := shard.Metric{Name: minEig, Beside: []string{residual, lowerBound, upperBound, ratioLower, ratioUpper, signUndetermined, products}}
	for k := 2; k <= h.TopK; k++ {
		largest.Beside = append(largest.Beside, further(k))
		smallest.Beside = append(smallest.Beside, further(k))
	}
	if h.TraceProducts > 0 {
		largest.Beside = append(largest.Beside, trace, traceError)
	}
	for k := range h.DensitySteps {
		largest.Beside = append(largest.Beside, densityNode(k), densityWeight(k))
	}
	return []shard.Metric{largest, smallest}
}

// densityNode and densityWeight name the quadrature's k-th node, in rising order, and its weight, beside max_eig.
func densityNode(k int) string   { return fmt.Sprintf("density_node_%02d", k) }
func densityWeight(k int) string { return fmt.Sprintf("density_weight_%02d", k) }

// further names the k-th eigenvalue from an end.
func further(k int) string { return fmt.Sprintf("eigenvalue_%d", k) }

// What a pair of eigenvalues costs, as plans estimate it before anything was computed.
const (
	usualProducts = 40
	productCost   = 7 // forward passes
)

// hessianMACs estimates the multiply-adds of the curvature at a point.
func hessianMACs(h *shard.Hessian, graph *nn.Graph) int64 {
	return int64(usualProducts+h.TraceProducts+h.DensitySteps) * productCost * int64(h.Images) * graph.MACs()
}

// hessianImages are the images of a plan's Hessian, of its training images.
func hessianImages(h *shard.Hessian, train *nn.Images) *nn.Images {
	switch h.Choice {
	case "all":
		return train
	case "first":
		size := train.Shape.Size()
		return &nn.Images{Shape: train.Shape, Pixels: train.Pixels[:h.Images*size], Labels: train.Labels[:h.Images]}
	}
	return pick(train, dataset.Balanced(train.Labels, h.Images, h.Seed))
}

// curvature computes eigenvalues of the Hessian at points of a plane.
type curvature struct {
	*shard.Hessian
	engine   engine.Differentiator
	set      engine.Set
	gradient []float64
	whole    *products64
	operator *hessian.Restriction
}

// newCurvature makes images resident, over which the Hessian is taken.
func newCurvature(h *shard.Hessian, graph *nn.Graph, plain engine.Engine, images *nn.Images) (*curvature, error) {
	e, ok := plain.(engine.Differentiator)
	if !ok {
		return nil, fmt.Errorf("%w: the kernel %s has no derivatives", shard.ErrRefused, plain.Kernel())
	}
	set, err := e.Load(images)
	if err != nil {
		return nil, err
	}
	whole := &products64{Differentiator: e, n: graph.Parameters()}
	operator, err := hessian.Restrict(whole, parameterRanges(graph, h.Parameters))
	if err != nil {
		return nil, err
	}
	return &curvature{Hessian: h, engine: e, set: set, gradient: make([]float64, whole.n), whole: whole, operator: operator}, nil
}

// products64 is an engine's Hessian as an operator.
type products64 struct {
	engine.Differentiator
	n    int
	done func(products int) // may be nil
}

func (p *products64) Dim() int { return p.n }
func (p *products64) Apply(ctx context.Context, vectors, products [][]float64) error {
	return p.count(len(vectors), p.Products(ctx, vectors, products))
}

// count reports so many products, unless they failed.
func (p *products64) count(products int, err error) error {
	if err == nil && p.done != nil {
		p.done(products)
	}
	return err
}

// Vectors are those that the engine keeps, if it keeps any.
func (p *products64) Vectors(ranges [][2]int, count int) (hessian.Vectors, error) {
	e, ok := p.Differentiator.(engine.Residence)
	if !ok {
		return nil, nil
	}
	v, err := e.Vectors(ranges, count)
	if err != nil {
		return nil, err
	}
	return &counted{v, p}, nil
}

// counted are vectors whose products are counted.
type counted struct {
	engine.Vectors
	of *products64
}

func (c *counted) Apply(ctx context.Context, v, w int) error {
	return c.of.count(1, c.Vectors.Apply(ctx, v, w))
}

// parameterRanges are where the chosen parameters lie in a vector of all.
func parameterRanges(graph *nn.Graph, choice string) []hessian.Range {
	var ranges []hessian.Range
	at := 0
	for _, e := range graph.Entries {
		if e.Role != nn.Learnable {
			continue
		}
		if choice == "all" || len(e.Shape) > 1 {
			ranges = append(ranges, hessian.Range{First: at, End: at + e.Shape.Size()})
		}
		at += e.Shape.Size()
	}
	return ranges
}

// basis is how many vectors an iteration keeps at most.
func basis(h *shard.Hessian) int { return max(64, 4*h.TopK) }

// at computes the spectrum's ends at a point. The iteration starts near what carry holds.
func (v *curvature) at(ctx context.Context, point nn.Point, seed uint64, carry []byte) (*hessian.Spectrum, error) {
	if _, err := v.engine.Gradient(ctx, v.set, point, v.gradient); err != nil {
		return nil, err
	}
	n := v.operator.Dim()
	o := hessian.Options{Top: v.TopK, Bottom: v.TopK, Tolerance: v.Tolerance, RatioTolerance: v.RatioTolerance, Products: v.Products,
		Basis: basis(v.Hessian), Start: decodeVectors(carry, n), Seed: seed}
	return hessian.Extremes(ctx, v.operator, o)
}

// measure is all that is computed at a point: the columns of hessianMetrics, their statuses, and what the next
// point starts from.
func (v *curvature) measure(ctx context.Context, point nn.Point, seed uint64, carry []byte) (values []float64, statuses []shard.Status, next []byte, err error) {
	s, err := v.at(ctx, point, seed, carry)
	if err != nil {
		return nil, nil, nil, err
	}
	var whole []float64
	if s.Status != hessian.NotFinite && v.TraceProducts > 0 {
		t, err := hessian.HutchPlusPlus(ctx, v.operator, v.TraceProducts, seed)
		if err != nil {
			return nil, nil, nil, err
		}
		whole = append(whole, t.Value, t.StandardError)
	}
	if s.Status != hessian.NotFinite && v.DensitySteps > 0 {
		d, err := hessian.SpectralDensity(ctx, v.operator, 1, v.DensitySteps, seed)
		if err != nil {
			return nil, nil, nil, err
		}
		whole = append(whole, v.quadrature(d)...)
	}
	values, statuses = v.columns(s, whole)
	return values, statuses, encodeVectors(s), nil
}

// quadrature lists nodes and weights by turns; NaN where the process ended early.
func (v *curvature) quadrature(d *hessian.Density) []float64 {
	values := slices.Repeat([]float64{math.NaN()}, 2*v.DensitySteps)
	for _, q := range d.Probes {
		for k := range q.Nodes {
			values[2*k], values[2*k+1] = q.Nodes[k], q.Weights[k]
		}
	}
	return values
}

// columns are the values of hessianMetrics and their statuses; whole are those of trace and density.
func (v *curvature) columns(s *hessian.Spectrum, whole []float64) (values []float64, statuses []shard.Status) {
	if s.Status == hessian.NotFinite {
		for _, m := range hessianMetrics(v.Hessian) {
			values = append(values, slices.Repeat([]float64{math.NaN()}, 1+len(m.Beside))...)
			statuses = append(statuses, shard.NaN)
		}
		return values, statuses
	}
	undetermined := 0.0
	if s.SignUndetermined() {
		undetermined = 1
	}
	largest := []float64{s.Top[0].Value, s.Top[0].Residual, s.Max.Low, s.Max.High}
	smallest := []float64{s.Bottom[0].Value, s.Bottom[0].Residual, s.Min.Low, s.Min.High, s.Ratio.Low, s.Ratio.High, undetermined, float64(s.Products)}
	values = slices.Concat(largest, v.further(s.Top), whole, smallest, v.further(s.Bottom))
	status := shard.Done
	if s.Status == hessian.NotConverged {
		status = shard.NotConverged
	}
	return values, []shard.Status{status, status}
}

// further are the eigenvalues after the first from an end; NaN where there are fewer.
func (v *curvature) further(pairs []hessian.Pair) []float64 {
	values := slices.Repeat([]float64{math.NaN()}, v.TopK-1)
	for i, p := range pairs[1:] {
		values[i] = p.Value
	}
	return values
}

// notPlanned are the columns at a point outside the Hessian's grid.
func (v *curvature) notPlanned() (values []float64, statuses []shard.Status) {
	values, statuses = v.columns(&hessian.Spectrum{Status: hessian.NotFinite}, nil)
	return values, slices.Repeat([]shard.Status{shard.NotPlanned}, len(statuses))
}

// encodeVectors keeps the outermost eigenvectors for the next point: float32, little-endian, one after another.
func encodeVectors(s *hessian.Spectrum) []byte {
	if s.Status == hessian.NotFinite {
		return nil
	}
	var data []byte
	for _, pair := range []hessian.Pair{s.Top[0], s.Bottom[0]} {
		for _, x := range pair.Vector {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
		}
	}
	return data
}

// decodeVectors is the inverse of encodeVectors for vectors of n elements; nil for anything else.
func decodeVectors(data []byte, n int) [][]float32 {
	if len(data) != 2*4*n {
		return nil
	}
	var vectors [][]float32
	for range 2 {
		v := make([]float32, n)
		for i := range v {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		vectors = append(vectors, v)
		data = data[4*n:]
	}
	return vectors
}
