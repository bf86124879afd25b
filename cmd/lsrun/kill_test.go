package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"lsrun/io/durable"
)

// killAt is the variable that tells a mortal lsrun at which of its calls of the file system, counted from 0, it dies.
const killAt = "LSRUN_TEST_KILL_AT"

// mortal is lsrun in a process that kills itself.
func mortal() {
	at, err := strconv.Atoi(os.Getenv(killAt))
	if err != nil {
		panic(err)
	}
	files = durable.Faulty(&durable.Fault{At: at, Kill: true})
	main()
}

// dies carries a command out in a process that dies at call i, and says whether it did; otherwise it has succeeded.
func dies(t *testing.T, i int, args ...string) bool {
	t.Helper()
	cmd := process(t.Context(), t, args...)
	cmd.Args[0] = "mortal"
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", killAt, i))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	failed, ok := err.(*exec.ExitError)
	if !ok || failed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("call %d: lsrun %s: %v, want a SIGKILL\n%s", i, args[0], err, out)
	}
	return true
}

// stride is how many calls a test goes on for its next kill, which takes processes of its own: all, or a sample of them.
func stride(few int) int {
	if long {
		return 1
	}
	return few
}

// TestAWorkerKilledAtAnyCallLosesAtMostThePointInProgress kills lsrun run with SIGKILL at its i-th call of the file system.
func TestAWorkerKilledAtAnyCallLosesAtMostThePointInProgress(t *testing.T) {
	x := newTiny(t)
	for i := 0; ; i += stride(13) {
		dir := x.copy(t)
		died := dies(t, i, "run", "--threads", "1", dir)
		checkWhole(t, i, dir, x.surface)
		lsrunOK(t, "run", dir)
		if n := recordsWritten(t, dir); n > tinyPoints+1 {
			t.Errorf("call %d: %d records for %d points", i, n, tinyPoints)
		}
		x.merge(t, i, dir)
		if !died {
			return
		}
	}
}

func TestAMergeKilledAtAnyCallIsHealedByAnother(t *testing.T) {
	x := newTiny(t)
	corrupt := x.corrupt(t)
	for i := 0; ; i += stride(7) {
		dir := x.copyOf(t, corrupt)
		died := dies(t, i, "merge", "--allow-partial", dir)
		quietly(t, "merge", dir) // the quarantine may still be to do
		x.finish(t, dir, tinyPoints)
		x.merge(t, i, dir)
		if !died {
			return
		}
	}
}

func TestAPlanKilledAtAnyCallIsMendedByPlanningAgain(t *testing.T) {
	plan := tinyPlan(t)
	dir := filepath.Join(inMemory(t), "run")
	lsrunOK(t, append(plan, dir)...)
	want := tree(t, dir)
	for i := 0; ; i += stride(7) {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		died := dies(t, i, append(plan, dir)...)
		lsrunOK(t, append(plan, dir)...)
		left, err := filepath.Glob(filepath.Join(dir, ".tmp-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range left { // what a broken-off plan may leave
			os.Remove(name)
		}
		if tree(t, dir) != want {
			t.Errorf("call %d: another run", i)
		}
		if !died {
			return
		}
	}
}

// TestAWorkerOfADeadMachineLosesAtMostThePointInProgress: from the i-th call on none does anything.
func TestAWorkerOfADeadMachineLosesAtMostThePointInProgress(t *testing.T) {
	x := newTiny(t)
	for i := 0; ; i += stride(3) {
		dir := x.copy(t)
		f := &durable.Fault{At: i, Err: syscall.EIO, Crash: true}
		computed, err := x.work(durable.Faulty(f), dir)
		if err != nil && exitCode(err) != 6 {
			t.Errorf("call %d: %v", i, err)
		}
		checkWhole(t, i, dir, x.surface)
		x.finish(t, dir, computed)
		x.merge(t, i, dir)
		if !f.Hit() {
			return
		}
	}
}

// TestAWorkerWhosePowerFailsLosesAtMostThePointInProgress forgets, at the i-th call, whatever was not synced.
func TestAWorkerWhosePowerFailsLosesAtMostThePointInProgress(t *testing.T) {
	x := newTiny(t)
	for i := 0; ; i += stride(5) {
		dir := x.copy(t)
		disk, err := durable.NewForgetful(dir, i)
		if err != nil {
			t.Fatal(err)
		}
		computed, _ := x.work(disk.Files(), dir)
		for _, names := range []bool{false, true} {
			after := filepath.Join(inMemory(t), "run")
			if err := disk.Restart(after, names); err != nil {
				t.Fatal(err)
			}
			outwait(t, after)
			checkWhole(t, i, after, x.surface)
			x.finish(t, after, computed)
			x.merge(t, i, after)
		}
		os.RemoveAll(dir)
		if !disk.Hit() {
			return
		}
	}
}

// outwait does at once what others do after they have waited for a while: it succeeds claims that hold nothing, as a power failure may
// leave those that were rewritten.
func outwait(t *testing.T, dir string) {
	t.Helper()
	claims, err := filepath.Glob(filepath.Join(dir, "claims", "u*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range claims {
		if info, err := os.Stat(name); err != nil || info.Size() > 0 {
			continue
		}
		if err := os.WriteFile(name, []byte(`{"nonce":"----------------"}`+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
