package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/h5"
	"lsrun/io/web"
	"lsrun/shard"
)

var webCommand = &cli.Command{
	Name:      "web",
	Usage:     "write surfaces as a page to turn, zoom and ask",
	ArgsUsage: "SURFACE.h5…",
	Description: `The page is one file that needs no network. Planes are surfaces in three dimensions, two of
them side by side if there are more files than one; lines are curves in one chart.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write to `FILE`", DefaultText: "the first surface's name with .html"},
		&cli.StringFlag{Name: "path", Usage: "draw the path of the projection file `FILE` over the first plane"},
		&cli.StringFlag{Name: "title", Usage: "above the page", DefaultText: "the network and its checkpoint"},
	},
	Action: webAction,
}

func webAction(c *cli.Context) error {
	if !c.Args().Present() {
		return usagef("web needs surface files")
	}
	var surfaces []web.Surface
	for _, path := range c.Args().Slice() {
		surface, file, err := loadSurface(path)
		if err != nil {
			return err
		}
		surfaces = append(surfaces, webSurface(file, surface))
	}
	if name := c.String("path"); name != "" {
		paths, err := readPaths(name)
		if err != nil {
			return err
		}
		surfaces[0].Paths = paths
	}
	page, err := web.Page(orElse(c.String("title"), pageTitle(surfaces)), surfaces)
	if err != nil {
		return err
	}
	out := orElse(c.String("o"), strings.TrimSuffix(surfaces[0].Name, filepath.Ext(surfaces[0].Name))+".html")
	if err := files.Publish(out, page); err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, out)
	return nil
}

func readPaths(name string) ([]web.Path, error) {
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	p, err := h5.DecodeProjection(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return []web.Path{{X: p.X, Y: p.Y}}, nil
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

// pageTitle says whose landscapes a page shows.
func pageTitle(surfaces []web.Surface) string {
	var names []string
	for _, s := range surfaces {
		name := s.Name
		if plan, err := shard.ParsePlan(s.Plan); s.Plan != nil && err == nil {
			name = fmt.Sprintf("%s, %s", plan.Network.Model, plan.Checkpoint.File)
		}
		names = append(names, name)
	}
	return abridgedList(names, 3)
}
