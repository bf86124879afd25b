package shard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// Outcome is what PublishSurface did.
type Outcome int

const (
	PublishedNew Outcome = iota // there was no such file
	LeftAsItWas                 // the file held this surface already
	Replaced                    // it held fewer points of this surface
	BackedUp                    // it held something else, kept under another name
)

func (o Outcome) String() string {
	return [...]string{"written", "left as it was: it holds this surface already",
		"replaced: it held fewer points of this surface", "written; what was there is kept as a backup"}[o]
}

// PublishSurface puts a surface at path. It replaces only a surface of the same plan that
// has fewer finished points and no other ones, and keeps it as path.bak, path.bak2, … where something was added to it; any other
// file is ErrRefused, unless force, which keeps it likewise.
func PublishSurface(files Files, codec Codec, path string, surface *Surface, force bool) (Outcome, error) {
	data, err := codec.EncodeSurface(surface)
	if err != nil {
		return 0, fmt.Errorf("encoding the surface %s: %w", path, err)
	}
	err = files.PublishNew(path, data)
	if err == nil {
		return PublishedNew, nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return 0, fmt.Errorf("publishing the surface: %w", err)
	}
	there, err := files.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("publishing the surface: %w", err)
	}
	old, unreadable := codec.DecodeSurface(there)
	if unreadable != nil {
		old = nil
	}
	switch {
	case bytes.Equal(there, data) || old.equals(surface):
		return LeftAsItWas, nil
	case old.isPartOf(surface):
		if again, err := codec.EncodeSurface(old); err == nil && bytes.Equal(again, there) {
			return Replaced, files.Publish(path, data)
		} // else somebody has added something
	case !force && unreadable != nil:
		return 0, fmt.Errorf("%w: %s exists and is no surface file, or no whole one (%v); give another name with -o, or --force to make it anew and keep what is there as a backup",
			ErrRefused, path, unreadable)
	case !force:
		return 0, fmt.Errorf("%w: %s exists and %s; give another name with -o, or --force to keep it as a backup",
			ErrRefused, path, old.why(surface))
	}
	if err := backUp(files, path, there); err != nil {
		return 0, err
	}
	return BackedUp, files.Publish(path, data)
}

// why says in what a surface that is there is another one.
func (s *Surface) why(other *Surface) string {
	switch {
	case s.Plan == nil:
		return "was not written by lsrun"
	case !bytes.Equal(s.Plan, other.Plan):
		return "is a surface of another plan: " + Differences(other.Plan, s.Plan)[0]
	case s.Finished() > other.Finished():
		return "has more finished points"
	}
	return "has other values at the same points"
}

// backUp keeps data under a name beside path that nobody has.
func backUp(files Files, path string, data []byte) error {
	name := path + ".bak"
	for i := 2; ; i++ {
		err := files.PublishNew(name, data)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		name = fmt.Sprintf("%s.bak%d", path, i)
	}
}

// Finished counts the points at which every layer has a result.
func (s *Surface) Finished() int {
	n := 0
	for k := range s.points() {
		if s.has(k) {
			n++
		}
	}
	return n
}

func (s *Surface) points() int { return len(s.X) * max(len(s.Y), 1) }

// has says whether every layer has a result at point k.
func (s *Surface) has(k int) bool {
	for _, layer := range s.Layers {
		if layer.Status != nil && layer.Status[k] == Missing {
			return false
		}
	}
	return true
}

// equals says whether two surfaces of one plan hold the same results; nil equals none.
func (s *Surface) equals(other *Surface) bool {
	return s.isPartOf(other) && s.Finished() == other.Finished()
}

// isPartOf says whether the surfaces have one plan, and whole has every result of s.
func (s *Surface) isPartOf(whole *Surface) bool {
	if s == nil || s.Plan == nil || !bytes.Equal(s.Plan, whole.Plan) ||
		!slices.Equal(s.X, whole.X) || !slices.Equal(s.Y, whole.Y) || len(s.Layers) != len(whole.Layers) {
		return false
	}
	for i, a := range s.Layers {
		b := whole.Layers[i]
		if a.Name != b.Name || len(a.Status) != len(b.Status) || len(a.Beside) != len(b.Beside) {
			return false
		}
		columns := [][2][]float64{{a.Values, b.Values}}
		for _, name := range slices.Sorted(maps.Keys(a.Beside)) {
			columns = append(columns, [2][]float64{a.Beside[name], b.Beside[name]})
		}
		for _, c := range columns {
			if len(c[0]) != s.points() || len(c[1]) != s.points() {
				return false
			}
		}
		for k, status := range a.Status {
			if status == Missing {
				continue
			}
			x, y := Record{Status: []Status{status}}, Record{Status: []Status{b.Status[k]}}
			for _, c := range columns {
				x.Values, y.Values = append(x.Values, c[0][k]), append(y.Values, c[1][k])
			}
			if !sameBits(x, y) {
				return false
			}
		}
	}
	return true
}
