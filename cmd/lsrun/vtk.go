package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/vtk"
)

var vtkCommand = &cli.Command{
	Name:      "vtk",
	Usage:     "write a plane for ParaView",
	ArgsUsage: "SURFACE.h5|RUN",
	Description: `Writes SURFACE_METRIC.vtp: the grid's points at the height of the loss, joined by quadrilaterals,
with zvalue (the height) and the metric at the points and the mean height of each polygon, as the paper's
h52vtp.py does, of planes that are no squares too. Points without a finite height are left out.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write to `FILE`"},
		&cli.StringFlag{Name: "metric", Usage: "the dataset to write, such as test_loss (default: train_loss)"},
		&cli.BoolFlag{Name: "log", Usage: "the height is ln(value + 0.1)"},
		&cli.Float64Flag{Name: "zmax", Usage: "clip values at `Z`, before the logarithm", DefaultText: "no clipping"},
		&cli.IntFlag{Name: "interp", Usage: "interpolate by cubic splines at `N` points a side", DefaultText: "the grid's own points"},
	},
	Action: vtkAction,
}

func vtkAction(c *cli.Context) error {
	path, err := oneArgument(c, "a surface file or a run")
	if err != nil {
		return err
	}
	surface, path, err := loadSurface(path)
	if err != nil {
		return err
	}
	options := vtk.Options{Metric: orElse(c.String("metric"), defaultMetric(surface)), Log: c.Bool("log"), Interp: c.Int("interp")}
	if c.IsSet("interp") && options.Interp < 2 {
		return usagef("--interp %d: two points a side or more", options.Interp)
	}
	if c.IsSet("zmax") {
		zmax := c.Float64("zmax")
		if zmax-zmax != 0 {
			return usagef("--zmax %g: a height to cut off at", zmax)
		}
		options.ZMax = &zmax
	}
	mesh, err := vtk.Build(surface.Planned(options.Metric), options)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	name := orElse(c.String("o"), vtkName(path, options))
	if err := publishResult(name, mesh.Encode(), len("<?xml")); err != nil {
		return err
	}
	left := ""
	if mesh.Left > 0 {
		left = fmt.Sprintf(", %s without a finite height left out", plural(mesh.Left, "point"))
	}
	fmt.Fprintf(c.App.Writer, "%s: %s, %s%s\n", name, plural(len(mesh.Points), "point"), plural(len(mesh.Quads), "polygon"), left)
	return nil
}

// vtkName is beside the surface, with what was done to the values, as h52vtp.py names its files.
func vtkName(path string, options vtk.Options) string {
	name := strings.TrimSuffix(path, filepath.Ext(path)) + "_" + options.Metric
	if options.ZMax != nil {
		name += fmt.Sprintf("_zmax=%g", *options.ZMax)
	}
	if options.Log {
		name += "_log"
	}
	return name + ".vtp"
}
