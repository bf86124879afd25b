package main

import (
	"context"
	"time"

	"lsrun/shard"
	"lsrun/slurm"
)

// scheduler is the system of a worker that SLURM started: it also knows claims to be
// abandoned whose jobs have ended or were put back into the queue.
type scheduler struct {
	shard.Machine
	task   slurm.Task
	ask    func(ctx context.Context, job string) (map[int]slurm.Life, error)
	pause  time.Duration
	answer map[string]answer // by job
}

// answer is what SLURM said of a job's tasks, and until when that is believed.
type answer struct {
	lives map[int]slurm.Life
	err   error
	until time.Time
}

// All workers of a run together ask SLURM at most twenty times a second for each job.
const (
	leastPause = 10 * time.Second
	rankPause  = 50 * time.Millisecond
)

// newSystem is the system of one of so many workers.
func newSystem(getenv func(string) string, ranks int) shard.System {
	task, ok := slurm.TaskFrom(getenv)
	if !ok {
		return shard.Machine{}
	}
	return &scheduler{Machine: shard.Machine{Job: task.String()}, task: task, ask: slurm.Client{}.Lives,
		pause: max(leastPause, time.Duration(ranks)*rankPause), answer: map[string]answer{}}
}

// Dead says whether the owner is gone, as far as this machine or SLURM knows.
func (s *scheduler) Dead(o shard.Owner) bool {
	if s.Machine.Dead(o) {
		return true
	}
	task, ok := slurm.ParseTask(o.Job)
	if !ok || task.Cluster != s.task.Cluster {
		return false
	}
	if task.ID() == s.task.ID() { // without asking: an earlier life of this very task
		return task.Restarts < s.task.Restarts
	}
	a, ok := s.answer[task.Job]
	if !ok || time.Now().After(a.until) {
		a.lives, a.err = s.ask(context.Background(), task.Job)
		a.until = time.Now().Add(s.pause)
		s.answer[task.Job] = a
	}
	return a.err == nil && task.Over(a.lives)
}
