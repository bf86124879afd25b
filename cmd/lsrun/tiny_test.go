package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lsrun/io/durable"
	"lsrun/io/h5"
	"lsrun/shard"
)

// tiny is a run of a tiny network with Hessians, which costs next to nothing, to be copied and attacked: five points in
// units of two, that hand vectors on.
type tiny struct {
	dir       string // the run, planned
	job       *job
	evaluator *evaluator
	surface   []byte // of the run when nothing happens to it
	workers   int    // that have worked
}

const tinyPoints = 5

// tinyMaker makes a network and a data set.
const tinyMaker = `
import numpy as np
from oracle import *
save("net", mlp(4, 12, 6, 3))
r = np.random.default_rng(5)
x, y = r.random((35, 12), "f4"), r.integers(0, 3, 35)
np.savez("d.npz", X=x[:20], y=y[:20], X_test=x[20:], y_test=y[20:])
`

// tinyPlan is the command that plans the run, but for its name.
func tinyPlan(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	oracle, err := filepath.Abs("testdata/python")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", "-c", tinyMaker)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYTHONPATH="+oracle, "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return []string{"plan", "--checkpoint", filepath.Join(dir, "net"), "--model", "mlp_6", "--dataset", "npz", "--data", filepath.Join(dir, "d.npz"),
		"--x=-0.5:0.5:5", "--hessian", "--hessian-images", "all", "--workers-hint", "1"}
}

func newTiny(t *testing.T) *tiny {
	t.Helper()
	fine := filepath.Join(t.TempDir(), "fine")
	lsrunOK(t, append(tinyPlan(t), fine)...)
	x := &tiny{dir: filepath.Join(inMemory(t), "planned")}
	err := inUnits(2, fine, x.dir)
	if err != nil {
		t.Fatal(err)
	}
	if x.job, err = openJob(x.dir); err != nil {
		t.Fatal(err)
	}
	_, data, err := x.job.loadImages("", "")
	if err != nil {
		t.Fatal(err)
	}
	if x.evaluator, err = x.job.newEvaluator(t.Context(), data, worker{threads: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.evaluator.engine.Close() })
	if n := len(x.job.plan.Units()); n != 3 {
		t.Fatalf("there are %d units", n)
	}
	dir := x.copy(t)
	x.finish(t, dir, 0)
	x.surface = merged(t, dir)
	return x
}

// inUnits plans the run at from once more at to, in units of so many points: lsrun plan itself makes eight units or more.
func inUnits(points int64, from, to string) error {
	run, err := shard.Open(files, from)
	if err != nil {
		return err
	}
	extra := map[string][]byte{}
	for _, name := range []string{thetaFile, directionsFile} {
		if extra[name], err = files.ReadFile(filepath.Join(from, name)); err != nil {
			return err
		}
	}
	plan := *run.Plan
	plan.Work.Unit = points * plan.Cost(0)
	_, err = shard.Create(files, to, &plan, extra)
	return err
}

// inMemory is a folder where fsync costs nothing, if there is one.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "lsrun")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// copy is a new copy of the planned run.
func (x *tiny) copy(t *testing.T) string { return x.copyOf(t, x.dir) }

func (x *tiny) copyOf(t *testing.T, from string) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(x.dir), "run")
	if err == nil {
		err = os.CopyFS(dir, os.DirFS(from))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// finished is a copy that lacks the merge only.
func (x *tiny) finished(t *testing.T) string {
	t.Helper()
	dir := x.copy(t)
	x.finish(t, dir, 0)
	return dir
}

// corrupt is a finished copy with something for the quarantine.
func (x *tiny) corrupt(t *testing.T) string {
	t.Helper()
	dir := x.finished(t)
	if err := os.Truncate(only(t, dir, "shards", "u00001.*"), 1000); err != nil {
		t.Fatal(err)
	}
	return dir
}

// life is the System of the n-th worker of a test. All before it are dead.
type life int

func (n life) Self() shard.Owner       { return shard.Owner{Host: "here", PID: int(n)} }
func (n life) Dead(o shard.Owner) bool { return o.PID < int(n) }

// counting counts the points that an evaluator computes, even if nobody hears of them.
type counting struct {
	shard.Evaluator
	points int
}

func (c *counting) Evaluate(ctx context.Context, points []int, carry []byte, done func(shard.Record) error) error {
	return c.Evaluator.Evaluate(ctx, points, carry, func(r shard.Record) error {
		c.points++
		return done(r)
	})
}

// work is a worker's life on a file system, and how many points it computed.
func (x *tiny) work(on durable.Files, dir string) (computed int, err error) {
	run, err := shard.Open(on, dir)
	if err != nil {
		return 0, err
	}
	x.workers++
	e := &counting{Evaluator: x.evaluator}
	w := shard.Worker{Run: run, Evaluator: e, Codec: h5.Codec{}, System: life(x.workers)}
	_, err = w.Work(context.Background())
	return e.points, err
}

// finish completes a run of which computed points were computed before, and fails the test if any but the one in
// progress was computed again.
func (x *tiny) finish(t *testing.T, dir string, computed int) {
	t.Helper()
	more, err := x.work(durable.Files{}, dir)
	if err != nil {
		t.Fatalf("finishing the run: %v", err)
	}
	if computed+more > tinyPoints+1 {
		t.Errorf("%d points were computed for %d", computed+more, tinyPoints)
	}
}

// merge joins a finished run, fails the test unless it has the surface, and removes it.
func (x *tiny) merge(t *testing.T, call int, dir string) {
	t.Helper()
	if !bytes.Equal(merged(t, dir), x.surface) {
		t.Errorf("call %d: another surface", call)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// withFiles carries a command out on a file system, and returns its exit code and what it said.
func withFiles(t *testing.T, on durable.Files, args ...string) (code int, said string) {
	t.Helper()
	defer func(usual durable.Files) { files = usual }(files)
	files = on
	var out bytes.Buffer
	code = execute(t.Context(), append([]string{"lsrun"}, args...), &out, &out)
	return code, out.String()
}

// quietly carries a command out, however it ends.
func quietly(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	return withFiles(t, files, args...)
}
