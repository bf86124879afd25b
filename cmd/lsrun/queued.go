package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"lsrun/shard"
	"lsrun/slurm"
)

// queued is what SLURM says of a run's jobs.
type queued struct {
	Problem string         `json:"problem"` // why nothing is known; "" if SLURM answered
	Running int            `json:"running"` // workers
	Waiting map[string]int `json:"waiting"` // workers by the reason
	Held    []string       `json:"held"`    // workers that somebody has to release
	Merge   string         `json:"merge"`   // the state of the merge's job; "" if there is none
	Ended   []slurm.End    `json:"ended"`   // workers' lives that did not end well, if the site keeps accounts
}

// slurmPatience is how long status waits for SLURM, for all questions together.
const slurmPatience = 2 * time.Second

// observer looks at runs, with SLURM's help where there is SLURM.
type observer struct {
	slurm bool
	at    time.Time // of the last questions
	last  *queued
}

// minAsking is how long an observer goes by what SLURM said last.
const minAsking = 30 * time.Second

func newObserver() *observer {
	_, err := exec.LookPath("squeue")
	return &observer{slurm: err == nil}
}

// look is the status of a run, and what SLURM says; nil where there is no SLURM.
func (o *observer) look(ctx context.Context, run *shard.Run) (*shard.RunStatus, *queued, error) {
	if !o.slurm || !o.at.IsZero() && time.Since(o.at) < minAsking {
		s, err := run.Status(nil)
		return s, o.last, err
	}
	ctx, cancel := context.WithTimeout(ctx, slurmPatience)
	defer cancel()
	var asking sync.WaitGroup
	asking.Go(func() { o.last = askQueue(ctx, run) })
	s, err := run.Status(o.system(ctx))
	asking.Wait()
	o.at = time.Now()
	return s, o.last, err
}

// system knows of claims' owners what this machine knows, and SLURM, if they are of its cluster.
func (o *observer) system(ctx context.Context) shard.System {
	client := slurm.Client{} // less patient by ctx
	return &clusterView{
		scheduler: scheduler{ask: func(_ context.Context, job string) (map[int]slurm.Life, error) { return client.Lives(ctx, job) },
			pause: time.Hour, answer: map[string]answer{}},
		cluster: sync.OnceValue(func() string {
			name, _ := client.Cluster(ctx) // without an answer nothing is known
			return name
		}),
	}
}

// clusterView is the scheduler of somebody who belongs to no job.
type clusterView struct {
	scheduler
	cluster func() string
}

func (v *clusterView) Dead(o shard.Owner) bool {
	if _, ok := slurm.ParseTask(o.Job); ok {
		v.task = slurm.Task{Cluster: cmp.Or(v.cluster(), "unknown"), Index: -1}
	}
	return v.scheduler.Dead(o)
}

// askQueue asks for the run's jobs, and how those that are over ended.
func askQueue(ctx context.Context, run *shard.Run) *queued {
	client := slurm.Client{} // less patient by ctx
	name := jobName(run)
	q := &queued{Waiting: map[string]int{}, Held: []string{}, Ended: []slurm.End{}}
	var accounts sync.WaitGroup
	accounts.Go(func() {
		if ends, err := client.Ends(ctx, name); err == nil && ends != nil {
			q.Ended = ends
		}
	})
	defer accounts.Wait()
	jobs, err := client.Jobs(ctx, name, mergeName(name))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		q.Problem = fmt.Sprintf("SLURM gave no answer in %v", slurmPatience)
	case err != nil:
		q.Problem = err.Error()
	}
	for _, job := range jobs {
		switch {
		case job.Name != name:
			q.Merge = job.State
		case job.Held():
			q.Held = append(q.Held, job.ID())
		case job.State == "PENDING":
			q.Waiting[job.Reason]++
		default:
			q.Running++
		}
	}
	return q
}

func (q *queued) write(out io.Writer) {
	switch {
	case q == nil:
		return
	case q.Problem != "":
		fmt.Fprintf(out, "queue       unknown: %s\n", abridged(q.Problem))
	default:
		if parts := q.parts(); len(parts) > 0 {
			fmt.Fprintf(out, "queue       %s\n", strings.Join(parts, ", "))
		}
	}
	byState := map[string][]slurm.End{}
	for _, end := range q.Ended {
		byState[end.State] = append(byState[end.State], end)
	}
	for _, state := range slices.Sorted(maps.Keys(byState)) {
		ends := byState[state]
		last := ends[len(ends)-1]
		fmt.Fprintf(out, "ended       %s × %s, the last one job %s on %s\n", count(int64(len(ends))), state, last.ID, last.Node)
	}
}

// parts are the workers and the merge in words.
func (q *queued) parts() []string {
	var parts []string
	if q.Running > 0 {
		parts = append(parts, plural(q.Running, "worker")+" running")
	}
	for _, reason := range slices.Sorted(maps.Keys(q.Waiting)) {
		parts = append(parts, fmt.Sprintf("%s waiting (%s)", count(int64(q.Waiting[reason])), reason))
	}
	if len(q.Held) > 0 {
		parts = append(parts, "held, to be let go on by scontrol release: "+abridgedList(q.Held, 8))
	}
	if q.Merge != "" {
		parts = append(parts, "the merge "+strings.ToLower(q.Merge))
	}
	return parts
}
