package shard

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustVerify(t *testing.T, run *Run) *Verification {
	t.Helper()
	v, err := Verify(run, fakeCodec{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifyFindsAWholeRunGoodAndChangesNothing(t *testing.T) {
	run, files := finishedRun(t)
	delete(files.files, shardOf(files, 2)) // the journal has its points
	before := maps.Clone(files.files)
	v := mustVerify(t, run)
	if len(v.Findings) > 0 || v.Done != 20 || v.Points != 20 || v.Shards != 6 || v.Journals != 7 || v.Journaled != 20 {
		t.Errorf("%+v", v)
	}
	if !maps.EqualFunc(before, files.files, slices.Equal) {
		t.Error("it changed a file")
	}
	partial, _, err := Merge(run, fakeCodec{}, MergeOptions{AllowPartial: true})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := v.CheckSurface(fakeCodec{}, []byte(encoded(t, partial))); done != 20 || err != nil {
		t.Errorf("%d points, %v", done, err)
	}
}

func TestVerifyFindsEveryHarm(t *testing.T) {
	foreign := fakePlan()
	foreign.Evaluator = 9
	other, _ := MarshalPlan(foreign)
	for name, c := range map[string]struct {
		do   func(run *Run, files *memFiles) (path string)
		want error
	}{
		"a changed shard": {func(_ *Run, files *memFiles) string {
			path := shardOf(files, 3)
			files.files[path][40] ^= 1
			return path
		}, ErrCorrupt},
		"a foreign shard": {func(_ *Run, files *memFiles) string {
			s := decoded(t, files, shardOf(files, 3))
			s.Plan = other
			return put(t, files, s)
		}, ErrRefused},
		"a shard that disagrees with its journal": {func(_ *Run, files *memFiles) string {
			s := decoded(t, files, shardOf(files, 3))
			delete(files.files, shardOf(files, 3))
			s.Records[1].Values[2]--
			put(t, files, s)
			return files.in("run/journal")[3]
		}, ErrRefused},
		"two shards that disagree": {func(_ *Run, files *memFiles) string {
			s := decoded(t, files, shardOf(files, 3))
			s.Records[1].Values[2]--
			return put(t, files, s)
		}, ErrRefused},
		"a file among the shards that is none": {func(_ *Run, files *memFiles) string {
			files.files["run/shards/u3.h5"] = nil
			return "shards/u3.h5"
		}, ErrCorrupt},
		"a changed journal": {func(_ *Run, files *memFiles) string {
			path := files.in("run/journal")[5]
			files.files[path][len(files.files[path])/2] ^= 1
			return path
		}, ErrCorrupt},
		"a foreign journal": {func(run *Run, files *memFiles) string {
			foreignRun, err := runOf(other)
			if err != nil {
				t.Fatal(err)
			}
			path, data := journalFor(foreignRun, 5, "there", func(int) time.Duration { return 1 })
			files.files[path] = data
			return path
		}, ErrRefused},
		"a journal of another unit": {func(_ *Run, files *memFiles) string {
			path := strings.Replace(files.in("run/journal")[5], "u00005", "u00004", 1)
			files.files[path] = files.files[files.in("run/journal")[5]]
			return path
		}, ErrCorrupt},
		"a changed carry": {func(run *Run, files *memFiles) string {
			path := run.carryPath(2, identify([]byte("eigenvectors")))
			files.files[path] = []byte("eigenvector")
			return path
		}, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			run, files := finishedRun(t)
			path := c.do(run, files)
			v := mustVerify(t, run)
			// A shard that is in the wrong makes its journal or its twin the odd one out as well.
			named := slices.ContainsFunc(v.Findings, func(err error) bool { return errors.Is(err, c.want) && strings.Contains(err.Error(), path) })
			if !named || len(v.Findings) > 2 {
				t.Errorf("findings %v, want %v of %s", v.Findings, c.want, path)
			}
		})
	}
}

// TestATornJournalIsNoHarm: it is what a killed worker leaves.
func TestATornJournalIsNoHarm(t *testing.T) {
	run, files := finishedRun(t)
	path := files.in("run/journal")[0]
	files.files[path] = files.files[path][:len(files.files[path])-3]
	if v := mustVerify(t, run); len(v.Findings) > 0 || v.Journaled != 19 {
		t.Errorf("%v, %d points in journals", v.Findings, v.Journaled)
	}
}

func TestASurfaceIsHeldAgainstTheRunAndAgainstItsOwnPlan(t *testing.T) {
	run, _ := finishedRun(t)
	v := mustVerify(t, run)
	foreign := fakePlan()
	foreign.Evaluator = 9
	other, _ := MarshalPlan(foreign)
	for name, c := range map[string]struct {
		change func(s *Surface)
		want   error
		alone  bool // seen without the run
	}{
		"the truth":         {func(*Surface) {}, nil, false},
		"another value":     {func(s *Surface) { s.Layers[0].Values[7]++ }, ErrCorrupt, false},
		"another plan":      {func(s *Surface) { s.Plan = other }, ErrRefused, false},
		"no plan":           {func(s *Surface) { s.Plan = nil }, ErrCorrupt, true}, // to fakeCodec an empty one
		"other coordinates": {func(s *Surface) { s.X[0] = -2 }, ErrCorrupt, true},
		"a layer less":      {func(s *Surface) { s.Layers = s.Layers[:1] }, ErrCorrupt, true},
		"no statuses":       {func(s *Surface) { s.Layers[1].Status = nil }, ErrCorrupt, true},
		"nothing beside":    {func(s *Surface) { s.Layers[0].Beside = nil }, ErrCorrupt, true},
	} {
		s := truth()
		c.change(s)
		data := []byte(encoded(t, s))
		if _, err := v.CheckSurface(fakeCodec{}, data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := CheckSurface(fakeCodec{}, data); (err != nil) != c.alone {
			t.Errorf("%s, without the run: %v", name, err)
		}
	}
}

// TestPointsAreComputedAgainFromWhatTheyStartedFrom: every point of chainedRun depends on those before it in its unit.
func TestPointsAreComputedAgainFromWhatTheyStartedFrom(t *testing.T) {
	files := newMemFiles()
	plan := fakePlan()
	plan.Hessian, plan.Work.Unit = &Hessian{StepX: 1, StepY: 1}, 7
	run, err := Create(files, "run", plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustWork(t, worker(run, &chained{}))
	v := mustVerify(t, run)
	for k := range 20 {
		if err := v.Recompute(t.Context(), &chained{}, k); err != nil {
			t.Error(err)
		}
	}
	v.columns[1][13] = math.Nextafter(v.columns[1][13], 0)
	if err := v.Recompute(t.Context(), &chained{}, 13); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "point 13: train_loss/standard_error") {
		t.Errorf("a value that is one bit off: %v", err)
	}
}

func TestTheSampleIsOfTheKernelsOwnPointsAndAFunctionOfTheSeed(t *testing.T) {
	files := newMemFiles()
	plan := fakePlan()
	plan.Hessian, plan.Mix = &Hessian{StepX: 2, StepY: 1}, true // points 0, 2, 4, 5, 7, 9, …
	run, err := Create(files, "run", plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Another kernel has begun unit 1 (points 3, 4, 5): this one's point 5 starts from its point 4.
	files.files["run/journal/u00001.x-7-ab"] = append(run.journalHeader(1, "fma"), journalFrame(fakeRecord(4), 0)...)
	e := newEvaluator()
	mustWork(t, worker(run, e))
	v := mustVerify(t, run)
	all := v.Sample("plain", 100, 1)
	want := []int{0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	if !slices.Equal(all, want) {
		t.Errorf("all of plain's: %v, want %v", all, want)
	}
	some := v.Sample("plain", 5, 1)
	if len(some) != 5 || !slices.IsSorted(some) || !slices.Equal(some, v.Sample("plain", 5, 1)) || fmt.Sprint(some) == fmt.Sprint(v.Sample("plain", 5, 2)) {
		t.Errorf("%v", some)
	}
	if none := v.Sample("avx1024", 5, 1); len(none) > 0 {
		t.Errorf("%v of a kernel that computed nothing", none)
	}
}
