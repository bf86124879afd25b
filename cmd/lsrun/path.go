package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"lsrun/io/h5"
	"lsrun/nn"
	"lsrun/nn/direction"
	"lsrun/shard"
	"lsrun/slurm"
)

// projectionFile is the name of a projection beside its directionsFile.
const projectionFile = "projection.h5"

var pathCommand = &cli.Command{
	Name:      "path",
	Usage:     "find the plane of a training path, and where its checkpoints lie in it",
	ArgsUsage: "CHECKPOINT…",
	Description: `Each CHECKPOINT is a file model_EPOCH.*, another file that records its epoch, or a folder of
files model_EPOCH.*; they are taken by epoch. The last one is the origin of the plane, whose
axes are the path's principal components. Writes DIR/directions.h5 and DIR/projection.h5 in the
layout of the paper's code. Memory is a few copies of the network, however many there are.

   lsrun path --model resnet56 -o DIR checkpoints/
   lsrun plan --path DIR --dataset cifar10 --data PATH RUN

Checkpoints in different folders are different paths (optimisers, seeds): they get one plane.
With --dir-file paths are projected onto a plane that is there, as that of a run or of another
path; --checkpoint says which network is its origin if the plane is not lsrun's:

   lsrun path --model resnet56 --dir-file RUN/directions.h5 -o DIR adam/`,
	Flags: slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "the folder to write to, `DIR`"},
		&cli.StringFlag{Name: "checkpoint", Usage: "the network at the origin, `FILE`", DefaultText: "that of --dir-file, if lsrun wrote it; else the last of the first path"},
	}, networkFlags[1:], []cli.Flag{
		&cli.StringFlag{Name: "dir-type", Usage: "follow `weights`, or states: batch norm's running statistics too", DefaultText: "weights, or what --dir-file holds"},
		&cli.StringFlag{Name: "ignore", Usage: "biasbn: principal components of tensors of more than one dimension only, as in the paper; none: of all", DefaultText: "biasbn"},
		&cli.StringFlag{Name: "dir-file", Usage: "project onto the plane of this HDF5 `FILE`, written by the paper's code or by lsrun"},
	}),
	Action: pathAction,
}

func pathAction(c *cli.Context) error {
	dir := asArgument(c.String("o"))
	if dir == "" {
		return usagef("-o is missing: the folder to write directions.h5 and projection.h5 to")
	}
	t, err := findTrails(c.Args().Slice())
	if err != nil {
		return err
	}
	if err := t.readOrigin(c); err != nil {
		return err
	}
	plane, err := t.choosePlane(c)
	if err != nil {
		return err
	}
	projection, err := t.project(c, plane)
	if err != nil {
		return err
	}
	data, err := h5.EncodeProjection(projection)
	if err != nil {
		return err
	}
	if err := files.MkdirAll(dir); err != nil {
		return err
	}
	if err := publishOnce(filepath.Join(dir, directionsFile), plane.file); err != nil {
		return err
	}
	if err := publishOnce(filepath.Join(dir, projectionFile), data); err != nil {
		return err
	}
	t.report(c.App.Writer, plane, projection, dir)
	return nil
}

// pathPlane is the plane that paths are projected onto.
type pathPlane struct {
	x, y       nn.Params
	file       []byte                // of both
	components *direction.Components // nil if they are from --dir-file
}

// choosePlane reads --dir-file, or finds the principal components. It settles what the path's differences are.
func (t *trails) choosePlane(c *cli.Context) (plane pathPlane, err error) {
	kind := c.String("dir-type")
	if kind != "" && kind != typeName(false) && kind != typeName(true) {
		return plane, usagef("--dir-type %s: weights or states", kind)
	}
	if path := c.String("dir-file"); path != "" {
		if c.IsSet("ignore") {
			return plane, usagef("--ignore is for principal components: with --dir-file the file says what moves")
		}
		if plane.file, err = files.ReadFile(path); err != nil {
			return plane, err
		}
		if plane.x, plane.y, t.path.States, err = decodePlane(plane.file, t.graph); err != nil {
			return plane, fmt.Errorf("%s: %w", path, err)
		}
		if plane.y == nil {
			return plane, usagef("%s holds one direction: a path is projected onto a plane", path)
		}
		if kind != "" && kind != typeName(t.path.States) {
			return plane, usagef("--dir-type %s: %s holds directions over %s", kind, path, typeName(t.path.States))
		}
		t.path.Ignore = direction.IgnoredBy(plane.x, plane.y)
		t.total = len(t.stops)
		return plane, nil
	}
	if len(t.stops) < 3 {
		return plane, usagef("%s: principal components need at least 3 checkpoints; --dir-file projects fewer onto a plane that is there", plural(len(t.stops), "checkpoint"))
	}
	t.path.States = kind == typeName(true)
	if t.path.Ignore, err = direction.ParseIgnore(orElse(c.String("ignore"), string(direction.IgnoreBiasBN))); err != nil {
		return plane, usagef("--ignore: %v", err)
	}
	t.total = t.path.Reads() + len(t.stops)
	if plane.components, err = t.path.PrincipalComponents(); err != nil {
		return plane, err
	}
	pc := plane.components
	plane.x, plane.y = pc.X, pc.Y
	plane.file, err = h5.EncodeDirections(&h5.Directions{
		X: direction.FileOrder(t.graph, pc.X, t.path.States), Y: direction.FileOrder(t.graph, pc.Y, t.path.States),
		Extra: map[string][]float64{"explained_variance_ratio_": pc.Ratio, "explained_variance_": pc.Variance, "singular_values_": pc.Singular},
	})
	return plane, err
}

// project finds where all checkpoints lie.
func (t *trails) project(c *cli.Context, plane pathPlane) (*h5.Projection, error) {
	directions, err := encodeDirections(t.graph, plane.x, plane.y, t.path.States)
	if err != nil {
		return nil, err
	}
	f := &h5.PathFacts{Notes: map[string]string{"model": t.graph.Name, "type": typeName(t.path.States), "ignore": string(t.path.Ignore),
		"origin": t.origin, "origin_sha256": t.originSHA256, "directions_sha256": digest(directions)}}
	if plane.components != nil {
		f.Explained = plane.components.Ratio
	}
	out := &h5.Projection{Facts: f}
	for i, folder := range t.folders {
		first := len(out.X)
		one := t.path
		one.Names = one.Names[first:t.end(i)]
		one.Read = func(k int) (nn.Params, error) { return t.path.Read(first + k) }
		p, err := one.Project(plane.x, plane.y)
		if err != nil {
			return nil, err
		}
		out.X, out.Y, f.Distance = append(out.X, p.X...), append(out.Y, p.Y...), append(f.Distance, p.Distance...)
		f.Name, f.Held = append(f.Name, oneLine(baseName(folder))), append(f.Held, p.Held)
	}
	for _, s := range t.stops {
		f.Path, f.Epoch = append(f.Path, int64(s.path)), append(f.Epoch, int64(s.epoch))
		f.File, f.LearningRate = append(f.File, oneLine(baseName(s.file))), append(f.LearningRate, s.rate)
	}
	return out, nil
}

// oneLine is text as a list of lines can hold it.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "\ufffd") }

// report prints where the checkpoints are and what the plane shows of their paths.
func (t *trails) report(out io.Writer, plane pathPlane, p *h5.Projection, dir string) {
	f := p.Facts
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "epoch\tx\ty\toff the plane\t")
	for i, s := range t.stops {
		if len(t.folders) > 1 && (i == 0 || t.stops[i-1].path != s.path) {
			fmt.Fprintf(table, "%s\t\t\t\t\n", f.Name[s.path])
		}
		fmt.Fprintf(table, "%d\t%.4f\t%.4f\t%.4f\t\n", s.epoch, p.X[i], p.Y[i], f.Distance[i])
	}
	table.Flush()
	fmt.Fprintf(out, "network     %s, %s of %s around %s\n", t.graph.Name, plural(len(t.stops), "checkpoint"), plural(len(t.folders), "path"), baseName(t.origin))
	what := typeName(t.path.States)
	if t.path.Ignore == direction.IgnoreBiasBN {
		what += ", without biases and batch norm"
	}
	if plane.components != nil {
		fmt.Fprintf(out, "directions  principal components over %s: they explain %.1f %% and %.1f %% of the variance\n", what, 100*f.Explained[0], 100*f.Explained[1])
	} else {
		fmt.Fprintf(out, "directions  of a file, over %s\n", what)
	}
	for i, held := range f.Held {
		of := "the path's variance"
		if len(f.Held) > 1 {
			of = "the variance of " + f.Name[i]
		}
		if !math.IsNaN(held) {
			fmt.Fprintf(out, "plane       holds %.1f %% of %s\n", 100*held, of)
		}
	}
	fmt.Fprintf(out, "            two random directions hold %.2g %% of it\n", 200/float64(t.path.Counted()))
	if n := len(t.stops); plane.components != nil && len(t.folders) == 1 {
		walk := direction.WalkShare(n)
		fmt.Fprintf(out, "            principal components of a random walk of %d points hold %.1f %% of its variance\n", n, 100*walk)
		if f.Held[0] <= walk {
			fmt.Fprintln(out, "            this path's hold no more: its shape in the plane is what chance gives (Antognini and Sohl-Dickstein 2018)")
		}
	}
	x, y := axesAround(p)
	fmt.Fprintf(out, "axes        --x=%v --y=%v contain every checkpoint\n", x, y)
	fmt.Fprintf(out, "files       %s and %s\n", filepath.Join(dir, directionsFile), filepath.Join(dir, projectionFile))
	fmt.Fprintf(out, "next        lsrun plan --path %s --dataset NAME --data PATH RUN\n", slurm.ShellQuote(dir))
}

// axesAround are two axes that contain every checkpoint and the origin with a tenth of their extent to spare, with ends of
// three digits.
func axesAround(p *h5.Projection) (x, y shard.Axis) {
	minX, maxX, minY, maxY := p.Bounds()
	axis := func(low, high float64) shard.Axis {
		extent := cmp.Or(high-low, maxX-minX, maxY-minY, 1)
		if high == low { // all on the other axis
			low, high = low-extent/2, high+extent/2
		}
		scale := math.Pow10(2 - int(math.Floor(math.Log10(extent))))
		return shard.Axis{Min: math.Floor((low-0.1*extent)*scale) / scale, Max: math.Ceil((high+0.1*extent)*scale) / scale, N: 51}
	}
	return axis(minX, maxX), axis(minY, maxY)
}

// adoptPath gives plan the network, the directions and, unless they are given, the axes of what lsrun path wrote to dir.
func adoptPath(c *cli.Context, dir string) error {
	if dir == "" {
		return nil
	}
	for _, flag := range []string{"checkpoint", "model", "dir-file", "checkpoint2", "checkpoint3", "dir-x", "dir-y", "xnorm", "ynorm", "xignore", "yignore"} {
		if c.IsSet(flag) {
			return usagef("--path says which network and directions these are: leave out --%s", flag)
		}
	}
	p, err := readPathProjection(dir)
	if err != nil {
		return fmt.Errorf("--path: %w", err)
	}
	notes := p.Facts.Notes
	origin, err := files.ReadFile(notes["origin"])
	if err != nil {
		return fmt.Errorf("--path %s: the network at its origin: %w", dir, err)
	}
	if digest(origin) != notes["origin_sha256"] {
		return fmt.Errorf("%w: --path %s: %s is not the network that was at its origin: copy that back, or give lsrun path once more", shard.ErrRefused, dir, notes["origin"])
	}
	x, y := axesAround(p)
	for name, value := range map[string]string{"checkpoint": notes["origin"], "model": notes["model"], "dir-file": filepath.Join(dir, directionsFile),
		"x": x.String(), "y": y.String()} {
		if c.IsSet(name) {
			continue
		}
		if err := c.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// readPathProjection reads the projection that lsrun path wrote to dir.
func readPathProjection(dir string) (*h5.Projection, error) {
	name := filepath.Join(dir, projectionFile)
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, err := h5.DecodeProjection(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if p.Facts == nil {
		return nil, usagef("%s is not by lsrun path and does not say which network is at the origin: give --checkpoint and --dir-file", name)
	}
	return p, nil
}
