package shard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// late is one host's view of files that others make: it sees a name when it is old enough, as on a network file
// system that keeps what it knows of folders for a while. Only making a file exclusively asks the server.
type late struct {
	*memFiles
	host   string
	births *births
	delay  time.Duration
}

// births are when a file was made, and by which host.
type births struct {
	sync.Mutex
	of map[string]birth
}

type birth struct {
	host string
	at   time.Time
}

func (l late) hidden(path string) bool {
	l.births.Lock()
	defer l.births.Unlock()
	b, known := l.births.of[path]
	return known && b.host != l.host && time.Since(b.at) < l.delay
}

func (l late) born(path string, err error) {
	l.births.Lock()
	defer l.births.Unlock()
	if _, known := l.births.of[path]; !known && err == nil {
		l.births.of[path] = birth{l.host, time.Now()}
	}
}

func (l late) ReadFile(path string) ([]byte, error) {
	if l.hidden(path) {
		return nil, pathError("read", path, fs.ErrNotExist)
	}
	return l.memFiles.ReadFile(path)
}

func (l late) ReadDir(path string) ([]string, error) {
	names, err := l.memFiles.ReadDir(path)
	return slices.DeleteFunc(names, func(name string) bool { return l.hidden(filepath.Join(path, name)) }), err
}

func (l late) Publish(path string, data []byte) error {
	err := l.memFiles.Publish(path, data)
	l.born(path, err)
	return err
}

func (l late) PublishNew(path string, data []byte) error {
	err := l.memFiles.PublishNew(path, data)
	l.born(path, err)
	return err
}

func (l late) Claim(path string, data []byte) error {
	err := l.memFiles.Claim(path, data)
	l.born(path, err)
	return err
}

func (l late) Append(path string) (Appender, error) {
	file, err := l.memFiles.Append(path)
	l.born(path, err)
	return file, err
}

func (l late) Rename(from, to string) error {
	err := l.memFiles.Rename(from, to)
	l.born(to, err)
	return err
}

// TestFilesThatBecomeVisibleLateAreNeverCalledLost lets five hosts share a run and a sixth merge it, each of which sees
// what the others make only after a delay.
func TestFilesThatBecomeVisibleLateAreNeverCalledLost(t *testing.T) {
	for _, delay := range []time.Duration{3 * time.Second, time.Minute, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			mustCreate(t, files)
			seen := &births{of: map[string]birth{}}
			on := func(host string) *Run {
				run, err := Open(late{files, host, seen, delay}, "run")
				if err != nil {
					t.Fatal(err)
				}
				return run
			}
			e := newEvaluator()
			e.before = func(int) error { time.Sleep(7 * time.Second); return nil }
			var group sync.WaitGroup
			for rank := range 5 {
				host := fmt.Sprint("node", rank)
				w := worker(on(host), e)
				w.System, w.Rank, w.Ranks = process(new(sync.Map), host, 1), rank, 5
				group.Go(func() {
					report, err := w.Work(t.Context())
					if err != nil || len(report.Problems) > 0 {
						t.Errorf("%v: %v, %q", delay, err, report.Problems)
					}
				})
			}
			for {
				surface, report, err := Merge(on("login"), fakeCodec{}, MergeOptions{})
				if err == nil {
					mustBeTrue(t, surface)
					break
				}
				if !errors.Is(err, ErrIncomplete) || len(report.Quarantined) > 0 {
					t.Fatalf("%v: merging meanwhile: %v, %q", delay, err, report.Quarantined)
				}
				time.Sleep(time.Second)
			}
			group.Wait()
			if n := len(files.in("run/claims")); delay < patience*heartbeat && (n != 7 || e.total() != 20) {
				t.Errorf("%v: %d claims to 7 units, %d points were computed for 20", delay, n, e.total())
			}
		})
	}
}

func TestAShardThatIsListedButNotThereYetStaysWhereItIs(t *testing.T) {
	_, files := finishedRun(t)
	path := shardOf(files, 1)
	run, err := Open(unreadable{files, path, fs.ErrNotExist}, "run")
	if err != nil {
		t.Fatal(err)
	}
	_, report, err := Merge(run, fakeCodec{}, MergeOptions{})
	if !errors.Is(err, ErrIncomplete) || len(report.Quarantined) > 0 || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], filepath.Base(path)) {
		t.Errorf("%v, %+v", err, report)
	}
	if found, err := Verify(run, fakeCodec{}); err != nil || len(found.Findings) > 0 {
		t.Errorf("verifying: %v, %v", err, found.Findings)
	}
	run, _ = Open(unreadable{files, files.in("run/journal")[1], fs.ErrNotExist}, "run")
	if found, err := Verify(run, fakeCodec{}); err != nil || len(found.Findings) > 0 || found.Journals != 6 {
		t.Errorf("verifying a journal that is not there yet: %v, %+v", err, found)
	}
	run, _ = Open(files, "run")
	mustBeTrue(t, mustMerge(t, run))
}

// away is a file system whose server is away for a while: until back, listing claims takes ten minutes.
type away struct {
	*memFiles
	back time.Time
}

func (a away) ReadDir(path string) ([]string, error) {
	if path == "run/"+claimsDir && time.Now().Before(a.back) {
		time.Sleep(10 * time.Minute)
	}
	return a.memFiles.ReadDir(path)
}

func TestAWorkerThatWaitedForAServerSeesSoonThatTheRunIsComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		run := mustCreate(t, files)
		other := newEvaluator()
		other.before = func(k int) error {
			if k == 0 {
				time.Sleep(2 * time.Hour)
			}
			return nil
		}
		slow := worker(run, other)
		slow.Units, slow.System = []int{0}, process(new(sync.Map), "there", 1)
		ended := make(chan time.Time)
		go func() {
			mustWork(t, slow)
			ended <- time.Now()
		}()
		synctest.Wait()
		run, err := Open(away{files, time.Now().Add(15 * time.Minute)}, "run")
		if err != nil {
			t.Fatal(err)
		}
		result := make(chan time.Time)
		go func() {
			mustWork(t, worker(run, newEvaluator()))
			result <- time.Now()
		}()
		complete := <-ended
		if waited := (<-result).Sub(complete); waited > 2*maxAge {
			t.Errorf("it waited %v for a run that was complete", waited)
		}
	})
}

// stoppable is the file system of a process that is stopped, as by SIGSTOP, until going is closed: its heartbeat is too.
type stoppable struct {
	*memFiles
	going chan struct{}
}

func (s stoppable) Rewrite(path string, data []byte) error {
	<-s.going
	return s.memFiles.Rewrite(path, data)
}

// TestAStoppedWorkerThatGoesOnAfterItsClaimWasSucceededIsHarmless stops a worker inside each point of a unit.
func TestAStoppedWorkerThatGoesOnAfterItsClaimWasSucceededIsHarmless(t *testing.T) {
	for point := range 3 {
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			mustCreate(t, files)
			going := make(chan struct{})
			slow, err := Open(stoppable{files, going}, "run")
			if err != nil {
				t.Fatal(err)
			}
			first, second := newEvaluator(), newEvaluator()
			first.before = func(k int) error {
				if k == point {
					<-going
				}
				return nil
			}
			stoppedWorker := worker(slow, first)
			ended := make(chan error)
			go func() {
				_, err := stoppedWorker.Work(t.Context())
				ended <- err
			}()
			synctest.Wait()
			run, _ := Open(files, "run")
			other := worker(run, second)
			other.System = process(new(sync.Map), "there", 1)
			mustWork(t, other)
			close(going)
			if err := <-ended; err != nil {
				t.Errorf("stopped in point %d: %v", point, err)
			}
			if lost := first.total() + second.total() - 20; lost < 1 || lost > 3 {
				t.Errorf("stopped in point %d of a unit of three: %d points were computed twice", point, lost)
			}
			mustBeTrue(t, mustMerge(t, run))
		})
	}
}

// TestAStoppedWorkerWhoseCarriesWereDroppedComputesThemAgain: who succeeded it has published the unit, and deleted what its
// points handed on.
func TestAStoppedWorkerWhoseCarriesWereDroppedComputesThemAgain(t *testing.T) {
	for point := range 7 {
		synctest.Test(t, func(t *testing.T) {
			files := newMemFiles()
			run := chainedRun(t, files)
			going := make(chan struct{})
			slow, err := Open(stoppable{files, going}, "run")
			if err != nil {
				t.Fatal(err)
			}
			first := worker(slow, &chained{})
			first.Units = []int{0}
			seen := 0
			first.Progress = func(e Event) {
				if seen += e.Points; seen == point {
					<-going
				}
			}
			ended := make(chan error)
			go func() {
				_, err := first.Work(t.Context())
				ended <- err
			}()
			synctest.Wait()
			second := worker(run, &chained{})
			second.System = process(new(sync.Map), "there", 1)
			mustWork(t, second)
			close(going)
			if err := <-ended; err != nil {
				t.Errorf("stopped after %d points: %v", point, err)
			}
			mustBeChained(t, run)
			if left := carries(files); left != nil {
				t.Errorf("stopped after %d points: %v is left", point, left)
			}
		})
	}
}

// TestNothingAsksWhatTimeItIs looks through the sources: what hangs on other clocks than a process's own monotonic one would
// break where those are off by an hour.
func TestNothingAsksWhatTimeItIs(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) < 20 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{".ModTime(", ".Unix(", ".UnixNano(", ".Round(0)", "time.Parse(", "time.Date("} {
			if !strings.HasSuffix(name, "_test.go") && strings.Contains(string(text), word) {
				t.Errorf("%s has %s", name, word)
			}
		}
	}
}
