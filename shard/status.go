package shard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"
)

// RunStatus is how far a run is.
type RunStatus struct {
	Run                  string       `json:"run"`
	PlanID               string       `json:"plan_id"`
	Points               int          `json:"points"`
	PointsDone           int          `json:"points_done"`         // in shards and journals
	HessianPoints        int          `json:"hessian_points"`      // of them with curvature
	HessianPointsDone    int          `json:"hessian_points_done"` //
	Units                int          `json:"units"`
	UnitsDone            int          `json:"units_done"`
	Running              []Running    `json:"running"`                 // claimed, and not known to be given up
	Missing              string       `json:"missing"`                 // units neither done nor running: "3,7-9"
	SecondsAPoint        float64      `json:"seconds_a_point"`         // without curvature, of one worker; 0 if no journal tells
	SecondsAHessianPoint float64      `json:"seconds_a_hessian_point"` // with curvature
	PointsASecond        float64      `json:"points_a_second"`         // of all that run, over the points that are left
	ETASeconds           float64      `json:"eta_seconds"`             // 0 if nobody runs, or nothing is known
	Hosts                []HostStatus `json:"hosts"`                   // slowest first
	Interrupted          int          `json:"interrupted"`             // attempts that a signal or a deadline ended
	Failed               []Failure    `json:"failed"`                  // most frequent first
	Problems             []string     `json:"problems"`
}

// Running is a unit at work.
type Running struct {
	Unit       int    `json:"unit"`
	Points     int    `json:"points"`
	PointsDone int    `json:"points_done"`
	Generation int    `json:"generation"`
	Host       string `json:"host"`
	PID        int    `json:"pid"`
	Job        string `json:"job"`
	Kernel     string `json:"kernel"`
}

// HostStatus is what the workers of a host have done, by the journals.
type HostStatus struct {
	Host    string  `json:"host"` // as in the names of journals
	Running int     `json:"running"`
	Points  int     `json:"points"`
	Seconds float64 `json:"seconds"` // of its workers together
	// Speed is the time that the average worker of the run takes for such points, divided by that of this
	// host's; 0 without points.
	Speed float64 `json:"speed"`
}

// Failure is a cause that attempts failed of.
type Failure struct {
	Cause    string   `json:"cause"` // in the words of the first of them
	Attempts int      `json:"attempts"`
	Units    string   `json:"units"`   // of these attempts
	Left     int      `json:"left"`    // units of them that are not finished
	Hosts    []string `json:"hosts"`   // as in the names of journals
	Attempt  string   `json:"attempt"` // the first of them, whose log is RUN/log/ATTEMPT.log
}

// lostCause is that of attempts whose log simply ends.
const lostCause = "it ended without a word: killed, out of memory, or its machine went down"

// Status looks at a run without changing anything. A worker of another host counts as
// running until another succeeds it: one look cannot tell whether its claim moves.
// system may be nil for Machine{}.
func (r *Run) Status(system System) (*RunStatus, error) {
	if system == nil {
		system = Machine{}
	}
	attempts, err := r.attempts() // before the claims: who has just begun to run is not lost
	if err != nil {
		return nil, err
	}
	v := &survey{view: newView(r), hosts: map[string]*times{},
		RunStatus: &RunStatus{Run: r.Dir, PlanID: r.ID, Points: r.Plan.Grid.Points(), Units: len(r.units),
			Running: []Running{}, Hosts: []HostStatus{}, Failed: []Failure{}, Problems: []string{}}}
	if err := v.look(); err != nil {
		return nil, err
	}
	if h := r.Plan.Hessian; h != nil {
		v.HessianPoints = h.Points(r.Plan.Grid)
	}
	if err := v.addJournals(); err != nil {
		return nil, err
	}
	if err := v.addClaims(system); err != nil {
		return nil, err
	}
	v.addAttempts(attempts)
	v.foretell()
	return v.RunStatus, nil
}

// survey is a RunStatus in the making.
type survey struct {
	*RunStatus
	*view
	left   [][2]int // points that are left, by unit: without curvature, and with it
	total  times
	hosts  map[string]*times
	latest []*claimText // of unpublished units; nil for none that can be read
}

// times is what points have taken, without curvature and with it.
type times struct {
	points  [2]int
	seconds [2]float64
}

func (t *times) add(class int, took time.Duration) {
	t.points[class]++
	t.seconds[class] += took.Seconds()
}

// mean is 0 where there were no such points.
func (t *times) mean(class int) float64 { return t.seconds[class] / float64(max(t.points[class], 1)) }

// readers is how many files are read at a time: on a network file system reading is mostly waiting.
const readers = 16

// each calls f for 0, 1, …, n − 1, several at a time.
func each(n int, f func(i int) error) error {
	var group errgroup.Group
	group.SetLimit(readers)
	for i := range n {
		group.Go(func() error { return f(i) })
	}
	return group.Wait()
}

// addJournals counts points and their time.
func (v *survey) addJournals() error {
	units := v.run.units
	found, problems := make([]map[int]timing, len(units)), make([][]string, len(units))
	journals := namesByUnit(v.journals)
	err := each(len(units), func(u int) (err error) {
		found[u], problems[u], err = v.run.timings(units[u], journals[u])
		return err
	})
	if err != nil {
		return err
	}
	v.Problems = append(v.Problems, slices.Concat(problems...)...)
	v.left = make([][2]int, len(units))
	for u, unit := range units {
		if v.published[u] {
			v.UnitsDone++
		}
		for k := unit.First; k < unit.First+unit.Count; k++ {
			class := v.run.Plan.class(k)
			t, journaled := found[u][k]
			if journaled {
				v.total.add(class, t.took)
				v.host(t.host).add(class, t.took)
			}
			if !journaled && !v.published[u] {
				v.left[u][class]++
				continue
			}
			v.PointsDone++
			v.HessianPointsDone += class
		}
	}
	return nil
}

// timing is how long a point took, and where.
type timing struct {
	host string
	took time.Duration
}

func (r *Run) timings(unit Unit, journals []string) (map[int]timing, []string, error) {
	points, problems, err := r.journaled(unit, journals)
	found := make(map[int]timing, len(points))
	for k, e := range points {
		found[k] = timing{hostOf(e.attempt), e.took}
	}
	return found, problems, err
}

// host is the work of a host's workers.
func (v *survey) host(name string) *times {
	if v.hosts[name] == nil {
		v.hosts[name] = &times{}
	}
	return v.hosts[name]
}

// addClaims tells units at work from those that nobody has.
func (v *survey) addClaims(system System) error {
	v.latest = make([]*claimText, len(v.run.units))
	err := each(len(v.run.units), func(u int) error {
		if v.claimed[u] == 0 || v.published[u] {
			return nil
		}
		data, err := v.run.files.ReadFile(v.run.path(claimsDir, claimName(u, int(v.claimed[u]))))
		if err != nil && !noFile(err) {
			return fmt.Errorf("reading a claim: %w", err)
		}
		if t, ok := parseClaim(data); ok {
			v.latest[u] = &t
		}
		return nil
	})
	if err != nil {
		return err
	}
	var missing []int
	for u, t := range v.latest {
		switch {
		case v.published[u]:
		case t == nil || t.over(system):
			missing = append(missing, u)
		default:
			count := v.run.units[u].Count
			v.Running = append(v.Running, Running{Unit: u, Points: count, PointsDone: count - v.left[u][0] - v.left[u][1],
				Generation: int(v.claimed[u]), Host: t.Host, PID: t.PID, Job: t.Job, Kernel: t.Kernel})
		}
	}
	v.Missing = FormatRanges(missing)
	return nil
}

// addAttempts groups the attempts that failed by what they failed of.
func (v *survey) addAttempts(attempts []attempt) {
	running, ended := map[int]bool{}, map[int]bool{}
	for _, r := range v.Running {
		running[r.Unit] = true
	}
	for _, a := range attempts {
		ended[a.unit] = ended[a.unit] || a.published
	}
	groups := map[string]*Failure{}
	units := map[string][]int{}
	for _, a := range attempts {
		switch {
		case a.interrupted:
			v.Interrupted++
			continue
		case a.published, a.open && !v.lost(a, running[a.unit], ended[a.unit]):
			continue
		case a.open:
			a.cause = lostCause
		}
		key := alike(a.cause)
		g := groups[key]
		if g == nil {
			g = &Failure{Cause: a.cause, Attempt: a.name, Hosts: []string{}}
			groups[key] = g
		}
		g.Attempts++
		if host := hostOf(a.name); !slices.Contains(g.Hosts, host) {
			g.Hosts = append(g.Hosts, host)
		}
		if !slices.Contains(units[key], a.unit) {
			units[key] = append(units[key], a.unit)
			if !v.published[a.unit] {
				g.Left++
			}
		}
	}
	for key, g := range groups {
		slices.Sort(units[key])
		slices.Sort(g.Hosts)
		g.Units = FormatRanges(units[key])
		v.Failed = append(v.Failed, *g)
	}
	slices.SortFunc(v.Failed, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), strings.Compare(a.Attempt, b.Attempt))
	})
}

// lost says whether an attempt whose log has no end is over. Where its unit has no claim (static workers make none) nobody
// knows; where the unit is published and no log says by whom, it may have been this attempt a moment ago.
func (v *survey) lost(a attempt, running, ended bool) bool {
	t := v.latest[a.unit]
	switch {
	case v.published[a.unit]:
		return ended
	case t == nil:
		return false
	case !strings.HasPrefix(a.name, attemptPrefix(a.unit, t.Owner)): // it was succeeded
		return true
	}
	return !running && t.Nonce != released
}

// alike is what causes have in common that differ only in numbers, names of files of units, and the like.
func alike(cause string) string {
	words := strings.Fields(cause)
	for i, word := range words {
		if strings.ContainsFunc(word, unicode.IsDigit) {
			words[i] = "…"
		}
	}
	return strings.Join(words, " ")
}

// foretell compares the hosts and foretells the end: all that is left, divided by what those who run do together, but no
// less than the longest of the units at work.
func (v *survey) foretell() {
	v.SecondsAPoint, v.SecondsAHessianPoint = v.total.mean(0), v.total.mean(1)
	running := map[string]int{}
	for _, r := range v.Running {
		running[fileName(r.Host)]++
		v.host(fileName(r.Host))
	}
	speeds := map[string]float64{}
	for _, name := range slices.Sorted(maps.Keys(v.hosts)) {
		t := v.hosts[name]
		h := HostStatus{Host: name, Running: running[name], Points: t.points[0] + t.points[1], Seconds: t.seconds[0] + t.seconds[1]}
		if h.Seconds > 0 {
			h.Speed = v.seconds(t.points) / h.Seconds
		}
		speeds[name] = cmp.Or(h.Speed, 1)
		v.Hosts = append(v.Hosts, h)
	}
	slices.SortStableFunc(v.Hosts, func(a, b HostStatus) int { return cmp.Compare(a.Speed, b.Speed) })
	if v.total.points == [2]int{} || len(v.Running) == 0 {
		return
	}
	var left [2]int
	for _, l := range v.left {
		left[0] += l[0]
		left[1] += l[1]
	}
	together, longest := 0.0, 0.0
	for _, r := range v.Running {
		speed := speeds[fileName(r.Host)]
		together += speed
		longest = max(longest, v.seconds(v.left[r.Unit])/speed)
	}
	if all := v.seconds(left) / together; all > 0 {
		v.PointsASecond = float64(left[0]+left[1]) / all
		v.ETASeconds = max(all, longest)
	}
}

// seconds is what points without and with curvature take an average worker. Where one of the two has no times yet, the
// plan's estimate of its work beside the other's stands in.
func (v *survey) seconds(points [2]int) float64 {
	means := [2]float64{v.total.mean(0), v.total.mean(1)}
	work := v.run.Plan.Work
	costs := [2]float64{float64(max(work.Point, 1)), float64(max(work.Point+work.Hessian, 1))}
	for class := range means {
		if v.total.points[class] == 0 {
			means[class] = v.total.mean(1-class) * costs[class] / costs[1-class]
		}
	}
	return float64(points[0])*means[0] + float64(points[1])*means[1]
}
