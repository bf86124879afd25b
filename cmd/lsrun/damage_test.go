package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lsrun/io/durable"
	"lsrun/io/h5"
	"lsrun/shard"
)

// damages are every cut of a file and every flip of one of its bytes, each with what it is called; where tests shall be short, a
// sample that begins and ends with the file.
func damages(good []byte, sample int) func(yield func(string, []byte) bool) {
	step := 1
	if !long {
		step = max(len(good)/sample, 1)
	}
	return func(yield func(string, []byte) bool) {
		for i := 0; i < len(good); i = min(i+step, max(len(good)-1, i+1)) {
			flipped := bytes.Clone(good)
			flipped[i] ^= 1 << (i % 8)
			if !yield(fmt.Sprintf("flipped at %d", i), flipped) || !yield(fmt.Sprintf("cut at %d", i), good[:i]) {
				return
			}
		}
	}
}

// put replaces a file.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// only is the only file that matches the pattern.
func only(t *testing.T, pattern ...string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v: %q, %v", pattern, names, err)
	}
	return names[0]
}

func TestADamagedShardIsQuarantinedAndComputedAgainFromItsJournal(t *testing.T) {
	x := newTiny(t)
	dir := x.finished(t)
	path := only(t, dir, "shards", "u00001.*")
	good := get(t, path)
	for what, bad := range damages(good, 60) {
		put(t, path, bad)
		code, said := quietly(t, "merge", dir)
		if code != 3 || !strings.Contains(said, path) || !strings.Contains(said, "lsrun run --units 1 ") {
			t.Fatalf("%s: exit %d, want 3\n%s", what, code, said)
		}
		if kept := get(t, only(t, dir, "quarantine", "u*")); !bytes.Equal(kept, bad) {
			t.Errorf("%s: it was not kept", what)
		}
		if err := os.RemoveAll(filepath.Join(dir, "quarantine")); err != nil {
			t.Fatal(err)
		}
	}
	x.finish(t, dir, tinyPoints)
	if !bytes.Equal(merged(t, dir), x.surface) {
		t.Error("another surface")
	}
}

// TestADamagedShardWithAFittingNameGivesNoWrongNumber renames a damaged shard to the hash of its damaged content: then
// what is inside has to tell.
func TestADamagedShardWithAFittingNameGivesNoWrongNumber(t *testing.T) {
	x := newTiny(t)
	dir := x.finished(t)
	path := only(t, dir, "shards", "u00001.*")
	good := get(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for what, bad := range damages(good, 60) {
		path := filepath.Join(dir, "shards", "u00001."+digest(bad)+".h5")
		put(t, path, bad)
		code, said := quietly(t, "merge", dir)
		if code == 0 { // the seal itself was damaged, and all numbers are right
			if got := get(t, filepath.Join(dir, surfaceFile)); !bytes.Equal(got, x.surface) {
				t.Fatalf("%s: a wrong number", what)
			}
			os.Remove(filepath.Join(dir, surfaceFile))
		} else if code != 3 || !strings.Contains(said, path) {
			t.Fatalf("%s: exit %d, want 3\n%s", what, code, said)
		}
		os.Remove(path)
	}
}

func TestShardsThatAreRenamedSwappedOrDuplicatedGiveNoWrongNumber(t *testing.T) {
	x := newTiny(t)
	for what, spoil := range map[string]func(zero, one string) error{
		"swapped": func(zero, one string) error {
			a, b := get(t, zero), get(t, one)
			put(t, zero, b)
			put(t, one, a)
			return nil
		},
		"renamed to another unit": func(zero, one string) error {
			return os.Rename(zero, strings.Replace(zero, "u00000", "u00001", 1))
		},
		"duplicated as another unit": func(zero, one string) error {
			return os.Link(zero, strings.Replace(zero, "u00000", "u00001", 1))
		},
		"duplicated as a unit beyond the plan": func(zero, one string) error {
			return os.Link(zero, strings.Replace(zero, "u00000", "u00077", 1))
		},
		"duplicated under any name": func(zero, one string) error { return os.Link(zero, filepath.Dir(zero)+"/copy of it.h5") },
	} {
		dir := x.finished(t)
		if err := spoil(only(t, dir, "shards", "u00000.*"), only(t, dir, "shards", "u00001.*")); err != nil {
			t.Fatal(err)
		}
		code, said := quietly(t, "merge", dir)
		if code != 0 && code != 3 || !strings.Contains(said, filepath.Join("shards", "")) {
			t.Errorf("%s: exit %d\n%s", what, code, said)
		}
		x.finish(t, dir, tinyPoints)
		if !bytes.Equal(merged(t, dir), x.surface) {
			t.Errorf("%s: another surface", what)
		}
	}
}

// fields calls change for every field of the struct v, those of structs in it too, after having changed it, and changes it back.
// Nil pointers are filled in for that while.
func fields(v reflect.Value, name string, change func(name string)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fields(v.Field(i), name+"."+v.Type().Field(i).Tag.Get("json"), change)
		}
		return
	case reflect.Pointer:
		if !v.IsNil() {
			fields(v.Elem(), name, change)
			return
		}
	}
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	default:
		panic("a plan has a field of kind " + v.Kind().String())
	}
	change(strings.TrimPrefix(strings.ReplaceAll(name, ",omitempty", ""), "."))
	v.Set(old)
}

func TestAShardOfAPlanThatDiffersInAnyFieldIsRefusedNamingIt(t *testing.T) {
	x := newTiny(t)
	dir := x.finished(t)
	path := only(t, dir, "shards", "u00000.*")
	good, err := h5.Codec{}.DecodeShard(get(t, path))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := shard.ParsePlan(x.job.run.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	fields(reflect.ValueOf(plan).Elem(), "", func(name string) {
		foreign := *good
		if foreign.Plan, err = shard.MarshalPlan(plan); err != nil { // not a plan: nobody can have made it
			return
		}
		tried++
		data, err := h5.Codec{}.EncodeShard(&foreign)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "shards", "u00000."+digest(data)+".h5")
		put(t, path, data)
		if code, said := quietly(t, "merge", dir); code != 4 || !strings.Contains(said, path) || !strings.Contains(said, name) {
			t.Errorf("%s: exit %d, want 4\n%s", name, code, said)
		}
		os.Remove(path)
	})
	if tried < 60 {
		t.Errorf("only %d fields were tried", tried)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the good shard was moved: %v", err)
	}
}

// interrupted is a copy of the run in which a worker died after some points of the first unit.
func (x *tiny) interrupted(t *testing.T) string {
	t.Helper()
	for at := 20; ; at++ {
		dir := x.copy(t)
		x.work(durable.Faulty(&durable.Fault{At: at, Crash: true, Err: os.ErrClosed}), dir)
		if recordsWritten(t, dir) == 1 {
			return dir
		}
		os.RemoveAll(dir)
	}
}

// TestDamagedFilesOfAnUnfinishedRunAreFoundOrDoNotMatter damages what a dead worker left, file by file: the run ends in the same
// surface, or says which file is corrupt.
func TestDamagedFilesOfAnUnfinishedRunAreFoundOrDoNotMatter(t *testing.T) {
	x := newTiny(t)
	left := x.interrupted(t)
	for _, c := range []struct {
		pattern string
		corrupt bool // is what lsrun run says
	}{
		{"plan.json", true}, {thetaFile, true}, {directionsFile, true},
		{"claims/u*", false}, {"journal/u*", false}, {"carry/u*", false}, {"log/u*", false},
	} {
		name, err := filepath.Rel(left, only(t, left, c.pattern))
		if err != nil {
			t.Fatal(err)
		}
		for what, bad := range damages(get(t, filepath.Join(left, name)), 6) {
			dir := x.copyOf(t, left)
			put(t, filepath.Join(dir, name), bad)
			if c.corrupt {
				code, said := quietly(t, "run", dir)
				if other := code == 4 && strings.Contains(said, "the plan has format"); !other && code != 5 || !strings.Contains(said, filepath.Join(dir, name)) {
					t.Errorf("%s %s: exit %d, want 5\n%s", name, what, code, said)
				}
				continue
			}
			lsrunOK(t, "merge", "--allow-partial", "-o", filepath.Join(dir, "partial.h5"), dir)
			part := readSurface(t, filepath.Join(dir, "partial.h5"))
			whole := x.whole(t)
			for i, layer := range part.Layers {
				for k, status := range layer.Status {
					if status != shard.Missing && (status != whole.Layers[i].Status[k] || layer.Values[k] != whole.Layers[i].Values[k]) {
						t.Errorf("%s %s: %s at point %d is %g", name, what, layer.Name, k, layer.Values[k])
					}
				}
			}
			lsrunOK(t, "run", "--schedule", "static", dir) // without waiting for an owner whose name was damaged
			if !bytes.Equal(merged(t, dir), x.surface) {
				t.Errorf("%s %s: another surface", name, what)
			}
			os.RemoveAll(dir)
		}
	}
}

// whole is the run's surface.
func (x *tiny) whole(t *testing.T) *shard.Surface {
	t.Helper()
	surface, err := h5.Codec{}.DecodeSurface(x.surface)
	if err != nil {
		t.Fatal(err)
	}
	return surface
}

func TestAMergeOverADamagedSurfaceRefusesOrFindsTheSameNumbersInIt(t *testing.T) {
	x := newTiny(t)
	dir := x.finished(t)
	path := filepath.Join(dir, surfaceFile)
	for what, bad := range damages(x.surface, 30) {
		put(t, path, bad)
		code, said := quietly(t, "merge", dir)
		if !bytes.Equal(get(t, path), bad) {
			t.Fatalf("%s: it was replaced", what)
		}
		if code == 4 && strings.Contains(said, path) && strings.Contains(said, "--force") {
			continue
		}
		there, err := h5.Codec{}.DecodeSurface(bad) // only its seal is damaged
		if code != 0 || err != nil || !reflect.DeepEqual(allNumbers(there), allNumbers(x.whole(t))) {
			t.Fatalf("%s: exit %d\n%s", what, code, said)
		}
	}
	put(t, path, x.surface[:100])
	lsrunOK(t, "merge", "--force", dir)
	if !bytes.Equal(get(t, path), x.surface) || !bytes.Equal(get(t, path+".bak"), x.surface[:100]) {
		t.Error("with --force the surface is not there, or the damaged one was not kept")
	}
}

// allNumbers are all of a surface, by name.
func allNumbers(s *shard.Surface) map[string]string {
	all := map[string]string{"x": fmt.Sprint(s.X), "y": fmt.Sprint(s.Y)}
	for _, layer := range s.Layers {
		all[layer.Name] = fmt.Sprint(layer.Values, layer.Status)
		for _, beside := range slices.Sorted(maps.Keys(layer.Beside)) {
			all[layer.Name+" "+beside] = fmt.Sprint(layer.Beside[beside])
		}
	}
	return all
}
