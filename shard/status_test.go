package shard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusCountsWhatIsDoneRunningAndMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		run := mustCreate(t, files)
		var dead sync.Map
		w := worker(run, newEvaluator())
		w.Units = []int{1, 6} // three points, and two
		mustWork(t, w)
		claimOf(t, run, process(&dead, "there", 9)) // unit 0
		run.files.(*memFiles).files["run/journal/u00000.x"] = append(run.journalHeader(0, "plain"), journalFrame(fakeRecord(2), 0)...)
		status, err := run.Status(process(&dead, "here", 1))
		if err != nil {
			t.Fatal(err)
		}
		if status.Points != 20 || status.PointsDone != 6 || status.Units != 7 || status.UnitsDone != 2 || status.Missing != "2-5" {
			t.Errorf("%+v", status)
		}
		if len(status.Running) != 1 || status.Running[0].Unit != 0 || status.Running[0].Host != "there" || status.Running[0].PID != 9 {
			t.Errorf("%+v", status.Running)
		}
		dead.Store(9, true)
		if status, _ := run.Status(process(&dead, "there", 1)); len(status.Running) != 0 || status.Missing != "0,2-5" {
			t.Errorf("after its worker's death: %+v", status)
		}
	})
}

func TestStatusForetellsTheEndFromTheJournals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		run := mustCreate(t, files)
		claimOf(t, run, process(new(sync.Map), "there", 9))
		files.files["run/journal/u00001.x"] = journalOf(run) // three points of a second each
		status, err := run.Status(process(new(sync.Map), "here", 1))
		if err != nil {
			t.Fatal(err)
		}
		if status.SecondsAPoint != 1 || status.PointsASecond != 1 || status.ETASeconds != 17 {
			t.Errorf("%+v", status)
		}
	})
}

// journalFor is the journal that a worker of host leaves of a unit whose points take as long as took says.
func journalFor(run *Run, unit int, host string, took func(k int) time.Duration) (path string, data []byte) {
	u := run.units[unit]
	data = run.journalHeader(unit, "plain")
	for k := u.First; k < u.First+u.Count; k++ {
		data = append(data, journalFrame(fakeRecord(k), took(k))...)
	}
	return fmt.Sprintf("run/journal/%s.%s-7-abcd", unitName(unit), host), data
}

// TestTheForecastKnowsCurvatureAndSlowHosts: every fifth point has curvature, which is 40 times the work, and one
// of two hosts needs twice the time of the other.
func TestTheForecastKnowsCurvatureAndSlowHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		plan := fakePlan()
		plan.Hessian = &Hessian{StepX: 5, StepY: 1}
		run, err := Create(files, "run", plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		for unit, host := range []string{"a-fast_one", "slow"} { // points 0, 1, 2 and 3, 4, 5
			path, data := journalFor(run, unit, host, func(k int) time.Duration {
				took := time.Second * time.Duration(1+unit)
				if k%5 == 0 {
					took *= 40
				}
				return took
			})
			files.files[path] = data
			shard := &Shard{Plan: run.Bytes, Unit: unit}
			for k := range 3 {
				shard.Records = append(shard.Records, fakeRecord(3*unit+k))
			}
			put(t, files, shard)
		}
		var dead sync.Map
		for unit, host := range map[int]string{2: "a-fast.one", 3: "slow"} { // 6, 7, 8 and 9, 10, 11
			claim, err := newClaims(run, process(&dead, host, 9), "plain").acquire([]int{unit})
			if err != nil {
				t.Fatal(err)
			}
			close(claim.stop)
			claim.beating.Wait()
		}
		s, err := run.Status(process(&dead, "here", 1))
		if err != nil {
			t.Fatal(err)
		}
		if s.SecondsAPoint != 1.5 || s.SecondsAHessianPoint != 60 || s.HessianPoints != 4 || s.HessianPointsDone != 2 {
			t.Errorf("%+v", s)
		}
		want := []HostStatus{{"slow", 1, 3, 84, 0.75}, {"a-fast_one", 1, 3, 42, 1.5}}
		if !slices.Equal(s.Hosts, want) {
			t.Errorf("hosts %+v, want %+v", s.Hosts, want)
		}
		// Twelve points of 1.5 s and two of 60 s are left, for workers of 0.75 and 1.5; but the slow one has 63 s before it.
		if rate := 14 / (138 / 2.25); math.Abs(s.PointsASecond-rate) > 1e-12 || math.Abs(s.ETASeconds-63/0.75) > 1e-12 {
			t.Errorf("%g points/s and %g s left, want %g and 84", s.PointsASecond, s.ETASeconds, rate)
		}
	})
}

func TestThePlanForetellsWhatPointsWithCurvatureTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		plan := fakePlan()
		plan.Hessian = &Hessian{StepX: 5, StepY: 1}
		plan.Work = Work{Point: 10, Hessian: 90, Unit: 30}
		run, err := Create(files, "run", plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		claimOf(t, run, process(new(sync.Map), "there", 9))
		path, data := journalFor(run, 1, "there", func(int) time.Duration { return time.Second }) // 1, 2, 3
		files.files[path] = data
		s, err := run.Status(process(new(sync.Map), "here", 1))
		if want := 13.0 + 4*10; err != nil || s.ETASeconds != want || s.SecondsAPoint != 1 || s.SecondsAHessianPoint != 0 {
			t.Errorf("%+v, %v, want %g s", s, err, want)
		}
	})
}

func TestFailuresAreGroupedByCause(t *testing.T) {
	run := mustCreate(t, newMemFiles())
	for i, e := range []error{errors.New("card 3: out of memory at 0x7f00"), errors.New("card 1: out of memory at 0x9a00"), errors.New("the disk is full")} {
		log, err := run.openLog(fmt.Sprintf("%s.node-%d-7-ab%d", unitName(i), i%2, i), "plain")
		if err != nil {
			t.Fatal(err)
		}
		log.end(errAttempt{i, e})
	}
	s, err := run.Status(process(new(sync.Map), "here", 1))
	if err != nil {
		t.Fatal(err)
	}
	want := []Failure{
		{"computing unit 0: card 3: out of memory at 0x7f00", 2, "0-1", 2, []string{"node-0", "node-1"}, "u00000.node-0-7-ab0"},
		{"computing unit 2: the disk is full", 1, "2", 1, []string{"node-0"}, "u00002.node-0-7-ab2"},
	}
	if fmt.Sprint(s.Failed) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", s.Failed, want)
	}
}

// TestAttemptsThatEndWithoutAWordAreToldFromThoseThatRun: unit 0 is at work, 1 was interrupted, 2's worker was killed,
// 3's was succeeded, 4's works without claims, 5's has just published it, 6's was killed and another published it.
func TestAttemptsThatEndWithoutAWordAreToldFromThoseThatRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := mustCreate(t, newMemFiles())
		var dead sync.Map
		dead.Store(2, true)
		dead.Store(3, true)
		begin := func(unit, pid int) *attemptLog {
			log, err := run.openLog(attemptPrefix(unit, Owner{Host: "here", PID: pid})+"ab", "plain")
			if err != nil {
				t.Fatal(err)
			}
			return log
		}
		claim := func(unit, pid int) {
			claim, err := newClaims(run, process(&dead, "here", pid), "plain").acquire([]int{unit})
			if err != nil || claim == nil {
				t.Fatalf("%v, %v", claim, err)
			}
			close(claim.stop)
			claim.beating.Wait()
		}
		for unit, pid := range []int{9, 1, 2, 3} {
			claim(unit, pid)
			log := begin(unit, pid)
			if unit == 1 {
				log.end(context.Canceled)
			}
		}
		claim(3, 8)
		begin(3, 8)
		begin(4, 6)
		for unit := 5; unit < 7; unit++ {
			begin(unit, 4)
			shard := &Shard{Plan: run.Bytes, Unit: unit}
			for k := range run.units[unit].Count {
				shard.Records = append(shard.Records, fakeRecord(run.units[unit].First+k))
			}
			put(t, run.files.(*memFiles), shard)
		}
		begin(6, 5).end(nil)
		s, err := run.Status(process(&dead, "here", 1))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Failed) != 1 || s.Failed[0].Cause != lostCause || s.Failed[0].Units != "2-3,6" || s.Failed[0].Attempts != 3 || s.Failed[0].Left != 2 || s.Interrupted != 1 {
			t.Errorf("%+v, %d interrupted", s.Failed, s.Interrupted)
		}
	})
}

func TestCausesAreAlikeIfTheyDifferInNumbersAlone(t *testing.T) {
	if a, b := alike("write run/journal/u00001.x: no space"), alike("write run/journal/u00777.y: no space"); a != b || strings.Contains(a, "u0") {
		t.Errorf("%q and %q", a, b)
	}
	if alike("no space") == alike("no memory") {
		t.Error("different causes are alike")
	}
}
