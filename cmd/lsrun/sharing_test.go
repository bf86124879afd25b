package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// asRank is the environment of rank r of n, all on this host, as mpirun sets it.
func asRank(r, n int) []string {
	return append(os.Environ(), fmt.Sprint("OMPI_COMM_WORLD_RANK=", r), fmt.Sprint("OMPI_COMM_WORLD_SIZE=", n),
		fmt.Sprint("OMPI_COMM_WORLD_LOCAL_RANK=", r), fmt.Sprint("OMPI_COMM_WORLD_LOCAL_SIZE=", n))
}

// sharedMapping is the inode of the shared memory that a process has mapped read-only; "" if it has none.
func sharedMapping(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^\S+ r--s \S+ \S+ (\d+) +/memfd:lsrun`).FindSubmatch(maps)
	if match == nil {
		return ""
	}
	return string(match[1])
}

// alone is the surface of smallPlan by one worker with images of its own.
func alone(t *testing.T) []byte {
	t.Helper()
	run := filepath.Join(t.TempDir(), "alone")
	smallPlan(t, run)
	lsrunOK(t, "run", run)
	return merged(t, run)
}

func TestTheWorkersOfAHostHoldTheImagesTogether(t *testing.T) {
	const ranks = 3
	run := filepath.Join(t.TempDir(), "run")
	smallPlan(t, run)
	var workers [ranks]*exec.Cmd
	var logs [ranks]bytes.Buffer
	for r := range ranks {
		workers[r] = process(t.Context(), t, "run", run)
		workers[r].Env, workers[r].Stderr = asRank(r, ranks), &logs[r]
		if err := workers[r].Start(); err != nil {
			t.Fatal(err)
		}
	}
	inodes := map[int]string{}
	for deadline := time.Now().Add(time.Minute); len(inodes) < ranks && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for r, cmd := range workers {
			if inode := sharedMapping(t, cmd); inode != "" {
				inodes[r] = inode
			}
		}
	}
	for r, cmd := range workers {
		if err := cmd.Wait(); err != nil {
			t.Errorf("rank %d: %v", r, err)
		}
		if inodes[r] == "" || inodes[r] != inodes[0] {
			t.Errorf("rank %d maps memory %q, rank 0 %q\n%s", r, inodes[r], inodes[0], &logs[r])
		}
		if want := fmt.Sprintf("lsrun: rank %d of %d: ", r, ranks); strings.Count(logs[r].String(), want) != 1 {
			t.Errorf("rank %d does not say once where it computes:\n%s", r, &logs[r])
		}
	}
	if !bytes.Equal(merged(t, run), alone(t)) {
		t.Error("another surface")
	}
}

// TestAWorkerThatCannotShareLoadsItsOwnImages meets a process that has the name and never answers.
func TestAWorkerThatCannotShareLoadsItsOwnImages(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	smallPlan(t, run)
	job, err := openJob(run)
	if err != nil {
		t.Fatal(err)
	}
	name, err := job.imagesName()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unixpacket", fmt.Sprintf("@lsrun-%d-%s", os.Geteuid(), name))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	cmd := process(t.Context(), t, "run", run)
	cmd.Env = asRank(0, 2)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "loads images of its own") {
		t.Errorf("%v\n%s", err, out)
	}
	if !bytes.Equal(merged(t, run), alone(t)) {
		t.Error("another surface")
	}
}

// TestWorkersThatShareSayWhatIsWrongWithTheData each, as one alone does.
func TestWorkersThatShareSayWhatIsWrongWithTheData(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	smallPlan(t, run)
	message := func(env []string) string {
		cmd := process(t.Context(), t, "run", "--data", filepath.Join(t.TempDir(), "nowhere"), run)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Sprint(err, " ", regexp.MustCompile(`/\S+/nowhere`).ReplaceAllString(lines[len(lines)-1], "DATA"))
	}
	want := message(os.Environ())
	if !strings.Contains(want, "DATA") || !strings.Contains(want, "exit status") {
		t.Fatal(want)
	}
	var group errgroup.Group
	for r := range 3 {
		group.Go(func() error {
			if got := message(asRank(r, 3)); got != want {
				return fmt.Errorf("rank %d: %s, want %s", r, got, want)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
