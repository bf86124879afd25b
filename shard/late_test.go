package shard

import (
	"errors"
	"fmt"
	"io/fs"
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
	for _, delay := range []time.Duration{3 * time.Second, 30 * time.Second, 10 * time.Minute} {
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
			group.Wait()
			for _, name := range files.in("run/claims") {
				if strings.HasSuffix(name, ".g2") && delay < time.Minute {
					t.Logf("%v: %s", delay, name)
				}
			}
			t.Logf("%v: %d points were computed for 20", delay, e.total())
			surface, report, err := Merge(on("login"), fakeCodec{}, MergeOptions{})
			if !errors.Is(err, ErrIncomplete) || surface != nil || len(report.Quarantined) > 0 {
				t.Errorf("%v: merging at once: %v, %q", delay, err, report.Quarantined)
			}
			time.Sleep(delay)
			mustBeTrue(t, mustMerge(t, on("login")))
		})
	}
}
