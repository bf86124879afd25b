package slurm

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// standIns puts shell scripts in front of SLURM's commands.
func standIns(t *testing.T, bodies map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, body := range bodies {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestSubmitFindsTheJobsId(t *testing.T) {
	for printed, want := range map[string]string{
		"12": "12", "12;one": "12", "Welcome\nto one;\n12;one\n": "12", "": "", "Submitted batch job": "", "error 7b": "",
	} {
		standIns(t, map[string]string{"sbatch": "cat >/dev/null; printf '%s\\n' '" + printed + "'\n"})
		id, err := Client{}.Submit(t.Context(), example())
		if id != want || (err == nil) != (want != "") {
			t.Errorf("%q: id %q, %v; want %q", printed, id, err, want)
		}
	}
}

func TestWhatACommandSaysIsTheError(t *testing.T) {
	standIns(t, map[string]string{"sbatch": "cat >/dev/null; echo 'sbatch: error: Batch job submission failed: Invalid qos specification' >&2; exit 1\n",
		"scancel": "exit 3\n"})
	_, err := Client{}.Submit(t.Context(), example())
	if err == nil || err.Error() != "sbatch: error: Batch job submission failed: Invalid qos specification" {
		t.Errorf("Submit: %v", err)
	}
	if err := (Client{}).Cancel(t.Context(), "1"); err == nil || err.Error() != "scancel: exit status 3" {
		t.Errorf("Cancel: %v", err)
	}
}

func TestARequeueThatEndsItsOwnCommandSucceeded(t *testing.T) {
	standIns(t, map[string]string{"scontrol": "kill $$\n"})
	if err := (Client{}).Requeue(t.Context(), Task{Job: "1", Index: 2}); err != nil {
		t.Errorf("scontrol was terminated: %v", err)
	}
	standIns(t, map[string]string{"scontrol": "exit 1\n"})
	if err := (Client{}).Requeue(t.Context(), Task{Job: "1", Index: 2}); err == nil {
		t.Error("scontrol failed, and nothing is said")
	}
}

func TestACommandThatHangsIsGivenUp(t *testing.T) {
	standIns(t, map[string]string{"squeue": "sleep 60\n"}) // the shell's child holds the pipe
	start := time.Now()
	_, err := Client{Patience: 100 * time.Millisecond}.Jobs(t.Context(), "x")
	if !errors.Is(err, ErrNoAnswer) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Client{}).Jobs(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestACommandThatIsNotThereIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Client{}.Jobs(t.Context(), "x")
	if !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "squeue not found") {
		t.Errorf("%v", err)
	}
}

func TestJobsAreReadAmongOtherLines(t *testing.T) {
	standIns(t, map[string]string{"squeue": `[ -z "$SQUEUE_PARTITION" ] || exit 1
cat <<'END'
Welcome | to | the | cluster | of | the | year
12|0|run|RUNNING|n1|(null)|None
12|7|run|PENDING||(null)|a reason | with a bar
15|N/A|run-merge|PENDING||afterany:12_*(unfulfilled)|Dependency
16|0|runner|RUNNING|n1|(null)|None
x|0|run|RUNNING|n1|(null)|None
12|1|run
END
`})
	t.Setenv("SQUEUE_PARTITION", "other") // it would change the answer
	got, err := Client{}.Jobs(t.Context(), "run", "run-merge")
	want := []Job{
		{Job: "12", Index: 0, Name: "run", State: "RUNNING", Node: "n1", Dependency: "(null)", Reason: "None"},
		{Job: "12", Index: 7, Name: "run", State: "PENDING", Dependency: "(null)", Reason: "a reason | with a bar"},
		{Job: "15", Index: -1, Name: "run-merge", State: "PENDING", Dependency: "afterany:12_*(unfulfilled)", Reason: "Dependency"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v", err, got)
	}
}

func TestLivesAreKnownForgottenOrNotUnderstood(t *testing.T) {
	const row = "printf '%-20s%-20s%-20s%-20s\\n' "
	for _, c := range []struct {
		name, body string
		want       map[int]Life
		fails      bool
	}{
		{"an array", row + "12 0 0 RUNNING; " + row + "12 1 2 PENDING; " + row + "13 1 2 PENDING", map[int]Life{0: {"RUNNING", 0}, 1: {"PENDING", 2}}, false},
		{"a job", row + "12 N/A 1 COMPLETED", map[int]Life{-1: {"COMPLETED", 1}}, false},
		{"a forgotten one", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", nil, false},
		{"no controller", "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1", nil, true},
		{"silence", "", nil, true},
		{"a format of tomorrow", "echo '12 is fine'", nil, true},
	} {
		standIns(t, map[string]string{"squeue": c.body + "\n"})
		got, err := Client{}.Lives(t.Context(), "12")
		if !maps.Equal(got, c.want) || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestHeldJobsAreTold(t *testing.T) {
	for reason, want := range map[string]bool{"JobHeldUser": true, "JobHeldAdmin": true, "launch failed requeued held": true, "Resources": false, "BeginTime": false} {
		if got := (Job{State: "PENDING", Reason: reason}).Held(); got != want {
			t.Errorf("%s: held %v", reason, got)
		}
	}
}
