package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// planFormat is the layout of plan.json that this program knows.
const planFormat = 2

// MarshalPlan returns the plan's canonical form: indented JSON with the fields in the
// order of Plan, and a newline. Equal plans give equal bytes.
func MarshalPlan(p *Plan) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	return canonical(p)
}

// planText is what plan.json holds: the plan, and the SHA-256 of the same text with an empty one. So a bit that flipped does
// not make another plan of it.
type planText struct {
	*Plan
	Checksum string `json:"checksum"`
}

const checksumField = "checksum"

func canonical(p *Plan) ([]byte, error) {
	text := planText{Plan: p}
	data, err := text.encode()
	if err != nil {
		return nil, err
	}
	text.Checksum = PlanID(data)
	return text.encode()
}

func (t planText) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(t); err != nil {
		return nil, fmt.Errorf("writing the plan: %w", err)
	}
	return b.Bytes(), nil
}

// ParsePlan reads what MarshalPlan wrote, and nothing else: a plan that was edited would
// no longer be the one that its results were computed for.
func ParsePlan(data []byte) (*Plan, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("%w: the plan is not JSON: %w", ErrCorrupt, err)
	}
	if version.Format > planFormat {
		return nil, fmt.Errorf("%w: the plan has format %d, and this lsrun knows format %d: use a newer lsrun",
			ErrRefused, version.Format, planFormat)
	}
	if 0 < version.Format && version.Format < planFormat {
		return nil, fmt.Errorf("%w: the plan has format %d, that of an older lsrun: finish it with that one, or plan anew in another folder",
			ErrRefused, version.Format)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	p := new(Plan)
	if err := d.Decode(&planText{Plan: p}); err != nil {
		return nil, fmt.Errorf("%w: the plan: %w", ErrCorrupt, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w: the plan: %w", ErrCorrupt, err)
	}
	again, err := canonical(p)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: the plan is not what was written: it was damaged, or edited, and plans are immutable: copy it back, or plan anew in another folder", ErrCorrupt)
	}
	return p, nil
}

// PlanID is the SHA-256 of a plan's canonical form, in hexadecimal.
func PlanID(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// check returns an error unless the fields that this package reads make sense.
func (p *Plan) check() error {
	if p.Format != planFormat {
		return fmt.Errorf("format %d is not %d", p.Format, planFormat)
	}
	if err := p.Grid.Check(); err != nil {
		return fmt.Errorf("grid: %w", err)
	}
	if w := p.Work; min(w.Point, w.Hessian) < 0 || max(w.Point, w.Hessian, w.Unit) > maxWork || w.Unit < 1 {
		return fmt.Errorf("work: %d and %d operations a point and %d a unit: a point has from 0 to %d, a unit from 1", w.Point, w.Hessian, w.Unit, int64(maxWork))
	}
	if len(p.Metrics) == 0 {
		return errors.New("metrics: there are none, so nothing would be computed")
	}
	if h := p.Hessian; h != nil && (h.StepX < 1 || h.StepY < 1) {
		return fmt.Errorf("hessian: steps of %d and %d points: they are at least 1", h.StepX, h.StepY)
	}
	taken := map[string]bool{}
	for _, m := range p.Metrics {
		for _, name := range append([]string{m.Name}, m.Beside...) {
			if name == "" || name == "." || strings.ContainsAny(name, "/\x00") {
				return fmt.Errorf("metrics: %q cannot be the name of a dataset", name)
			}
		}
		if taken[m.Name] {
			return fmt.Errorf("metrics: %q is there twice", m.Name)
		}
		taken[m.Name] = true
		if besides := slices.Sorted(slices.Values(m.Beside)); len(slices.Compact(besides)) < len(m.Beside) {
			return fmt.Errorf("metrics: %q has a column beside it twice", m.Name)
		}
	}
	return nil
}

// Columns lists what Record.Values holds: each metric's value, then what is beside it,
// metric by metric.
func (p *Plan) Columns() []Column {
	var columns []Column
	for i, m := range p.Metrics {
		columns = append(columns, Column{Metric: i})
		for _, beside := range m.Beside {
			columns = append(columns, Column{Metric: i, Beside: beside})
		}
	}
	return columns
}

// Differences names the fields in which two plans differ, one a line and sorted, as in
// "grid.x.points: 51 here, 31 there".
func Differences(here, there []byte) []string {
	a, errA := flatten(here)
	b, errB := flatten(there)
	if errA != nil || errB != nil {
		return []string{"one of the two is not a plan"}
	}
	var names []string
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var differences []string
	for _, name := range names {
		if x, y := orAbsent(a, name), orAbsent(b, name); x != y {
			differences = append(differences, fmt.Sprintf("%s: %s here, %s there", name, x, y))
		}
	}
	if len(differences) == 0 && !bytes.Equal(here, there) {
		return []string{"nothing but the layout of the text"}
	}
	return differences
}

func orAbsent(fields map[string]string, name string) string {
	if v, ok := fields[name]; ok {
		return v
	}
	return "absent"
}

// flatten turns JSON into its leaves by their dotted paths.
func flatten(data []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var root map[string]any
	if err := d.Decode(&root); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more after the plan")
	}
	leaves := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, child := range v {
				walk(strings.TrimPrefix(path+"."+name, "."), child)
			}
		case []any:
			for i, child := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), child)
			}
		default:
			leaves[path] = fmt.Sprint(v)
		}
	}
	walk("", root)
	delete(leaves, checksumField) // it differs where anything else does
	return leaves, nil
}
