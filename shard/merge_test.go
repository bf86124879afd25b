package shard

import (
	"errors"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// finishedRun has all its shards.
func finishedRun(t testing.TB) (*Run, *memFiles) {
	t.Helper()
	files := newMemFiles()
	run := mustCreate(t, files)
	mustWork(t, worker(run, newEvaluator()))
	return run, files
}

// shardOf is the path of the only shard of a unit.
func shardOf(files *memFiles, unit int) string {
	for _, path := range files.in("run/shards") {
		if strings.HasPrefix(filepath.Base(path), unitName(unit)+".") {
			return path
		}
	}
	return ""
}

// put publishes a shard under the right name and returns its path.
func put(t testing.TB, files *memFiles, s *Shard) string {
	t.Helper()
	data, err := fakeCodec{}.EncodeShard(s)
	if err != nil {
		t.Fatal(err)
	}
	path := "run/shards/" + shardName(s.Unit, data)
	files.files[path] = data
	return path
}

// decoded is the shard at path.
func decoded(t testing.TB, files *memFiles, path string) *Shard {
	t.Helper()
	s, err := fakeCodec{}.DecodeShard(files.files[path])
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMissingUnitsAreNamed(t *testing.T) {
	files := newMemFiles()
	run := mustCreate(t, files)
	w := worker(run, newEvaluator())
	w.Units = []int{0, 2, 5}
	mustWork(t, w)
	surface, report, err := Merge(run, fakeCodec{}, MergeOptions{})
	if surface != nil || !errors.Is(err, ErrIncomplete) {
		t.Fatalf("%v, %v", surface, err)
	}
	if want := "11 of 20 points are missing (units 1, 3-4, 6)"; !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	units, err := ParseRanges("1,3-4,6", len(run.units))
	if err != nil || len(report.Missing) != 4 {
		t.Errorf("%v, %v", report.Missing, err)
	}
	w.Units = units
	mustWork(t, w)
	mustBeTrue(t, mustMerge(t, run))
}

func TestAPartialSurfaceHasWhatShardsAndJournalsHave(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	e := newEvaluator()
	e.batch = 1
	e.before = func(k int) error {
		if k == 10 {
			return errors.New("broken")
		}
		return nil
	}
	w := worker(run, e)
	w.Units = []int{3, 1} // 9 of 9, 10, 11; and 3, 4, 5
	if _, err := w.Work(t.Context()); !errors.Is(err, ErrIncomplete) {
		t.Fatal(err)
	}
	surface, report, err := Merge(run, fakeCodec{}, MergeOptions{AllowPartial: true})
	if err != nil {
		t.Fatal(err)
	}
	there := map[int]bool{3: true, 4: true, 5: true, 9: true}
	for k := range 20 {
		for _, layer := range surface.Layers {
			if got := layer.Status[k] != Missing; got != there[k] {
				t.Errorf("point %d of %s: %v", k, layer.Name, layer.Status[k])
			}
			if !there[k] && !math.IsNaN(layer.Values[k]) {
				t.Errorf("point %d of %s is %g", k, layer.Name, layer.Values[k])
			}
		}
	}
	if report.Done != 4 || surface.Notes["kernel plain"] != "3-5,9" {
		t.Errorf("%+v, %v", report, surface.Notes)
	}
}

func TestJournaledPointsAreNotCalledMissing(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	e := newEvaluator()
	e.batch = 1
	e.before = func(k int) error {
		if k == 11 {
			return errors.New("broken")
		}
		return nil
	}
	w := worker(run, e)
	w.Units = []int{0, 1, 2, 3} // 9 and 10 of 9, 10, 11
	if _, err := w.Work(t.Context()); !errors.Is(err, ErrIncomplete) {
		t.Fatal(err)
	}
	_, report, err := Merge(run, fakeCodec{}, MergeOptions{})
	want := "9 of 20 points are missing (units 3-6; 2 more of their points are in journals only)"
	if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
	status, err := run.Status(nil)
	if err != nil || status.PointsDone != 11 || len(report.Missing) != 4 {
		t.Errorf("the status has %+v, and the report %+v: %v", status, report, err)
	}
}

// recovers fails the test unless the run ends in the true surface once missing units are
// computed again, from the journals alone.
func recovers(t testing.TB, run *Run) {
	t.Helper()
	e := newEvaluator()
	mustWork(t, worker(run, e))
	if e.total() != 0 {
		t.Fatalf("%d points were computed again", e.total())
	}
	mustBeTrue(t, mustMerge(t, run))
}

func TestAnyFlippedByteAndAnyCutOfAShardIsQuarantined(t *testing.T) {
	_, first := finishedRun(t)
	path := shardOf(first, 6)
	good := first.files[path]
	damage := func(what string, i int, bad []byte) {
		files := newMemFiles()
		for name, data := range first.files {
			files.files[name] = data
		}
		files.files[path] = bad
		run, _ := Open(files, "run")
		_, report, err := Merge(run, fakeCodec{}, MergeOptions{})
		if !errors.Is(err, ErrIncomplete) || len(report.Quarantined) != 1 || !strings.Contains(report.Quarantined[0], path) {
			t.Fatalf("%s %d: %v, %v", what, i, err, report.Quarantined)
		}
		if kept := files.files["run/quarantine/"+filepath.Base(path)]; string(kept) != string(bad) {
			t.Fatalf("%s %d: it was not kept", what, i)
		}
		recovers(t, run)
	}
	for i := range good {
		bad := append([]byte{}, good...)
		bad[i] ^= 1
		damage("flipped byte", i, bad)
		damage("cut at", i, good[:i])
	}
}

func TestShardsUnderWrongNamesAreNeverTaken(t *testing.T) {
	for name, spoil := range map[string]func(files *memFiles, a, b string){
		"swapped": func(files *memFiles, a, b string) {
			files.files[a], files.files[b] = files.files[b], files.files[a]
		},
		"renamed to another unit": func(files *memFiles, a, _ string) {
			files.files[strings.Replace(a, "u00001", "u00002", 1)] = files.files[a]
			delete(files.files, a)
		},
		"renamed to a unit that is not there": func(files *memFiles, a, _ string) {
			files.files[strings.Replace(a, "u00001", "u00099", 1)] = files.files[a]
			delete(files.files, a)
		},
		"renamed to anything": func(files *memFiles, a, _ string) {
			files.files["run/shards/copy.h5"] = files.files[a]
			delete(files.files, a)
		},
	} {
		synctest.Test(t, func(t *testing.T) { // a shard that was moved away might become visible yet
			run, files := finishedRun(t)
			spoil(files, shardOf(files, 1), shardOf(files, 2))
			_, report, err := Merge(run, fakeCodec{}, MergeOptions{})
			if !errors.Is(err, ErrIncomplete) || len(report.Quarantined)+len(report.Problems) == 0 {
				t.Errorf("%s: %v, %+v", name, err, report)
			}
			recovers(t, run)
		})
	}
}

func TestAShardOfTheRightHashButTheWrongContentIsQuarantined(t *testing.T) {
	for name, spoil := range map[string]func(*Shard){
		"a point too few":  func(s *Shard) { s.Records = s.Records[1:] },
		"a point twice":    func(s *Shard) { s.Records[1] = s.Records[0] },
		"a foreign point":  func(s *Shard) { s.Records[1].Point = 19 },
		"a column too few": func(s *Shard) { s.Records[1].Values = s.Records[1].Values[:2] },
		"a missing metric": func(s *Shard) { s.Records[1].Status[0] = Missing },
		"a broken note":    func(s *Shard) { s.Notes["kernel plain"] = "x" },
	} {
		run, files := finishedRun(t)
		path := shardOf(files, 1)
		s := decoded(t, files, path)
		delete(files.files, path)
		spoil(s)
		put(t, files, s)
		if _, report, err := Merge(run, fakeCodec{}, MergeOptions{}); !errors.Is(err, ErrIncomplete) || len(report.Quarantined) != 1 {
			t.Errorf("%s: %v, %+v", name, err, report)
		}
		recovers(t, run)
	}
}

func TestQuarantineOverwritesNothing(t *testing.T) {
	run, files := finishedRun(t)
	path := shardOf(files, 1)
	for _, damage := range []string{"first", "second", "third"} {
		files.files[path] = []byte(damage)
		if _, _, err := Merge(run, fakeCodec{}, MergeOptions{}); !errors.Is(err, ErrIncomplete) {
			t.Fatal(err)
		}
	}
	var kept []string
	for _, name := range files.in("run/quarantine") {
		kept = append(kept, string(files.files[name]))
	}
	if got := strings.Join(kept, " "); got != "first second third" {
		t.Error(got)
	}
}

func TestAForeignShardIsRefusedWithTheFieldThatDiffers(t *testing.T) {
	run, files := finishedRun(t)
	other := fakePlan()
	other.Directions.Seed = 2
	s := decoded(t, files, shardOf(files, 1))
	s.Plan, _ = MarshalPlan(other)
	path := put(t, files, s)
	_, _, err := Merge(run, fakeCodec{}, MergeOptions{})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), path) ||
		!strings.Contains(err.Error(), "directions.seed: 18446744073709551615 here, 2 there") {
		t.Errorf("%v", err)
	}
	if _, ok := files.files[path]; !ok {
		t.Error("it was moved")
	}
}

func TestDuplicatesAreOneOrResolvedOrRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*Shard)
		resolved int
		refused  bool
	}{
		"same":         {func(s *Shard) {}, 0, false},
		"nearly":       {func(s *Shard) { s.Records[1].Values[0] *= 1 + 9e-6 }, 1, false},
		"too far":      {func(s *Shard) { s.Records[1].Values[0] *= 1 + 2e-5 }, 0, true},
		"other status": {func(s *Shard) { s.Records[1].Status[1] = Done }, 0, true},
		"NaN or not":   {func(s *Shard) { s.Records[0].Values[0] = 1 }, 0, true},
		"other sign":   {func(s *Shard) { s.Records[1].Values[0] *= -1 }, 0, true},
		"not infinite": {func(s *Shard) { s.Records[2].Values[0] = math.MaxFloat64 }, 0, true},
		"other NaN":    {func(s *Shard) { s.Records[0].Values[0] = math.Float64frombits(0x7ff8000000000123) }, 0, false},
		"beside it":    {func(s *Shard) { s.Records[1].Values[1] += 1 }, 0, true},
	} {
		run, files := finishedRun(t)
		first := shardOf(files, 1) // points 3 (NaN), 4, 5 (infinite)
		s := decoded(t, files, first)
		c.change(s)
		s.Notes["host"] = "there"
		second := put(t, files, s)
		surface, report, err := Merge(run, fakeCodec{}, MergeOptions{})
		if errors.Is(err, ErrRefused) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
		if c.refused {
			if !strings.Contains(err.Error(), first) || !strings.Contains(err.Error(), second) {
				t.Errorf("%s: %v does not name both", name, err)
			}
			continue
		}
		if len(report.Resolved) != c.resolved {
			t.Errorf("%s: resolved %q", name, report.Resolved)
		}
		want := decoded(t, files, min(first, second)).Records[1].Values[0]
		if got := surface.Layers[0].Values[4]; got != want {
			t.Errorf("%s: %v was taken, the smallest hash has %v", name, got, want)
		}
	}
}

// TestConflictingShardsThatAreMovedAwayAreComputedAgain follows the advice that merge gives: which journal the wrong one is nobody
// knows, so that nothing may be taken from either.
func TestConflictingShardsThatAreMovedAwayAreComputedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // claims of units that are to be computed again grow old first
		run, files := finishedRun(t)
		wrong := fakeRecord(4)
		wrong.Values[0] *= 1.5
		forged := append(run.journalHeader(1, "plain"), journalFrame(wrong, time.Second)...)
		files.files["run/journal/"+unitName(1)+".a-1-ffff"] = forged // before any other
		s := decoded(t, files, shardOf(files, 1))
		s.Records[1] = wrong
		put(t, files, s)
		if _, _, err := Merge(run, fakeCodec{}, MergeOptions{}); !errors.Is(err, ErrRefused) {
			t.Fatalf("two shards that disagree are merged: %v", err)
		}
		for path := shardOf(files, 1); path != ""; path = shardOf(files, 1) {
			delete(files.files, path)
		}
		surface, report, err := Merge(run, fakeCodec{}, MergeOptions{AllowPartial: true})
		if err != nil || surface.has(4) || len(report.Problems) != 2 {
			t.Errorf("of journals that disagree something is taken: %v, %q", err, report.Problems)
		}
		e := newEvaluator()
		mustWork(t, worker(run, e))
		if e.total() != 3 {
			t.Errorf("%d points of the unit were computed again, not all 3", e.total())
		}
		if got := encoded(t, mustMerge(t, run)); got != encoded(t, truth()) {
			t.Error("another surface")
		}
		delete(files.files, shardOf(files, 1))
		e = newEvaluator()
		mustWork(t, worker(run, e))
		if e.total() != 0 { // two agree against one
			t.Errorf("%d points that two attempts agree on were computed again", e.total())
		}
		if got := encoded(t, mustMerge(t, run)); got != encoded(t, truth()) {
			t.Error("another surface from journals")
		}
	})
}

// TestASurfaceThatSomebodyAddedToIsKept completes a partial surface that h5py, say, has written to.
func TestASurfaceThatSomebodyAddedToIsKept(t *testing.T) {
	run, files := finishedRun(t)
	added := strings.Replace(encoded(t, partial(10)), "{", `{"Added":1,`, 1)
	files.files["run/surface.h5"] = []byte(added)
	outcome, err := PublishSurface(files, fakeCodec{}, "run/surface.h5", mustMerge(t, run), false)
	if err != nil || outcome != BackedUp || string(files.files["run/surface.h5.bak"]) != added || string(files.files["run/surface.h5"]) != encoded(t, truth()) {
		t.Errorf("%v, %v", outcome, err)
	}
}

// TestMixedKernelsMayDiffer gives a unit two shards of different kernels, as an orphan and who took its unit over leave.
func TestMixedKernelsMayDiffer(t *testing.T) {
	for _, mix := range []bool{true, false} {
		files := newMemFiles()
		plan := fakePlan()
		plan.Mix = mix
		run, err := Create(files, "run", plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustWork(t, worker(run, newEvaluator()))
		s := decoded(t, files, shardOf(files, 1))
		s.Records[1].Values[0] *= 2
		delete(s.Notes, kernelNote+"plain")
		s.Notes[kernelNote+"avx2"] = "3-4"
		s.Notes[kernelNote+"plain"] = "5"
		put(t, files, s)
		_, report, err := Merge(run, fakeCodec{}, MergeOptions{})
		if errors.Is(err, ErrRefused) == mix || mix && len(report.Resolved) != 1 {
			t.Errorf("mix %v: %v, %q", mix, err, report.Resolved)
		}
		s.Records[2].Values[1]++ // of the kernel that both have
		put(t, files, s)
		if _, _, err := Merge(run, fakeCodec{}, MergeOptions{}); !errors.Is(err, ErrRefused) {
			t.Errorf("mix %v: two shards that disagree where one kernel computed both are merged: %v", mix, err)
		}
	}
}

func TestAnyCrashOfAMergeIsHealedByAnother(t *testing.T) {
	for crash := 0; ; crash++ {
		run, files := finishedRun(t)
		files.files[shardOf(files, 1)] = []byte("bad")
		files.calls, files.crashAt = 0, crash
		surface, _, err := Merge(run, fakeCodec{}, MergeOptions{AllowPartial: true})
		if err == nil {
			_, err = PublishSurface(files, fakeCodec{}, "run/surface.h5", surface, false)
		}
		whole := files.calls <= crash
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("crash %d: %v", crash, err)
		}
		files.crashAt = -1
		if data, ok := files.files["run/surface.h5"]; ok {
			if _, err := (fakeCodec{}).DecodeSurface(data); err != nil {
				t.Errorf("crash %d: half a surface", crash)
			}
		}
		Merge(run, fakeCodec{}, MergeOptions{}) // the quarantine may still be to do
		recovers(t, run)
		if _, err := PublishSurface(files, fakeCodec{}, "run/surface.h5", mustMerge(t, run), false); err != nil {
			t.Errorf("crash %d: %v", crash, err)
		}
		if got := string(files.files["run/surface.h5"]); got != encoded(t, truth()) {
			t.Errorf("crash %d: another surface", crash)
		}
		if whole {
			return
		}
	}
}

// partial is the truth without the points from k on.
func partial(k int) *Surface {
	s := truth()
	for _, layer := range s.Layers {
		for i := k; i < 20; i++ {
			layer.Values[i], layer.Status[i] = math.NaN(), Missing
			if se := layer.Beside["standard_error"]; se != nil {
				se[i] = math.NaN()
			}
		}
	}
	return s
}

func TestASurfaceReplacesOnlyALesserOneOfItsPlan(t *testing.T) {
	otherPlan := truth()
	plan := fakePlan()
	plan.Loss = "mse"
	otherPlan.Plan, _ = MarshalPlan(plan)
	otherValue := partial(10)
	otherValue.Layers[1].Values[2] = 7
	noted := truth()
	noted.Notes["version"] = "later"
	for name, c := range map[string]struct {
		there  string
		want   Outcome
		reason string // of a refusal
	}{
		"the same":         {encoded(t, truth()), LeftAsItWas, ""},
		"other notes":      {encoded(t, noted), LeftAsItWas, ""},
		"fewer points":     {encoded(t, partial(10)), Replaced, ""},
		"no points":        {encoded(t, partial(0)), Replaced, ""},
		"other values":     {encoded(t, otherValue), BackedUp, "other values"},
		"another plan":     {encoded(t, otherPlan), BackedUp, "loss"},
		"something else":   {"a letter", BackedUp, "no surface"},
		"nothing in it":    {"", BackedUp, "no surface"},
		"of another shape": {`{"X":[1]}`, BackedUp, ""},
	} {
		for _, force := range []bool{false, true} {
			files := newMemFiles()
			files.files["s.h5"] = []byte(c.there)
			files.files["s.h5.bak"] = []byte("an older backup")
			got, err := PublishSurface(files, fakeCodec{}, "s.h5", truth(), force)
			if refused := c.want == BackedUp && !force; refused {
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.reason) || string(files.files["s.h5"]) != c.there {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if err != nil || got != c.want {
				t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
			}
			if want := encoded(t, truth()); string(files.files["s.h5"]) != want && c.want != LeftAsItWas {
				t.Errorf("%s: not replaced", name)
			}
			backup, kept := files.files["s.h5.bak2"]
			if kept != (c.want == BackedUp) || kept && string(backup) != c.there {
				t.Errorf("%s: backup %v %q", name, kept, backup)
			}
			if string(files.files["s.h5.bak"]) != "an older backup" {
				t.Errorf("%s: the older backup is gone", name)
			}
		}
	}
}

func TestALesserSurfaceDoesNotReplaceAGreaterOne(t *testing.T) {
	files := newMemFiles()
	files.files["s.h5"] = []byte(encoded(t, truth()))
	_, err := PublishSurface(files, fakeCodec{}, "s.h5", partial(10), false)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "more finished points") {
		t.Errorf("%v", err)
	}
}

func TestManyMergesAtOnceLeaveOneSurface(t *testing.T) {
	run, files := finishedRun(t)
	files.files[shardOf(files, 1)] = []byte("bad")
	Merge(run, fakeCodec{}, MergeOptions{})
	mustWork(t, worker(run, newEvaluator()))
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			surface, _, err := Merge(run, fakeCodec{}, MergeOptions{})
			if err == nil {
				_, err = PublishSurface(files, fakeCodec{}, "run/surface.h5", surface, false)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if string(files.files["run/surface.h5"]) != encoded(t, truth()) {
		t.Error("another surface")
	}
}

func TestTwoMergesAtTheSameTimeFindTheSameShardCorrupt(t *testing.T) {
	for at := 1; ; at++ {
		_, files := finishedRun(t)
		path := shardOf(files, 6)
		files.files[path] = append(files.files[path], 'x')
		calls := 0
		slow, err := Open(meanwhile{files, &calls, at, func() {
			other, _ := Open(files, "run")
			if _, _, err := Merge(other, fakeCodec{}, MergeOptions{}); !errors.Is(err, ErrIncomplete) {
				t.Errorf("the fast one, before call %d: %v", at, err)
			}
		}}, "run")
		if err != nil {
			t.Fatal(err)
		}
		if _, report, err := Merge(slow, fakeCodec{}, MergeOptions{}); !errors.Is(err, ErrIncomplete) || !slices.Equal(report.Missing, []int{6}) {
			t.Fatalf("the slow one, interrupted before call %d: %v, %v", at, err, report.Missing)
		}
		if kept := files.in("run/quarantine"); len(kept) != 1 {
			t.Errorf("before call %d: the quarantine holds %q", at, kept)
		}
		if calls < at {
			return
		}
	}
}

// forgetful decodes shards and fails if an earlier one can still be reached: a merge must not collect them.
type forgetful struct {
	fakeCodec
	t    *testing.T
	seen *[]weak.Pointer[Shard]
}

func (f forgetful) DecodeShard(data []byte) (*Shard, error) {
	runtime.GC()
	for i, s := range *f.seen {
		if s.Value() != nil {
			f.t.Errorf("shard %d of the merge is still in memory when shard %d is read", i, len(*f.seen))
		}
	}
	s, err := f.fakeCodec.DecodeShard(data)
	if err == nil {
		*f.seen = append(*f.seen, weak.Make(s))
	}
	return s, err
}

func TestAMergeKeepsNoShardInMemory(t *testing.T) {
	run, _ := finishedRun(t)
	codec := forgetful{t: t, seen: new([]weak.Pointer[Shard])}
	surface, _, err := Merge(run, codec, MergeOptions{})
	if err != nil || len(*codec.seen) != 7 {
		t.Fatalf("%d shards, %v", len(*codec.seen), err)
	}
	mustBeTrue(t, surface)
}
