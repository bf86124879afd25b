package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Client gives SLURM's commands. They may hang where its controller is busy or away, so
// each has a time; what they print is read with distrust.
type Client struct {
	Patience time.Duration // with a question; 0 for 5 s
}

// orderPatience is for commands that change something: giving one up leaves open whether
// it was heard.
const orderPatience = time.Minute

// ErrNoAnswer is a command that is not there, or did not end in time.
var ErrNoAnswer = errors.New("SLURM does not answer")

// ask runs a command that changes nothing and returns what it prints.
func (c Client) ask(ctx context.Context, name string, args ...string) (string, error) {
	patience := c.Patience
	if patience == 0 {
		patience = 5 * time.Second
	}
	out, _, err := run(ctx, patience, "", name, args...)
	return out, err
}

// run returns what a command prints, on standard output and on standard error.
func run(ctx context.Context, patience time.Duration, input, name string, args ...string) (out, said string, err error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(limited, name, args...)
	cmd.WaitDelay = 100 * time.Millisecond // its children may hold the pipes
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	said = strings.TrimSpace(stderr.String())
	switch {
	case err == nil:
		return stdout.String(), said, nil
	case errors.Is(err, exec.ErrNotFound):
		err = fmt.Errorf("%w: %s not found: this is no machine of a SLURM cluster, or PATH lacks SLURM's commands", ErrNoAnswer, name)
	case ctx.Err() != nil:
		err = fmt.Errorf("%s: %w", name, ctx.Err())
	case limited.Err() != nil:
		err = fmt.Errorf("%w: %s gave no answer in %v", ErrNoAnswer, name, patience)
	case said != "":
		err = &CommandError{Command: name, Text: said}
	default:
		err = fmt.Errorf("%s: %w", name, err)
	}
	return "", "", err
}

// CommandError is what a command printed when it failed.
type CommandError struct{ Command, Text string }

func (e *CommandError) Error() string {
	if strings.HasPrefix(e.Text, e.Command+":") {
		return e.Text
	}
	return e.Command + ": " + e.Text
}

// misleading begin the names of variables that change the commands' answers, or that a job
// would inherit from the one that submits it.
var misleading = []string{"SQUEUE_", "SACCT_", "SCANCEL_", "SBATCH_WAIT=", "SLURM_ARRAY_", "SLURM_STEP_", "SLURM_RESTART_COUNT="}

// environment is the process's own without what is misleading.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return slices.ContainsFunc(misleading, func(prefix string) bool { return strings.HasPrefix(entry, prefix) })
	})
}

// Submit hands a script to sbatch and returns the job's id. Its options are given on the
// command line too, because SBATCH_ variables count more than a script's lines.
func (c Client) Submit(ctx context.Context, s Script) (id string, err error) {
	text, err := s.Text()
	if err != nil {
		return "", err
	}
	out, _, err := run(ctx, orderPatience, text, "sbatch", append([]string{"--parsable"}, s.words()...)...)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) { // "123" or "123;cluster", perhaps after a site's greeting
		if first, _, _ := strings.Cut(strings.TrimSpace(line), ";"); isNumber(first) {
			id = first
		}
	}
	if id == "" {
		return "", fmt.Errorf("sbatch printed no job id, but %q: look with squeue whether the job is there", strings.TrimSpace(out))
	}
	return id, nil
}

// Test asks sbatch when a script would start, and returns what it says.
func (c Client) Test(ctx context.Context, s Script) (string, error) {
	text, err := s.Text()
	if err != nil {
		return "", err
	}
	_, said, err := run(ctx, orderPatience, text, "sbatch", append([]string{"--test-only"}, s.words()...)...)
	return said, err
}

// Job is a job, or a task of an array, that has not ended.
type Job struct {
	Job        string // the array's id, for a task of one
	Index      int    // in the array; −1 for a job that is no array
	Name       string
	State      string // "RUNNING", "PENDING", …
	Node       string
	Dependency string // what it waits for, as in "afterany:12_*(unfulfilled)"
	Reason     string // why it waits
}

// ID is what SLURM's commands call the job.
func (j Job) ID() string { return Task{Job: j.Job, Index: j.Index}.ID() }

// Held says whether the job waits until somebody releases it: its user, an administrator,
// or either after SLURM failed to launch it.
func (j Job) Held() bool {
	return j.State == "PENDING" && strings.Contains(strings.ToLower(j.Reason), "held")
}

// Jobs lists this user's jobs of the given names that have not ended, array tasks one by one.
func (c Client) Jobs(ctx context.Context, names ...string) ([]Job, error) {
	out, err := c.ask(ctx, "squeue", "--noheader", "--array", "--user="+strconv.Itoa(os.Getuid()),
		"--name="+strings.Join(names, ","), "--format=%F|%K|%j|%T|%N|%E|%r")
	if err != nil {
		return nil, err
	}
	var jobs []Job
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), "|", 7)
		if len(f) < 7 || !isNumber(f[0]) || !slices.Contains(names, f[2]) {
			continue // a site's greeting
		}
		index, err := strconv.Atoi(f[1])
		if err != nil {
			index = -1
		}
		jobs = append(jobs, Job{Job: f[0], Index: index, Name: f[2], State: f[3], Node: f[4], Dependency: f[5], Reason: f[6]})
	}
	return jobs, nil
}

// Life is what became of a task: its state, and how often it was put back into the queue.
type Life struct {
	State    string
	Restarts int
}

// Lives returns the tasks of a job by their index (−1 for a job that is no array), as far
// as SLURM remembers them: none if it has forgotten the job, which it does some minutes
// after the end.
func (c Client) Lives(ctx context.Context, job string) (map[int]Life, error) {
	out, err := c.ask(ctx, "squeue", "--noheader", "--array", "--states=all", "--jobs="+job,
		"--Format=ArrayJobID:20,ArrayTaskID:20,RestartCnt:20,State:20")
	if refused := (*CommandError)(nil); errors.As(err, &refused) && strings.Contains(refused.Text, "Invalid job id") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lives := map[int]Life{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] != job {
			continue
		}
		index, err := strconv.Atoi(f[1])
		if err != nil {
			index = -1
		}
		if restarts, err := strconv.Atoi(f[2]); err == nil {
			lives[index] = Life{State: f[3], Restarts: restarts}
		}
	}
	if len(lives) == 0 {
		return nil, fmt.Errorf("squeue said of job %s what cannot be understood: %q", job, out)
	}
	return lives, nil
}

// Over says whether this life of a task has ended, going by what Lives said of its job, be that before this life began: the end
// of an earlier life says nothing, nor does waiting in the queue after as many restarts as this life had.
func (t Task) Over(lives map[int]Life) bool {
	life, known := lives[t.Index]
	if !known {
		return len(lives) == 0
	}
	if life.State == "COMPLETING" { // it may still run a process, of the life before if SLURM counts the next one already
		return life.Restarts > t.Restarts+1
	}
	return life.Restarts > t.Restarts || life.Restarts == t.Restarts && slices.Contains(ended, life.State)
}

// ended are the states in which a life ends.
var ended = []string{"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
	"TIMEOUT"}

// MaxArraySize is the number of tasks that an array may have.
func (c Client) MaxArraySize(ctx context.Context) (int, error) {
	value, err := c.config(ctx, "MaxArraySize")
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("scontrol show config has %q for MaxArraySize", value)
	}
	return n, nil
}

// Cluster is the name of the cluster that the commands speak to.
func (c Client) Cluster(ctx context.Context) (string, error) { return c.config(ctx, "ClusterName") }

// config is what the configuration says of a key.
func (c Client) config(ctx context.Context, key string) (string, error) {
	out, err := c.ask(ctx, "scontrol", "show", "config")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("scontrol show config does not tell %s", key)
}

// Requeue puts a task back into the queue. SLURM ends the process that asks for it, and may
// end scontrol too before that has heard of its success.
func (c Client) Requeue(ctx context.Context, task Task) error {
	_, _, err := run(ctx, orderPatience, "", "scontrol", "requeue", task.ID())
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) && !ended.Exited() {
		return nil
	}
	return err
}

// Cancel ends jobs, whole arrays among them.
func (c Client) Cancel(ctx context.Context, ids ...string) error {
	_, _, err := run(ctx, orderPatience, "", "scancel", ids...)
	return err
}
