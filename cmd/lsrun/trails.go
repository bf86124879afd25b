package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lsrun/io/checkpoint"
)

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

// historyKey is the text in which lsrun train tells of its epochs, as CSV.
const historyKey = "lsrun.history"

// rateOf is the learning rate of a checkpoint's last epoch; NaN where it does not tell.
func rateOf(file *checkpoint.File) float64 {
	rows, err := csv.NewReader(strings.NewReader(file.Metadata[historyKey])).ReadAll()
	if err != nil || len(rows) < 2 {
		return math.NaN()
	}
	column := slices.Index(rows[0], "lr")
	if column < 0 {
		return math.NaN()
	}
	rate, err := strconv.ParseFloat(rows[len(rows)-1][column], 64)
	if err != nil {
		return math.NaN()
	}
	return rate
}
