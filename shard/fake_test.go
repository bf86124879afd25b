package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// memFiles is Files in memory, with a crash in it.
type memFiles struct {
	mu    sync.Mutex
	files map[string][]byte
	calls int
	// crashAt is the call that fails, as all later ones do; -1 for none. Half of the
	// crashes happen after the call has done its work.
	crashAt int
	made    []string // folders
}

var errCrash = errors.New("crash")

func newMemFiles() *memFiles { return &memFiles{files: map[string][]byte{}, crashAt: -1} }

// step counts a call and does its work, whole or in part or not at all.
func (m *memFiles) step(work, part func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.calls
	m.calls++
	switch {
	case m.crashAt < 0 || n < m.crashAt:
		return work()
	case n == m.crashAt && n%2 == 0:
		part()
	case n == m.crashAt:
		work()
	}
	return errCrash
}

func nothing() error { return nil }

func pathError(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }

func (m *memFiles) ReadFile(path string) (data []byte, err error) {
	err = m.step(func() error {
		content, ok := m.files[path]
		if !ok {
			return pathError("read", path, fs.ErrNotExist)
		}
		data = slices.Clone(content)
		return nil
	}, nothing)
	return data, err
}

func (m *memFiles) ReadDir(path string) (names []string, err error) {
	err = m.step(func() error {
		there := map[string]bool{}
		for name := range m.files {
			if rest, ok := strings.CutPrefix(name, filepath.Clean(path)+"/"); ok {
				first, _, _ := strings.Cut(rest, "/")
				there[first] = true
			}
		}
		names = slices.Sorted(maps.Keys(there))
		return nil
	}, nothing)
	return names, err
}

func (m *memFiles) MkdirAll(path string) error {
	return m.step(func() error { m.made = append(m.made, path); return nil }, nothing)
}

func (m *memFiles) create(path string, data []byte, exclusive bool) error {
	return m.step(func() error {
		if _, ok := m.files[path]; ok && exclusive {
			return pathError("create", path, fs.ErrExist)
		}
		m.files[path] = slices.Clone(data)
		return nil
	}, func() error {
		temporary := filepath.Join(filepath.Dir(path), TemporaryPrefix+fmt.Sprint(len(m.files)))
		m.files[temporary] = slices.Clone(data[:len(data)/2])
		return nil
	})
}

func (m *memFiles) Publish(path string, data []byte) error    { return m.create(path, data, false) }
func (m *memFiles) PublishNew(path string, data []byte) error { return m.create(path, data, true) }

func (m *memFiles) Claim(path string, data []byte) error {
	return m.step(func() error {
		if _, ok := m.files[path]; ok {
			return pathError("claim", path, fs.ErrExist)
		}
		m.files[path] = slices.Clone(data)
		return nil
	}, func() error {
		if _, ok := m.files[path]; !ok {
			m.files[path] = nil
		}
		return nil
	})
}

func (m *memFiles) Rewrite(path string, data []byte) error {
	return m.step(func() error {
		copy(m.files[path], data)
		return nil
	}, nothing)
}

func (m *memFiles) Rename(from, to string) error {
	return m.step(func() error {
		content, ok := m.files[from]
		if !ok {
			return pathError("rename", from, fs.ErrNotExist)
		}
		if _, ok := m.files[to]; ok {
			return pathError("rename", to, fs.ErrExist)
		}
		m.files[to] = content
		delete(m.files, from)
		return nil
	}, nothing)
}

func (m *memFiles) Remove(path string) error {
	return m.step(func() error {
		if _, ok := m.files[path]; !ok {
			return pathError("remove", path, fs.ErrNotExist)
		}
		delete(m.files, path)
		return nil
	}, nothing)
}

func (m *memFiles) Append(path string) (Appender, error) {
	err := m.step(func() error {
		m.files[path] = append([]byte{}, m.files[path]...)
		return nil
	}, nothing)
	return memAppender{m, path}, err
}

type memAppender struct {
	m    *memFiles
	path string
}

func (a memAppender) Append(data []byte) error {
	add := func(data []byte) error {
		a.m.files[a.path] = append(a.m.files[a.path], data...)
		return nil
	}
	return a.m.step(func() error { return add(data) }, func() error { return add(data[:len(data)*2/3]) })
}

func (a memAppender) Close() error { return nil }

// in lists the files of a folder, without temporary ones.
func (m *memFiles) in(folder string) []string {
	var paths []string
	for path := range m.files {
		if filepath.Dir(path) == folder && !isTemporary(filepath.Base(path)) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// fakeCodec writes JSON with floats as their bits.
type fakeCodec struct{}

type fakeShard struct {
	Plan   string
	Unit   int
	Points []int
	Status [][]Status
	Values [][]uint64
	Notes  map[string]string
}

type fakeSurface struct {
	DirFile string
	X, Y    []float64
	Plan    string
	Notes   map[string]string
	Layers  []fakeLayer
}

type fakeLayer struct {
	Name   string
	Values []uint64
	Status []int
	Beside map[string][]uint64
}

func toBits(values []float64) []uint64 {
	bits := make([]uint64, len(values))
	for i, v := range values {
		bits[i] = math.Float64bits(v)
	}
	return bits
}

func fromBits(bits []uint64) []float64 {
	values := make([]float64, len(bits))
	for i, b := range bits {
		values[i] = math.Float64frombits(b)
	}
	return values
}

func (fakeCodec) EncodeShard(s *Shard) ([]byte, error) {
	f := fakeShard{Plan: string(s.Plan), Unit: s.Unit, Notes: s.Notes}
	for _, r := range s.Records {
		f.Points = append(f.Points, r.Point)
		f.Status = append(f.Status, r.Status)
		f.Values = append(f.Values, toBits(r.Values))
	}
	return json.Marshal(f)
}

func (fakeCodec) DecodeShard(data []byte) (*Shard, error) {
	var f fakeShard
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	s := &Shard{Plan: []byte(f.Plan), Unit: f.Unit, Notes: f.Notes}
	for i := range f.Points {
		s.Records = append(s.Records, Record{Point: f.Points[i], Status: f.Status[i], Values: fromBits(f.Values[i])})
	}
	return s, nil
}

func (fakeCodec) EncodeSurface(s *Surface) ([]byte, error) {
	f := fakeSurface{DirFile: s.DirFile, X: s.X, Y: s.Y, Plan: string(s.Plan), Notes: s.Notes}
	for _, l := range s.Layers {
		layer := fakeLayer{Name: l.Name, Values: toBits(l.Values), Beside: map[string][]uint64{}}
		for _, status := range l.Status {
			layer.Status = append(layer.Status, int(status))
		}
		for name, values := range l.Beside {
			layer.Beside[name] = toBits(values)
		}
		f.Layers = append(f.Layers, layer)
	}
	return json.Marshal(f)
}

func (fakeCodec) DecodeSurface(data []byte) (*Surface, error) {
	var f fakeSurface
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	s := &Surface{DirFile: f.DirFile, X: f.X, Y: f.Y, Plan: []byte(f.Plan), Notes: f.Notes}
	for _, l := range f.Layers {
		layer := Layer{Name: l.Name, Values: fromBits(l.Values), Beside: map[string][]float64{}}
		for _, status := range l.Status {
			layer.Status = append(layer.Status, Status(status))
		}
		for name, bits := range l.Beside {
			layer.Beside[name] = fromBits(bits)
		}
		s.Layers = append(s.Layers, layer)
	}
	return s, nil
}

// fakeEvaluator has a formula for a network. It counts what it computes.
type fakeEvaluator struct {
	kernel string
	batch  int
	before func(point int) error // may be nil; called before a point is computed
	mu     *sync.Mutex
	counts map[int]int
}

func newEvaluator() *fakeEvaluator {
	return &fakeEvaluator{kernel: "plain", batch: 2, mu: new(sync.Mutex), counts: map[int]int{}}
}

func (e *fakeEvaluator) Kernel() string { return e.kernel }
func (e *fakeEvaluator) Batch() int     { return e.batch }

func (e *fakeEvaluator) total() int {
	n := 0
	for _, c := range e.counts {
		n += c
	}
	return n
}

// fakeRecord is the truth about a point: NaN at points 3, 13, …, and infinite at 5, 15, ….
func fakeRecord(k int) Record {
	loss := math.Sqrt(float64(k)) / 3
	switch k % 10 {
	case 3:
		loss = math.NaN()
	case 5:
		loss = math.Inf(1)
	}
	return Record{Point: k, Status: []Status{StatusOf(loss), NotConverged}, Values: []float64{loss, 0.01 * float64(k), -float64(k)}}
}

// Evaluate goes backwards: the order of records is the evaluator's business.
func (e *fakeEvaluator) Evaluate(ctx context.Context, points []int, carry []byte, done func(Record) error) error {
	for _, k := range slices.Backward(points) {
		if e.before != nil {
			if err := e.before(k); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		e.mu.Lock()
		e.counts[k]++
		e.mu.Unlock()
		if err := done(fakeRecord(k)); err != nil {
			return err
		}
	}
	return nil
}

// fakeSystem is a process of a host; the dead are shared between processes.
type fakeSystem struct {
	owner Owner
	dead  *sync.Map // of PIDs
}

func (s fakeSystem) Self() Owner { return s.owner }
func (s fakeSystem) Dead(o Owner) bool {
	_, dead := s.dead.Load(o.PID)
	return dead && o.Host == s.owner.Host
}

func process(dead *sync.Map, host string, pid int) fakeSystem {
	return fakeSystem{Owner{Host: host, PID: pid}, dead}
}

// fakePlan has 5 × 4 points in seven units of three, the last one short.
func fakePlan() *Plan {
	return &Plan{
		Format: 2, Evaluator: 1, Kernel: "plain", Work: Work{Point: 1, Unit: 3},
		Grid:       Grid{X: Axis{-1, 1, 5}, Y: &Axis{0, 1, 4}},
		Metrics:    []Metric{{Name: "train_loss", Beside: []string{"standard_error"}}, {Name: "max_eig"}},
		Network:    Network{Model: "mlp", Input: []int{2}},
		Directions: Directions{Seed: math.MaxUint64},
	}
}

func mustCreate(t testing.TB, files Files) *Run {
	t.Helper()
	run, err := Create(files, "run", fakePlan(), map[string][]byte{"theta.safetensors": []byte("theta")})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// worker is a worker that must be alone in its run, or among processes of one's own.
func worker(run *Run, e Evaluator) *Worker {
	return &Worker{Run: run, Evaluator: e, Codec: fakeCodec{}, System: process(new(sync.Map), "here", 1)}
}

func mustWork(t testing.TB, w *Worker) Report {
	t.Helper()
	report, err := w.Work(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func mustMerge(t testing.TB, run *Run) *Surface {
	t.Helper()
	surface, _, err := Merge(run, fakeCodec{}, MergeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return surface
}

// truth is the surface of fakePlan's run, made without this package's machinery.
func truth() *Surface {
	data, _ := MarshalPlan(fakePlan())
	s := &Surface{DirFile: "directions.h5", X: []float64{-1, -0.5, 0, 0.5, 1}, Plan: data,
		Y: []float64{0, 1. / 3, 2. / 3, 1}, Notes: map[string]string{"kernel plain": "0-19"}}
	loss := Layer{Name: "train_loss", Beside: map[string][]float64{"standard_error": nil}}
	eig := Layer{Name: "max_eig", Beside: map[string][]float64{}}
	for k := range 20 {
		r := fakeRecord(k)
		loss.Values, loss.Status = append(loss.Values, r.Values[0]), append(loss.Status, r.Status[0])
		loss.Beside["standard_error"] = append(loss.Beside["standard_error"], r.Values[1])
		eig.Values, eig.Status = append(eig.Values, r.Values[2]), append(eig.Status, r.Status[1])
	}
	s.Layers = []Layer{loss, eig}
	return s
}

func encoded(t testing.TB, s *Surface) string {
	t.Helper()
	data, err := fakeCodec{}.EncodeSurface(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// mustBeTrue fails the test unless the surface is the truth, bit for bit.
func mustBeTrue(t testing.TB, s *Surface) {
	t.Helper()
	if got, want := encoded(t, s), encoded(t, truth()); got != want {
		t.Fatalf("another surface:\n%s\nwant:\n%s", got, want)
	}
}
