package shard

import (
	"fmt"
	"strings"
	"time"
)

// RunStatus is how far a run is.
type RunStatus struct {
	Run           string    `json:"run"`
	PlanID        string    `json:"plan_id"`
	Points        int       `json:"points"`
	PointsDone    int       `json:"points_done"` // in shards and journals
	Units         int       `json:"units"`
	UnitsDone     int       `json:"units_done"`
	Running       []Running `json:"running"`         // claimed, and not known to be given up
	Missing       string    `json:"missing"`         // units neither done nor running: "3,7-9"
	SecondsAPoint float64   `json:"seconds_a_point"` // of one worker, from the journals; 0 if there are none
	PointsASecond float64   `json:"points_a_second"` // of all that run
	ETASeconds    float64   `json:"eta_seconds"`     // 0 if nobody runs, or nothing is known
	Failed        []Failure `json:"failed"`
	Problems      []string  `json:"problems"`
}

// Running is a unit at work.
type Running struct {
	Unit       int    `json:"unit"`
	Generation int    `json:"generation"`
	Host       string `json:"host"`
	PID        int    `json:"pid"`
	Job        string `json:"job"`
	Kernel     string `json:"kernel"`
}

// Failure is an attempt that ended with an error.
type Failure struct {
	Attempt string `json:"attempt"`
	Unit    int    `json:"unit"`
	Cause   string `json:"cause"`
}

// Status looks at a run without changing anything. A worker of another host counts as
// running until another succeeds it: one look cannot tell whether its claim moves.
// system may be nil for Machine{}.
func (r *Run) Status(system System) (*RunStatus, error) {
	if system == nil {
		system = Machine{}
	}
	published, err := r.published()
	if err != nil {
		return nil, err
	}
	s := &RunStatus{Run: r.Dir, PlanID: r.ID, Points: r.Plan.Grid.Points(), Units: len(r.units),
		UnitsDone: len(published), Running: []Running{}, Failed: []Failure{}, Problems: []string{}}
	if err := s.addJournals(r, published); err != nil {
		return nil, err
	}
	if err := s.addClaims(r, published, system); err != nil {
		return nil, err
	}
	if err := s.addFailures(r); err != nil {
		return nil, err
	}
	if n := len(s.Running); n > 0 && s.SecondsAPoint > 0 {
		s.PointsASecond = float64(n) / s.SecondsAPoint
		s.ETASeconds = float64(s.Points-s.PointsDone) / s.PointsASecond
	}
	return s, nil
}

// addJournals counts points and their time.
func (s *RunStatus) addJournals(run *Run, published map[int]bool) error {
	names, err := run.list(journalDir)
	if err != nil {
		return err
	}
	byUnit := namesByUnit(names)
	var timed int
	var took time.Duration
	for _, unit := range run.units {
		points, problems, err := run.journaled(unit, byUnit[unit.Index])
		if err != nil {
			return err
		}
		s.Problems = append(s.Problems, problems...)
		for _, e := range points {
			timed++
			took += e.took
		}
		if published[unit.Index] {
			s.PointsDone += unit.Count
		} else {
			s.PointsDone += len(points)
		}
	}
	if timed > 0 {
		s.SecondsAPoint = took.Seconds() / float64(timed)
	}
	return nil
}

// addClaims tells units at work from those that nobody has.
func (s *RunStatus) addClaims(run *Run, published map[int]bool, system System) error {
	latest, err := run.latestClaims()
	if err != nil {
		return err
	}
	var missing []int
	for _, unit := range run.units {
		u := unit.Index
		if published[u] {
			continue
		}
		if latest[u] == 0 {
			missing = append(missing, u)
			continue
		}
		data, err := run.files.ReadFile(run.path(claimsDir, claimName(u, latest[u])))
		if err != nil && !noFile(err) {
			return fmt.Errorf("reading a claim: %w", err)
		}
		t, ok := parseClaim(data)
		if !ok || t.over(system) {
			missing = append(missing, u)
			continue
		}
		s.Running = append(s.Running, Running{u, latest[u], t.Host, t.PID, t.Job, t.Kernel})
	}
	s.Missing = FormatRanges(missing)
	return nil
}

// addFailures reads the logs for attempts that failed.
func (s *RunStatus) addFailures(run *Run) error {
	names, err := run.list(logDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		attempt, isLog := strings.CutSuffix(name, ".log")
		unit, _, ok := parseUnitName(name)
		if !isLog || !ok {
			continue
		}
		data, err := run.files.ReadFile(run.path(logDir, name))
		if err != nil && !noFile(err) {
			return fmt.Errorf("reading a log: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if _, cause, ok := strings.Cut(strings.TrimSpace(line), " "+failedWord+" "); ok {
				s.Failed = append(s.Failed, Failure{attempt, unit, cause})
			}
		}
	}
	return nil
}
