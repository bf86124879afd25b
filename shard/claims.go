package shard

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// A claim keeps workers from computing a unit twice; correctness never depends on it. It
// is a file claims/u00017.g1, made exclusively, with a nonce that its owner rewrites
// every heartbeat. A claim that its owner gave back, whose owner is dead, or that stands
// still for longer than patience heartbeats is succeeded by the next generation, g2. One of another host whose unit
// is finished stands still too: so long its shard may take to become visible on a network file system.
// Nothing is deleted, and no two clocks are compared.
//
// The heart of a worker whose evaluator hangs still beats. So a claim tells too when its owner last finished a point, and
// one who waits succeeds it when that is stuckShare times as long ago as the slowest point took that he has computed himself,
// and at least stuckTime. A point that is merely slow, there, is then computed twice, but for a fraction of the time for
// which it was waited; who has computed none himself knows nothing, and waits.
const (
	heartbeat  = 30 * time.Second
	patience   = 3
	stuckShare = 20
	stuckTime  = 10 * time.Minute
)

// The nonces of claims whose owners are done with them.
const (
	released = "----------------" // given back: the unit is free
	finished = "++++++++++++++++" // the unit has its shard, even where others do not see it yet
)

// claimText is what a claim's file holds. Every rewriting has the same length.
type claimText struct {
	Owner
	Kernel string `json:"kernel"`
	Nonce  string `json:"nonce"`
	Work   string `json:"work"` // the nonce of the first heartbeat since a point was finished
}

func newNonce() string {
	var b [len(released) / 2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (t claimText) bytes() []byte {
	data, err := json.Marshal(t)
	if err != nil {
		panic("shard: a claim is not JSON")
	}
	return append(data, '\n')
}

// claims is one worker's part in a run's claims.
type claims struct {
	run    *Run
	system System
	text   claimText
	view   *view
	pace   *pace // of this worker
	seen   map[string]*sighting
}

// sighting is how a claim of somebody else has looked.
type sighting struct{ beat, work stillness }

// stillness is how long something has been the same, in intervals that this worker
// itself lived through: one that was suspended for an hour has seen one interval.
type stillness struct {
	content   string
	at        time.Time // by the monotonic clock
	intervals int
}

// see looks once more and returns the intervals.
func (s *stillness) see(content string) int {
	switch {
	case s.at.IsZero() || s.content != content:
		*s = stillness{content: content, at: time.Now()}
	case time.Since(s.at) >= heartbeat:
		s.at = time.Now()
		s.intervals++
	}
	return s.intervals
}

func newClaims(run *Run, system System, kernel string) *claims {
	return &claims{run: run, system: system, text: claimText{Owner: system.Self(), Kernel: kernel}, view: newView(run),
		pace: &pace{plan: run.Plan}, seen: map[string]*sighting{}}
}

func claimName(unit, generation int) string {
	return fmt.Sprintf("%s.g%d", unitName(unit), generation)
}

const (
	// maxLosses is how many units a worker loses to others before it looks anew at what there is.
	maxLosses = 4
	// maxWatched is how many claims of others a worker that has nothing to do watches.
	maxWatched = 64
)

// acquire claims the first of units that is free: one never claimed, else one whose
// claim can be succeeded. It returns nil if there is none.
func (c *claims) acquire(units []int) (*claim, error) {
	for {
		if c.view.old() {
			if err := c.view.look(); err != nil {
				return nil, err
			}
		}
		fresh := c.view.fresh
		c.view.fresh = false
		claim, lost, err := c.takeUnclaimed(units)
		switch {
		case claim != nil || err != nil:
			return claim, err
		case fresh && !lost:
			return c.succeed(units)
		}
		c.view.at = time.Time{}
	}
}

// takeUnclaimed claims the first of units that nobody seems to have had. It gives up after maxLosses: then lost is true.
func (c *claims) takeUnclaimed(units []int) (claim *claim, lost bool, err error) {
	losses := 0
	for _, unit := range units {
		if c.view.claimed[unit] > 0 || c.view.published[unit] {
			continue
		}
		if claim, err := c.take(unit); claim != nil || err != nil {
			return claim, false, err
		}
		if losses++; losses == maxLosses {
			return nil, true, nil
		}
	}
	return nil, false, nil
}

// succeed claims the first of units whose owner is gone.
func (c *claims) succeed(units []int) (*claim, error) {
	watched := 0
	for _, unit := range units {
		if c.view.published[unit] {
			continue
		}
		if watched++; watched > maxWatched { // they come into sight when those before them are published
			break
		}
		abandoned, err := c.abandoned(unit)
		if err != nil {
			return nil, err
		}
		if abandoned {
			if claim, err := c.take(unit); claim != nil || err != nil {
				return claim, err
			}
		}
	}
	return nil, nil
}

// take makes the next generation of unit's claim; nil if somebody else was faster.
func (c *claims) take(unit int) (*claim, error) {
	c.view.claimed[unit]++ // whoever gets it
	generation := int(c.view.claimed[unit])
	text := c.text
	text.Nonce = newNonce()
	text.Work = text.Nonce
	path := c.run.path(claimsDir, claimName(unit, generation))
	err := c.run.files.Claim(path, text.bytes())
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claiming unit %d: %w", unit, err)
	}
	claim := &claim{unit: unit, generation: generation, path: path, text: text, files: c.run.files, stop: make(chan struct{})}
	claim.beating.Go(claim.beat)
	return claim, nil
}

// abandoned says whether the newest claim of unit can be succeeded.
func (c *claims) abandoned(unit int) (bool, error) {
	name := claimName(unit, int(c.view.claimed[unit]))
	data, err := c.run.files.ReadFile(c.run.path(claimsDir, name))
	if err != nil && !noFile(err) { // one made a moment ago may not be visible here yet
		return false, fmt.Errorf("reading a claim: %w", err)
	}
	t, ok := parseClaim(data)
	late := t.Nonce == finished && t.Host != c.text.Host // a host sees its own files at once
	if ok && !late && t.over(c.system) {
		return true, nil
	}
	s := c.seen[name]
	if s == nil {
		s = &sighting{}
		c.seen[name] = s
	}
	beats, works := s.beat.see(string(data)), s.work.see(t.Work)
	return beats >= patience || c.stuck(unit, works), nil
}

// stuck says whether a worker that has finished no point of a unit for so many intervals hangs.
func (c *claims) stuck(unit, intervals int) bool {
	longest := c.pace.longest(c.run.units[unit].missing(nil))
	return longest > 0 && time.Duration(intervals)*heartbeat >= max(stuckShare*longest, stuckTime)
}

// parseClaim reads a claim; one that is not visible here yet is empty.
func parseClaim(data []byte) (t claimText, ok bool) {
	err := json.Unmarshal(data, &t)
	return t, err == nil
}

// ClaimText says in words what a claim's file holds; ok is false if data is none.
func ClaimText(data []byte) (text string, ok bool) {
	t, ok := parseClaim(data)
	if !ok || t.Nonce == "" {
		return "", false
	}
	text = fmt.Sprintf("process %d on %s", t.PID, t.Host)
	if t.Job != "" {
		text += ", job " + t.Job
	}
	text += ", kernel " + t.Kernel
	switch t.Nonce {
	case released:
		return text + ": given back, the unit is free", true
	case finished:
		return text + ": the unit is finished", true
	}
	return text + ": at work, if it lives", true
}

// over says whether the claim's owner has given it back or is dead.
func (t claimText) over(system System) bool { return t.Nonce == released || system.Dead(t.Owner) }

// claim is a claim of one's own.
type claim struct {
	unit       int
	generation int
	path       string
	text       claimText
	files      Files
	worked     atomic.Bool // a point was finished since the last heartbeat
	stop       chan struct{}
	beating    sync.WaitGroup
}

// beat renews the claim until release. An error does no harm: at worst somebody else
// computes the unit too.
func (c *claim) beat() {
	for {
		select {
		case <-c.stop:
			return
		case <-time.After(heartbeat):
			c.text.Nonce = newNonce()
			if c.worked.Swap(false) {
				c.text.Work = c.text.Nonce
			}
			c.files.Rewrite(c.path, c.text.bytes())
		}
	}
}

// release ends the claim with the nonce released or finished.
func (c *claim) release(nonce string) {
	close(c.stop)
	c.beating.Wait()
	c.text.Nonce = nonce
	c.files.Rewrite(c.path, c.text.bytes())
}

// free succeeds the newest claim of a unit, whose shard proved corrupt, by one that is given back, so that nobody waits for
// that shard.
func (r *Run) free(unit int) error {
	if unit >= len(r.units) { // a wrong name
		return nil
	}
	v := newView(r)
	if err := v.look(); err != nil || unit >= len(v.claimed) || v.claimed[unit] == 0 { // anything can be called a shard
		return err
	}
	err := r.files.Claim(r.path(claimsDir, claimName(unit, int(v.claimed[unit])+1)), claimText{Nonce: released}.bytes())
	if errors.Is(err, fs.ErrExist) { // somebody was faster
		return nil
	}
	return err
}
