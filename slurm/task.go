package slurm

import (
	"fmt"
	"strconv"
	"strings"
)

// Task is a job of SLURM, or one task of an array of jobs, in one of its lives: a job that
// was put back into the queue begins another.
type Task struct {
	Cluster  string
	Job      string // the array's, for a task of one
	Index    int    // in the array; −1 for a job that is no array
	Restarts int    // how many lives it had before
}

// TaskFrom reads from the environment (os.Getenv) which task this process belongs to, or
// says that there is none.
func TaskFrom(getenv func(string) string) (Task, bool) {
	t := Task{Cluster: getenv("SLURM_CLUSTER_NAME"), Job: getenv("SLURM_JOB_ID"), Index: -1}
	if index, err := strconv.Atoi(getenv("SLURM_ARRAY_TASK_ID")); err == nil && getenv("SLURM_ARRAY_JOB_ID") != "" {
		t.Job, t.Index = getenv("SLURM_ARRAY_JOB_ID"), index
	}
	t.Restarts, _ = strconv.Atoi(getenv("SLURM_RESTART_COUNT")) // unset in the first life
	return t, isNumber(t.Job)
}

// ID is what SLURM's commands call the task: "123_4", or "123". The bare id of an array
// would mean its finished tasks too.
func (t Task) ID() string {
	if t.Index < 0 {
		return t.Job
	}
	return fmt.Sprintf("%s_%d", t.Job, t.Index)
}

// String is CLUSTER:ID.RESTARTS, which ParseTask reads.
func (t Task) String() string { return fmt.Sprintf("%s:%s.%d", t.Cluster, t.ID(), t.Restarts) }

// ParseTask reads what String wrote.
func ParseTask(text string) (Task, bool) {
	colon, dot := strings.LastIndexByte(text, ':'), strings.LastIndexByte(text, '.')
	if colon < 0 || dot < colon {
		return Task{}, false
	}
	restarts, err := strconv.Atoi(text[dot+1:])
	job, index, isTask := strings.Cut(text[colon+1:dot], "_")
	t := Task{Cluster: text[:colon], Job: job, Index: -1, Restarts: restarts}
	if err == nil && isTask {
		t.Index, err = strconv.Atoi(index)
	}
	return t, err == nil && isNumber(job) && t.String() == text
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
