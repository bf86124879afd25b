package shard

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The tests of this file run the real workers in simulated time, on points that take their time and on a file system that takes
// its own: 2 ms for an operation and 2 µs for a name that it lists.
const (
	operationTime = 2 * time.Millisecond
	nameTime      = 2 * time.Microsecond
)

// sharedFiles is a file system in memory, as many clients see it.
type sharedFiles struct {
	mu      sync.Mutex
	files   map[string][]byte
	folders map[string][]string
	names   map[string]*strings.Builder // those of a folder, side by side: reading them is most of what this simulation costs
	listed  int                         // folders
	refused int                         // files, because they were there
}

func newSharedFiles() *sharedFiles {
	return &sharedFiles{files: map[string][]byte{}, folders: map[string][]string{}, names: map[string]*strings.Builder{}}
}

func (s *sharedFiles) take(d time.Duration) {
	time.Sleep(d)
}

func (s *sharedFiles) put(path string, data []byte, exclusive bool) error {
	s.take(operationTime)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[path]; ok && exclusive {
		s.refused++
		return pathError("create", path, fs.ErrExist)
	} else if !ok {
		dir, name := filepath.Split(path)
		if s.names[dir] == nil {
			s.names[dir] = &strings.Builder{}
		}
		s.names[dir].WriteString(name)
		all := s.names[dir].String()
		s.folders[dir] = append(s.folders[dir], all[len(all)-len(name):])
	}
	s.files[path] = data
	return nil
}

func (s *sharedFiles) ReadFile(path string) ([]byte, error) {
	s.take(operationTime)
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[path]
	if !ok {
		return nil, pathError("read", path, fs.ErrNotExist)
	}
	return data, nil
}

// ReadDir lists names in the order in which they were made. Names are only added: so all clients may share the memory.
func (s *sharedFiles) ReadDir(path string) ([]string, error) {
	s.mu.Lock()
	names := slices.Clip(s.folders[path+"/"])
	s.listed++
	s.mu.Unlock()
	s.take(operationTime + time.Duration(len(names))*nameTime)
	return names, nil
}

func (s *sharedFiles) MkdirAll(string) error                  { s.take(operationTime); return nil }
func (s *sharedFiles) Rename(string, string) error            { return errors.ErrUnsupported }
func (s *sharedFiles) Remove(string) error                    { return errors.ErrUnsupported }
func (s *sharedFiles) Publish(path string, data []byte) error { return s.put(path, data, false) }
func (s *sharedFiles) PublishNew(path string, data []byte) error {
	return s.put(path, data, true)
}
func (s *sharedFiles) Claim(path string, data []byte) error   { return s.put(path, data, true) }
func (s *sharedFiles) Rewrite(path string, data []byte) error { return s.put(path, data, false) }
func (s *sharedFiles) Append(path string) (Appender, error) {
	return sharedAppender{s, path}, s.put(path, nil, true)
}

type sharedAppender struct {
	s    *sharedFiles
	path string
}

func (a sharedAppender) Append(data []byte) error {
	a.s.take(operationTime)
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.files[a.path] = append(a.s.files[a.path], data...)
	return nil
}

func (sharedAppender) Close() error { return nil }

// cluster computes a run in simulated time.
type cluster struct {
	run     *Run
	files   *sharedFiles
	seconds func(k int) float64
	began   time.Time
	mu      sync.Mutex
	done    int
	last    time.Duration // when the last point was done
	busy    time.Duration // of all workers, up to the last point that each computed
}

// newCluster plans n × n points for so many workers. Every step-th column, if step is not 0, has Hessians, which are planned to cost
// 40 times as much.
func newCluster(t *testing.T, n, step, workers int, seconds func(k int) float64) *cluster {
	t.Helper()
	plan := &Plan{Format: planFormat, Evaluator: 1, Kernel: "plain", Metrics: []Metric{{Name: "train_loss"}},
		Grid: Grid{X: Axis{-1, 1, n}, Y: &Axis{-1, 1, n}}, Work: Work{Point: 1 << 40, Workers: workers}}
	if step > 0 {
		plan.Hessian, plan.Work.Hessian = &Hessian{StepX: step, StepY: 1}, 39<<40
	}
	plan.ShareOut()
	files := newSharedFiles()
	run, err := Create(files, "run", plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{run: run, files: files, seconds: seconds, began: time.Now()}
}

func (c *cluster) Kernel() string { return "plain" }
func (c *cluster) Batch() int     { return 1 }

func (c *cluster) Evaluate(_ context.Context, points []int, _ []byte, done func(Record) error) error {
	for _, k := range points {
		time.Sleep(time.Duration(c.seconds(k) * float64(time.Second)))
		c.mu.Lock()
		c.done++
		c.last = time.Since(c.began)
		c.mu.Unlock()
		if err := done(Record{Point: k, Status: []Status{Done}, Values: []float64{float64(k)}}); err != nil {
			return err
		}
	}
	return nil
}

// work lets the workers start one after another within stagger, until all points are done.
func (c *cluster) work(t *testing.T, workers int, stagger time.Duration, r *rand.Rand) {
	t.Helper()
	var group sync.WaitGroup
	for rank := range workers {
		start := time.Duration(r.Float64() * float64(stagger))
		group.Go(func() {
			time.Sleep(start)
			began := time.Now()
			busy := time.Duration(0)
			w := &Worker{Run: c.run, Evaluator: c, Codec: fakeCodec{}, System: process(new(sync.Map), "here", rank+1), Rank: rank, Ranks: workers,
				Progress: func(e Event) {
					if e.Kind == Computed {
						busy = time.Since(began)
					}
				}}
			if _, err := w.Work(t.Context()); err != nil {
				t.Error(err)
			}
			c.mu.Lock()
			c.busy += busy
			c.mu.Unlock()
		})
	}
	group.Wait()
	if points := c.run.Plan.Grid.Points(); c.done != points {
		t.Errorf("%d points were computed for %d", c.done, points)
	}
}

// smooth returns a random normal field over n × n points whose waves are at least n/3 points long.
func smooth(n int, r *rand.Rand) []float64 {
	const waves = 12
	field := make([]float64, n*n)
	for range waves {
		fx, fy, phase := 6*r.Float64()-3, 6*r.Float64()-3, 2*math.Pi*r.Float64()
		for k := range field {
			field[k] += math.Sqrt(2./waves) * math.Cos(2*math.Pi*(fx*float64(k%n)+fy*float64(k/n))/float64(n)+phase)
		}
	}
	return field
}

// TestWorkersEndTogether lets 64 workers, which start within half a minute, compute a plane of 51 × 51 points. A loss takes a second;
// a Hessian, at 16 % of the points, takes 40 times a lognormal number of seconds (σ = 0.5).
//
// No schedule can take less than the mean of the workers or than the longest unit. Where the times of neighbours are alike, as
// on a surface, workers learn them from one another. Where they are not, nobody can know that a unit is long before
// it is begun, and only Graham's bound holds: the mean and one longest unit more.
func TestWorkersEndTogether(t *testing.T) {
	const n, workers = 51, 64
	seeds := 2
	if os.Getenv("LSRUN_LONG") != "" {
		seeds = 20
	}
	for name, c := range map[string]struct {
		normal func(r *rand.Rand) []float64
		worst  float64 // of the least possible
	}{
		"alike": {func(r *rand.Rand) []float64 { return smooth(n, r) }, 1.3},
		"independent": {func(r *rand.Rand) []float64 {
			field := make([]float64, n*n)
			for k := range field {
				field[k] = r.NormFloat64()
			}
			return field
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worst, mean, blocks := 0.0, 0.0, 0.0
			for seed := range seeds {
				synctest.Test(t, func(t *testing.T) {
					r := rand.New(rand.NewPCG(uint64(seed), 1))
					normal := c.normal(r)
					seconds := make([]float64, n*n)
					cluster := newCluster(t, n, 7, workers, func(k int) float64 { return seconds[k] })
					total := 0.0
					for k := range seconds {
						if seconds[k] = 1; cluster.run.Plan.costly(k) {
							seconds[k] = 40 * math.Exp(0.5*normal[k])
						}
						total += seconds[k]
					}
					longest := 0.0
					for _, u := range cluster.run.units {
						unit := 0.0
						for k := u.First; k < u.First+u.Count; k++ {
							unit += seconds[k]
						}
						longest = max(longest, unit)
					}
					cluster.work(t, workers, 30*time.Second, r)
					took, least := cluster.last.Seconds(), max(total/workers, longest)
					if graham := total/workers + longest + 30; took > graham {
						t.Errorf("seed %d: the last point is done after %.0f s, want at most %.0f s", seed, took, graham)
					}
					worst = max(worst, took/least)
					mean += took / least / float64(seeds)
					blocks += inBlocks(seconds, workers) / least / float64(seeds)
				})
			}
			t.Logf("the last point is done after %.2f times the least possible, at worst %.2f; in blocks with a barrier after each point %.1f", mean, worst, blocks)
			if worst > c.worst || mean > 1.3 {
				t.Errorf("the last point is done after %.2f times the least possible, at worst %.2f; want at most 1.3 and %.2f", mean, worst, c.worst)
			}
		})
	}
}

// inBlocks is the time of workers that each have a block of points and wait for one another after each, as in the paper's code.
func inBlocks(seconds []float64, workers int) float64 {
	block := (len(seconds) + workers - 1) / workers
	total := 0.0
	for i := range block {
		longest := 0.0
		for k := i; k < len(seconds); k += block {
			longest = max(longest, seconds[k])
		}
		total += longest
	}
	return total
}

// TestManyWorkersLoseLittleTime counts what thousands of workers spend on the file system, of the time until each has computed its
// last point, and what they, and those who plan and merge, take of processors: no clock of the simulation shows that.
func TestManyWorkersLoseLittleTime(t *testing.T) {
	n, workers := 41, 200
	if os.Getenv("LSRUN_LONG") != "" {
		n, workers = 201, 10000
		defer debug.SetGCPercent(debug.SetGCPercent(20)) // what so many workers remember takes 5 GB
	}
	before := processorTime(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		cluster := newCluster(t, n, 0, workers, func(int) float64 { return 20 })
		planning := time.Since(began)
		cluster.work(t, workers, time.Minute, rand.New(rand.NewPCG(1, 1)))
		began = time.Now()
		if _, _, err := Merge(cluster.run, fakeCodec{}, MergeOptions{}); err != nil {
			t.Fatal(err)
		}
		merging := time.Since(began)
		compute := time.Duration(cluster.done) * 20 * time.Second
		lost := 1 - compute.Seconds()/cluster.busy.Seconds()
		thinking := processorTime(t) - before
		t.Logf("%d workers lose %.2f %% of their time on the file system; planning takes %v there, and merging %v; all together %.1f s of processors, %.3f %% of the points'",
			workers, 100*lost, planning, merging, thinking.Seconds(), 100*thinking.Seconds()/compute.Seconds())
		t.Logf("a worker lists %.1f folders and loses %.1f units to others; the last point is done after %v, and at least %v are needed",
			float64(cluster.files.listed)/float64(workers), float64(cluster.files.refused)/float64(workers), cluster.last, compute/time.Duration(workers))
		if all := lost + (planning+merging+thinking).Seconds()/compute.Seconds(); all > 0.01 {
			t.Errorf("%.2f %% of the time is lost", 100*all)
		}
	})
}

// processorTime is what this process has taken of processors.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
