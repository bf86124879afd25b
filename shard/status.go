package shard

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	published, err := r.published()
	if err != nil {
		return nil, err
	}
	v := &survey{run: r, published: published, hosts: map[string]*hostWork{},
		RunStatus: &RunStatus{Run: r.Dir, PlanID: r.ID, Points: r.Plan.Grid.Points(), Units: len(r.units),
			UnitsDone: len(published), Running: []Running{}, Hosts: []HostStatus{}, Failed: []Failure{}, Problems: []string{}}}
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
	v.forecast()
	return v.RunStatus, nil
}

// survey is a RunStatus in the making.
type survey struct {
	*RunStatus
	run       *Run
	published map[int]bool
	left      []tally // points that are left, by unit
	total     hostWork
	hosts     map[string]*hostWork
	latest    []*claimText // of unpublished units; nil for none that can be read
}

// tally counts points without curvature, and with it: they cost differently.
type tally [2]int

func (t *tally) add(other tally) {
	t[0] += other[0]
	t[1] += other[1]
}

// hostWork is what workers have done.
type hostWork struct {
	points  tally
	seconds [2]float64
}

func (w *hostWork) add(other hostWork) {
	w.points.add(other.points)
	w.seconds[0] += other.seconds[0]
	w.seconds[1] += other.seconds[1]
}

// mean is the time of a point of each class; 0 where there was none.
func (w *hostWork) mean() (seconds [2]float64) {
	for class, n := range w.points {
		if n > 0 {
			seconds[class] = w.seconds[class] / float64(n)
		}
	}
	return seconds
}

// class is the one of a tally's two that point k belongs to.
func (p *Plan) class(k int) int {
	if p.costly(k) {
		return 1
	}
	return 0
}

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

// unitProgress is what the journals tell of a unit.
type unitProgress struct {
	done     tally
	hosts    map[string]*hostWork
	problems []string
}

// addJournals counts points and their time.
func (v *survey) addJournals() error {
	names, err := v.run.list(journalDir)
	if err != nil {
		return err
	}
	byUnit := namesByUnit(names)
	works := make([]unitProgress, len(v.run.units))
	err = each(len(works), func(u int) (err error) {
		works[u], err = v.run.unitProgress(v.run.units[u], byUnit[u])
		return err
	})
	if err != nil {
		return err
	}
	v.left = make([]tally, len(works))
	for u, w := range works {
		v.Problems = append(v.Problems, w.problems...)
		for host, work := range w.hosts {
			if v.hosts[host] == nil {
				v.hosts[host] = &hostWork{}
			}
			v.hosts[host].add(*work)
			v.total.add(*work)
		}
		var all tally
		for k := range v.run.units[u].Count {
			all[v.run.Plan.class(v.run.units[u].First+k)]++
		}
		if v.published[u] {
			w.done = all
		}
		v.PointsDone += w.done[0] + w.done[1]
		v.HessianPointsDone += w.done[1]
		v.left[u] = tally{all[0] - w.done[0], all[1] - w.done[1]}
	}
	return nil
}

func (r *Run) unitProgress(unit Unit, journals []string) (unitProgress, error) {
	points, problems, err := r.journaled(unit, journals)
	w := unitProgress{hosts: map[string]*hostWork{}, problems: problems}
	for k, e := range points {
		class, host := r.Plan.class(k), hostOf(e.attempt)
		if w.hosts[host] == nil {
			w.hosts[host] = &hostWork{}
		}
		w.done[class]++
		w.hosts[host].points[class]++
		w.hosts[host].seconds[class] += e.took.Seconds()
	}
	return w, err
}

// addClaims tells units at work from those that nobody has.
func (v *survey) addClaims(system System) error {
	latest, err := v.run.latestClaims()
	if err != nil {
		return err
	}
	v.latest = make([]*claimText, len(v.run.units))
	err = each(len(v.run.units), func(u int) error {
		if latest[u] == 0 || v.published[u] {
			return nil
		}
		data, err := v.run.files.ReadFile(v.run.path(claimsDir, claimName(u, latest[u])))
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
				Generation: latest[u], Host: t.Host, PID: t.PID, Job: t.Job, Kernel: t.Kernel})
		}
	}
	v.Missing = FormatRanges(missing)
	return nil
}

// addAttempts groups the attempts that failed by what they failed of.
func (v *survey) addAttempts(attempts []attempt) {
	running := map[int]bool{}
	for _, r := range v.Running {
		running[r.Unit] = true
	}
	groups := map[string]*Failure{}
	units := map[string][]int{}
	for _, a := range attempts {
		switch {
		case a.interrupted:
			v.Interrupted++
			continue
		case a.cause == "" && !a.open, a.open && !v.lost(a, running[a.unit]):
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

// lost says whether an attempt whose log has no end is over. Where its unit has no claim (static workers make none) nobody knows.
func (v *survey) lost(a attempt, running bool) bool {
	t := v.latest[a.unit]
	switch {
	case v.published[a.unit]:
		return true
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

// forecast compares the hosts and foretells the end: all that is left, divided by what those who run do together, but no
// less than the longest of the units at work. Where one class of points has no times yet, the plan's estimate of its
// work beside the other's stands in.
func (v *survey) forecast() {
	mean := v.total.mean()
	v.SecondsAPoint, v.SecondsAHessianPoint = mean[0], mean[1]
	if w := v.run.Plan.Work; w.Point > 0 && mean[1] == 0 {
		mean[1] = mean[0] * float64(w.Point+w.Hessian) / float64(w.Point)
	} else if w.Point > 0 && mean[0] == 0 {
		mean[0] = mean[1] * float64(w.Point) / float64(w.Point+w.Hessian)
	}
	work := func(t tally) float64 { return float64(t[0])*mean[0] + float64(t[1])*mean[1] }
	running := map[string]int{}
	for _, r := range v.Running {
		running[fileName(r.Host)]++
		if host := fileName(r.Host); v.hosts[host] == nil {
			v.hosts[host] = &hostWork{}
		}
	}
	for _, host := range slices.Sorted(maps.Keys(v.hosts)) {
		w := v.hosts[host]
		h := HostStatus{Host: host, Running: running[host], Points: w.points[0] + w.points[1], Seconds: w.seconds[0] + w.seconds[1]}
		if h.Seconds > 0 {
			h.Speed = work(w.points) / h.Seconds
		}
		v.Hosts = append(v.Hosts, h)
	}
	slices.SortStableFunc(v.Hosts, func(a, b HostStatus) int { return cmp.Compare(a.Speed, b.Speed) })
	var left tally
	for _, t := range v.left {
		left.add(t)
	}
	if len(v.Running) == 0 || left[0] > 0 && mean[0] == 0 || left[1] > 0 && mean[1] == 0 {
		return
	}
	speeds := map[string]float64{}
	for _, h := range v.Hosts {
		speeds[h.Host] = h.Speed
	}
	together, longest := 0.0, 0.0
	for _, r := range v.Running {
		speed := cmp.Or(speeds[fileName(r.Host)], 1)
		together += speed
		longest = max(longest, work(v.left[r.Unit])/speed)
	}
	if all := work(left) / together; all > 0 {
		v.PointsASecond = float64(left[0]+left[1]) / all
		v.ETASeconds = max(all, longest)
	}
}

// attempt is what a log tells of one.
type attempt struct {
	name        string
	unit        int
	open        bool // the log has no end
	interrupted bool
	cause       string // of its failure
}

// attempts reads the logs.
func (r *Run) attempts() ([]attempt, error) {
	names, err := r.list(logDir)
	if err != nil {
		return nil, err
	}
	found := make([][]attempt, len(names))
	err = each(len(names), func(i int) error {
		name, isLog := strings.CutSuffix(names[i], ".log")
		unit, _, ok := parseUnitName(name)
		if !isLog || !ok || unit >= len(r.units) {
			return nil
		}
		data, err := r.files.ReadFile(r.path(logDir, names[i]))
		if err != nil && !noFile(err) {
			return fmt.Errorf("reading a log: %w", err)
		}
		found[i] = parseLog(name, unit, string(data))
		return nil
	})
	return slices.Concat(found...), err
}

// parseLog reads a log: a worker that tries a unit twice has both attempts in one.
func parseLog(name string, unit int, text string) []attempt {
	var found []attempt
	for line := range strings.Lines(text) {
		_, said, _ := strings.Cut(strings.TrimSpace(line), " ")
		word, rest, _ := strings.Cut(said, " ")
		if word == beganWord {
			found = append(found, attempt{name: name, unit: unit, open: true})
		}
		if len(found) == 0 {
			continue
		}
		a := &found[len(found)-1]
		switch word {
		case publishedWord:
			a.open = false
		case interruptedWord:
			a.open, a.interrupted = false, true
		case failedWord:
			a.open, a.cause = false, rest
		}
	}
	return found
}

// attemptPrefix begins the names of a worker's attempts at a unit.
func attemptPrefix(unit int, owner Owner) string {
	return fmt.Sprintf("%s.%s-%d-", unitName(unit), fileName(owner.Host), owner.PID)
}

// hostOf is the host in an attempt's name, "u00017.HOST-PID-NONCE", as fileName writes it.
func hostOf(attempt string) string {
	_, host, _ := strings.Cut(attempt, ".")
	for range 2 {
		if i := strings.LastIndexByte(host, '-'); i >= 0 {
			host = host[:i]
		}
	}
	return host
}
