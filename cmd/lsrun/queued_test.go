package main

import (
	"encoding/json"
	"slices"
	"strings"
	"syscall"

	"lsrun/slurm/slurmtest"
)

// report is what status says on the cluster when SLURM answers it in time, which it may not on a busy machine.
func (s *scenario) report() (r statusReport) {
	s.t.Helper()
	s.cluster.Wait(s.t, "an answer to status", func() bool {
		r = statusReport{}
		if err := json.Unmarshal([]byte(s.do("status", "--json", s.run)), &r); err != nil {
			s.t.Fatal(err)
		}
		return !strings.Contains(r.Queue.Problem, "gave no answer")
	})
	return r
}

// look watches what status adds to claims: it knows the queue, and that a killed worker's task is over.
func (s *scenario) look() {
	s.submit()
	s.holdAtWork() // until they are killed
	r := s.report()
	waiting := 0
	for _, n := range r.Queue.Waiting {
		waiting += n
	}
	if r.Queue.Problem != "" || r.Queue.Running == 0 || r.Queue.Running+waiting > 8 || r.Queue.Merge != "PENDING" || len(r.Running) == 0 {
		s.t.Errorf("midway: %+v, at work %+v", r.Queue, r.Running)
	}
	workers, _ := s.jobs()
	array, _, _ := strings.Cut(workers[0].ID, "_")
	s.cluster.Run(s.t, "scancel", "--state=PENDING", array)
	if n := s.signal(syscall.SIGKILL); n != maxRunning {
		s.t.Errorf("%d workers to kill", n)
	}
	s.cluster.Wait(s.t, "all workers to end", func() bool {
		workers, _ := s.jobs()
		return !slices.ContainsFunc(workers, func(j slurmtest.Job) bool { return !j.Over() })
	})
	if len(s.atWork()) == 0 {
		s.t.Error("the killed workers gave their claims back")
	}
	s.cluster.Wait(s.t, "status to hear of every task's end", func() bool { // it asks for the queue and for claims' tasks apart
		r = s.report()
		return len(r.Running) == 0
	})
	if r.Missing == "" || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Cause, "without a word") {
		s.t.Errorf("after all workers were killed: missing %q, failed %+v", r.Missing, r.Failed)
	}
	s.submit()
	s.converges(0)
}
