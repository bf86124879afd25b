package main

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/figure"
	"lsrun/shard"
)

var plotCommand = &cli.Command{
	Name:      "plot",
	Usage:     "draw a surface file",
	ArgsUsage: "SURFACE.h5|RUN",
	Description: `Without -o every picture that fits is written beside the file: a line gives one with
loss and accuracy, a plane gives contours, filled contours and a heat map. Where there are
eigenvalues of the Hessian, |λmin/λmax| is drawn too (eig_ratio, from 0 to 0.5 as in the
paper); signed_eig_ratio, max_eig and min_eig are drawn on demand.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write one picture to `FILE`.png, .svg or .pdf"},
		&cli.StringFlag{Name: "kind", Usage: "curve, contour, filled or heat (default with -o: curve or contour)"},
		&cli.StringFlag{Name: "metric", Usage: "the dataset to draw, such as test_loss (default: train_loss; for a curve, all)"},
		&cli.StringFlag{Name: "density-at", Usage: "draw the Hessian's spectral density at the point `X,Y`, if the plan has --density"},
		&cli.BoolFlag{Name: "log", Usage: "logarithmic levels (default where the values span decades)"},
		&cli.BoolFlag{Name: "linear", Usage: "linear levels"},
		&cli.Float64Flag{Name: "vmin", Usage: "lowest level"},
		&cli.Float64Flag{Name: "vmax", Usage: "highest level"},
		&cli.Float64Flag{Name: "vlevel", Usage: "distance between levels"},
		&cli.StringFlag{Name: "title", Usage: "above the picture"},
		&cli.StringFlag{Name: "caption", Usage: "below the picture, or '' for none", DefaultText: "network, directions, images and largest standard error"},
	},
	Action: plotAction,
}

func plotAction(c *cli.Context) error {
	path, err := oneArgument(c, "a surface file or a run")
	if err != nil {
		return err
	}
	surface, path, err := loadSurface(path)
	if err != nil {
		return err
	}
	if at := c.String("density-at"); at != "" {
		return plotDensity(c, path, surface, at)
	}
	metrics := []string{c.String("metric")}
	if metrics[0] == "" && c.String("o") == "" && !scaled(c) && surface.Layer(eigRatio) != nil {
		metrics = append(metrics, eigRatio)
	}
	for _, metric := range metrics {
		if err := plotMetric(c, path, surface.Planned(metric), metric); err != nil {
			return err
		}
	}
	return nil
}

// scaled reports whether a scale is asked for, which then is the loss's.
func scaled(c *cli.Context) bool {
	return slices.ContainsFunc([]string{"log", "linear", "vmin", "vmax", "vlevel"}, func(flag string) bool { return c.IsSet(flag) })
}

// plotDensity draws the spectral density at a point.
func plotDensity(c *cli.Context, path string, surface *shard.Surface, at string) error {
	name := orElse(c.String("o"), strings.TrimSuffix(path, filepath.Ext(path))+"_density.png")
	format, err := pictureFormat(name)
	if err != nil {
		return err
	}
	picture, err := drawDensityAt(surface, at, format)
	if err != nil {
		return err
	}
	if err := files.Publish(name, picture); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, name)
	return nil
}

// plotMetric draws one metric, or what suits if it is empty.
func plotMetric(c *cli.Context, path string, surface *shard.Surface, metric string) error {
	options, err := plotOptions(c, surface, metric)
	if err != nil {
		return err
	}
	if c.String("o") != "" {
		return drawTo(c, surface, options, c.String("o"))
	}
	kinds := figure.Kinds(surface)
	if options.Kind != "" {
		kinds = []figure.Kind{options.Kind}
	}
	for _, kind := range kinds {
		options.Kind = kind
		if err := drawTo(c, surface, options, pictureName(path, options.Metric, kind)); err != nil {
			return err
		}
	}
	return nil
}

// pictureName is beside the surface: surface_train_loss_contour.png, surface_curve.png.
func pictureName(path, metric string, kind figure.Kind) string {
	words := []string{strings.TrimSuffix(path, filepath.Ext(path))}
	if metric != "" {
		words = append(words, metric)
	}
	return strings.Join(append(words, string(kind)), "_") + ".png"
}

func plotOptions(c *cli.Context, surface *shard.Surface, metric string) (figure.Options, error) {
	options := figure.Options{Kind: figure.Kind(c.String("kind")), Metric: metric, Title: c.String("title")}
	if options.Kind != "" && !slices.Contains(figure.Kinds(surface), options.Kind) {
		return options, usagef("--kind %s does not fit this surface: it can be drawn as %v", options.Kind, figure.Kinds(surface))
	}
	if options.Metric == "" && surface.Y != nil {
		options.Metric = defaultMetric(surface)
	}
	options.VMin, options.VMax = ratioLimits(options.Metric)
	options.Caption = caption(surface, options.Metric)
	if c.IsSet("caption") {
		options.Caption = c.String("caption")
	}
	if c.Bool("log") && c.Bool("linear") {
		return options, usagef("--log and --linear exclude each other")
	}
	if c.Bool("log") || c.Bool("linear") {
		log := c.Bool("log")
		options.Log = &log
	}
	for name, value := range map[string]**float64{"vmin": &options.VMin, "vmax": &options.VMax, "vlevel": &options.VLevel} {
		if c.IsSet(name) {
			v := c.Float64(name)
			*value = &v
		}
	}
	return options, nil
}

// defaultMetric is what a plane shows if nothing is asked for: the training loss, or else
// the first layer.
func defaultMetric(surface *shard.Surface) string {
	if surface.Layer("train_loss") != nil || len(surface.Layers) == 0 {
		return "train_loss"
	}
	return surface.Layers[0].Name
}

func drawTo(c *cli.Context, surface *shard.Surface, options figure.Options, path string) error {
	format, err := pictureFormat(path)
	if err != nil {
		return err
	}
	if options.Kind == "" {
		options.Kind = figure.Kinds(surface)[0]
	}
	picture, err := figure.Draw(surface, options, format)
	if err != nil {
		return err
	}
	if err := files.Publish(path, picture); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, path)
	return nil
}

// pictureFormat is the format that the name of a picture asks for.
func pictureFormat(path string) (string, error) {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")
	if !slices.Contains([]string{"png", "svg", "pdf"}, format) {
		return "", usagef("-o %s: its ending says the format: .png, .svg or .pdf", path)
	}
	return format, nil
}

// caption says what was computed: network, directions, and of the metric drawn (of both
// losses if it is empty) the number of images and the largest standard error.
func caption(surface *shard.Surface, metric string) string {
	if surface.Plan == nil {
		return ""
	}
	plan, err := shard.ParsePlan(surface.Plan)
	if err != nil {
		return ""
	}
	verified := ""
	if plan.Checkpoint.Verified {
		verified = " (logits compared with PyTorch)"
	}
	parts := []string{fmt.Sprintf("%s, %s%s", plan.Network.Model, plan.Checkpoint.File, verified),
		fmt.Sprintf("directions over %s, %s", plan.Directions.Type, describeSource(plan.Directions))}
	metrics := []string{"train_loss", "test_loss"}
	if metric != "" {
		metrics = []string{metric}
	}
	for _, name := range metrics {
		layer := surface.Layer(name)
		switch {
		case layer == nil:
		case plan.Hessian != nil && isCurvature(name):
			parts = append(parts, "Hessian "+describeHessian(plan.Hessian))
		default:
			parts = append(parts, describeSample(plan.Data, layer))
		}
	}
	return strings.Join(parts, "; ") + "."
}

// describeSample says which images a layer is the mean over, and how far that may be from
// the mean over all of them.
func describeSample(d shard.Data, layer *shard.Layer) string {
	n, of, name := d.Train, d.TrainOf, "training"
	if strings.HasPrefix(layer.Name, "test_") {
		n, of, name = d.Test, d.TestOf, "test"
	}
	if n == of {
		return fmt.Sprintf("all %s %s images", count(int64(n)), name)
	}
	k := largest(layer.Beside[standardError])
	if k < 0 {
		return fmt.Sprintf("%s of %s %s images", count(int64(n)), count(int64(of)), name)
	}
	what, unit := "loss", ""
	if strings.HasSuffix(layer.Name, "_acc") {
		what, unit = "accuracy", " %"
	}
	return fmt.Sprintf("%s of %s %s images, standard error at most %.2g%s (where the %s is %.4g%s)",
		count(int64(n)), count(int64(of)), name, layer.Beside[standardError][k], unit, what, layer.Values[k], unit)
}

// describeSource says in a few words where directions come from.
func describeSource(d shard.Directions) string {
	switch d.Source {
	case "random":
		if d.Y != nil && *d.Y != d.X {
			return fmt.Sprintf("random (seed %d, idx %d), x normalised by %s with %s ignored, y by %s with %s ignored",
				d.Seed, d.Index, d.X.Norm, d.X.Ignore, d.Y.Norm, d.Y.Ignore)
		}
		return fmt.Sprintf("random (seed %d, idx %d), normalised by %s with %s ignored", d.Seed, d.Index, d.X.Norm, d.X.Ignore)
	case "checkpoints":
		if d.Y != nil {
			return fmt.Sprintf("x to %s, y to %s", d.X.Checkpoint.File, d.Y.Checkpoint.File)
		}
		return "to " + d.X.Checkpoint.File
	}
	if d.Source == eigenvectors {
		return describeEigenvectors(d)
	}
	return "from " + d.File
}

// largest is where the largest finite value is, -1 if there is none.
func largest(values []float64) int {
	at := -1
	for k, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) && (at < 0 || v > values[at]) {
			at = k
		}
	}
	return at
}
