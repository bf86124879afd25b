package shard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Worker computes units of a run, beside any number of other workers.
type Worker struct {
	Run       *Run
	Evaluator Evaluator
	Codec     Codec
	Rank      int // of Ranks workers that were started together: where this one begins
	Ranks     int // 0 counts as 1
	// Static gives each rank the units whose number leaves its Rank when divided by
	// Ranks, and no others, without claims.
	Static bool
	Units  []int // in the order of the work; nil for all, the costliest first
	// Deadline is when the worker must have ended, by the monotonic clock; zero for never. It begins no points
	// that would last longer, as far as points before tell.
	Deadline time.Time
	// Patience is how long it waits, with nothing to begin, for units that others compute; zero for as long as they take, or
	// until the deadline.
	Patience time.Duration
	Progress func(Event)       // may be nil
	Notes    map[string]string // further provenance for every shard; may be nil
	System   System            // nil for Machine{}
}

// Event tells of progress.
type Event struct {
	Kind   EventKind
	Unit   int
	Points int   // newly known to be finished: all events of a whole run add up to its points
	Err    error // of AttemptFailed
}

// EventKind says what happened.
type EventKind int

const (
	Computed      EventKind = iota // here
	Resumed                        // found in the journals of earlier attempts
	Elsewhere                      // published by another worker, or before
	TakenOver                      // the unit was another worker's
	Waiting                        // all units that are left are being computed elsewhere
	AttemptFailed                  // the evaluator gave up
)

// Report is what a worker did.
type Report struct {
	Computed  int      // points
	Resumed   int      // points found in journals
	Published int      // units
	Left      int      // units that others computed when it ended, having nothing to begin
	Problems  []string // journals that were not usable as a whole
}

// maxFailures is after how many failed attempts in a row a worker gives up: then it is
// not the unit that is to blame.
const maxFailures = 3

// errAttempt is an attempt that the evaluator failed; the worker may go on with others.
type errAttempt struct {
	unit int
	err  error
}

func (e errAttempt) Error() string { return fmt.Sprintf("computing unit %d: %v", e.unit, e.err) }
func (e errAttempt) Unwrap() error { return e.err }

// Work computes until every unit is published, by whomever, or its patience is over. It computes no point that a
// journal has, and takes units over whose worker is gone. When ctx is cancelled it drops
// the points in progress and returns an error that is ErrInterrupted, near the deadline, if there is more to begin, one that is
// ErrDeadline too; after failures of the evaluator it returns one that is ErrIncomplete and holds the cause.
func (w *Worker) Work(ctx context.Context) (Report, error) {
	s, err := w.begin()
	if err != nil {
		return Report{}, err
	}
	// A run that was copied may have lost its empty folders.
	if err := makeFolders(w.Run.files, w.Run.Dir); err != nil {
		return Report{}, err
	}
	err = s.work(ctx)
	return s.report, err
}

// session is a Worker at work.
type session struct {
	*Worker
	claims   *claims
	view     *view
	seen     time.Time // the look that todo knows of
	pace     *pace
	forecast *forecast
	system   System
	name     string      // of this worker, in the names of its attempts
	todo     []int       // units not yet known to be published, in visiting order
	counted  map[int]int // points of a unit that events have told of
	began    time.Time
	idle     time.Time // since when it has nothing to begin; zero while it has
	attempts int
	failed   []error
	report   Report
}

// begin checks what the worker was given and looks at the run.
func (w *Worker) begin() (*session, error) {
	kernel := w.Evaluator.Kernel()
	if !w.Run.Plan.Mix && kernel != w.Run.Plan.Kernel {
		return nil, fmt.Errorf("%w: this worker computes with %s, and the plan of %s wants %s: use a machine that has it, or plan with --mix",
			ErrRefused, kernel, w.Run.Dir, w.Run.Plan.Kernel)
	}
	if w.Rank < 0 || w.Rank >= max(w.Ranks, 1) {
		return nil, fmt.Errorf("rank %d is not one of %d", w.Rank, w.Ranks)
	}
	if err := w.Run.refuseForeign(w.Codec); err != nil {
		return nil, err
	}
	for _, u := range w.Units {
		if u < 0 || u >= len(w.Run.units) {
			return nil, fmt.Errorf("there is no unit %d: the units of %s go from 0 to %d", u, w.Run.Dir, len(w.Run.units)-1)
		}
	}
	s := &session{Worker: w, system: w.System, counted: map[int]int{}, forecast: newForecast(w.Run.Plan)}
	if s.system == nil {
		s.system = Machine{}
	}
	self := s.system.Self()
	s.name = fmt.Sprintf("%s-%d-%s", fileName(self.Host), self.PID, newNonce())
	s.claims = newClaims(w.Run, s.system, kernel)
	s.view, s.pace = s.claims.view, s.claims.pace
	if s.todo = slices.Clone(w.Units); s.todo == nil {
		for _, u := range w.Run.units {
			s.todo = append(s.todo, u.Index)
		}
	}
	if w.Static {
		s.todo = slices.DeleteFunc(s.todo, func(u int) bool { return u%max(w.Ranks, 1) != w.Rank })
	}
	return s, nil
}

// arrange takes in what the last look has shown: it forgets the units that are published and puts the others in order.
func (s *session) arrange() error {
	if s.seen.IsZero() {
		s.Run.dropCarries(func(u int) bool { return s.view.published[u] })
	}
	s.seen = s.view.at
	s.todo = slices.DeleteFunc(s.todo, func(u int) bool {
		if s.view.published[u] {
			s.tell(Event{Kind: Elsewhere, Unit: u, Points: s.Run.units[u].Count - s.counted[u]})
		}
		return s.view.published[u]
	})
	if s.Units != nil { // they have an order
		return nil
	}
	if err := s.forecast.learn(s.view); err != nil {
		return err
	}
	if s.todo = s.forecast.costliestFirst(s.Run.units, s.todo); !s.Static {
		var free, taken []int // apart, so that those who want the last free units do not all begin with the same
		for _, u := range s.todo {
			if s.view.claimed[u] == 0 {
				free = append(free, u)
			} else {
				taken = append(taken, u)
			}
		}
		spread := s.spread()
		s.todo = append(roundRobin(free, s.Rank, spread), roundRobin(taken, s.Rank, spread)...)
	}
	return nil
}

// spread is how many workers probably want a unit while a look holds: they begin apart.
func (s *session) spread() int {
	ranks := max(s.Ranks, 1)
	if s.attempts == 0 { // they start together
		return ranks
	}
	unit := time.Since(s.began) / time.Duration(s.attempts)
	return min(ranks, 1+int(float64(ranks)*s.view.age().Seconds()/max(unit.Seconds(), 1e-9)))
}

// fileName makes text fit to be part of a file's name.
func fileName(text string) string {
	return strings.Map(func(c rune) rune {
		if c == '-' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			return c
		}
		return '_'
	}, text)
}

func (s *session) tell(e Event) {
	if e.Kind == Elsewhere { // it is complete
		delete(s.counted, e.Unit)
	} else if e.Points > 0 {
		s.counted[e.Unit] += e.Points
	}
	if s.Progress != nil {
		s.Progress(e)
	}
}

func (s *session) work(ctx context.Context) error {
	s.began = time.Now()
	failures := 0
	pause := minPause
	for ctx.Err() == nil {
		if s.Static || s.view.old() { // without claims only a look tells what others do
			if err := s.view.look(); err != nil {
				return err
			}
		}
		if s.seen != s.view.at {
			if err := s.arrange(); err != nil {
				return err
			}
		}
		if len(s.todo) == 0 || failures == maxFailures {
			return s.outcome()
		}
		if s.idle.IsZero() && s.late(nil) {
			return s.interrupted(ErrDeadline)
		}
		claim, unit, err := s.next()
		if err != nil {
			return err
		}
		if unit < 0 {
			if s.impatient() || s.late(nil) {
				s.report.Left = len(s.todo)
				return s.outcome()
			}
			s.wait(ctx, &pause)
			continue
		}
		pause, s.idle = minPause, time.Time{}
		s.attempts++
		err = s.attempt(ctx, s.Run.units[unit], claim)
		var failed errAttempt
		switch {
		case err == nil:
			failures = 0
		case err == ErrDeadline:
			return s.interrupted(err)
		case err == ctx.Err(): // and the loop ends
		case errors.As(err, &failed):
			failures++
			s.failed = append(s.failed, err)
			s.forget(unit)
			s.tell(Event{Kind: AttemptFailed, Unit: unit, Err: failed.err})
		default:
			return err
		}
	}
	return s.interrupted(ErrInterrupted)
}

func (s *session) interrupted(err error) error {
	if !s.idle.IsZero() {
		s.report.Left = len(s.todo)
	}
	return fmt.Errorf("%w: %d points were finished; the same command goes on from there", err, s.report.Computed)
}

// late reports whether points, or without any a cheap one, may last beyond the deadline.
func (s *session) late(points []int) bool {
	if s.Deadline.IsZero() {
		return false
	}
	longest := s.pace.longest(points)
	return !time.Now().Add(longest + longest/4).Before(s.Deadline)
}

// next chooses a unit to work on, or -1 if others have all of them. A static worker
// needs no claim.
func (s *session) next() (*claim, int, error) {
	if s.Static {
		return nil, s.todo[0], nil
	}
	for {
		claim, err := s.claims.acquire(s.todo)
		if claim == nil {
			return nil, -1, err
		}
		if claim.generation == 1 {
			return claim, claim.unit, nil
		}
		err = s.view.look() // its owner may have published it just before giving the claim back
		if err == nil && !s.view.published[claim.unit] {
			s.tell(Event{Kind: TakenOver, Unit: claim.unit})
			return claim, claim.unit, nil
		}
		if err != nil {
			claim.release(released)
			return nil, -1, err
		}
		claim.release(finished)
	}
}

// outcome is what the worker ends with when it has nothing left to do.
func (s *session) outcome() error {
	if len(s.failed) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d attempts failed here, the first while %w", ErrIncomplete, len(s.failed), s.failed[0])
}

// forget drops a unit from the list, which it mostly heads.
func (s *session) forget(unit int) {
	if i := slices.Index(s.todo, unit); i == 0 {
		s.todo = s.todo[1:]
	} else if i > 0 {
		s.todo = slices.Delete(s.todo, i, i+1)
	}
}

// A worker that waits looks again after a pause that doubles.
const (
	minPause = 250 * time.Millisecond
	maxPause = 15 * time.Second
)

// impatient reports whether the worker has had nothing to begin for as long as it has patience.
func (s *session) impatient() bool {
	if s.idle.IsZero() {
		s.idle = time.Now()
	}
	return s.Patience > 0 && time.Since(s.idle) >= s.Patience
}

func (s *session) wait(ctx context.Context, pause *time.Duration) {
	if *pause == minPause {
		s.tell(Event{Kind: Waiting, Unit: s.todo[0]})
	}
	length := max(*pause, s.view.age())
	if s.Patience > 0 {
		length = min(length, time.Until(s.idle.Add(s.Patience)))
	}
	if !s.Deadline.IsZero() {
		length = min(length, time.Until(s.Deadline))
	}
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
	*pause = min(2**pause, maxPause)
}

// attempt computes what no journal has of a unit and publishes it.
func (s *session) attempt(ctx context.Context, unit Unit, claim *claim) (err error) {
	if claim != nil {
		defer func() {
			if err == nil {
				claim.release(finished)
			} else {
				claim.release(released)
			}
		}()
	}
	name := fmt.Sprintf("%s.%s", unitName(unit.Index), s.name)
	log, err := s.Run.openLog(name, s.Evaluator.Kernel())
	if err != nil {
		return err
	}
	defer func() { log.end(err) }()
	points, err := s.resume(unit)
	if err != nil {
		return err
	}
	if err := s.compute(ctx, unit, claim, name, points); err != nil {
		return err
	}
	return s.publish(unit, points)
}

// resume returns what earlier attempts at the unit have finished.
func (s *session) resume(unit Unit) (map[int]entry, error) {
	points, problems, err := s.Run.journaled(unit, s.view.journalsOf(unit.Index))
	if err != nil {
		return nil, err
	}
	s.report.Problems = append(s.report.Problems, problems...)
	s.report.Resumed += len(points)
	if len(points) > 0 {
		s.tell(Event{Kind: Resumed, Unit: unit.Index, Points: len(points) - s.counted[unit.Index]})
	}
	return points, nil
}

// compute adds the points that are missing, each to the attempt's journal first.
func (s *session) compute(ctx context.Context, unit Unit, claim *claim, attempt string, points map[int]entry) error {
	missing := unit.missing(points)
	if len(missing) == 0 {
		return nil
	}
	kernel := s.Evaluator.Kernel()
	journal, err := s.Run.files.Append(s.Run.path(journalDir, attempt))
	if err != nil {
		return fmt.Errorf("opening a journal: %w", err)
	}
	defer journal.Close()
	if err := journal.Append(s.Run.journalHeader(unit.Index, kernel)); err != nil {
		return fmt.Errorf("writing a journal: %w", err)
	}
	var storage error // of the journal, told from the evaluator's
	last := time.Now()
	done := func(record Record) error {
		if err := s.Run.checkRecord(unit, record); err != nil {
			return err
		}
		if err := s.Run.keep(unit.Index, record.Carry); err != nil {
			storage = err
			return err
		}
		now := time.Now()
		s.pace.add(record.Point, now.Sub(last))
		if err := journal.Append(journalFrame(record, now.Sub(last))); err != nil {
			storage = fmt.Errorf("writing a journal: %w", err)
			return storage
		}
		points[record.Point] = entry{Record: record, kernel: kernel, carry: identify(record.Carry)}
		last = now
		if claim != nil {
			claim.worked.Store(true)
		}
		s.report.Computed++
		s.tell(Event{Kind: Computed, Unit: unit.Index, Points: 1})
		return nil
	}
	for len(missing) > 0 {
		batch := missing[:together(missing, s.Evaluator.Batch())]
		missing = missing[len(batch):]
		if s.late(batch) {
			return ErrDeadline
		}
		carry, err := s.carried(ctx, unit, batch[0], points)
		if err == nil {
			if err = s.Evaluator.Evaluate(ctx, batch, carry, done); err != nil {
				err = errAttempt{unit.Index, err}
			}
		}
		switch {
		case storage != nil:
			return storage
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		}
		for _, k := range batch {
			if _, ok := points[k]; !ok {
				return errAttempt{unit.Index, fmt.Errorf("point %d was left out", k)}
			}
		}
	}
	return nil
}

// together is how many of the first points, at most most, follow one another without a gap, across which
// nothing could be handed on.
func together(points []int, most int) int {
	n := 1
	for n < min(len(points), most) && points[n] == points[n-1]+1 {
		n++
	}
	return n
}

// missing lists the unit's points that are not in points.
func (u Unit) missing(points map[int]entry) []int {
	var missing []int
	for k := u.First; k < u.First+u.Count; k++ {
		if _, ok := points[k]; !ok {
			missing = append(missing, k)
		}
	}
	return missing
}

// publish makes the unit's shard. Its name is its hash, so that replacing does no harm.
func (s *session) publish(unit Unit, points map[int]entry) error {
	shard := &Shard{Plan: s.Run.Bytes, Unit: unit.Index, Notes: map[string]string{hostNote: s.system.Self().Host}}
	maps.Copy(shard.Notes, s.Notes)
	byKernel := map[string][]int{}
	for k := unit.First; k < unit.First+unit.Count; k++ {
		shard.Records = append(shard.Records, points[k].Record)
		byKernel[points[k].kernel] = append(byKernel[points[k].kernel], k)
	}
	noteKernels(shard.Notes, byKernel)
	data, err := s.Codec.EncodeShard(shard)
	if err != nil {
		return fmt.Errorf("encoding the shard of unit %d: %w", unit.Index, err)
	}
	if err := s.Run.files.Publish(s.Run.path(shardsDir, shardName(unit.Index, data)), data); err != nil {
		return fmt.Errorf("publishing the shard of unit %d: %w", unit.Index, err)
	}
	s.Run.dropCarries(func(u int) bool { return u == unit.Index })
	s.report.Published++
	s.view.published[unit.Index] = true
	s.forget(unit.Index)
	return nil
}

// hostNote is the name of the note that says where a shard was computed.
const hostNote = "host"

// kernelNote begins the names of the notes that say which points a kernel computed, as in
// "kernel avx2": "0-15,17". Only plans with Mix have more than one.
const kernelNote = "kernel "

func noteKernels(notes map[string]string, points map[string][]int) {
	for kernel, numbers := range points {
		notes[kernelNote+kernel] = FormatRanges(numbers)
	}
}
