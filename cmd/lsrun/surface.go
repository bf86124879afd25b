package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/h5"
	"lsrun/shard"
	"lsrun/slurm"
)

// loadSurface reads a surface file, or that of the run whose folder path is, and adds the ratios of eigenvalues.
// It returns the file's path too.
func loadSurface(path string) (*shard.Surface, string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file := filepath.Join(path, surfaceFile)
		if !exists(file) && exists(filepath.Join(path, "plan.json")) {
			return nil, "", fmt.Errorf("%w: %s is a run without a surface: lsrun merge %s makes it", shard.ErrIncomplete, path, slurm.ShellQuote(path))
		}
		path = file
	}
	data, err := files.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	surface, err := h5.Codec{}.DecodeSurface(data)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w%s", path, err, howToRemake(path))
	}
	if err := surface.Check(); err != nil {
		return nil, "", fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, path, err)
	}
	addRatios(surface)
	return surface, path, nil
}

// howToRemake follows what is wrong with a file if it is a run's surface, which can be made again; else it is "".
func howToRemake(path string) string {
	dir := filepath.Dir(path)
	if filepath.Base(path) != surfaceFile || !exists(filepath.Join(dir, "plan.json")) {
		return ""
	}
	return fmt.Sprintf(": lsrun merge --force %s makes it anew", slurm.ShellQuote(asArgument(dir)))
}

// namedSurface is a surface and what it is called. Surfaces of one given name differ in their seeds.
type namedSurface struct {
	name, path string
	given      bool // the name
	*shard.Surface
}

// namedSurfaces reads all arguments, each FILE, RUN, NAME=FILE or NAME=RUN. An = in the path of something that is there
// names nothing. Without a NAME it is the network and its checkpoint, or, where there is no plan, the file.
func namedSurfaces(c *cli.Context) ([]namedSurface, error) {
	if !c.Args().Present() {
		return nil, usagef("%s needs surface files or runs", c.Command.Name)
	}
	var all []namedSurface
	for _, arg := range c.Args().Slice() {
		name, path := "", arg
		if before, after, found := strings.Cut(arg, "="); found && !exists(arg) {
			name, path = before, after
		}
		if path == "" {
			return nil, usagef("%s: %q names no surface file or run", c.Command.Name, arg)
		}
		surface, path, err := loadSurface(asArgument(path))
		if err != nil {
			return nil, err
		}
		all = append(all, namedSurface{orElse(name, usualName(surface, path)), path, name != "", surface})
	}
	return toldApart(all), nil
}

// toldApart adds the paths to names that nobody gave and several surfaces have.
func toldApart(all []namedSurface) []namedSurface {
	out := slices.Clone(all)
	for k, s := range all {
		same := func(other namedSurface) bool { return other.name == s.name && other.path != s.path }
		if !s.given && slices.ContainsFunc(all, same) {
			out[k].name += ", " + s.path
		}
	}
	return out
}

// usualName is what a surface is called if nobody says.
func usualName(s *shard.Surface, path string) string {
	if plan := planOf(s); plan != nil {
		return plan.Network.Model + ", " + plan.Checkpoint.File
	}
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

// planOf is the plan that a surface was computed from, nil if lsrun did not compute it.
func planOf(s *shard.Surface) *shard.Plan {
	if s.Plan == nil {
		return nil
	}
	plan, err := shard.ParsePlan(s.Plan)
	if err != nil {
		return nil
	}
	return plan
}

// byName are the indices of the surfaces of each name, in the order in which the names come first.
func byName(all []namedSurface) [][]int {
	var out [][]int
	at := map[string]int{}
	for k, s := range all {
		n, known := at[s.name]
		if !known {
			n = len(out)
			at[s.name] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], k)
	}
	return out
}
