package main

import (
	"encoding/json"
	"slices"
	"strings"

	"lsrun/slurm/slurmtest"
)

// report is what status says on the cluster.
func (s *scenario) report() (r statusReport) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.do("status", "--json", s.run)), &r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// look watches what status adds to claims: it knows the queue, and that a killed worker's task is over.
func (s *scenario) look() {
	s.submit()
	s.midway()
	s.signal("STOP") // however fast the processor, the run is not over before anything could be seen
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
	s.cluster.Wait(s.t, "all workers to end", func() bool {
		s.signal("KILL") // again and again: those that have yet to begin too
		workers, _ := s.jobs()
		return !slices.ContainsFunc(workers, func(j slurmtest.Job) bool { return !j.Over() })
	})
	if len(s.atWork()) == 0 {
		s.t.Error("the killed workers gave their claims back")
	}
	r = s.report()
	if len(r.Running) > 0 || r.Missing == "" || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Cause, "without a word") {
		s.t.Errorf("after all workers were killed: %+v, failed %+v", r.Running, r.Failed)
	}
	s.submit()
	s.converges(0)
}
