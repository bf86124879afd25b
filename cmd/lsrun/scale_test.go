package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"lsrun/io/durable"
	"lsrun/io/h5"
	"lsrun/shard"
)

// arithmetic evaluates nothing: a point's values are functions of its number.
type arithmetic struct{ plan *shard.Plan }

func (arithmetic) Kernel() string { return "plain" }
func (arithmetic) Batch() int     { return 1 }

func (f arithmetic) Evaluate(_ context.Context, points []int, _ []byte, done func(shard.Record) error) error {
	for _, k := range points {
		record := shard.Record{Point: k}
		for range f.plan.Metrics {
			record.Status = append(record.Status, shard.Done)
		}
		for i := range f.plan.Columns() {
			record.Values = append(record.Values, valueAt(i, k))
		}
		if err := done(record); err != nil {
			return err
		}
	}
	return nil
}

func valueAt(column, point int) float64 { return math.Sqrt(float64(1000*column + point)) }

// hasty is a file system without fsync, on which every worker believes to be the first.
type hasty struct{ durable.Files }

func (hasty) ReadDir(string) ([]string, error)       { return nil, nil }
func (hasty) Publish(path string, data []byte) error { return os.WriteFile(path, data, 0o666) }
func (hasty) Claim(path string, data []byte) error   { return os.WriteFile(path, data, 0o666) }
func (hasty) Rewrite(path string, data []byte) error { return os.WriteFile(path, data, 0o666) }
func (hasty) Append(path string) (shard.Appender, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	return hastyAppender{file}, err
}

type hastyAppender struct{ *os.File }

func (a hastyAppender) Append(data []byte) error {
	_, err := a.Write(data)
	return err
}

// largeRun makes a finished run of side × side points, a fifth of them with curvature, in units of ten.
func largeRun(t *testing.T, dir string, side int) *shard.Run {
	t.Helper()
	hessian := &shard.Hessian{Parameters: "weights", Images: 100, Choice: "first", Tolerance: 1e-3, Products: 300, TopK: 1, StepX: 5, StepY: 1}
	plan := &shard.Plan{Format: 2, Evaluator: evaluatorVersion, Kernel: "plain", Device: onCPU, Precision: "float32", Work: shard.Work{Point: 1, Workers: 1, Unit: 10},
		Network: shard.Network{Model: "resnet20", Classes: 10, Input: []int{3, 32, 32}}, Loss: "crossentropy", Hessian: hessian,
		Grid:    shard.Grid{X: shard.Axis{Min: -1, Max: 1, N: side}, Y: &shard.Axis{Min: -1, Max: 1, N: side}},
		Metrics: slices.Concat(planMetrics([]string{"train", "test"}), hessianMetrics(hessian))}
	theta, directions := []byte("theta"), []byte("directions") // nobody computes with them
	plan.Checkpoint.Theta, plan.Directions.SHA256 = digest(theta), digest(directions)
	run, err := shard.Create(durable.Files{}, dir, plan, map[string][]byte{thetaFile: theta, directionsFile: directions})
	if err != nil {
		t.Fatal(err)
	}
	if run, err = shard.Open(hasty{}, dir); err != nil {
		t.Fatal(err)
	}
	worker := shard.Worker{Run: run, Evaluator: arithmetic{plan}, Codec: h5.Codec{}}
	if _, err := worker.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	return run
}

// usageScript runs argv[2:], whose program is at argv[1], and prints its processor time and peak of memory after what it says. It is
// a program of its own because a process inherits the peak of the one that started it, which here is the tests'.
const usageScript = `
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:], executable=sys.argv[1], stderr=subprocess.STDOUT).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(code)`

// usage runs lsrun as a process of its own.
func usage(t *testing.T, args ...string) (said string, processor time.Duration, megabytes int64) {
	t.Helper()
	lsrun := process(t.Context(), t)
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", append([]string{"-c", usageScript, lsrun.Path, "lsrun"}, args...)...)
	var out, used bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &used
	if err := cmd.Run(); err != nil {
		t.Fatalf("lsrun %v: %v\n%s%s", args, err, &out, &used)
	}
	var seconds float64
	var kilobytes int64
	if _, err := fmt.Sscan(used.String(), &seconds, &kilobytes); err != nil {
		t.Fatalf("%v: %s", err, &used)
	}
	return out.String(), time.Duration(seconds * float64(time.Second)), kilobytes >> 10
}

// TestLargeRunsAreLookedAtAndMergedFastAndInLittleMemory measures processes of their own. LSRUN_LONG=1 takes 40,000
// points in 4,000 units.
func TestLargeRunsAreLookedAtAndMergedFastAndInLittleMemory(t *testing.T) {
	side := 50
	if os.Getenv("LSRUN_LONG") != "" {
		side = 200
	}
	dir := filepath.Join(t.TempDir(), "run")
	run := largeRun(t, dir, side)
	points := count(int64(side * side))
	surface, partial := filepath.Join(dir, surfaceFile), filepath.Join(dir, "partial.h5")
	measure := func(most time.Duration, megabytes int64, args ...string) string {
		t.Helper()
		start := time.Now()
		out, processor, memory := usage(t, args...)
		took := time.Since(start)
		t.Logf("lsrun %s: %.2f s, %.2f s of processors, %d MB", args[0], took.Seconds(), processor.Seconds(), memory)
		if min(took, processor) > most || memory > megabytes { // others may use the processors too
			t.Errorf("lsrun %v took %v and %d MB, and may take %v and %d MB", args, took, memory, most, megabytes)
		}
		return out
	}
	if said := measure(2*time.Second, 100, "status", dir); !strings.Contains(said, points+" of "+points+" points") {
		t.Errorf("status says:\n%s", said)
	}
	measure(10*time.Second, 200, "merge", dir)
	got := readSurface(t, surface)
	for i, layer := range got.Layers {
		for k, v := range layer.Values {
			if want := valueAt(columnOf(run.Plan, i), k); v != want {
				t.Fatalf("%s at point %d is %g, want %g", layer.Name, k, v, want)
			}
		}
	}
	if said := measure(10*time.Second, 200, "verify", dir); !strings.Contains(said, points+" finished points are those of shards and journals") {
		t.Errorf("verify says:\n%s", said)
	}
	// Two merges at once both succeed.
	twice := filepath.Join(dir, "twice.h5")
	var group errgroup.Group
	for range 2 {
		cmd := process(t.Context(), t, "merge", "-o", twice, dir)
		group.Go(cmd.Run)
	}
	if err := group.Wait(); err != nil || !bytes.Equal(readFile(t, surface), readFile(t, twice)) {
		t.Errorf("two merges at once: %v, or another surface", err)
	}
	// Without half of the shards the journals have the same.
	shards, err := filepath.Glob(filepath.Join(dir, "shards", "u????[02468].*"))
	if err != nil || len(shards) != len(run.Plan.Units())/2 {
		t.Fatalf("%d shards, %v", len(shards), err)
	}
	for _, path := range shards {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	measure(2*time.Second, 100, "status", dir)
	measure(10*time.Second, 200, "merge", "--allow-partial", "-o", partial, dir)
	if a, b := readFile(t, surface), readFile(t, partial); !bytes.Equal(a, b) {
		t.Error("half of the points from journals: another surface")
	}
}

// columnOf is the column that holds a metric's value.
func columnOf(plan *shard.Plan, metric int) int {
	return slices.Index(plan.Columns(), shard.Column{Metric: metric})
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestLargeRunsOfHessiansTakeTheMemoryThatWasAnnounced goes from point to point, each of which leaves the vectors of an iteration behind.
// LSRUN_LONG=1 takes enough of them.
func TestLargeRunsOfHessiansTakeTheMemoryThatWasAnnounced(t *testing.T) {
	model, points := "mlp_100", "2"
	if os.Getenv("LSRUN_LONG") != "" {
		model, points = "mlp_200", "4"
	}
	dir := t.TempDir()
	run, data := filepath.Join(dir, "run"), "train=10,test=10"
	lsrunOK(t, "train", "--model", model, "--dataset", "shapes", "--data", data, "--batch-size", "10", "--epochs", "1", dir+"/training")
	said := lsrunOK(t, "plan", "--model", model, "--checkpoint", dir+"/training/model_1.safetensors", "--dataset", "shapes", "--data", data, "--x=-1:1:"+points,
		"--hessian", "--hessian-tol", "1e-9", "--hessian-products", "64", run)
	var announced int64
	for line := range strings.Lines(said) {
		if _, rest, ok := strings.Cut(line, "multiply-adds; "); ok {
			fmt.Sscanf(rest, "%d MB of memory", &announced)
		}
	}
	job, err := openJob(run)
	if err != nil {
		t.Fatal(err)
	}
	planned, err := job.plannedMemory(1) // with all base states
	if err != nil {
		t.Fatal(err)
	}
	if left := job.states(worker{threads: 1}, planned+planned/4+4); left != math.MaxInt64 {
		t.Errorf("a job that gets what sbatch asks for keeps %d bytes of base states, not all", left)
	}
	if left := job.states(worker{threads: 1, sharers: 2}, planned); left != -1 {
		t.Errorf("two workers in the memory of one keep %d bytes of base states", left)
	}
	_, _, taken := usage(t, "run", run)
	t.Logf("%d MB were taken, %d announced", taken, announced)
	if 8*taken > 9*announced || taken < announced/2 {
		t.Errorf("a worker took %d MB, and was said to take %d", taken, announced)
	}
}
