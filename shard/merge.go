package shard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// MergeOptions says what Merge may do.
type MergeOptions struct {
	// AllowPartial makes a surface of what is there, unpublished points of journals
	// included; the rest is NaN with the status Missing.
	AllowPartial bool
	// ReadOnly leaves corrupt shards where they are; the report's problems name them.
	ReadOnly bool
}

// MergeReport is what Merge found.
type MergeReport struct {
	Points      int                 // of the plan
	Done        int                 // of them in the surface
	Shards      int                 // read and good
	Missing     []int               // units without a good shard
	Quarantined []string            // shards that were corrupt, with the reason
	Resolved    []string            // shards that differ from a used one within the tolerance
	Problems    []string            // other files that were not usable
	Hosts       []string            // where the shards were computed, sorted
	Notes       map[string][]string // what the used shards note, by name, each list sorted
	Kernels     []string            // what computed them, sorted
}

// duplicateTolerance is the relative difference up to which two shards of a unit agree.
const duplicateTolerance = 1e-5

// Merge makes the surface of a run. Its arrays are the same bits however many workers
// there were. Shards are read one after another, so memory does not grow with their
// number. Corrupt ones are moved to RUN/quarantine and count as missing; missing units
// are ErrIncomplete, unless a partial surface will do; foreign and conflicting shards are
// ErrRefused.
func Merge(run *Run, codec Codec, options MergeOptions) (*Surface, *MergeReport, error) {
	m := newMerger(run)
	names, err := run.list(shardsDir)
	if err != nil {
		return nil, m.report, err
	}
	for _, name := range names { // sorted: of a unit's shards the smallest hash comes first
		err := m.add(codec, name)
		switch {
		case errors.Is(err, errLate), options.ReadOnly && errors.Is(err, ErrCorrupt):
			m.report.Problems = append(m.report.Problems, err.Error())
			err = nil
		case errors.Is(err, ErrCorrupt):
			err = m.quarantine(name, err)
		}
		if err != nil {
			return nil, m.report, err
		}
	}
	for _, u := range run.units {
		if m.from[u.Index] == "" {
			m.report.Missing = append(m.report.Missing, u.Index)
		}
	}
	if err := m.addJournals(); err != nil {
		return nil, m.report, err
	}
	switch {
	case len(m.report.Missing) > 0 && !options.AllowPartial:
		return nil, m.report, m.incomplete()
	case len(m.report.Missing) == 0 && !options.ReadOnly:
		run.dropCarries(func(int) bool { return true })
	}
	m.finish()
	return m.surface, m.report, nil
}

// merger fills a surface.
type merger struct {
	run     *Run
	surface *Surface
	columns [][]float64    // of the surface, in Plan.Columns order
	from    map[int]string // the shard that a unit was taken from
	kernels map[string][]int
	notes   map[string]map[string]bool // by name, the values that shards have
	report  *MergeReport
}

func newMerger(run *Run) *merger {
	plan := run.Plan
	points := plan.Grid.Points()
	m := &merger{
		run:     run,
		surface: &Surface{DirFile: directionsName, X: plan.Grid.X.Coordinates(), Plan: run.Bytes, Notes: map[string]string{}},
		from:    map[int]string{},
		kernels: map[string][]int{},
		notes:   map[string]map[string]bool{},
		report:  &MergeReport{Points: points},
	}
	if plan.Grid.Y != nil {
		m.surface.Y = plan.Grid.Y.Coordinates()
	}
	for _, metric := range plan.Metrics {
		m.surface.Layers = append(m.surface.Layers, Layer{Name: metric.Name, Status: make([]Status, points), Beside: map[string][]float64{}})
	}
	for _, c := range plan.Columns() {
		values := slices.Repeat([]float64{math.NaN()}, points)
		m.columns = append(m.columns, values)
		if layer := &m.surface.Layers[c.Metric]; c.Beside == "" {
			layer.Values = values
		} else {
			layer.Beside[c.Beside] = values
		}
	}
	return m
}

// errLate is a shard that is listed but not visible yet, as on a network file system, or no longer, because another merge has
// just put it into quarantine. Its unit counts as missing.
var errLate = errors.New("it is listed, but not there (yet)")

// add puts a shard into the surface.
func (m *merger) add(codec Codec, name string) error {
	path := filepath.Join(shardsDir, name)
	unit, _, ok := parseShardName(name)
	if !ok {
		m.report.Problems = append(m.report.Problems, path+": this is not the name of a shard")
		return nil
	}
	shard, kernels, err := m.run.readShard(codec, name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path, errLate)
	}
	if err != nil {
		return err
	}
	m.report.Shards++
	if first := m.from[unit]; first != "" {
		return m.compare(shard, kernels, first, name)
	}
	m.from[unit] = name
	for name, value := range shard.Notes {
		if m.notes[name] == nil {
			m.notes[name] = map[string]bool{}
		}
		m.notes[name][value] = true
	}
	for kernel, points := range kernels {
		m.kernels[kernel] = append(m.kernels[kernel], points...)
	}
	for _, record := range shard.Records {
		m.set(record)
	}
	return nil
}

// readShard reads and checks a shard, and says which points which kernel computed.
func (r *Run) readShard(codec Codec, name string) (*Shard, map[string][]int, error) {
	path := r.path(shardsDir, name)
	corrupt := func(err error) error { return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err) }
	data, err := r.files.ReadFile(path)
	if isOther(err) {
		return nil, nil, corrupt(err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading a shard: %w", err)
	}
	number, hash, _ := parseShardName(name)
	if got := PlanID(data); got != hash {
		return nil, nil, corrupt(fmt.Errorf("its SHA-256 is %.12s…, not that of its name", got))
	}
	shard, err := codec.DecodeShard(data)
	if err != nil {
		return nil, nil, corrupt(err)
	}
	if !bytes.Equal(shard.Plan, r.Bytes) {
		return nil, nil, fmt.Errorf("%w: %s belongs to another plan:\n  %s\nmove it to the run that it came from",
			ErrRefused, path, strings.Join(Differences(r.Bytes, shard.Plan), "\n  "))
	}
	kernels, err := r.checkShard(shard, number)
	if err != nil {
		return nil, nil, corrupt(err)
	}
	return shard, kernels, nil
}

// checkShard returns an error unless a shard of this plan is whole and that of the unit of the given number. It says
// which points which kernel computed.
func (r *Run) checkShard(shard *Shard, number int) (map[string][]int, error) {
	if number < 0 || number >= len(r.units) || shard.Unit != number {
		return nil, fmt.Errorf("it holds unit %d", shard.Unit)
	}
	unit := r.units[number]
	if len(shard.Records) != unit.Count {
		return nil, fmt.Errorf("it has %d points, and unit %d has %d", len(shard.Records), number, unit.Count)
	}
	for i, record := range shard.Records {
		if err := r.checkRecord(unit, record); err != nil {
			return nil, err
		}
		if record.Point != unit.First+i {
			return nil, fmt.Errorf("point %d is out of order", record.Point)
		}
	}
	return notedKernels(shard.Notes, r.Plan.Grid.Points())
}

// refuseForeign refuses a run whose first shard belongs to another plan: somebody has
// changed plan.json, or put files there. Reading all shards is left to Merge.
func (r *Run) refuseForeign(codec Codec) error {
	names, err := r.list(shardsDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, _, ok := parseShardName(name); ok {
			if _, _, err := r.readShard(codec, name); errors.Is(err, ErrRefused) {
				return err
			}
			return nil
		}
	}
	return nil
}

// notedKernels is the inverse of noteKernels.
func notedKernels(notes map[string]string, points int) (map[string][]int, error) {
	kernels := map[string][]int{}
	for name, text := range notes {
		if kernel, ok := strings.CutPrefix(name, kernelNote); ok {
			numbers, err := ParseRanges(text, points)
			if err != nil {
				return nil, fmt.Errorf("its note %q: %w", name, err)
			}
			kernels[kernel] = numbers
		}
	}
	return kernels, nil
}

func (m *merger) set(record Record) {
	for i := range m.surface.Layers {
		m.surface.Layers[i].Status[record.Point] = record.Status[i]
	}
	for i, values := range m.columns {
		values[record.Point] = record.Values[i]
	}
}

// at is the record that the surface holds for point k.
func (m *merger) at(k int) Record {
	record := Record{Point: k}
	for _, layer := range m.surface.Layers {
		record.Status = append(record.Status, layer.Status[k])
	}
	for _, values := range m.columns {
		record.Values = append(record.Values, values[k])
	}
	return record
}

// compare accepts a second shard of a unit, of which kernels computed the points, if it agrees with the first where they have one kernel.
// Kernels that were mixed on purpose may differ by more: products and residuals do.
func (m *merger) compare(shard *Shard, kernels map[string][]int, first, name string) error {
	largest, mixed := 0.0, 0
	for _, record := range shard.Records {
		if m.run.Plan.Mix && !m.computed(kernels, record.Point) {
			mixed++
			continue
		}
		d, ok := difference(m.at(record.Point), record)
		if !ok || d > duplicateTolerance {
			return fmt.Errorf("%w: %s and %s are shards of the same unit and disagree at point %d by more than %g: one of the machines computes wrongly; move the wrong shard away, or both, and run lsrun run again",
				ErrRefused, m.run.path(shardsDir, first), m.run.path(shardsDir, name), record.Point, duplicateTolerance)
		}
		largest = max(largest, d)
	}
	if mixed > 0 {
		m.report.Resolved = append(m.report.Resolved, fmt.Sprintf("%s: another kernel than that of %s, which was taken, computed %d of its points",
			filepath.Join(shardsDir, name), first, mixed))
	}
	if largest > 0 {
		m.report.Resolved = append(m.report.Resolved, fmt.Sprintf("%s: differs from %s by up to %.1g, which was taken",
			filepath.Join(shardsDir, name), first, largest))
	}
	return nil
}

// computed says whether the kernel that computed point k of a shard computed what the surface holds.
func (m *merger) computed(kernels map[string][]int, k int) bool {
	for kernel, points := range kernels {
		if slices.Contains(points, k) {
			return slices.Contains(m.kernels[kernel], k)
		}
	}
	return false
}

// difference is the largest relative difference between two records, 0 if they are the
// same bits; they are not comparable if their statuses differ or one value is not finite.
func difference(a, b Record) (largest float64, ok bool) {
	if !slices.Equal(a.Status, b.Status) {
		return 0, false
	}
	for i, x := range a.Values {
		y := b.Values[i]
		if math.Float64bits(x) == math.Float64bits(y) || math.IsNaN(x) && math.IsNaN(y) {
			continue
		}
		d := math.Abs(x-y) / max(math.Abs(x), math.Abs(y))
		if math.IsNaN(d) {
			if x != y { // infinite or not a number; +0 and −0 are equal
				return 0, false
			}
			d = 0
		}
		largest = max(largest, d)
	}
	return largest, true
}

// sameBits says whether two records of a point hold the same.
func sameBits(a, b Record) bool {
	d, ok := difference(a, b)
	return ok && d == 0
}

// quarantine moves a corrupt shard out of the way, to a name that nobody has.
func (m *merger) quarantine(name string, reason error) error {
	unit, _, _ := parseShardName(name)
	err := m.run.free(unit)
	if err == nil {
		err = m.run.files.MkdirAll(filepath.Join(m.run.Dir, quarantineDir))
	}
	if err != nil {
		return fmt.Errorf("putting a corrupt shard into quarantine: %w", err)
	}
	to := name
	for i := 2; ; i++ {
		err := m.run.files.Rename(m.run.path(shardsDir, name), m.run.path(quarantineDir, to))
		if errors.Is(err, fs.ErrExist) {
			to = fmt.Sprintf("%s.%d", name, i)
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another merge may be faster
			return fmt.Errorf("putting a corrupt shard into quarantine: %w", err)
		}
		m.report.Quarantined = append(m.report.Quarantined, reason.Error())
		return nil
	}
}

// addJournals puts journaled points of the missing units into the surface.
func (m *merger) addJournals() error {
	if len(m.report.Missing) == 0 {
		return nil
	}
	names, err := m.run.list(journalDir)
	if err != nil {
		return err
	}
	byUnit := namesByUnit(names)
	for _, unit := range m.report.Missing {
		points, problems, err := m.run.journaled(m.run.units[unit], byUnit[unit])
		if err != nil {
			return err
		}
		m.report.Problems = append(m.report.Problems, problems...)
		for _, k := range slices.Sorted(maps.Keys(points)) {
			m.set(points[k].Record)
			m.kernels[points[k].kernel] = append(m.kernels[points[k].kernel], k)
		}
	}
	return nil
}

// finish fills in what is known when all points are.
func (m *merger) finish() {
	m.report.Done = m.surface.Finished()
	m.report.Notes = map[string][]string{}
	for name, values := range m.notes {
		m.report.Notes[name] = slices.Sorted(maps.Keys(values))
	}
	m.report.Hosts = m.report.Notes[hostNote]
	m.report.Kernels = slices.Sorted(maps.Keys(m.kernels))
	for _, points := range m.kernels {
		slices.Sort(points)
	}
	noteKernels(m.surface.Notes, m.kernels)
}

// incomplete says which units are missing, of whose points journals may have some.
func (m *merger) incomplete() error {
	points := 0
	for _, u := range m.report.Missing {
		points += m.run.units[u].Count
	}
	left := m.report.Points - m.surface.Finished()
	text := fmt.Sprintf("%d of %d points are missing (units %s", left, m.report.Points, strings.ReplaceAll(FormatRanges(m.report.Missing), ",", ", "))
	if points > left {
		text += fmt.Sprintf("; %d more of their points are in journals only", points-left)
	}
	if n := len(m.report.Quarantined); n > 0 {
		text += fmt.Sprintf("; corrupt and moved to %s: %d", filepath.Join(m.run.Dir, quarantineDir), n)
	}
	return fmt.Errorf("%w: %s)", ErrIncomplete, text)
}
