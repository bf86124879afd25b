package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lsrun/hessian"
	"lsrun/nn"
	"lsrun/shard"
)

var hessianCommand = &cli.Command{
	Name:      "hessian",
	Usage:     "the curvature of a trained network: extreme eigenvalues, trace and spectral density of its Hessian",
	ArgsUsage: "CHECKPOINT",
	Description: `The Hessian is that of the mean training loss, batch norm frozen, over a part of the
images. An interval holds its eigenvalue with a probability of 0.99; few images bias both
ends outward, which the halves of the images show. --checkpoint FILE may stand for the argument.

   lsrun hessian --model resnet56 --dataset cifar10 --data DIR model.t7

To reproduce the numbers of
   the paper's code     --hessian-params weights --hessian-images all, times the number of its batches, over
                        which it sums
   PyHessian            --hessian-params all --hessian-images first:N, N its batch; density: --probes 1 --steps 100
   pytorch-hessian-eigenthings
                        --hessian-params all --hessian-images all --hessian-topk K`,
	Flags: slices.Concat(networkFlags, dataFlags, hessianFlags, []cli.Flag{
		&cli.StringFlag{Name: "loss", Usage: "crossentropy or mse", Value: "crossentropy"},
		&cli.IntFlag{Name: "trace", Usage: "estimate the trace with `N` products (at least 6; 0 for none)", Value: 30},
		&cli.IntFlag{Name: "probes", Usage: "random vectors that the density is estimated with (0 for none)", Value: 2},
		&cli.IntFlag{Name: "steps", Usage: "products for each of them", Value: 60},
		&cli.StringFlag{Name: "o", Usage: "draw the density in `FILE`.png, .svg or .pdf", DefaultText: "CHECKPOINT_density.png here"},
		&cli.BoolFlag{Name: "json", Usage: "for programs: one object"},
		deviceFlag,
		&cli.StringFlag{Name: "kernel", Usage: "the arithmetic: fma or plain (default: the best of this machine); cards have one for derivatives"},
		&cli.IntFlag{Name: "threads", Usage: "threads", DefaultText: "all cores"},
	}),
	Action: hessianAction,
}

// curvatureReport is what lsrun hessian prints.
type curvatureReport struct {
	Network    string           `json:"network"`
	Loss       string           `json:"loss"`
	Checkpoint trialReport      `json:"checkpoint"`
	Hessian    *shard.Hessian   `json:"hessian"`
	Status     hessian.Status   `json:"status"`
	Products   int              `json:"products"`
	Top        []eigenvalue     `json:"top"`
	Bottom     []eigenvalue     `json:"bottom"`
	Max        [2]number        `json:"max_interval"`
	Min        [2]number        `json:"min_interval"`
	Ratio      [2]number        `json:"ratio_interval"`
	Halves     [][2]number      `json:"halves"` // λmax and λmin of each
	Trace      *traceEstimate   `json:"trace,omitempty"`
	Density    *hessian.Density `json:"density,omitempty"`
}

// trialReport is what the trained network does on some of the images.
type trialReport struct {
	Set      string `json:"set"` // "test" or "training"
	Images   int    `json:"images"`
	Loss     number `json:"loss"`
	Accuracy number `json:"accuracy"` // percent
}

type eigenvalue struct {
	Value    number `json:"value"`
	Residual number `json:"residual"`
}

type traceEstimate struct {
	Value         number `json:"value"`
	StandardError number `json:"standard_error"`
	Products      int    `json:"products"`
}

// number is null in JSON where it is not finite.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

func ends(i hessian.Interval) [2]number { return [2]number{number(i.Low), number(i.High)} }

func hessianAction(c *cli.Context) error {
	path, err := checkpointArgument(c)
	if err != nil {
		return err
	}
	if n := c.Int("trace"); n != 0 && n < 6 {
		return usagef("--trace %d: at least 6 products, or 0", n)
	}
	if c.Int("probes") < 0 || c.Int("steps") < 2 {
		return usagef("--probes %d --steps %d: no fewer than 0 and 2", c.Int("probes"), c.Int("steps"))
	}
	picture := orElse(c.String("o"), strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))+"_density.png")
	format, err := pictureFormat(picture)
	if err != nil {
		return err
	}
	s, err := readSubject(c)
	if err != nil {
		return err
	}
	h, err := s.describeHessian(c)
	if err != nil {
		return err
	}
	report, err := s.curvatureReport(c, h)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.App.Writer).Encode(report)
	}
	report.print(c.App.Writer)
	if report.Density == nil || report.Density.Status == hessian.NotFinite {
		return nil
	}
	drawn, err := drawDensity(report.Density, fmt.Sprintf("%s, %s", report.Network, report.Loss), h, format)
	if err != nil {
		return err
	}
	if err := files.Publish(picture, drawn); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "density     %s\n", picture)
	return nil
}

// checkpointArgument is the checkpoint, which --checkpoint then names even where it is the argument.
func checkpointArgument(c *cli.Context) (string, error) {
	path := c.String("checkpoint")
	if c.IsSet("checkpoint") && c.NArg() == 0 {
		return path, nil
	}
	if c.IsSet("checkpoint") {
		return "", usagef("hessian takes one checkpoint, and got --checkpoint %s and %q: leave one of them out", path, c.Args().Slice())
	}
	path, err := oneArgument(c, "a checkpoint (or --checkpoint FILE)")
	if err != nil {
		return "", err
	}
	return path, c.Set("checkpoint", path)
}

// judge tells how well the trained network does, before much is computed: a wrong preprocessing shows here. It prints
// warnings only where all else is one object.
func (s *subject) judge(c *cli.Context, kernel string) (trialReport, error) {
	t, err := s.tryAlone(c, c.String("device"), kernel)
	if err != nil {
		return trialReport{}, err
	}
	if c.Bool("json") {
		t.warn(c, s)
	} else {
		fmt.Fprintf(c.App.Writer, "network     %s, %s\n", s.graph.Name, s.loss)
		t.report(c, s)
	}
	return trialReport{t.what, t.images.Len(), number(t.loss), number(t.accuracy)}, nil
}

// curvatureReport computes everything at θ.
func (s *subject) curvatureReport(c *cli.Context, h *shard.Hessian) (*curvatureReport, error) {
	kernel, err := chooseArithmetic(s, c)
	if err != nil {
		return nil, usageError{err.Error()}
	}
	trial, err := s.judge(c, kernel)
	if err != nil {
		return nil, err
	}
	e, err := s.alone(c, c.String("device"), kernel)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	images := hessianImages(h, s.images.train)
	v, err := newCurvature(h, s.graph, e, images)
	if err != nil {
		return nil, err
	}
	v.whole.done = countProducts(c.App.ErrWriter)
	ctx := c.Context
	spectrum, err := v.at(ctx, nn.Point{}, h.Seed, nil)
	if err != nil {
		return nil, err
	}
	r := &curvatureReport{Network: s.graph.Name, Loss: s.loss.String(), Checkpoint: trial, Hessian: h, Status: spectrum.Status, Products: spectrum.Products,
		Top: eigenvalues(spectrum.Top), Bottom: eigenvalues(spectrum.Bottom), Max: ends(spectrum.Max), Min: ends(spectrum.Min), Ratio: ends(spectrum.Ratio)}
	if spectrum.Status == hessian.NotFinite {
		return r, nil
	}
	if n := c.Int("trace"); n > 0 {
		t, err := hessian.HutchPlusPlus(ctx, v.operator, n, h.Seed)
		if err != nil {
			return nil, err
		}
		r.Trace = &traceEstimate{number(t.Value), number(t.StandardError), t.Products}
	}
	if n := c.Int("probes"); n > 0 {
		if r.Density, err = hessian.SpectralDensity(ctx, v.operator, n, c.Int("steps"), h.Seed); err != nil {
			return nil, err
		}
	}
	r.Halves, err = v.halves(ctx, s.graph, images, encodeVectors(spectrum))
	return r, err
}

// countProducts tells every lineInterval how many products were made.
func countProducts(out io.Writer) func(int) {
	n, start, told := 0, time.Now(), time.Now()
	return func(products int) {
		n += products
		if now := time.Now(); now.Sub(told) >= lineInterval {
			told = now
			fmt.Fprintf(out, "lsrun: %s, %.2g s each\n", plural(n, "product"), now.Sub(start).Seconds()/float64(n))
		}
	}
}

func eigenvalues(pairs []hessian.Pair) []eigenvalue {
	values := make([]eigenvalue, len(pairs))
	for i, p := range pairs {
		values[i] = eigenvalue{number(p.Value), number(p.Residual)}
	}
	return values
}

// halves are λmax and λmin over every other image, and over the others.
func (v *curvature) halves(ctx context.Context, graph *nn.Graph, images *nn.Images, carry []byte) ([][2]number, error) {
	var found [][2]number
	for first := range min(2, images.Len()) {
		var numbers []int
		for i := first; i < images.Len(); i += 2 {
			numbers = append(numbers, i)
		}
		half, err := newCurvature(v.Hessian, graph, v.engine, pick(images, numbers))
		if err != nil {
			return nil, err
		}
		half.whole.done = v.whole.done
		s, err := half.at(ctx, nn.Point{}, v.Seed+1+uint64(first), carry) // carry comes from v.Seed
		if err != nil {
			return nil, err
		}
		if s.Status == hessian.NotFinite {
			found = append(found, [2]number{number(math.NaN()), number(math.NaN())})
			continue
		}
		found = append(found, [2]number{number(s.Top[0].Value), number(s.Bottom[0].Value)})
	}
	return found, nil
}

func (r *curvatureReport) print(out io.Writer) {
	fmt.Fprintf(out, "hessian     %s\n", describeHessian(r.Hessian))
	if r.Status == hessian.NotFinite {
		fmt.Fprintln(out, "            a product with it is not finite: there are no eigenvalues")
		return
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\teigenvalue\tresidual\t")
	for k, e := range r.Top {
		fmt.Fprintf(table, "%d\t%.6g\t%.1g\t\n", k+1, e.Value, e.Residual)
	}
	for k, e := range slices.Backward(r.Bottom) {
		fmt.Fprintf(table, "%d\t%.6g\t%.1g\t\n", -k-1, e.Value, e.Residual)
	}
	table.Flush()
	fmt.Fprintf(out, "intervals   λmax from %.6g to %.6g, λmin from %.6g to %.6g", r.Max[0], r.Max[1], r.Min[0], r.Min[1])
	if r.Min[0] <= 0 && 0 <= r.Min[1] {
		fmt.Fprint(out, " (sign undetermined)")
	}
	fmt.Fprintf(out, "\nratio       |λmin/λmax| from %.3g to %.3g\n", r.Ratio[0], r.Ratio[1])
	fmt.Fprintf(out, "products    %d, %s\n", r.Products, r.Status)
	for i, h := range r.Halves {
		fmt.Fprintf(out, "half %d      λmax %.6g, λmin %.6g\n", i+1, h[0], h[1])
	}
	if r.Trace != nil {
		fmt.Fprintf(out, "trace       %.5g ± %.2g (standard error, %d products)\n", r.Trace.Value, r.Trace.StandardError, r.Trace.Products)
	}
}
