package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"lsrun/io/checkpoint"
	"lsrun/nn"
	"lsrun/nn/direction"
	"lsrun/nn/train"
	"lsrun/nn/zoo"
	"lsrun/shard"
)

// trails are training paths, with the network that their plane goes through.
type trails struct {
	folders []string // of the paths
	stops   []stop   // path after path, each by epoch

	graph        *nn.Graph
	origin       string // its file
	originSHA256 string
	path         direction.Path // all stops

	reads, total int // of checkpoints: so far, and as many as it will take
	told         time.Time
}

// stop is a checkpoint on a path.
type stop struct {
	file   string
	path   int // index in folders
	epoch  int
	sha256 string  // "" until it is read
	rate   float64 // of learning; NaN if it is not recorded
}

// numbered is what the paper's code and lsrun train call the checkpoint of an epoch.
var numbered = regexp.MustCompile(`^model_(\d{1,9})\.\w+$`)

// findTrails lists the checkpoints that the arguments name: files, folders and patterns. Those in one folder are a path.
func findTrails(args []string) (*trails, error) {
	t := &trails{}
	for _, arg := range args {
		names, err := checkpointsAt(arg)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			folder, err := absolute(filepath.Dir(name))
			if err != nil {
				return nil, err
			}
			s := stop{file: name, path: slices.Index(t.folders, folder)}
			if s.path < 0 {
				s.path = len(t.folders)
				t.folders = append(t.folders, folder)
			}
			if s.epoch, err = epochOf(name); err != nil {
				return nil, err
			}
			t.stops = append(t.stops, s)
		}
	}
	if len(t.stops) == 0 {
		return nil, usagef("path needs checkpoints: files, or a folder of files model_EPOCH.*")
	}
	slices.SortStableFunc(t.stops, func(a, b stop) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.epoch, b.epoch))
	})
	for i, s := range t.stops[1:] {
		if before := t.stops[i]; before.path == s.path && before.epoch == s.epoch {
			return nil, usagef("%s and %s are both of epoch %d: give one checkpoint of each epoch", before.file, s.file, s.epoch)
		}
	}
	return t, nil
}

// checkpointsAt lists the files that an argument names.
func checkpointsAt(arg string) ([]string, error) {
	arg = filepath.Clean(arg)
	info, err := os.Stat(arg)
	switch {
	case err != nil:
		matches, bad := filepath.Glob(arg)
		if bad != nil || len(matches) == 0 {
			return nil, err
		}
		var names []string
		for _, match := range matches {
			below, err := checkpointsAt(match)
			if err != nil {
				return nil, err
			}
			names = append(names, below...)
		}
		return names, nil
	case !info.IsDir():
		return []string{arg}, nil
	}
	entries, err := os.ReadDir(arg)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if numbered.MatchString(e.Name()) {
			names = append(names, filepath.Join(arg, e.Name()))
		}
	}
	if names == nil {
		return nil, usagef("%s holds no files model_EPOCH.*, such as model_0.t7: name its checkpoints one by one", arg)
	}
	return names, nil
}

// epochOf is the epoch in a checkpoint's name, or the one that it records.
func epochOf(name string) (int, error) {
	if match := numbered.FindStringSubmatch(filepath.Base(name)); match != nil {
		return strconv.Atoi(match[1])
	}
	file, err := checkpoint.Read(name)
	if err != nil {
		return 0, err
	}
	if file.Epoch == nil {
		return 0, fmt.Errorf("%s: its name is not model_EPOCH.*, and it records no epoch: rename it, so that the path has an order", name)
	}
	return *file.Epoch, nil
}

// end is the index in stops after the last of a path.
func (t *trails) end(path int) int {
	end := len(t.stops)
	for t.stops[end-1].path != path {
		end--
	}
	return end
}

// readOrigin reads the network at the origin, and finds out which architecture it has.
func (t *trails) readOrigin(c *cli.Context) (err error) {
	if !c.IsSet("checkpoint") { // whose name chooseGraph tells
		name, err := originOf(c.String("dir-file"))
		if err == nil {
			err = c.Set("checkpoint", orElse(name, t.stops[t.end(0)-1].file))
		}
		if err != nil {
			return err
		}
	}
	name := c.String("checkpoint")
	if t.origin, err = absolute(name); err != nil {
		return err
	}
	file, err := checkpoint.Read(name)
	if err != nil {
		return err
	}
	t.originSHA256 = file.SHA256
	if t.graph, err = graphOfFile(c, file); err != nil {
		return err
	}
	t.path = direction.Path{Graph: t.graph, Read: func(i int) (nn.Params, error) {
		if err := c.Context.Err(); err != nil {
			return nil, err
		}
		t.progress(c.App.ErrWriter)
		return t.read(i)
	}}
	for _, s := range t.stops {
		t.path.Names = append(t.path.Names, s.file)
	}
	t.path.Theta, err = fit(file, t.graph, name)
	return err
}

// originOf is the file of the network that directions go through, if they lie in a run or in what lsrun path wrote; else "".
func originOf(directions string) (string, error) {
	folder := filepath.Dir(directions)
	if filepath.Base(directions) != directionsFile {
		return "", nil
	}
	if theta := filepath.Join(folder, thetaFile); exists(theta) {
		return theta, nil
	}
	if !exists(filepath.Join(folder, projectionFile)) {
		return "", nil
	}
	p, err := readPathProjection(folder)
	if err != nil {
		return "", err
	}
	return p.Facts.Notes["origin"], nil
}

// graphOfFile is chooseGraph where there is no data: for images of the model's usual size, with as many channels, or for a
// perceptron inputs, as the checkpoint has.
func graphOfFile(c *cli.Context, file *checkpoint.File) (*nn.Graph, error) {
	graph, err := chooseGraph(c, file, nil)
	if err != nil {
		return nil, err
	}
	input := slices.Clone(graph.Input)
	switch first := file.States.Lookup(graph.Entries[0].Name); {
	case first == nil: // fit will say it
	case len(first.Shape) == 2:
		input = nn.Shape{first.Shape[1]}
	case len(first.Shape) == 4:
		input[0] = first.Shape[1]
	}
	return zoo.New(graph.Name, zoo.Options{Classes: graph.Classes, Input: input})
}

// progress counts a read, and now and then says how many there were.
func (t *trails) progress(out io.Writer) {
	now := time.Now()
	if t.reads == 0 {
		t.told = now
	}
	t.reads++
	if now.Sub(t.told) >= lineInterval {
		t.told = now
		fmt.Fprintf(out, "lsrun: %s of %s reads of checkpoints\n", count(int64(t.reads)), count(int64(t.total)))
	}
}

// read reads checkpoint i, which must stay the same and be another than all before it on its path.
func (t *trails) read(i int) (nn.Params, error) {
	s := &t.stops[i]
	file, err := checkpoint.Read(s.file)
	if err != nil {
		return nil, err
	}
	switch s.sha256 {
	case file.SHA256:
	case "":
		for _, other := range t.stops[:i] {
			if other.path == s.path && other.sha256 == file.SHA256 {
				return nil, usagef("%s and %s are the same file under two names: give each checkpoint once", other.file, s.file)
			}
		}
		s.sha256, s.rate = file.SHA256, rateOf(file)
	default:
		return nil, fmt.Errorf("%w: %s has changed while it was read: wait until what writes it has ended", shard.ErrRefused, s.file)
	}
	return fit(file, t.graph, s.file)
}

// rateOf is the learning rate of a checkpoint's last epoch; NaN where it does not tell.
func rateOf(file *checkpoint.File) float64 {
	history, err := train.History(file.Metadata)
	if err != nil || len(history) == 0 {
		return math.NaN()
	}
	return history[len(history)-1].Rate
}
