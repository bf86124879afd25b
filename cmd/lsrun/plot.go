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
	Usage:     "draw surface files",
	ArgsUsage: "[NAME=]SURFACE.h5|RUN…",
	Description: `Without -o every picture that fits is written beside the file: a line gives one with
loss and accuracy, a plane gives contours, filled contours, a heat map and a relief. Where there are
eigenvalues of the Hessian, |λmin/λmax| is drawn too (eig_ratio, from 0 to 0.5 as in the
paper); signed_eig_ratio, max_eig and min_eig are drawn on demand.

Several planes become panels side by side with one scale; several lines become curves in one
frame, those of one NAME (seeds) their mean with a band of one standard deviation:

   lsrun plot -o skip.pdf --kind relief 'with=a/surface.h5' 'without=b/surface.h5'
   lsrun plot -o seeds.pdf wide=seed1 wide=seed2 wide=seed3 narrow=seed4 narrow=seed5

--path draws what lsrun path found, or a projection file of the paper's code, onto the plane.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write one picture to `FILE`.png, .svg or .pdf"},
		&cli.StringFlag{Name: "kind", Usage: "curve, contour, filled, heat or relief (default with -o: curve or contour)"},
		&cli.StringFlag{Name: "metric", Usage: "the dataset to draw, such as test_loss (default: train_loss; for a curve, all)"},
		&cli.StringFlag{Name: "path", Usage: "draw the training paths of a projection `FILE`, or of the folder that lsrun path wrote"},
		&cli.StringFlag{Name: "lr-drops", Usage: "epochs `E,…` after which the learning rate fell", DefaultText: "where the projection file says so"},
		&cli.BoolFlag{Name: "minima", Usage: "mark the plane's minima: values lower than all around"},
		&cli.StringFlag{Name: "density-at", Usage: "draw the Hessian's spectral density at the point `X,Y`, if the plan has --density"},
		&cli.BoolFlag{Name: "log", Usage: "logarithmic levels", DefaultText: "where the values span decades"},
		&cli.BoolFlag{Name: "linear", Usage: "linear levels", DefaultText: "where they do not"},
		&cli.Float64Flag{Name: "vmin", Usage: "lowest level", DefaultText: "what suits the values"},
		&cli.Float64Flag{Name: "vmax", Usage: "highest level; a relief is cut off there", DefaultText: "what suits the values"},
		&cli.Float64Flag{Name: "vlevel", Usage: "distance between levels", DefaultText: "what suits the values"},
		&cli.Float64Flag{Name: "azimuth", Usage: "turn a relief: where it is seen from, in `DEGREES` from the α axis", Value: -60},
		&cli.Float64Flag{Name: "elevation", Usage: "and from how high, in `DEGREES` above the plane", Value: 40},
		&cli.StringFlag{Name: "style", Usage: "paper, slides (larger) or dark", Value: "paper"},
		&cli.Float64Flag{Name: "width", Usage: "width in `MM`", DefaultText: "one column of the style, two for panels"},
		&cli.Float64Flag{Name: "height", Usage: "height in `MM`", DefaultText: "what suits the width"},
		&cli.StringFlag{Name: "title", Usage: "above the picture"},
		&cli.StringFlag{Name: "caption", Usage: "below the picture, or '' for none", DefaultText: "network, directions, images and largest standard error; the file says it in any case"},
	},
	Action: plotAction,
}

func plotAction(c *cli.Context) error {
	all, err := namedSurfaces(c)
	if err != nil {
		return err
	}
	alone := len(all) == 1
	switch at := c.String("density-at"); {
	case at != "" && !alone:
		return usagef("--density-at %s: one surface at a time", at)
	case at != "":
		return plotDensity(c, all[0].path, all[0].Surface, at)
	case !alone && c.String("o") == "":
		return usagef("one picture of %d surfaces needs -o, the name of its file", len(all))
	}
	metrics := []string{c.String("metric")}
	if metrics[0] == "" && c.String("o") == "" && !scaled(c) && all[0].Layer(eigRatio) != nil {
		metrics = append(metrics, eigRatio)
	}
	for _, metric := range metrics {
		planned := slices.Clone(all)
		for k := range planned {
			planned[k].Surface = planned[k].Planned(metric)
		}
		if err := plotMetric(c, planned, metric); err != nil {
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
	if err := publishResult(name, picture, len("%PDF")); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, name)
	return nil
}

// plotMetric draws one metric, or what suits if it is empty.
func plotMetric(c *cli.Context, all []namedSurface, metric string) error {
	options, err := plotOptions(c, all, metric)
	if err != nil {
		return err
	}
	subjects, err := plotSubjects(c, all, &options)
	if err != nil {
		return err
	}
	if c.String("o") != "" {
		return drawTo(c, all, subjects, options, c.String("o"))
	}
	kinds := figure.Kinds(all[0].Surface)
	if options.Kind != "" {
		kinds = []figure.Kind{options.Kind}
	}
	for _, kind := range kinds {
		options.Kind = kind
		if err := drawTo(c, all, subjects, options, pictureName(all[0].path, options.Metric, kind)); err != nil {
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

func plotOptions(c *cli.Context, all []namedSurface, metric string) (figure.Options, error) {
	options := figure.Options{Kind: figure.Kind(c.String("kind")), Metric: metric, Title: c.String("title"),
		Style: figure.Style(c.String("style")), Width: c.Float64("width"), Height: c.Float64("height")}
	first := all[0].Surface
	if options.Kind != "" && !slices.Contains(figure.Kinds(first), options.Kind) {
		return options, usagef("--kind %s does not fit this surface: it can be drawn as %v", options.Kind, figure.Kinds(first))
	}
	if styles := []figure.Style{figure.Paper, figure.Slides, figure.Dark}; !slices.Contains(styles, options.Style) {
		return options, usagef("--style %s: use one of %v", options.Style, styles)
	}
	if options.Metric == "" && first.Y != nil {
		options.Metric = defaultMetric(first)
	}
	options.VMin, options.VMax = ratioLimits(options.Metric)
	options.Caption = commonCaption(all, options.Metric)
	options.Facts = pictureFacts(all, options.Metric)
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
	for _, name := range []string{"width", "height"} {
		if v := c.Float64(name); c.IsSet(name) && !(v > 0 && v < math.Inf(1)) {
			return options, usagef("--%s %g: millimetres, more than 0", name, v)
		}
	}
	for name, value := range map[string]**float64{"vmin": &options.VMin, "vmax": &options.VMax, "vlevel": &options.VLevel,
		"azimuth": &options.Azimuth, "elevation": &options.Elevation} {
		if c.IsSet(name) {
			v := c.Float64(name)
			if v-v != 0 {
				return options, usagef("--%s %g: a finite number", name, v)
			}
			*value = &v
		}
	}
	switch {
	case options.VMin != nil && options.VMax != nil && *options.VMin >= *options.VMax:
		return options, usagef("--vmin %g is not below --vmax %g", *options.VMin, *options.VMax)
	case options.VLevel != nil && *options.VLevel <= 0:
		return options, usagef("--vlevel %g: levels rise", *options.VLevel)
	}
	return options, nil
}

// plotSubjects are what the picture's panels or curves show. A path brings the names of the axes along.
func plotSubjects(c *cli.Context, all []namedSurface, options *figure.Options) ([]figure.Subject, error) {
	planes := all[0].Y != nil
	for _, flag := range []string{"path", "lr-drops", "minima"} {
		switch {
		case !c.IsSet(flag):
		case !planes:
			return nil, usagef("--%s is for planes, and %s is a line", flag, all[0].path)
		case flag != "minima" && len(all) > 1:
			return nil, usagef("--%s: the path lies on one plane, and there are %d", flag, len(all))
		}
	}
	if c.IsSet("lr-drops") && !c.IsSet("path") {
		return nil, usagef("--lr-drops: of which path? Give --path too")
	}
	var subjects []figure.Subject
	if !planes {
		for _, group := range byName(all) {
			s := figure.Subject{Name: all[group[0]].name}
			for _, k := range group {
				s.Surfaces = append(s.Surfaces, all[k].Surface)
			}
			subjects = append(subjects, s)
		}
		return subjects, nil
	}
	for _, s := range all {
		subject := figure.Subject{Surfaces: []*shard.Surface{s.Surface}, Marks: networksOn(s.Surface)}
		if len(all) > 1 || s.given {
			subject.Name = s.name
		}
		if c.Bool("minima") {
			minima, err := minimaOf(s.Surface, options.Metric)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.path, err)
			}
			subject.Marks = append(subject.Marks, minima...)
		}
		subjects = append(subjects, subject)
	}
	if c.IsSet("path") {
		return subjects, drawPathOn(c, &subjects[0], options)
	}
	return subjects, nil
}

// defaultMetric is what a plane shows if nothing is asked for: the training loss, or else
// the first layer.
func defaultMetric(surface *shard.Surface) string {
	if surface.Layer("train_loss") != nil || len(surface.Layers) == 0 {
		return "train_loss"
	}
	return surface.Layers[0].Name
}

// drawTo draws subjects, of the surfaces all, into a file.
func drawTo(c *cli.Context, all []namedSurface, subjects []figure.Subject, options figure.Options, path string) error {
	format, err := pictureFormat(path)
	if err != nil {
		return err
	}
	picture, err := figure.DrawAll(subjects, options, format)
	switch {
	case err != nil && len(all) == 1: // figures name panels and curves, where there are several
		return fmt.Errorf("%s: %w", all[0].path, err)
	case err != nil:
		return err
	}
	if err := publishResult(path, picture, len("%PDF")); err != nil {
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
