package shard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// The names in a run directory.
const (
	planName       = "plan.json"
	directionsName = "directions.h5"
	claimsDir      = "claims"
	journalDir     = "journal"
	shardsDir      = "shards"
	logDir         = "log"
	carryDir       = "carry"
	quarantineDir  = "quarantine"
)

// folders are those that every run has; quarantine and carry are made when they are needed.
var folders = []string{claimsDir, journalDir, shardsDir, logDir}

// Run is an opened run directory.
type Run struct {
	Dir   string
	Plan  *Plan
	Bytes []byte // plan.json: the plan's canonical form
	ID    string // its SHA-256

	files Files
	units []Unit
}

// Create makes dir the run directory of plan, with the files of extra (by name) in it.
// plan.json comes last: a folder without one is not a run yet, and creating it again
// mends it. So does creating the same plan again. A folder that holds another plan, or
// anything else, is refused; of several different plans at the same time one succeeds.
func Create(files Files, dir string, plan *Plan, extra map[string][]byte) (*Run, error) {
	data, err := MarshalPlan(plan)
	if err != nil {
		return nil, err
	}
	planned, err := checkVacant(files, dir, data, extra)
	if err != nil {
		return nil, err
	}
	if err := makeFolders(files, dir); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if err := publishOnce(files, filepath.Join(dir, name), extra[name], planned); err != nil {
			return nil, err
		}
	}
	err = files.PublishNew(filepath.Join(dir, planName), data)
	if errors.Is(err, fs.ErrExist) { // it was there, or somebody planned at the same time
		_, err = checkVacant(files, dir, data, extra)
	}
	if err != nil {
		return nil, err
	}
	return Open(files, dir)
}

func makeFolders(files Files, dir string) error {
	for _, folder := range folders {
		if err := files.MkdirAll(filepath.Join(dir, folder)); err != nil {
			return fmt.Errorf("making the run directory %s: %w", dir, err)
		}
	}
	return nil
}

// checkVacant returns an error unless dir may become the run directory of the plan, and
// says whether it is that already.
func checkVacant(files Files, dir string, plan []byte, extra map[string][]byte) (planned bool, err error) {
	names, err := files.ReadDir(dir + "/.") // it may be a symbolic link; no folder in it may
	if errors.Is(err, syscall.ENOTDIR) {
		return false, fmt.Errorf("%w: %s is a file: plan in another folder", ErrRefused, dir)
	}
	if err != nil {
		return false, fmt.Errorf("looking into %s: %w", dir, err)
	}
	if slices.Contains(names, planName) {
		there, err := files.ReadFile(filepath.Join(dir, planName))
		if err != nil {
			return false, err
		}
		if bytes.Equal(plan, there) {
			return true, nil
		}
		if _, err := ParsePlan(there); errors.Is(err, ErrCorrupt) {
			return false, fmt.Errorf("%s: %w", filepath.Join(dir, planName), err)
		}
		return false, fmt.Errorf("%w: %s holds another plan:\n  %s\nplan in another folder",
			ErrRefused, dir, strings.Join(Differences(plan, there), "\n  "))
	}
	for _, name := range names {
		_, ours := extra[name]
		if !ours && !isTemporary(name) && !slices.Contains(folders, name) {
			return false, fmt.Errorf("%w: %s is no run and not empty (it holds %q): plan in another folder", ErrRefused, dir, name)
		}
	}
	return false, nil
}

// publishOnce publishes data at path unless it is there already. Once the run is planned
// anything else there is damage; before, it may be what another plan is being made of.
func publishOnce(files Files, path string, data []byte, planned bool) error {
	there, err := files.ReadFile(path)
	if err == nil && bytes.Equal(there, data) {
		return nil
	}
	if planned {
		return files.Publish(path, data)
	}
	err = files.PublishNew(path, data)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if there, err = files.ReadFile(path); err != nil || bytes.Equal(there, data) {
		return err
	}
	return fmt.Errorf("%w: %s is part of another plan, which is being made or was broken off: plan in another folder, or remove this one first",
		ErrRefused, path)
}

// Open reads a run directory. The plan says which SHA-256 the files beside it have.
func Open(files Files, dir string) (*Run, error) {
	path := filepath.Join(dir, planName)
	data, err := files.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w: %s is not a run: it has no %s: make it with lsrun plan", ErrRefused, dir, planName)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the run %s: %w", dir, err)
	}
	run, err := runOf(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	run.Dir, run.files = dir, files
	return run, nil
}

// runOf is the run of a plan, wherever it may lie.
func runOf(plan []byte) (*Run, error) {
	p, err := ParsePlan(plan)
	if err != nil {
		return nil, err
	}
	return &Run{Plan: p, Bytes: plan, ID: PlanID(plan), units: p.Units()}, nil
}

// list returns the names in a folder of the run, without those of unfinished files.
func (r *Run) list(folder string) ([]string, error) {
	names, err := r.files.ReadDir(filepath.Join(r.Dir, folder))
	if err != nil {
		return nil, fmt.Errorf("looking into the run %s: %w", r.Dir, err)
	}
	return slices.DeleteFunc(names, isTemporary), nil
}

// noFile says whether err means that a name which a folder lists is not that of a file:
// it was moved away meanwhile, or is not visible here yet, or isOther.
func noFile(err error) bool { return errors.Is(err, fs.ErrNotExist) || isOther(err) }

// isOther says whether err means that there is something else than a file: a folder, a symbolic link to nothing, a pipe.
func isOther(err error) bool {
	return errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ELOOP) || errors.Is(err, ErrIrregular)
}

func (r *Run) path(folder, name string) string { return filepath.Join(r.Dir, folder, name) }

// isTemporary says whether Files.Publish left the name behind when it was cut short.
func isTemporary(name string) bool { return strings.HasPrefix(name, TemporaryPrefix) }

// unitName begins the name of every file that is about a unit.
func unitName(unit int) string { return fmt.Sprintf("u%05d", unit) }

// parseUnitName splits "u00017.rest". What unitName writes has five digits, or more that do not begin with 0.
func parseUnitName(name string) (unit int, rest string, ok bool) {
	dot := 1
	for ; dot < len(name) && '0' <= name[dot] && name[dot] <= '9' && unit < math.MaxInt32; dot++ {
		unit = 10*unit + int(name[dot]-'0')
	}
	if dot < 6 || dot >= len(name) || name[0] != 'u' || name[dot] != '.' || dot > 6 && name[1] == '0' {
		return 0, "", false
	}
	return unit, name[dot+1:], true
}

// namesByUnit sorts names of files by the unit that they are about, and drops others.
func namesByUnit(names []string) map[int][]string {
	byUnit := map[int][]string{}
	for _, name := range names {
		if unit, _, ok := parseUnitName(name); ok {
			byUnit[unit] = append(byUnit[unit], name)
		}
	}
	return byUnit
}

// shardName is the name of a unit's shard: it holds the SHA-256 of its bytes.
func shardName(unit int, data []byte) string {
	return unitName(unit) + "." + PlanID(data) + ".h5"
}

// parseShardName is the inverse of shardName. Whether the hash is that of anything shows when the file is read.
func parseShardName(name string) (unit int, hash string, ok bool) {
	unit, rest, ok := parseUnitName(name)
	hash, isH5 := strings.CutSuffix(rest, ".h5")
	return unit, hash, ok && isH5 && len(hash) == 64
}
