package shard

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// view is what a worker has seen of a run's folders, and knows of its own deeds since. It may be out of date: claims decide by
// O_EXCL, and a unit that is computed once more does no harm.
type view struct {
	run       *Run
	at        time.Time // of the last look; zero before the first
	took      time.Duration
	fresh     bool     // no claim has been tried since
	published []bool   // by unit
	claimed   []int32  // by unit, the newest generation of its claims; 0 for none
	journals  []string // their names
}

const (
	// viewShare is how many times as long as it takes a look is taken to hold: so at most half a percent of the time is
	// spent on looking, on slow file systems too.
	viewShare = 200
	// maxAge is how long at most: a look takes hours where the server was away meanwhile, or this process stopped.
	maxAge = 5 * time.Minute
)

func newView(run *Run) *view { return &view{run: run} }

// old reports whether it is time for another look.
func (v *view) old() bool {
	return v.at.IsZero() || time.Since(v.at) > v.age()
}

// age is how old a look may become.
func (v *view) age() time.Duration { return min(viewShare*v.took, maxAge) }

// look reads the folders.
func (v *view) look() error {
	began := time.Now()
	var lists [3][]string
	for i, folder := range []string{shardsDir, claimsDir, journalDir} {
		var err error
		if lists[i], err = v.run.list(folder); err != nil {
			return err
		}
	}
	units := len(v.run.units)
	if v.claimed == nil {
		v.published, v.claimed = make([]bool, units), make([]int32, units)
	}
	clear(v.published) // but claims that were met before they are listed, as on a network file system, stay known
	for _, name := range lists[0] {
		if unit, _, ok := parseShardName(name); ok && unit < units {
			v.published[unit] = true
		}
	}
	for _, name := range lists[1] {
		if unit, generation, ok := parseClaimName(name); ok && unit < units {
			v.claimed[unit] = max(v.claimed[unit], int32(generation))
		}
	}
	v.journals = lists[2]
	v.at, v.took, v.fresh = time.Now(), time.Since(began), true
	return nil
}

// journalsOf lists the journals of one unit. namesByUnit finds those of many at once.
func (v *view) journalsOf(unit int) (names []string) {
	prefix := unitName(unit) + "."
	for _, name := range v.journals {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// parseClaimName is the inverse of claimName.
func parseClaimName(name string) (unit, generation int, ok bool) {
	unit, rest, ok := parseUnitName(name)
	digits, isClaim := strings.CutPrefix(rest, "g")
	generation, err := strconv.Atoi(digits)
	return unit, generation, ok && isClaim && err == nil && 0 < generation && generation < math.MaxInt32 && digits == strconv.Itoa(generation)
}
