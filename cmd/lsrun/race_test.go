package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// atOnce starts lsrun so many times at once and fails the test unless every one succeeds.
func atOnce(t *testing.T, processes int, args ...string) {
	t.Helper()
	var all errgroup.Group
	for range processes {
		cmd := process(t.Context(), t, args...)
		all.Go(func() error {
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("lsrun %s: %w\n%s", args[0], err, out)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestOfManyProcessesOneComputesAUnitAndOneMerges has 64 processes race for the only unit of a run, and for its merge.
func TestOfManyProcessesOneComputesAUnitAndOneMerges(t *testing.T) {
	x := newTiny(t)
	dir := filepath.Join(inMemory(t), "run")
	if err := inUnits(tinyPoints, x.dir, dir); err != nil {
		t.Fatal(err)
	}
	atOnce(t, 64, "run", "--threads", "1", dir)
	if n := recordsWritten(t, dir); n != tinyPoints {
		t.Errorf("%d points were computed for %d", n, tinyPoints)
	}
	only(t, dir, "shards", "*")
	atOnce(t, 64, "merge", dir)
	only(t, dir, "surface.h5*")
	alone := filepath.Join(inMemory(t), "run")
	if err := inUnits(tinyPoints, x.dir, alone); err != nil {
		t.Fatal(err)
	}
	lsrunOK(t, "run", alone)
	if !bytes.Equal(merged(t, alone), get(t, filepath.Join(dir, surfaceFile))) {
		t.Error("another surface than one worker's")
	}
}

func TestManyProcessesMakeOnePlan(t *testing.T) {
	plan, dir := tinyPlan(t), filepath.Join(inMemory(t), "run")
	atOnce(t, 16, append(plan, dir)...)
	lsrunOK(t, append(plan, dir)...)
	lsrunOK(t, "run", dir)
	merged(t, dir)
}

// TestTimesOfFilesDoNotMatter gives the files that a dead worker left times of an hour ago, of tomorrow, and of 1970, in
// disorder.
func TestTimesOfFilesDoNotMatter(t *testing.T) {
	x := newTiny(t)
	for shift, step := range map[string]time.Duration{"an hour behind": -time.Hour, "a day ahead": 24 * time.Hour, "backwards": -time.Minute} {
		dir := x.interrupted(t)
		when := time.Now().Add(step)
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if when = when.Add(step); step == -time.Minute {
				when = time.Unix(when.Unix()/2, 0)
			}
			return os.Chtimes(path, when, when)
		})
		if err != nil {
			t.Fatal(err)
		}
		x.finish(t, dir, 1)
		if !bytes.Equal(merged(t, dir), x.surface) {
			t.Errorf("%s: another surface", shift)
		}
	}
}
