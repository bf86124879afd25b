package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/web"
	"lsrun/shard"
)

var webCommand = &cli.Command{
	Name:      "web",
	Usage:     "write surfaces as a page to turn, zoom and ask",
	ArgsUsage: "[NAME=]SURFACE.h5|RUN…",
	Description: `The page is one file that needs no network. Planes are surfaces in three dimensions, two of
them side by side if there are more files than one; lines are curves in one chart.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write to `FILE`", DefaultText: "the first surface's name with .html"},
		&cli.StringFlag{Name: "path", Usage: "draw the training paths of a projection `FILE`, or of the folder that lsrun path wrote, over the first plane"},
		&cli.StringFlag{Name: "title", Usage: "above the page", DefaultText: "the surfaces' names"},
	},
	Action: webAction,
}

func webAction(c *cli.Context) error {
	all, err := namedSurfaces(c)
	if err != nil {
		return err
	}
	var surfaces []web.Surface
	for _, s := range all {
		if (s.Y == nil) != (all[0].Y == nil) {
			return usagef("%s and %s: one is a line and one a plane, and a page shows lines or planes, not both", all[0].path, s.path)
		}
		surfaces = append(surfaces, webSurface(s.name, s.Surface))
	}
	for k, s := range all { // those of one name are told apart by their files
		if slices.ContainsFunc(all, func(other namedSurface) bool { return other.name == s.name && other.path != s.path }) {
			surfaces[k].Name += ", " + s.path
		}
	}
	if name := c.String("path"); name != "" {
		if err := addPaths(&surfaces[0], name); err != nil {
			return err
		}
	}
	page, err := web.Page(orElse(c.String("title"), pageTitle(surfaces)), surfaces)
	if err != nil {
		return err
	}
	out := orElse(c.String("o"), strings.TrimSuffix(all[0].path, filepath.Ext(all[0].path))+".html")
	if err := publishResult(out, page, len("<!doctype html>")); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, out)
	return nil
}

// addPaths draws the paths of a projection file over a plane.
func addPaths(to *web.Surface, name string) error {
	projection, name, err := loadProjection(name)
	if err != nil {
		return err
	}
	paths := pathsOf(projection, nil)
	if err := mustMeet(name, projection, paths, to.Surface); err != nil {
		return err
	}
	for _, p := range paths {
		to.Paths = append(to.Paths, web.Path{Name: p.Name, X: p.X, Y: p.Y, Epochs: p.Epochs})
	}
	held, facts := shareHeld(projection), to.Caption
	to.Caption = func(metric string) string { return strings.TrimSpace(facts(metric) + " " + held) }
	to.XLabel, to.YLabel, err = componentLabels(projection, name)
	return err
}

// webSurface is a surface as pages show it: with captions and densities.
func webSurface(name string, surface *shard.Surface) web.Surface {
	w := web.Surface{Name: name, Surface: surface, Limits: ratioLimits,
		Caption: func(metric string) string { return caption(surface.Planned(metric), metric) }}
	layer := surface.Layer(maxEig)
	if layer == nil {
		return w
	}
	for k := range layer.Values {
		if q := densityAt(layer, k); q.Nodes != nil {
			d := web.Density{X: surface.X[k%len(surface.X)], Nodes: q.Nodes, Weights: q.Weights}
			if surface.Y != nil {
				d.Y = surface.Y[k/len(surface.X)]
			}
			w.Densities = append(w.Densities, d)
		}
	}
	return w
}

// pageTitle is all that a page shows.
func pageTitle(surfaces []web.Surface) string {
	var names []string
	for _, s := range surfaces {
		names = append(names, s.Name)
	}
	return abridgedList(names, 3)
}
