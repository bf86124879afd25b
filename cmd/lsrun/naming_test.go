package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// oddNames are file names that a shell or a terminal would take for something else.
var oddNames = []string{
	"-r", "--", "it's \"two\" $(touch pwned)`touch pwned`$HOME '; touch pwned; '",
	"~two\nlines; touch pwned & # * !! back\\slash\ttab {a,b} %s%d größe \xff\xfe \x1b[31m",
}

// printed is the last command of that verb that lsrun printed, to its end.
func printed(t *testing.T, said, verb string) string {
	t.Helper()
	at := strings.LastIndex(said, "lsrun "+verb+" ")
	if at < 0 {
		t.Fatalf("no lsrun %s in:\n%s", verb, said)
	}
	command, _, _ := strings.Cut(said[at:], "\nor") // on a cluster: lsrun submit
	return strings.TrimSuffix(command, "\n")
}

// TestNamesMeanNothingAndPrintedCommandsWork follows, from one to the next by a shell, the commands that lsrun prints for runs with
// odd names, in a folder with an odd name.
func TestNamesMeanNothingAndPrintedCommandsWork(t *testing.T) {
	plan := tinyPlan(t)
	for _, name := range oddNames {
		dir := filepath.Join(inMemory(t), "in "+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		run := shell(t, dir)
		sh := func(script string, args ...string) string {
			t.Helper()
			said, err := run(script, args...)
			if err != nil && !strings.Contains(said, "incomplete") {
				t.Fatalf("%q: %s %q: %v\n%s", name, script, args, err, said)
			}
			return said
		}
		planned := printed(t, sh(`lsrun "$@"`, append(plan, "--", name)...), "run")
		sh(`lsrun run --units 1-2 -- "$1"`, name)
		sh(printed(t, sh(`lsrun status -- "$1"`, name), "run")) // of all that is missing
		shards, err := os.ReadDir(filepath.Join(dir, name, "shards"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, name, "shards", shards[0].Name())); err != nil {
			t.Fatal(err)
		}
		sh(printed(t, sh(`lsrun merge -- "$1"`, name), "run"))
		sh(printed(t, sh(planned), "merge"))
		sh(printed(t, sh(`lsrun status -- "$1"`, name), "plot"))
		sh(`lsrun plot -o "$1.svg" -- "$1/surface.h5"`, name)
		for path, want := range map[string]int{name: 1, name + ".svg": 1, name + "/surface_curve.png": 1, "": 2} {
			entries, err := os.ReadDir(filepath.Join(dir, path))
			if path != "" {
				_, err = os.Lstat(filepath.Join(dir, path))
			}
			if err != nil || path == "" && len(entries) != want {
				t.Errorf("%q: %q: %v, %v", name, path, entries, err)
			}
		}
	}
}

// TestPathsThatAreNotUTF8AreReadOrRefused: a plan, which is JSON, can hold none; but it need not hold where a checkpoint was.
func TestPathsThatAreNotUTF8AreReadOrRefused(t *testing.T) {
	dir, plan := t.TempDir(), tinyPlan(t)
	odd := map[string]string{}
	for _, flag := range []string{"--checkpoint", "--data"} {
		at := slices.Index(plan, flag) + 1
		odd[flag] = filepath.Join(dir, "\xff"+filepath.Base(plan[at]))
		if err := os.Link(plan[at], odd[flag]); err != nil {
			t.Fatal(err)
		}
	}
	run := filepath.Join(dir, "run")
	code, said := quietly(t, append(slices.Clone(plan), "--data", odd["--data"], run)...)
	if code != 2 || !strings.Contains(said, `\xff`) || !strings.Contains(said, "symbolic link") {
		t.Errorf("--data: exit %d, want 2\n%s", code, said)
	}
	lsrunOK(t, append(plan, "--checkpoint", odd["--checkpoint"], run)...)
	lsrunOK(t, "run", "--data", odd["--data"], run)
	merged(t, run)
}
