package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"lsrun/shard"
)

// process prepares lsrun as a process of its own.
func process(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = "lsrun"
	return cmd
}

// smallPlan plans a run of 25 points in 25 units over 60 pictures, under a second of work.
func smallPlan(t *testing.T, run string) {
	t.Helper()
	lsrunOK(t, "plan", "--model", "resnet20", "--checkpoint", reference+"resnet20/model_8.t7", "--dataset", "cifar10", "--data", pictures,
		"--x=-1:1:5", "--y=-0.5:1:5", "--subset", "60", "--metrics", "train,test", run)
}

func merged(t *testing.T, run string) []byte {
	t.Helper()
	lsrunOK(t, "merge", run)
	data, err := os.ReadFile(filepath.Join(run, surfaceFile))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheSurfaceIsTheSameForAnyNumberOfWorkersAndThreads(t *testing.T) {
	dir := t.TempDir()
	var want []byte
	for _, c := range []struct {
		workers, threads int
		schedule         string
	}{{1, 1, "dynamic"}, {1, 2, "dynamic"}, {2, 2, "dynamic"}, {5, 1, "dynamic"}, {3, 1, "static"}} {
		run := filepath.Join(dir, fmt.Sprintf("%d-%d-%s", c.workers, c.threads, c.schedule))
		smallPlan(t, run)
		var group errgroup.Group
		for rank := range c.workers {
			cmd := process(t.Context(), t, "run", "--threads", fmt.Sprint(c.threads), "--schedule", c.schedule,
				"--rank", fmt.Sprint(rank), "--ranks", fmt.Sprint(c.workers), run)
			group.Go(func() error {
				if out, err := cmd.CombinedOutput(); err != nil {
					return fmt.Errorf("%v: %s", err, out)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		got := merged(t, run)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d workers with %d threads, %s: another surface", c.workers, c.threads, c.schedule)
		}
	}
}

// finished counts the points that are in the run's journals.
func finished(t *testing.T, dir string) int {
	t.Helper()
	run, err := shard.Open(files, dir)
	if err != nil {
		t.Fatal(err)
	}
	status, err := run.Status(nil)
	if err != nil {
		t.Fatal(err)
	}
	return status.PointsDone
}

// TestAKilledWorkerLosesOnlyThePointInProgress kills workers with SIGKILL until the run
// is complete, and compares with a run that was left in peace.
func TestAKilledWorkerLosesOnlyThePointInProgress(t *testing.T) {
	dir := t.TempDir()
	peaceful, battered := filepath.Join(dir, "peaceful"), filepath.Join(dir, "battered")
	smallPlan(t, peaceful)
	smallPlan(t, battered)
	lsrunOK(t, "run", peaceful)
	kills, known := 0, 0
	for wait := 300 * time.Millisecond; ; wait += 50 * time.Millisecond {
		cmd := process(t.Context(), t, "run", "--threads", "1", battered)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(wait, func() { cmd.Process.Signal(syscall.SIGKILL) })
		err := cmd.Wait()
		timer.Stop()
		now := finished(t, battered)
		if now < known {
			t.Fatalf("%d points were finished before a kill, and %d after it", known, now)
		}
		known = now
		if err == nil {
			break
		}
		kills++
	}
	if kills == 0 {
		t.Fatal("no worker was killed: the run is too short to test anything")
	}
	total := recordsWritten(t, battered)
	if total > 25 {
		t.Errorf("%d points were computed for 25: finished points were computed again", total)
	}
	t.Logf("%d kills, %d records", kills, total)
	if !bytes.Equal(merged(t, battered), merged(t, peaceful)) {
		t.Error("the killed run gives another surface")
	}
}

// recordsWritten counts the records in all journals, what was computed twice too: frames
// of a length, a checksum and a payload behind 8 magic bytes and a header's frame.
func recordsWritten(t *testing.T, dir string) int {
	t.Helper()
	folder := filepath.Join(dir, "journal")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		frames := 0
		for at := 8; at+8 <= len(data); frames++ {
			at += 8 + int(binary.LittleEndian.Uint32(data[at:]))
		}
		records += max(0, frames-1)
	}
	return records
}

func TestATerminatedWorkerLeavesResumably(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	smallPlan(t, run)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR2} {
		begun := claims(t, run)
		cmd := process(t.Context(), t, "run", "--threads", "1", run)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitForClaim(t, run, begun)
		cmd.Process.Signal(signal)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 75 && code != 0 {
			t.Errorf("%v: exit %d, want 75\n%s", signal, code, &out)
		}
	}
	lsrunOK(t, "run", run)
	merged(t, run)
}

func TestASignalBeforeTheFirstPointIsSaidInWords(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	smallPlan(t, run)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := execute(ctx, []string{"lsrun", "run", run}, &stdout, &stderr)
	if code != 75 || !strings.Contains(stderr.String(), "interrupted: nothing is lost") || strings.Contains(stderr.String(), "context") {
		t.Errorf("exit %d, want 75\n%s", code, &stderr)
	}
}

func TestADamagedOrMissingFileOfARunIsSaidAndRestoredByPlanningAgain(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	smallPlan(t, run)
	for _, name := range []string{thetaFile, directionsFile} {
		path := filepath.Join(run, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		for what, damage := range map[string]func() error{
			"missing": func() error { return os.Remove(path) },
			"flipped": func() error { return os.WriteFile(path, bad, 0o600) },
			"cut":     func() error { return os.Truncate(path, 100) },
		} {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			code := execute(t.Context(), []string{"lsrun", "run", run}, &stdout, &stderr)
			if code != 5 || !strings.Contains(stderr.String(), path) || !strings.Contains(stderr.String(), "lsrun plan") {
				t.Errorf("%s %s: exit %d, want 5\n%s", name, what, code, &stderr)
			}
			smallPlan(t, run)
			if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, good) {
				t.Errorf("%s %s: planning again did not restore it: %v", name, what, err)
			}
		}
	}
}

// claims counts the claims that workers have made.
func claims(t *testing.T, run string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(run, "claims"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// waitForClaim returns once there are more claims than before: a worker has begun.
func waitForClaim(t *testing.T, run string, before int) {
	t.Helper()
	for range 3000 {
		if claims(t, run) > before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the worker did not begin")
}

// TestRanksOfMpirunShareARun starts two ranks by Open MPI.
func TestRanksOfMpirunShareARun(t *testing.T) {
	mpirun, err := exec.LookPath("mpirun")
	if err != nil {
		t.Fatalf("%v: make setup-test installs it", err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "lsrun") // the test's binary is lsrun under that name
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(dir, "run")
	smallPlan(t, run)
	cmd := exec.CommandContext(t.Context(), mpirun, "-n", "2", "--oversubscribe", link, "run", "--schedule", "static", run)
	cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, share := range []string{"13 points computed", "12 points computed"} {
		if !strings.Contains(string(out), share) {
			t.Errorf("no rank says %q:\n%s", share, out)
		}
	}
	merged(t, run)
}

// asRoot runs the test again as root of a user namespace, who may mount a file system.
func asRoot(t *testing.T) {
	t.Helper()
	cmd := process(t.Context(), t, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Args[0] = "test"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("as root of a user namespace: %v\n%s", err, out)
	}
}

// TestAFullDiskIsSaidAndNothingIsHalfWritten runs into a real full file system.
func TestAFullDiskIsSaidAndNothingIsHalfWritten(t *testing.T) {
	if os.Getuid() != 0 {
		asRoot(t)
		return
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatalf("mounting a small tmpfs: %v", err)
	}
	defer syscall.Unmount(disk, 0)
	run := filepath.Join(disk, "run")
	ballast := filepath.Join(disk, "ballast")
	fill := func(free int) {
		os.Remove(ballast)
		var s syscall.Statfs_t
		if err := syscall.Statfs(disk, &s); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ballast, make([]byte, max(0, int(s.Bavail)*int(s.Bsize)-free)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plan := []string{"lsrun", "plan", "--model", "resnet20", "--checkpoint", reference + "resnet20/model_8.t7", "--dataset", "cifar10",
		"--data", pictures, "--x=-1:1:5", "--y=-0.5:1:5", "--subset", "60", "--metrics", "train,test", run}
	var stdout, stderr bytes.Buffer
	fill(1 << 20)
	if code := execute(t.Context(), plan, &stdout, &stderr); code != 6 || !strings.Contains(stderr.String(), run) {
		t.Errorf("planning on a full disk: exit %d, want 6\n%s", code, &stderr)
	}
	os.Remove(ballast)
	if code := execute(t.Context(), plan, &stdout, &stderr); code != 0 {
		t.Fatalf("planning with room: exit %d\n%s", code, &stderr)
	}
	fill(8 << 10)
	worker := process(t.Context(), t, "run", run) // one of its own, whose claims die with it
	said, _ := worker.CombinedOutput()
	if code := worker.ProcessState.ExitCode(); code != 6 {
		t.Errorf("computing on a full disk: exit %d, want 6\n%s", code, said)
	}
	if _, err := os.Stat(filepath.Join(run, surfaceFile)); err == nil {
		t.Error("there is a surface")
	}
	os.Remove(ballast)
	lsrunOK(t, "run", run)
	merged(t, run)
}
