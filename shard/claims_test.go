package shard

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// claimOf takes unit 0 for a process and stops its heartbeat, as if it had been killed.
func claimOf(t *testing.T, run *Run, system System) {
	t.Helper()
	claim, err := newClaims(run, system, "plain").acquire([]int{0})
	if err != nil || claim == nil {
		t.Fatalf("%v, %v", claim, err)
	}
	close(claim.stop)
	claim.beating.Wait()
}

func TestAClaimIsSucceededOnlyWhenItsOwnerIsGone(t *testing.T) {
	var dead sync.Map
	dead.Store(2, true)
	for name, c := range map[string]struct {
		owner fakeSystem
		want  bool // at first sight
	}{
		"a dead process of this host":   {process(&dead, "here", 2), true},
		"a live process of this host":   {process(&dead, "here", 3), false},
		"the same number on other host": {process(&dead, "there", 2), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			run := mustCreate(t, newMemFiles())
			claimOf(t, run, c.owner)
			watcher := newClaims(run, process(&dead, "here", 1), "plain")
			claim, err := watcher.acquire([]int{0})
			if err != nil {
				t.Fatal(err)
			}
			if got := claim != nil; got != c.want {
				t.Errorf("%s: succeeded: %v, want %v", name, got, c.want)
			}
			if claim != nil {
				if claim.generation != 2 {
					t.Errorf("%s: generation %d", name, claim.generation)
				}
				claim.release(released)
			}
		})
	}
}

func TestAClaimThatStandsStillForThreeIntervalsIsSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := mustCreate(t, newMemFiles())
		claimOf(t, run, process(new(sync.Map), "there", 2))
		watcher := newClaims(run, process(new(sync.Map), "here", 1), "plain")
		began := time.Now()
		var claim *claim
		for claim == nil && time.Since(began) < time.Hour {
			claim, _ = watcher.acquire([]int{0})
			if claim == nil {
				time.Sleep(time.Second)
			}
		}
		if waited := time.Since(began); waited != 90*time.Second {
			t.Errorf("succeeded after %v, want 1m30s", waited)
		}
		claim.release(released)
	})
}

func TestAnObserverThatSleptHasSeenOneInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := mustCreate(t, newMemFiles())
		claimOf(t, run, process(new(sync.Map), "there", 2))
		watcher := newClaims(run, process(new(sync.Map), "here", 1), "plain")
		for range 3 { // first sight, and two intervals of an hour
			if claim, _ := watcher.acquire([]int{0}); claim != nil {
				t.Fatal("succeeded too early")
			}
			time.Sleep(time.Hour)
		}
	})
}

func TestAClaimThatBeatsIsNeverSucceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := mustCreate(t, newMemFiles())
		owner, _ := newClaims(run, process(new(sync.Map), "there", 2), "plain").acquire([]int{0})
		watcher := newClaims(run, process(new(sync.Map), "here", 1), "plain")
		for range 360 {
			if claim, _ := watcher.acquire([]int{0}); claim != nil {
				t.Fatal("succeeded")
			}
			time.Sleep(10 * time.Second)
		}
		owner.release(released)
		claim, _ := watcher.acquire([]int{0})
		if claim == nil {
			t.Fatal("not succeeded after it was given back")
		}
		claim.release(released)
	})
}

func TestAClaimThatWasNeverWrittenIsSucceededInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		run := mustCreate(t, files)
		files.files["run/claims/u00000.g1"] = nil
		watcher := newClaims(run, process(new(sync.Map), "here", 1), "plain")
		for range 3 {
			if claim, _ := watcher.acquire([]int{0}); claim != nil {
				t.Fatal("succeeded too early")
			}
			time.Sleep(31 * time.Second)
		}
		claim, _ := watcher.acquire([]int{0})
		if claim == nil {
			t.Fatal("not succeeded")
		}
		claim.release(released)
	})
}

func TestAClaimKeepsItsLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		run := mustCreate(t, files)
		claim, _ := newClaims(run, process(new(sync.Map), "here", 1), "plain").acquire([]int{0})
		first, _ := files.ReadFile("run/claims/u00000.g1")
		time.Sleep(heartbeat + time.Second)
		second, _ := files.ReadFile("run/claims/u00000.g1")
		claim.release(released)
		third, _ := files.ReadFile("run/claims/u00000.g1")
		if bytes.Equal(first, second) || len(second) != len(first) || len(third) != len(first) {
			t.Errorf("%q, %q, %q", first, second, third)
		}
		if text, ok := parseClaim(third); !ok || text.Nonce != released || text.Host != "here" {
			t.Errorf("%q", third)
		}
	})
}

func TestOneOfManyWinsAUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := mustCreate(t, newMemFiles())
		var group sync.WaitGroup
		won := make(chan *claim, 64)
		for i := range 64 {
			group.Go(func() {
				if claim, err := newClaims(run, process(new(sync.Map), "here", i), "plain").acquire([]int{0}); err != nil {
					t.Error(err)
				} else if claim != nil {
					won <- claim
				}
			})
		}
		group.Wait()
		if len(won) != 1 {
			t.Errorf("%d won", len(won))
		}
		for range len(won) {
			(<-won).release(released)
		}
	})
}

func TestTheMachineKnowsTheLivingFromTheDead(t *testing.T) {
	m := Machine{Job: "17"}
	self := m.Self()
	if self.PID != os.Getpid() || self.Boot == "" || self.Started == "" || self.Job != "17" {
		t.Fatalf("%+v", self)
	}
	if m.Dead(self) {
		t.Error("this process counts as dead")
	}
	child := exec.Command("/bin/sh", "-c", "read line")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	other := self
	other.PID = child.Process.Pid
	if other.Started, err = processStart(other.PID); err != nil || m.Dead(other) {
		t.Errorf("a live child counts as dead: %v", err)
	}
	in.Close()
	// A zombie is dead before anybody has asked for its status.
	for zombie := false; !zombie; {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(other.PID) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		zombie = strings.Contains(string(stat), ") Z ")
	}
	if !m.Dead(other) {
		t.Error("a zombie counts as alive")
	}
	child.Wait()
	if !m.Dead(other) {
		t.Error("a process that is gone counts as alive")
	}
	reused := self
	reused.Started = "1"
	if !m.Dead(reused) {
		t.Error("a process whose number was given to another counts as alive")
	}
	for name, change := range map[string]func(*Owner){
		"host":      func(o *Owner) { o.Host += "x" },
		"boot":      func(o *Owner) { o.Boot += "x" },
		"namespace": func(o *Owner) { o.Namespace += "x" },
		"no boot":   func(o *Owner) { o.Boot = "" },
	} {
		o := other
		change(&o)
		if m.Dead(o) {
			t.Errorf("another %s: nothing can be known of it, yet it counts as dead", name)
		}
	}
}

func TestNamesThatNoWorkerWouldGiveAreNoClaims(t *testing.T) {
	if unit, generation, ok := parseClaimName(claimName(123456, 17)); unit != 123456 || generation != 17 || !ok {
		t.Errorf("unit %d, generation %d, %v", unit, generation, ok)
	}
	for _, name := range []string{"u00001.g0", "u00001.g-1", "u00001.g+1", "u00001.g01", "u00001.1", "u00001.g", "u1.g1", "u00001.g9223372036854775807", "g1"} {
		if unit, generation, ok := parseClaimName(name); ok {
			t.Errorf("%s: unit %d, generation %d", name, unit, generation)
		}
	}
}

// lists counts how often the claims are listed.
type lists struct {
	*memFiles
	n *int
}

func (l lists) ReadDir(path string) ([]string, error) {
	if path == "run/"+claimsDir {
		*l.n++
	}
	return l.memFiles.ReadDir(path)
}

func TestAWorkerThatWaitsListsFoldersOnceAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		claimOf(t, mustCreate(t, files), process(new(sync.Map), "there", 2))
		n := 0
		run, err := Open(lists{files, &n}, "run")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := worker(run, newEvaluator())
		w.Units = []int{0}
		if _, err := w.Work(ctx); !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		if want := 9; n != want { // after ¼, ½, 1, 2, 4, 8, 15 and 15 s, and at first
			t.Errorf("%d times, want %d", n, want)
		}
	})
}

// unit0Hangs starts a worker whose evaluator stands still in point 1 of unit 0, after point 2, until going is closed; its heart beats.
// It returns how the worker ends.
func unit0Hangs(t *testing.T, files *memFiles, going chan struct{}) (ended chan error) {
	run, err := Open(files, "run")
	if err != nil {
		t.Fatal(err)
	}
	e := newEvaluator()
	e.batch = 3 // computed from the last on
	e.before = func(k int) error {
		if k == 1 {
			<-going
		}
		return nil
	}
	w := worker(run, e)
	w.Units, w.System = []int{0}, process(new(sync.Map), "there", 9)
	ended = make(chan error, 1)
	go func() {
		_, err := w.Work(t.Context())
		ended <- err
	}()
	synctest.Wait()
	return ended
}

func TestAWorkerWhoseEvaluatorHangsIsSucceeded(t *testing.T) {
	for point, want := range map[time.Duration]time.Duration{time.Second: stuckTime, 2 * time.Minute: 2 * time.Minute * stuckShare} {
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			run := mustCreate(t, files)
			going := make(chan struct{})
			ended := unit0Hangs(t, files, going)
			var waiting, taken time.Time
			e := newEvaluator()
			e.before = func(int) error { time.Sleep(point); return nil }
			e.batch = 1
			w := worker(run, e)
			w.Progress = func(e Event) {
				switch e.Kind {
				case Waiting:
					waiting = time.Now()
				case TakenOver:
					taken = time.Now()
				}
			}
			mustWork(t, w)
			if waited := taken.Sub(waiting); waited < want || waited > want*3/2+heartbeat { // an interval is two of the longest pauses
				t.Errorf("points of %v: it was taken over after %v, want %v", point, waited, want)
			}
			if e.total() != 19 {
				t.Errorf("points of %v: %d points were computed, and not all but the one that the other had finished", point, e.total())
			}
			close(going)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			mustBeTrue(t, mustMerge(t, run))
		})
	}
}

// TestASlowWorkerIsNotSucceeded: it takes many times as long for a point as the one who waits, or that one has computed none.
func TestASlowWorkerIsNotSucceeded(t *testing.T) {
	for name, c := range map[string]struct {
		units []int // of the one who waits
		point time.Duration
		slow  time.Duration // the other's point
	}{
		"many times as slow":   {nil, time.Minute, (stuckShare - 2) * time.Minute},
		"a stall":              {nil, time.Millisecond, stuckTime - time.Minute},
		"its own pace unknown": {[]int{0}, time.Minute, 48 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			run := mustCreate(t, files)
			going := make(chan struct{})
			ended := unit0Hangs(t, files, going)
			e := newEvaluator()
			e.before = func(int) error { time.Sleep(c.point); return nil }
			w := worker(run, e)
			w.Units = c.units
			w.Progress = func(e Event) {
				if e.Kind == Waiting {
					time.AfterFunc(c.slow, func() { close(going) })
				}
				if e.Kind == TakenOver {
					t.Errorf("%s: unit %d was taken over", name, e.Unit)
				}
			}
			mustWork(t, w)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
