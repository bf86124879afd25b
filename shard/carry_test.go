package shard

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

// chained is an evaluator whose results depend on what the points before handed on. Every third
// point hands nothing on.
type chained struct{ computed []int }

func (c *chained) Kernel() string { return "plain" }
func (c *chained) Batch() int     { return 2 }

func (c *chained) Evaluate(ctx context.Context, points []int, carry []byte, done func(Record) error) error {
	for _, k := range points {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.computed = append(c.computed, k)
		record := link(k, carry)
		if record.Carry != nil {
			carry = record.Carry
		}
		if err := done(record); err != nil {
			return err
		}
	}
	return nil
}

// link is the record of point k after a carry.
func link(k int, carry []byte) Record {
	sum := sha256.Sum256(append(slices.Clone(carry), byte(k)))
	record := Record{Point: k, Status: []Status{Done, Done}, Values: []float64{1, float64(binary.LittleEndian.Uint32(sum[:])), 0}}
	if k%3 != 1 {
		record.Carry = sum[:]
	}
	return record
}

// chain is what an unbroken worker finds at the points of a plan.
func chain(plan *Plan) map[int]float64 {
	values := map[int]float64{}
	for _, u := range plan.Units() {
		var carry []byte
		for k := u.First; k < u.First+u.Count; k++ {
			record := link(k, carry)
			if values[k] = record.Values[1]; record.Carry != nil {
				carry = record.Carry
			}
		}
	}
	return values
}

// chainedRun has units of seven points.
func chainedRun(t *testing.T, files Files) *Run {
	plan := fakePlan()
	plan.Work.Unit = 7
	run, err := Create(files, "run", plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// breakOff computes so many points of the run and leaves.
func breakOff(t *testing.T, run *Run, points int) {
	t.Helper()
	w := worker(run, &chained{})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	w.Progress = func(e Event) {
		if n += e.Points; n == points {
			cancel()
		}
	}
	if _, err := w.Work(ctx); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
}

func mustBeChained(t *testing.T, run *Run) {
	t.Helper()
	got := map[int]float64{}
	for k, v := range mustMerge(t, run).Layers[0].Beside["standard_error"] {
		got[k] = v
	}
	if want := chain(run.Plan); !maps.Equal(got, want) {
		t.Fatalf("the points have %v, want %v", got, want)
	}
}

func carries(files *memFiles) (names []string) {
	for name := range files.files {
		if strings.HasPrefix(name, "run/"+carryDir+"/") && !strings.Contains(name, TemporaryPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestAPointStartsFromWhatTheOnesBeforeHandedOn crashes the worker at its i-th use of the
// file system, for every i: the next one goes on from the same values, and computes no point twice but
// the one in progress.
func TestAPointStartsFromWhatTheOnesBeforeHandedOn(t *testing.T) {
	for crash := 0; ; crash++ {
		whole := false
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			run := chainedRun(t, files)
			var dead sync.Map
			e := &chained{}
			files.calls, files.crashAt = 0, crash
			w := worker(run, e)
			w.System = process(&dead, "here", 1)
			if _, err := w.Work(t.Context()); err != nil && !errors.Is(err, errCrash) {
				t.Fatalf("crash %d: %v", crash, err)
			}
			whole = files.calls <= crash
			files.crashAt = -1
			dead.Store(1, true)
			w = worker(run, e)
			w.System = process(&dead, "here", 2)
			mustWork(t, w)
			// A batch of two whose first record was not written begins again.
			if len(e.computed) > 21 {
				t.Errorf("crash %d: %d points were computed for 20", crash, len(e.computed))
			}
			if left := carries(files); left != nil {
				t.Errorf("crash %d: published units left %v", crash, left)
			}
			mustBeChained(t, run)
		})
		if whole {
			return
		}
	}
}

// TestAMergeDropsWhatTheLastWorkerLeft: nobody else comes to a complete run.
func TestAMergeDropsWhatTheLastWorkerLeft(t *testing.T) {
	files := newMemFiles()
	run := chainedRun(t, files)
	mustWork(t, worker(run, &chained{}))
	if err := run.keep(0, []byte("left")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Merge(run, fakeCodec{}, MergeOptions{ReadOnly: true}); err != nil || len(carries(files)) != 1 {
		t.Errorf("a merge that may change nothing: %v, %v", err, carries(files))
	}
	if mustMerge(t, run); carries(files) != nil {
		t.Errorf("%v are left", carries(files))
	}
}

// TestALostCarryIsComputedAgain interrupts a worker after some points, and harms what they handed on.
func TestALostCarryIsComputedAgain(t *testing.T) {
	for _, harm := range []struct {
		name string
		do   func(files *memFiles, name string)
	}{
		{"gone", func(f *memFiles, name string) { delete(f.files, name) }},
		{"damaged", func(f *memFiles, name string) { f.files[name][5] ^= 1 }},
		{"cut short", func(f *memFiles, name string) { f.files[name] = f.files[name][:9] }},
	} {
		t.Run(harm.name, func(t *testing.T) {
			files := newMemFiles()
			run := chainedRun(t, files)
			breakOff(t, run, 5)
			kept := carries(files)
			if len(kept) == 0 {
				t.Fatal("nothing was handed on")
			}
			for _, name := range kept {
				harm.do(files, name)
			}
			mustWork(t, worker(run, &chained{}))
			mustBeChained(t, run)
			if left := carries(files); left != nil {
				t.Errorf("published units left %v", left)
			}
		})
	}
}

// crowded is a file system without room for what points hand on.
type crowded struct{ *memFiles }

func (c crowded) Publish(path string, data []byte) error {
	if strings.HasPrefix(path, "run/"+carryDir+"/") {
		return pathError("write", path, syscall.ENOSPC)
	}
	return c.memFiles.Publish(path, data)
}

// TestNoRoomForACarryIsNoFailureOfTheEvaluator, not even where a lost carry was to be kept once more.
func TestNoRoomForACarryIsNoFailureOfTheEvaluator(t *testing.T) {
	files := newMemFiles()
	run := chainedRun(t, files)
	breakOff(t, run, 3)
	for _, name := range carries(files) {
		delete(files.files, name)
	}
	run, err := Open(crowded{files}, "run")
	if err != nil {
		t.Fatal(err)
	}
	w := worker(run, &chained{})
	w.Units = []int{0}
	if _, err := w.Work(t.Context()); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrIncomplete) {
		t.Errorf("%v", err)
	}
}
