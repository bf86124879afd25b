package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/figure"
	"lsrun/io/h5"
	"lsrun/shard"
	"lsrun/shard/landscape"
)

// drawPathOn gives the subject the paths of --path, and the picture the axes' names and what the plane holds of them.
func drawPathOn(c *cli.Context, subject *figure.Subject, options *figure.Options) error {
	projection, name, err := loadProjection(c.String("path"))
	if err != nil {
		return err
	}
	drops, err := dropEpochs(c.String("lr-drops"))
	if err != nil {
		return err
	}
	subject.Paths = pathsOf(projection, drops)
	if err := mustMeet(name, projection, subject.Paths, subject.Surfaces[0]); err != nil {
		return err
	}
	if options.XLabel, options.YLabel, err = componentLabels(projection, name); err != nil {
		return err
	}
	if options.XLabel != "" {
		options.Facts = strings.TrimSpace(options.Facts + "\n" + options.XLabel + "; " + options.YLabel + ".")
	}
	if text := shareHeld(projection); text != "" {
		options.Facts = strings.TrimSpace(options.Facts + "\n" + text)
		if !c.IsSet("caption") {
			options.Caption = strings.TrimSpace(options.Caption + " " + text)
		}
	}
	return nil
}

// shareHeld says how much of its paths' variance the plane of a projection holds, if the file does.
func shareHeld(p *h5.Projection) string {
	if p.Facts == nil {
		return ""
	}
	var held []string
	for k, share := range p.Facts.Held {
		if !math.IsNaN(share) {
			held = append(held, fmt.Sprintf("%.1f %% of the variance of %s", 100*share, p.Facts.Name[k]))
		}
	}
	if held == nil {
		return ""
	}
	return "The plane holds " + strings.Join(held, ", ") + "."
}

// loadProjection reads a projection file, or that of the folder that lsrun path wrote. It returns the file's path too.
func loadProjection(name string) (*h5.Projection, string, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, projectionFile)
	}
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, "", fmt.Errorf("%w (--path takes a projection file, or the folder that lsrun path wrote)", err)
	}
	projection, err := h5.DecodeProjection(data)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	return projection, name, nil
}

// componentLabels name the axes of a plane of principal components; they are empty for others.
func componentLabels(p *h5.Projection, name string) (x, y string, err error) {
	explained, err := explainedBy(p, name)
	if err != nil || explained == nil {
		return "", "", err
	}
	return fmt.Sprintf("component 1 (%.1f %% of the variance)", 100*explained[0]), fmt.Sprintf("component 2 (%.1f %%)", 100*explained[1]), nil
}

// explainedBy are the shares of the variance that the axes of a projection explain: its own, or those in the direction file
// that the paper's code names its projections after, DIRECTIONS_proj_cos.h5. nil where nobody knows.
func explainedBy(p *h5.Projection, name string) ([]float64, error) {
	if p.Facts != nil {
		return p.Facts.Explained, nil
	}
	base, _, named := strings.Cut(filepath.Base(name), "_proj_")
	directions := filepath.Join(filepath.Dir(name), base)
	if !named || !exists(directions) {
		return nil, nil
	}
	data, err := files.ReadFile(directions)
	if err != nil {
		return nil, err
	}
	d, err := h5.DecodeDirections(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", directions, err)
	}
	if ratios := d.Extra["explained_variance_ratio_"]; len(ratios) == 2 {
		return ratios, nil
	}
	return nil, nil
}

func last(v []float64) float64 { return v[len(v)-1] }

// dropEpochs reads --lr-drops.
func dropEpochs(text string) ([]int, error) {
	var epochs []int
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		epoch, err := strconv.Atoi(word)
		if err != nil || epoch < 0 {
			return nil, usagef("--lr-drops %s: %q is no epoch: write them as in 150,225,275", text, word)
		}
		epochs = append(epochs, epoch)
	}
	return epochs, nil
}

// pathsOf are a projection's paths. The learning rate fell after the last checkpoint up to each of drops, or, if there are
// none, where the file says so. A file of the paper's code holds one path; its checkpoints are numbered.
func pathsOf(p *h5.Projection, drops []int) []figure.Path {
	var paths []figure.Path
	for k := range p.X {
		path, epoch := 0, k
		if f := p.Facts; f != nil {
			path, epoch = int(f.Path[k]), int(f.Epoch[k])
		}
		for len(paths) <= path {
			paths = append(paths, figure.Path{})
		}
		to := &paths[path]
		fell := p.Facts != nil && drops == nil && len(to.X) > 0 && p.Facts.LearningRate[k] < p.Facts.LearningRate[k-1]
		if fell {
			to.Drops = append(to.Drops, len(to.X)-1)
		}
		to.X, to.Y, to.Epochs = append(to.X, p.X[k]), append(to.Y, p.Y[k]), append(to.Epochs, epoch)
	}
	for n := range paths {
		if len(paths) > 1 {
			paths[n].Name = p.Facts.Name[n]
		}
		for _, epoch := range drops {
			k, found := slices.BinarySearch(paths[n].Epochs, epoch)
			if !found {
				k--
			}
			if k >= 0 && k < len(paths[n].Epochs)-1 { // no step was made behind the last
				paths[n].Drops = append(paths[n].Drops, k)
			}
		}
	}
	return slices.DeleteFunc(paths, func(p figure.Path) bool { return p.X == nil })
}

// mustMeet returns an error unless the projection file of that name is onto the plane, as far as both say, and a checkpoint
// lies there.
func mustMeet(name string, p *h5.Projection, paths []figure.Path, s *shard.Surface) error {
	if plan := planOf(s); plan != nil && p.Facts != nil && !onto(p.Facts.Notes, plan) {
		return fmt.Errorf("%w: %s: its paths are on another plane, of other directions or around another network: lsrun path --dir-file RUN/%s projects them onto this one",
			shard.ErrRefused, name, directionsFile)
	}
	if s.Y == nil || meets(paths, s) {
		return nil
	}
	return fmt.Errorf("%s: no checkpoint lies on the plane, which has α from %g to %g and β from %g to %g: it is another plane's path, or the axes are too short (lsrun plan --path chooses them)",
		name, s.X[0], last(s.X), s.Y[0], last(s.Y))
}

// onto reports whether a projection with these notes is onto the plane of a plan.
func onto(notes map[string]string, plan *shard.Plan) bool {
	origin, directions := notes["origin_sha256"], notes["directions_sha256"]
	return (origin == plan.Checkpoint.SHA256 || origin == plan.Checkpoint.Theta) &&
		(directions == "" || directions == plan.Directions.SHA256) // older files do not say
}

// meets reports whether any checkpoint lies on the plane.
func meets(paths []figure.Path, s *shard.Surface) bool {
	for _, p := range paths {
		for k := range p.X {
			if s.X[0] <= p.X[k] && p.X[k] <= last(s.X) && s.Y[0] <= p.Y[k] && p.Y[k] <= last(s.Y) {
				return true
			}
		}
	}
	return false
}

// networksOn are the checkpoints that the axes of a surface lead to: those of differences as they are, which move all that
// differs.
func networksOn(s *shard.Surface) []figure.Mark {
	plan := planOf(s)
	if plan == nil || plan.Directions.Type != "states" && hasRunningStatistics(plan) {
		return nil
	}
	var marks []figure.Mark
	lead := func(d *shard.Direction, x, y float64) {
		if d != nil && d.Checkpoint != nil && d.Norm == "none" && d.Ignore == "none" {
			marks = append(marks, figure.Mark{X: x, Y: y, Kind: figure.Checkpoint, Name: d.Checkpoint.File})
		}
	}
	lead(&plan.Directions.X, 1, 0)
	lead(plan.Directions.Y, 0, 1)
	return marks
}

// minimaOf marks the minima of a plane's layer.
func minimaOf(s *shard.Surface, metric string) ([]figure.Mark, error) {
	l, err := landscape.New(s, metric)
	if err != nil {
		return nil, err
	}
	var marks []figure.Mark
	for _, p := range l.Minima() {
		marks = append(marks, figure.Mark{X: p.X, Y: p.Y, Kind: figure.Minimum})
	}
	return marks, nil
}
