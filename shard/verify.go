package shard

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
)

// Verification is what Verify found. It holds the surface that a merge would make of what is good.
type Verification struct {
	Points, Done     int     // of the plan; of them in good shards and journals
	Shards, Journals int     // read
	Journaled        int     // points in journals
	Carries          int     // read
	Quarantined      int     // shards that a merge has put away; they are not read
	Findings         []error // each is ErrCorrupt or ErrRefused and names its file

	*merger
}

// Verify reads everything in a run that the plan's own files do not hold, changes nothing, and holds it against the
// plan, its checksums, and each other.
func Verify(run *Run, codec Codec) (*Verification, error) {
	v := &Verification{Points: run.Plan.Grid.Points(), merger: newMerger(run)}
	for _, check := range []func() error{
		func() error { return v.checkShards(codec) },
		v.checkJournals, v.checkCarries,
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	quarantined, err := run.list(quarantineDir)
	if err != nil {
		return nil, err
	}
	v.Quarantined = len(quarantined)
	v.finish()
	v.Done = v.report.Done
	return v, nil
}

// find keeps a finding, and returns any other error.
func (v *Verification) find(err error) error {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrRefused) {
		v.Findings = append(v.Findings, err)
		return nil
	}
	return err
}

func (v *Verification) corrupt(path, format string, args ...any) {
	v.Findings = append(v.Findings, fmt.Errorf("%w: %s: %s", ErrCorrupt, path, fmt.Sprintf(format, args...)))
}

func (v *Verification) checkShards(codec Codec) error {
	names, err := v.run.list(shardsDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := v.add(codec, name)
		if errors.Is(err, errLate) {
			continue
		}
		if err := v.find(err); err != nil {
			return err
		}
	}
	for _, problem := range v.report.Problems {
		v.corrupt(v.run.Dir, "%s", problem)
	}
	v.Shards = len(names)
	return nil
}

// checkJournals holds journaled points against those of shards and earlier journals, and takes those that are new.
func (v *Verification) checkJournals() error {
	names, err := v.run.list(journalDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := v.run.path(journalDir, name)
		unit, _, ok := parseUnitName(name)
		if !ok || unit >= len(v.run.units) {
			v.corrupt(path, "this is not the name of a journal of this plan")
			continue
		}
		data, err := v.run.files.ReadFile(path)
		switch {
		case isOther(err):
			v.corrupt(path, "%v", err)
			continue
		case errors.Is(err, fs.ErrNotExist): // not visible here yet: nobody deletes journals
			continue
		case err != nil:
			return fmt.Errorf("reading a journal: %w", err)
		}
		v.Journals++
		entries, problem := v.run.parseJournal(v.run.units[unit], data)
		if id := journalPlan(data); id != "" && id != v.run.ID {
			v.Findings = append(v.Findings, fmt.Errorf("%w: %s: %s: move it to the run that it came from", ErrRefused, path, problem))
		} else if problem != "" {
			v.corrupt(path, "%s", problem)
		}
		v.Journaled += len(entries)
		for _, e := range entries {
			v.takeEntry(path, e)
		}
	}
	return nil
}

// takeEntry takes a journaled point. Kernels that were mixed on purpose are not held against each other.
func (v *Verification) takeEntry(path string, e entry) {
	if !v.surface.has(e.Point) {
		v.set(e.Record)
		v.kernels[e.kernel] = append(v.kernels[e.kernel], e.Point)
		return
	}
	if d, ok := difference(v.at(e.Point), e.Record); !v.run.Plan.Mix && (!ok || d > duplicateTolerance) {
		v.Findings = append(v.Findings, fmt.Errorf("%w: %s: point %d is not what another attempt found by more than %g: one of the machines computes wrongly",
			ErrRefused, path, e.Point, duplicateTolerance))
	}
}

// journalPlan is the id of the plan that a journal says it belongs to; "" if it says none.
func journalPlan(data []byte) string {
	data, ok := bytes.CutPrefix(data, []byte(journalMagic))
	head, _, whole := cutFrame(data)
	if !ok || !whole || len(head) < 36 {
		return ""
	}
	return hex.EncodeToString(head[:32])
}

// checkCarries compares carries with their names.
func (v *Verification) checkCarries() error {
	names, err := v.run.list(carryDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := v.run.path(carryDir, name)
		data, err := v.run.files.ReadFile(path)
		if noFile(err) { // its unit has just been published
			continue
		}
		if err != nil {
			return fmt.Errorf("reading what a point hands on: %w", err)
		}
		v.Carries++
		if _, hash, ok := parseUnitName(name); !ok || hash != PlanID(data) {
			v.corrupt(path, "its SHA-256 is not that of its name; it is made again where it is needed")
		}
	}
	return nil
}

// CheckSurface returns an error unless data is a surface of the run that holds nothing but what shards and journals
// hold. done is how many points it has.
func (v *Verification) CheckSurface(codec Codec, data []byte) (done int, err error) {
	s, err := CheckSurface(codec, data)
	if err != nil {
		return 0, err
	}
	switch {
	case !bytes.Equal(s.Plan, v.run.Bytes):
		return 0, fmt.Errorf("%w: it is a surface of another plan:\n  %s", ErrRefused, strings.Join(Differences(v.run.Bytes, s.Plan), "\n  "))
	case !s.isPartOf(v.surface):
		return 0, fmt.Errorf("%w: it has points that are not, or not the same, in the shards and journals of the run", ErrCorrupt)
	}
	return s.Finished(), nil
}

// CheckSurface decodes a surface file and holds its arrays against the plan that is in it.
func CheckSurface(codec Codec, data []byte) (*Surface, error) {
	s, err := codec.DecodeSurface(data)
	if err != nil {
		return nil, err
	}
	if s.Plan == nil {
		return nil, fmt.Errorf("%w: it was not written by lsrun: it has no plan to be held against", ErrRefused)
	}
	run, err := runOf(s.Plan)
	if err != nil {
		return nil, err
	}
	want := newMerger(run).surface // of the same shape, with nothing in it
	switch {
	case !slices.Equal(s.X, want.X) || !slices.Equal(s.Y, want.Y):
		err = errors.New("its coordinates are not those of its plan's grid")
	case !sameShape(want, s):
		err = errors.New("its arrays are not those that its plan asks for")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return s, nil
}

// sameShape says whether two surfaces have the same layers, with all that is beside them.
func sameShape(a, b *Surface) bool {
	return slices.EqualFunc(a.Layers, b.Layers, func(a, b Layer) bool {
		return a.Name == b.Name && len(a.Values) == len(b.Values) && len(a.Status) == len(b.Status) &&
			maps.EqualFunc(a.Beside, b.Beside, func(a, b []float64) bool { return len(a) == len(b) })
	})
}

// CheckShard decodes a shard file that may lie anywhere and holds it against the plan that is in it, and against the
// hash in its name, if it has the name of a shard.
func CheckShard(codec Codec, name string, data []byte) (*Shard, error) {
	if _, hash, ok := parseShardName(name); ok && hash != PlanID(data) {
		return nil, fmt.Errorf("%w: its SHA-256 is not that of its name", ErrCorrupt)
	}
	s, err := codec.DecodeShard(data)
	if err != nil {
		return nil, err
	}
	run, err := runOf(s.Plan)
	if err != nil {
		return nil, err
	}
	if _, err := run.checkShard(s, s.Unit); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return s, nil
}

// IsJournal says whether data begins like a journal of any version.
func IsJournal(data []byte) bool { return bytes.HasPrefix(data, []byte(journalMagic[:7])) }

// CheckJournal reads a journal that lies in its run's folder, and returns how many points it holds.
func CheckJournal(files Files, path string) (points int, err error) {
	run, err := Open(files, filepath.Dir(filepath.Dir(path)))
	if err != nil {
		return 0, fmt.Errorf("a journal is held against the plan two folders above it: %w", err)
	}
	data, err := files.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if id := journalPlan(data); id != "" && id != run.ID {
		return 0, fmt.Errorf("%w: it belongs to the plan %.12s…", ErrRefused, id)
	}
	unit, _, ok := parseUnitName(filepath.Base(path))
	if !ok || unit >= len(run.units) {
		return 0, fmt.Errorf("%w: its name is not that of a journal of this plan", ErrCorrupt)
	}
	entries, problem := run.parseJournal(run.units[unit], data)
	if problem != "" {
		return len(entries), fmt.Errorf("%w: %s", ErrCorrupt, problem)
	}
	return len(entries), nil
}

// Sample draws n of the finished points, or all if there are fewer, that the kernel has computed together with the points
// which they start from. It returns them rising.
func (v *Verification) Sample(kernel string, n int, seed uint64) []int {
	own := map[int]bool{}
	for _, k := range v.kernels[kernel] {
		own[k] = true
	}
	var points []int
	for _, unit := range v.run.units {
		chain := true // of points that hand something on
		for k := unit.First; k < unit.First+unit.Count; k++ {
			chain = chain && (own[k] || !v.run.Plan.costly(k))
			if own[k] && (chain || !v.run.Plan.costly(k)) {
				points = append(points, k)
			}
		}
	}
	random := rand.New(rand.NewPCG(seed, uint64(len(points))))
	random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	points = points[:min(n, len(points))]
	slices.Sort(points)
	return points
}

// Recompute computes point k once more, from the first point of its unit that hands something on, and returns an error
// unless it finds the same bits.
func (v *Verification) Recompute(ctx context.Context, e Evaluator, k int) error {
	var carry []byte
	var again Record
	evaluate := func(k int) error {
		return e.Evaluate(ctx, []int{k}, carry, func(r Record) error {
			if again = r; r.Carry != nil {
				carry = r.Carry
			}
			return nil
		})
	}
	if v.run.Plan.costly(k) {
		for before := v.run.unitOf(k).First; before < k; before++ {
			if v.run.Plan.costly(before) {
				if err := evaluate(before); err != nil {
					return err
				}
			}
		}
	}
	if err := evaluate(k); err != nil {
		return err
	}
	there := v.at(k)
	if sameBits(there, again) {
		return nil
	}
	for i, c := range v.run.Plan.Columns() {
		if a, b := there.Values[i], again.Values[i]; math.Float64bits(a) != math.Float64bits(b) {
			name := strings.TrimSuffix(v.run.Plan.Metrics[c.Metric].Name+"/"+c.Beside, "/")
			return fmt.Errorf("%w: point %d: %s is recorded as %v, and here it is %v: this machine or the one that computed it does not compute rightly", ErrCorrupt, k, name, a, b)
		}
	}
	return fmt.Errorf("%w: point %d: its statuses %v are here %v", ErrCorrupt, k, there.Status, again.Status)
}

// unitOf is the unit that holds point k.
func (r *Run) unitOf(k int) Unit {
	i, _ := slices.BinarySearchFunc(r.units, k, func(u Unit, k int) int { return u.First + u.Count - 1 - k })
	return r.units[i]
}
