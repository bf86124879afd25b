package slurm

import (
	"testing"

	"pgregory.net/rapid"
)

func TestTheTaskComesFromTheEnvironmentOfItsJob(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want string // "" for none
		id   string
	}{
		{"a shell", nil, "", ""},
		{"a batch job", map[string]string{"SLURM_CLUSTER_NAME": "one", "SLURM_JOB_ID": "38"}, "one:38.0", "38"},
		{"a task of an array", map[string]string{"SLURM_CLUSTER_NAME": "one", "SLURM_JOB_ID": "40", "SLURM_ARRAY_JOB_ID": "37", "SLURM_ARRAY_TASK_ID": "3"}, "one:37_3.0", "37_3"},
		{"a task put back twice", map[string]string{"SLURM_CLUSTER_NAME": "one", "SLURM_JOB_ID": "40", "SLURM_ARRAY_JOB_ID": "37", "SLURM_ARRAY_TASK_ID": "0", "SLURM_RESTART_COUNT": "2"}, "one:37_0.2", "37_0"},
		{"nonsense", map[string]string{"SLURM_JOB_ID": "$(touch x)"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			task, ok := TaskFrom(func(key string) string { return c.env[key] })
			if ok != (c.want != "") || ok && (task.String() != c.want || task.ID() != c.id) {
				t.Errorf("TaskFrom = %v (%s), %v; want %q (%s)", task, task.ID(), ok, c.want, c.id)
			}
		})
	}
}

func TestATaskIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Task{Cluster: rapid.StringMatching(`[a-z0-9.:_-]*`).Draw(t, "cluster"), Job: rapid.StringMatching(`[1-9][0-9]{0,8}`).Draw(t, "job"),
			Index: rapid.IntRange(-1, 1<<20).Draw(t, "index"), Restarts: rapid.IntRange(0, 99).Draw(t, "restarts")}
		if got, ok := ParseTask(want.String()); !ok || got != want {
			t.Errorf("%+v was read as %+v, %v", want, got, ok)
		}
	})
	for _, text := range []string{"", "one", "one:", "one:12", "one:12_.0", "one:x.0", "one:12.", "12.0", "one:12_3.-1x", "one:012_03.0"} {
		if got, ok := ParseTask(text); ok {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestATaskIsOverWhenSlurmSaysSoOrHasRestartedIt(t *testing.T) {
	task := Task{Cluster: "one", Job: "37", Index: 3, Restarts: 1}
	for _, c := range []struct {
		name  string
		lives map[int]Life
		want  bool
	}{
		{"it runs", map[int]Life{3: {"RUNNING", 1}}, false},
		{"it is being ended", map[int]Life{3: {"COMPLETING", 1}}, false},
		{"it is being ended to be put back", map[int]Life{3: {"COMPLETING", 2}}, false},
		{"its next life is being ended to be put back", map[int]Life{3: {"COMPLETING", 3}}, true},
		{"a state of tomorrow", map[int]Life{3: {"DREAMING", 1}}, false},
		{"it had not begun yet", map[int]Life{3: {"PENDING", 1}}, false},
		{"its last life had ended", map[int]Life{3: {"TIMEOUT", 0}}, false},
		{"it was put back", map[int]Life{3: {"PENDING", 2}}, true},
		{"it was put back to be held", map[int]Life{3: {"REQUEUE_HOLD", 2}}, true},
		{"its next life runs", map[int]Life{3: {"RUNNING", 2}}, true},
		{"its node was lost", map[int]Life{3: {"NODE_FAIL", 1}}, true},
		{"it was cancelled", map[int]Life{3: {"CANCELLED", 1}}, true},
		{"SLURM forgot the job", nil, true},
		{"SLURM does not list the task", map[int]Life{4: {"RUNNING", 0}}, false},
	} {
		if got := task.Over(c.lives); got != c.want {
			t.Errorf("%s: over %v, want %v", c.name, got, c.want)
		}
	}
}
