package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lsrun/shard"
	"lsrun/slurm"
)

// TestOnlySlurmsOwnSignalPutsAJobBackIntoTheQueue stops workers that are tasks of an array
// by signals, with an scontrol that notes what it is given.
func TestOnlySlurmsOwnSignalPutsAJobBackIntoTheQueue(t *testing.T) {
	dir := t.TempDir()
	asked := filepath.Join(dir, "asked")
	if err := os.WriteFile(filepath.Join(dir, "scontrol"), []byte("#!/bin/sh\necho \"$*\" >>'"+asked+"'\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(dir, "run")
	smallPlan(t, run)
	for _, c := range []struct {
		by   syscall.Signal
		want string
	}{{syscall.SIGTERM, ""}, {syscall.SIGINT, ""}, {syscall.SIGUSR2, "requeue 37_3\n"}} {
		before := claims(t, run)
		cmd := process(t.Context(), t, "run", "--threads", "1", "--requeues", "3", "--tasks", "4", "--first-task", "0", run)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"),
			"SLURM_CLUSTER_NAME=one", "SLURM_JOB_ID=40", "SLURM_ARRAY_JOB_ID=37", "SLURM_ARRAY_TASK_ID=3")
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitForClaim(t, run, before)
		cmd.Process.Signal(c.by)
		cmd.Wait()
		got, _ := os.ReadFile(asked)
		if string(got) != c.want || cmd.ProcessState.ExitCode() != 75 {
			t.Errorf("%v: scontrol was given %q, want %q; exit %d, want 75\n%s", c.by, got, c.want, cmd.ProcessState.ExitCode(), &said)
		}
	}
}

// TestAWorkerThatOnlyWaitsDoesNotGoBackIntoTheQueue: others, of whom nobody knows whether they live, have claimed all units.
func TestAWorkerThatOnlyWaitsDoesNotGoBackIntoTheQueue(t *testing.T) {
	dir := t.TempDir()
	run, asked, log := filepath.Join(dir, "run"), filepath.Join(dir, "asked"), filepath.Join(dir, "log")
	if err := os.WriteFile(filepath.Join(dir, "scontrol"), []byte("#!/bin/sh\ntouch '"+asked+"'\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	smallPlan(t, run)
	for unit := range 25 {
		claim := filepath.Join(run, "claims", fmt.Sprintf("u%05d.g1", unit))
		if err := os.WriteFile(claim, []byte(`{"host":"elsewhere","nonce":"0123456789abcdef"}`+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	said, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd := process(t.Context(), t, "run", "--threads", "1", "--requeues", "3", "--tasks", "4", "--first-task", "0", run)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"),
		"SLURM_CLUSTER_NAME=one", "SLURM_JOB_ID=37", "SLURM_ARRAY_JOB_ID=37", "SLURM_ARRAY_TASK_ID=0") // of the reserve
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waiting := func() bool { return strings.Contains(string(readFile(t, log)), "waiting for it") }
	for range 600 {
		if waiting() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	cmd.Process.Signal(syscall.SIGUSR2)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 || exists(asked) || !waiting() || !strings.Contains(string(readFile(t, log)), "25 units to the workers that are at it") {
		t.Errorf("exit %d, want 0; scontrol asked: %v\n%s", code, exists(asked), readFile(t, log))
	}
}

func TestAJobThatFailedStaysOutOfTheQueue(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signalled{syscall.SIGUSR2})
	for _, c := range []struct {
		err  error
		want bool
	}{{nil, false}, {shard.ErrIncomplete, false}, {syscall.ENOSPC, false}, {shard.ErrInterrupted, true}, {context.Canceled, true}} {
		if got := timeIsUp(ctx, c.err); got != c.want {
			t.Errorf("%v at the time of SIGUSR2: back into the queue %v, want %v", c.err, got, c.want)
		}
	}
}

func TestAWorkerThatIsInterruptedSaysSoWhateverBecomesOfItsJob(t *testing.T) {
	silent := exec.Command("sh", "-c", "exit 3").Run() // an scontrol that does not say why it failed
	if code := exitCode(fmt.Errorf("%w; %w", shard.ErrInterrupted, silent)); code != 75 {
		t.Errorf("exit code %d, want 75", code)
	}
}

func TestClaimsOfJobsThatAreOverAreAbandoned(t *testing.T) {
	lives, fails, asked := map[string]map[int]slurm.Life{"12": {0: {State: "RUNNING"}, 1: {State: "NODE_FAIL"}, 2: {State: "RUNNING", Restarts: 1}}}, error(nil), 0
	s := newSystem(func(key string) string {
		return map[string]string{"SLURM_CLUSTER_NAME": "one", "SLURM_JOB_ID": "40", "SLURM_ARRAY_JOB_ID": "37", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "1"}[key]
	}, 4).(*scheduler)
	s.ask = func(_ context.Context, job string) (map[int]slurm.Life, error) {
		asked++
		return lives[job], fails
	}
	if got := s.Self().Job; got != "one:37_3.1" {
		t.Errorf("this worker is %q", got)
	}
	dead := func(job string) bool { return s.Dead(shard.Owner{Host: "elsewhere", Job: job}) }
	for job, want := range map[string]bool{
		"one:12_0.0": false, "one:12_1.0": true, "one:12_2.0": true, "one:13.0": true, // which SLURM forgot
		"two:12_1.0": false, "": false, "nonsense": false,
		"one:37_3.0": true, "one:37_3.1": false, // this one, in its last life and in this
	} {
		if got := dead(job); got != want {
			t.Errorf("%q: dead %v, want %v", job, got, want)
		}
	}
	if asked != 2 {
		t.Errorf("SLURM was asked %d times about two jobs", asked)
	}
	fails = errors.New("no answer")
	s.answer = map[string]answer{}
	if dead("one:12_1.0") || dead("one:13.0") {
		t.Error("without an answer a claim was taken for abandoned")
	}
	s.answer["12"] = answer{until: time.Now().Add(-time.Second)}
	if fails = nil; !dead("one:12_1.0") {
		t.Error("an old answer was believed")
	}
	if _, ok := newSystem(func(string) string { return "" }, 4).(shard.Machine); !ok {
		t.Error("outside of SLURM the system is not that of the machine alone")
	}
}
