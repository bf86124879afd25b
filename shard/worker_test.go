package shard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestOneWorkerComputesEveryPointOnce(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	e := newEvaluator()
	w := worker(run, e)
	told := 0
	w.Progress = func(e Event) { told += e.Points }
	report := mustWork(t, w)
	if report.Computed != 20 || report.Published != 7 || report.Resumed != 0 || len(report.Problems) != 0 {
		t.Errorf("%+v", report)
	}
	if told != 20 || e.total() != 20 || len(e.counts) != 20 {
		t.Errorf("%d points told of, %d computed", told, e.total())
	}
	mustBeTrue(t, mustMerge(t, run))
	if report := mustWork(t, w); report.Computed != 0 || told != 40 {
		t.Errorf("again: %+v, %d points told of", report, told)
	}
}

func TestAnyNumberOfWorkersMakeTheSameSurface(t *testing.T) {
	for _, c := range []struct {
		workers int
		static  bool
	}{{1, false}, {2, false}, {5, false}, {16, false}, {1, true}, {3, true}, {16, true}} {
		synctest.Test(t, func(t *testing.T) {
			run := mustCreate(t, newMemFiles())
			e := newEvaluator()
			var group sync.WaitGroup
			for rank := range c.workers {
				w := worker(run, e)
				w.System = process(new(sync.Map), "here", rank+1)
				w.Rank, w.Ranks, w.Static = rank, c.workers, c.static
				group.Go(func() {
					if _, err := w.Work(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			mustBeTrue(t, mustMerge(t, run))
			if e.total() != 20 {
				t.Errorf("%+v: %d points were computed for 20", c, e.total())
			}
			if claims := run.files.(*memFiles).in("run/claims"); c.static && len(claims) != 0 {
				t.Errorf("static workers claimed %q", claims)
			}
		})
	}
}

func TestAWorkerDoesOnlyTheUnitsThatItIsGivenInTheirOrder(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	w := worker(run, newEvaluator())
	w.Units = []int{5, 2}
	var order []int
	w.Progress = func(e Event) {
		if e.Kind == Computed {
			order = append(order, e.Unit)
		}
	}
	mustWork(t, w)
	if !slices.Equal(slices.Compact(order), []int{5, 2}) {
		t.Errorf("units %v, want 5 and 2", order)
	}
	w.Units = []int{7}
	if _, err := w.Work(t.Context()); err == nil || !strings.Contains(err.Error(), "0 to 6") {
		t.Errorf("a unit that is not there: %v", err)
	}
}

func TestRanksBeginApartAndReachEveryUnit(t *testing.T) {
	if got := roundRobin([]int{0, 1, 2, 3, 4, 5, 6}, 1, 3); !slices.Equal(got, []int{1, 4, 2, 5, 0, 3, 6}) {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		units := make([]int, rapid.IntRange(0, 40).Draw(t, "units"))
		for i := range units {
			units[i] = i
		}
		ranks := rapid.IntRange(1, 60).Draw(t, "ranks")
		rank := rapid.IntRange(0, 60).Draw(t, "rank")
		order := roundRobin(units, rank, ranks)
		if n := len(units); n > 0 && order[0] != rank%min(n, ranks) {
			t.Fatalf("rank %d of %d begins with %d of %d", rank, ranks, order[0], n)
		}
		if slices.Sort(order); !slices.Equal(order, units) {
			t.Fatalf("rank %d visits %v", rank, order)
		}
	})
}

// TestManyWorkersBeginApartAmongTheLastFreeUnits: four of seven units are others'.
func TestManyWorkersBeginApartAmongTheLastFreeUnits(t *testing.T) {
	files := newMemFiles()
	run := mustCreate(t, files)
	for unit := range 4 {
		files.files["run/claims/"+claimName(unit, 1)] = claimText{}.bytes()
	}
	begin := map[int]int{}
	for rank := range 30 {
		w := worker(run, newEvaluator())
		w.Rank, w.Ranks = rank, 30
		s, err := w.begin()
		if err == nil {
			err = s.view.look()
		}
		if err == nil {
			err = s.arrange()
		}
		if err != nil {
			t.Fatal(err)
		}
		begin[s.todo[0]]++
	}
	if want := map[int]int{4: 10, 5: 10, 6: 10}; !maps.Equal(begin, want) {
		t.Errorf("so many begin with each unit: %v, want %v", begin, want)
	}
}

// TestAnyCrashLosesAtMostThePointInProgress fails the worker at its i-th use of the file
// system, for every i, and restarts it.
func TestAnyCrashLosesAtMostThePointInProgress(t *testing.T) {
	for crash := 0; ; crash++ {
		whole := false
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			run := mustCreate(t, files)
			var dead sync.Map
			e := newEvaluator()
			files.calls, files.crashAt = 0, crash
			w := worker(run, e)
			w.System = process(&dead, "here", 1)
			_, err := w.Work(t.Context())
			whole = files.calls <= crash
			if !whole && !errors.Is(err, errCrash) {
				// Giving a claim back is a courtesy, and so is the end of a log.
				if err != nil {
					t.Fatalf("crash %d: %v", crash, err)
				}
			}
			files.crashAt = -1
			dead.Store(1, true)
			w = worker(run, e)
			w.System = process(&dead, "here", 2)
			began := time.Now()
			mustWork(t, w)
			if e.total() > 21 {
				t.Errorf("crash %d: %d points were computed for 20", crash, e.total())
			}
			// An owner whose name was not written yet has to be waited for.
			if waited := time.Since(began); waited > 2*time.Minute {
				t.Errorf("crash %d: waited %v", crash, waited)
			}
			mustBeTrue(t, mustMerge(t, run))
		})
		if whole {
			return
		}
	}
}

// TestAnyHistoryOfCrashesEndsInTheSameSurface lets workers come, crash anywhere and be
// followed by others, several at a time.
func TestAnyHistoryOfCrashesEndsInTheSameSurface(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		crashes := rapid.SliceOfN(rapid.IntRange(0, 60), 0, 6).Draw(rt, "crashes")
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		batch := rapid.IntRange(1, 5).Draw(rt, "batch")
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			run := mustCreate(t, files)
			var dead sync.Map
			e := newEvaluator()
			e.batch = batch
			pid := 0
			for round := range len(crashes) + 1 {
				files.calls, files.crashAt = 0, -1
				if round < len(crashes) {
					files.crashAt = crashes[round]
				}
				var group sync.WaitGroup
				for rank := range workers {
					pid++
					w := worker(run, e)
					w.Rank, w.Ranks, w.System = rank, workers, process(&dead, "here", pid)
					group.Go(func() {
						if _, err := w.Work(context.Background()); err != nil && !errors.Is(err, errCrash) {
							t.Error(err)
						}
					})
				}
				group.Wait()
				for p := range pid {
					dead.Store(p+1, true)
				}
			}
			if lost := e.total() - 20; lost > workers*len(crashes) {
				t.Errorf("%d points were computed again after %d crashes of %d workers", lost, len(crashes), workers)
			}
			mustBeTrue(t, mustMerge(t, run))
		})
	})
}

func TestAWorkerTakesOverWhatItsNeighbourLeft(t *testing.T) {
	for name, c := range map[string]struct {
		host string
		wait time.Duration
	}{"here": {"here", time.Second}, "there": {"there", 2 * time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			run := mustCreate(t, newMemFiles())
			var dead sync.Map
			claimOf(t, run, process(&dead, c.host, 9))
			dead.Store(9, true)
			w := worker(run, newEvaluator())
			w.System = process(&dead, "here", 1)
			var kinds []EventKind
			w.Progress = func(e Event) { kinds = append(kinds, e.Kind) }
			began := time.Now()
			mustWork(t, w)
			if waited := time.Since(began); waited > c.wait {
				t.Errorf("%s: took it over after %v", name, waited)
			}
			if !slices.Contains(kinds, TakenOver) || slices.Contains(kinds, Waiting) != (c.host == "there") {
				t.Errorf("%s: events %v", name, kinds)
			}
			mustBeTrue(t, mustMerge(t, run))
		})
	}
}

// A node is lost to the others while its process goes on: both finish the unit.
func TestTwoWorkersOnOneUnitAreHarmless(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	first, second := worker(run, newEvaluator()), worker(run, newEvaluator())
	first.Static, second.Static = true, true // without claims
	second.System = process(new(sync.Map), "there", 1)
	inside := make(chan bool)
	first.Evaluator.(*fakeEvaluator).before = func(k int) error {
		if k == 2 { // the first point of the first batch is 1, then 0; 2 is alone
			inside <- true
			<-inside
		}
		return nil
	}
	ended := make(chan error)
	go func() {
		_, err := first.Work(context.Background())
		ended <- err
	}()
	<-inside
	mustWork(t, second)
	inside <- true
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := len(run.files.(*memFiles).in("run/shards")); n != 8 {
		t.Errorf("%d shards, want two of unit 0 and one of each other", n)
	}
	mustBeTrue(t, mustMerge(t, run))
}

func TestAnInterruptedWorkerKeepsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := mustCreate(t, newMemFiles())
		e := newEvaluator()
		ctx, cancel := context.WithCancel(t.Context())
		e.before = func(k int) error {
			if k == 10 {
				cancel()
			}
			return nil
		}
		report, err := worker(run, e).Work(ctx)
		if !errors.Is(err, ErrInterrupted) {
			t.Fatalf("%v", err)
		}
		e.before = nil
		w := worker(run, e)
		w.System = process(new(sync.Map), "there", 7) // which cannot know that the first is gone
		began := time.Now()
		mustWork(t, w)
		if time.Since(began) != 0 {
			t.Error("the claim was not given back")
		}
		if e.total() != 20 || report.Computed == 0 {
			t.Errorf("%d points were computed for 20, %d before", e.total(), report.Computed)
		}
		mustBeTrue(t, mustMerge(t, run))
	})
}

// Loss points take ten seconds, those with Hessians, every fifth, a minute.
func TestAWorkerBeginsNoPointThatItCannotFinish(t *testing.T) {
	for name, c := range map[string]struct {
		deadline time.Duration
		want     int           // points
		took     time.Duration // until it left
	}{
		"no point is known, so one is begun":     {5 * time.Second, 1, 60 * time.Second},
		"a point of the kind before is too long": {190 * time.Second, 8, 180 * time.Second}, // 60 + 4 × 10 + 60 + 2 × 10, and 12.5 are too much
		"a Hessian is too long":                  {170 * time.Second, 5, 100 * time.Second}, // 75 are too much after 60 + 4 × 10
	} {
		synctest.Test(t, func(t *testing.T) {
			plan := fakePlan()
			plan.Hessian, plan.Work.Unit = &Hessian{StepX: 5, StepY: 1}, 1000
			run, err := Create(newMemFiles(), "run", plan, nil)
			if err != nil {
				t.Fatal(err)
			}
			e := newEvaluator()
			e.batch = 1
			e.before = func(k int) error {
				time.Sleep(10 * time.Second)
				if k%5 == 0 {
					time.Sleep(50 * time.Second)
				}
				return nil
			}
			w := worker(run, e)
			began := time.Now()
			w.Deadline = began.Add(c.deadline)
			report, err := w.Work(t.Context())
			if !errors.Is(err, ErrDeadline) || !errors.Is(err, ErrInterrupted) {
				t.Errorf("%s: it ends with %v", name, err)
			}
			if took := time.Since(began); report.Computed != c.want || took != c.took {
				t.Errorf("%s: %d points in %v, want %d in %v", name, report.Computed, took, c.want, c.took)
			}
			w.Deadline = time.Time{}
			if report := mustWork(t, w); report.Computed != 20-c.want {
				t.Errorf("%s: %d points were computed again", name, report.Computed-20+c.want)
			}
		})
	}
}

// Another worker has unit 0. Who waits for it has nothing to come back for, unless that unit is free when the time is up.
func TestAWorkerThatWaitsLeavesAtItsDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		deadline, freed time.Duration
		took            time.Duration
		want            error
		left            int
	}{
		"the unit stays the other's":    {time.Minute, time.Hour, time.Minute, nil, 1},
		"it is free at the last moment": {time.Minute, 50 * time.Second, time.Minute, ErrDeadline, 0},
		"it is free in time":            {time.Minute, 20 * time.Second, 39 * time.Second, nil, 0}, // looks after 31 s, and three points take 8 s
		"a signal":                      {time.Hour, 2 * time.Hour, 10 * time.Minute, ErrInterrupted, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			run := mustCreate(t, newMemFiles())
			other, _ := newClaims(run, process(new(sync.Map), "there", 2), "plain").acquire([]int{0})
			freed := time.AfterFunc(c.freed, func() { other.release(released) })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			e := newEvaluator()
			e.batch = 1
			e.before = func(k int) error {
				if k < 3 {
					time.Sleep(8 * time.Second / 3)
				}
				return nil
			}
			w := worker(run, e)
			began := time.Now()
			w.Deadline = began.Add(c.deadline)
			report, err := w.Work(ctx)
			took := time.Since(began).Round(time.Second)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || report.Left != c.left || took != c.took {
				t.Errorf("%s: it ends after %v with %v and %+v", name, took, err, report)
			}
			if freed.Stop() {
				other.release(released)
			}
		})
	}
}

// Another worker computes unit 0 for an hour, and then dies.
func TestAWorkerWithPatienceLeavesUnitsToOthers(t *testing.T) {
	for name, c := range map[string]struct {
		patience, took time.Duration
		left           int
	}{
		"for five minutes": {5 * time.Minute, 5 * time.Minute, 1},
		"for ever":         {0, time.Hour, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			run := mustCreate(t, newMemFiles())
			var dead sync.Map
			other, _ := newClaims(run, process(&dead, "here", 2), "plain").acquire([]int{0})
			defer other.release(released)
			w := worker(run, newEvaluator())
			w.System, w.Patience = process(&dead, "here", 1), c.patience
			began := time.Now()
			time.AfterFunc(time.Hour, func() { dead.Store(2, true) })
			report := mustWork(t, w)
			if took := time.Since(began); report.Left != c.left || report.Published != 7-c.left || took < c.took || took > c.took+maxPause {
				t.Errorf("%s: %+v after %v", name, report, took)
			}
		})
	}
}

func TestAFailingPointFailsItsUnitAndNoOther(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	e := newEvaluator()
	cause := errors.New("the GPU fell\noff the bus")
	e.before = func(k int) error {
		if k == 10 {
			return cause
		}
		return nil
	}
	report, err := worker(run, e).Work(t.Context())
	if !errors.Is(err, ErrIncomplete) || !errors.Is(err, cause) || !strings.Contains(err.Error(), "unit 3") {
		t.Errorf("%v", err)
	}
	if report.Published != 6 {
		t.Errorf("%d units were published, want the other six", report.Published)
	}
	status, err := run.Status(process(new(sync.Map), "here", 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(status.Failed) != 1 || status.Failed[0].Units != "3" || status.Failed[0].Cause != "computing unit 3: the GPU fell off the bus" {
		t.Errorf("%+v", status.Failed)
	}
	if status.Missing != "3" || len(status.Running) != 0 {
		t.Errorf("%+v", status)
	}
	e.before = nil
	mustWork(t, worker(run, e))
	mustBeTrue(t, mustMerge(t, run))
}

func TestAWorkerThatAlwaysFailsGivesUp(t *testing.T) {
	for _, cause := range []error{errors.New("no memory"), context.Canceled, context.DeadlineExceeded} {
		run := mustCreate(t, newMemFiles())
		e := newEvaluator()
		attempts := 0
		e.before = func(int) error { attempts++; return cause }
		if _, err := worker(run, e).Work(t.Context()); !errors.Is(err, ErrIncomplete) || attempts != 3 {
			t.Errorf("%v: %d attempts, %v", cause, attempts, err)
		}
	}
}

// An evaluator that does not keep its promises fails; it neither loops nor crashes.
type lying struct {
	*fakeEvaluator
	records []Record
}

func (l lying) Evaluate(_ context.Context, _ []int, _ []byte, done func(Record) error) error {
	for _, r := range l.records {
		if err := done(r); err != nil {
			return err
		}
	}
	return nil
}

func TestAnEvaluatorThatLiesIsFoundOut(t *testing.T) {
	for want, records := range map[string][]Record{
		"left out":      nil,
		"not in unit":   {fakeRecord(19)},
		"columns":       {{Status: []Status{Done, Done}, Values: []float64{1}}},
		"is missing":    {{Status: []Status{Missing, Done}, Values: []float64{1, 2, 3}}},
		"is status 200": {{Status: []Status{200, Done}, Values: []float64{1, 2, 3}}},
	} {
		run := mustCreate(t, newMemFiles())
		w := worker(run, lying{newEvaluator(), records})
		w.Units = []int{0}
		if _, err := w.Work(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}

func TestAnotherKernelIsRefusedBeforeAnythingIsComputed(t *testing.T) {
	files := newMemFiles()
	run := mustCreate(t, files)
	before := len(files.files)
	e := newEvaluator()
	e.kernel = "avx2"
	_, err := worker(run, e).Work(t.Context())
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "avx2") || !strings.Contains(err.Error(), "plain") {
		t.Errorf("%v", err)
	}
	if e.total() != 0 || len(files.files) != before {
		t.Error("something was done")
	}
}

func TestMixedKernelsAreRecordedAtEachPoint(t *testing.T) {
	files := newMemFiles()
	plan := fakePlan()
	plan.Mix = true
	run, err := Create(files, "run", plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := newEvaluator(), newEvaluator()
	second.kernel = "avx2"
	first.batch = 1
	first.before = func(k int) error {
		if k == 10 { // unit 3 holds 9, 10, 11
			cancel()
		}
		return nil
	}
	w := worker(run, first)
	w.Units = []int{0, 1, 2, 3, 4, 5, 6}
	if _, err := w.Work(ctx); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	mustWork(t, worker(run, second))
	surface, report, err := Merge(run, fakeCodec{}, MergeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"kernel plain": "0-9", "kernel avx2": "10-19"}
	if !maps.Equal(surface.Notes, want) || !slices.Equal(report.Kernels, []string{"avx2", "plain"}) {
		t.Errorf("%v, %v; want %v", surface.Notes, report.Kernels, want)
	}
}

// full is a disk without room from some call on, until it is emptied.
type full struct {
	*memFiles
	journals bool
}

func (f full) Publish(path string, data []byte) error {
	if f.journals || !strings.Contains(path, "/shards/") {
		return f.memFiles.Publish(path, data)
	}
	return pathError("publish", path, syscall.ENOSPC)
}

func (f full) Append(path string) (Appender, error) {
	if f.journals && strings.Contains(path, "/journal/") {
		return fullAppender{}, nil
	}
	return f.memFiles.Append(path)
}

type fullAppender struct{}

func (fullAppender) Append([]byte) error { return pathError("append", "journal", syscall.ENOSPC) }
func (fullAppender) Close() error        { return nil }

func TestAFullDiskEndsTheWorkerWithItsCause(t *testing.T) {
	for _, journals := range []bool{false, true} {
		files := newMemFiles()
		mustCreate(t, files)
		run, err := Open(full{files, journals}, "run")
		if err != nil {
			t.Fatal(err)
		}
		_, err = worker(run, newEvaluator()).Work(t.Context())
		if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrIncomplete) {
			t.Errorf("journals %v: %v", journals, err)
		}
		if n := len(files.in("run/shards")); n != 0 {
			t.Errorf("%d shards", n)
		}
		run, _ = Open(files, "run")
		mustWork(t, worker(run, newEvaluator()))
		mustBeTrue(t, mustMerge(t, run))
	}
}

func TestARankOutsideItsGroupIsAnError(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	for _, c := range [][2]int{{-1, 3}, {3, 3}, {1, 0}} {
		w := worker(run, newEvaluator())
		w.Rank, w.Ranks = c[0], c[1]
		if _, err := w.Work(t.Context()); err == nil {
			t.Error(fmt.Sprint(c))
		}
	}
}

func TestFailuresHereAndThereDoNotStopAWorker(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	e := newEvaluator()
	e.before = func(k int) error {
		if k%6 == 0 { // of units 0, 2, 4 and 6
			return errors.New("not this one")
		}
		return nil
	}
	w := worker(run, e)
	w.Units = []int{0, 1, 2, 3, 4, 5, 6}
	report, err := w.Work(t.Context())
	if !errors.Is(err, ErrIncomplete) || report.Published != 3 {
		t.Errorf("%d units were published, want 1, 3 and 5; %v", report.Published, err)
	}
}

func TestAWorkerRefusesARunWhoseShardsBelongToAnotherPlan(t *testing.T) {
	run, files := finishedRun(t)
	other := fakePlan()
	other.Directions.Seed = 2
	for name := range maps.Clone(files.files) {
		if strings.HasPrefix(name, "run/shards/") {
			s := decoded(t, files, name)
			s.Plan, _ = MarshalPlan(other)
			delete(files.files, name)
			put(t, files, s)
		}
	}
	e := newEvaluator()
	_, err := worker(run, e).Work(t.Context())
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "directions.seed") || e.total() != 0 {
		t.Errorf("%d points were computed: %v", e.total(), err)
	}
}
