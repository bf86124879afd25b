package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a shell in dir that knows lsrun.
func shell(t *testing.T, dir string) func(script string, args ...string) (string, error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "lsrun")); err != nil { // the test's binary is lsrun under that name
		t.Fatal(err)
	}
	return func(script string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", script, "sh"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

func TestFilesAndFoldersHaveTheUsersPermissions(t *testing.T) {
	plan, dir := tinyPlan(t), t.TempDir()
	sh := shell(t, dir)
	for umask, want := range map[string][2]fs.FileMode{"0077": {0o700, 0o600}, "0002": {0o775, 0o664}} {
		out, err := sh(`umask $1 && run=run$1 && shift && lsrun "$@" $run && lsrun run $run && lsrun merge $run && lsrun plot $run/surface.h5`,
			append([]string{umask}, plan...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		seen := 0
		filepath.WalkDir(filepath.Join(dir, "run"+umask), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			info, err := d.Info()
			if err != nil {
				t.Fatal(err)
			}
			mode := want[1]
			if d.IsDir() {
				mode = want[0]
			}
			if seen++; info.Mode().Perm() != mode {
				t.Errorf("umask %s: %s has %v, want %v", umask, path, info.Mode(), mode)
			}
			return nil
		})
		if seen < 25 {
			t.Errorf("umask %s: only %d files and folders", umask, seen)
		}
	}
}

// TestNothingIsWrittenThroughAPlantedSymbolicLink plants a link at every name that lsrun makes, to somebody's file, to a name that
// is still free, or to somebody's folder.
func TestNothingIsWrittenThroughAPlantedSymbolicLink(t *testing.T) {
	x := newTiny(t)
	plan := []string{"plan", "--like", x.dir}
	finished := x.finished(t)
	corrupt := x.corrupt(t)
	complete := x.finished(t)
	merged(t, complete)
	const file, free, folder = "file", "free", "folder"
	for _, c := range []struct {
		from  string // the run that is there before, if any
		name  string // of the link
		kinds []string
		codes []int    // that lsrun may end with; 0 only if it has replaced the link
		args  []string // of lsrun, RUN for the run
	}{
		{"", "plan.json", []string{file, free}, []int{5, 6}, append(plan, "RUN")},
		{"", thetaFile, []string{file, free}, []int{4, 6}, append(plan, "RUN")},
		{"", directionsFile, []string{file, free}, []int{4, 6}, append(plan, "RUN")},
		{"", "claims", []string{file, free, folder}, []int{6}, append(plan, "RUN")},
		{"", "journal", []string{file, free, folder}, []int{6}, append(plan, "RUN")},
		{"", "shards", []string{file, free, folder}, []int{6}, append(plan, "RUN")},
		{"", "log", []string{file, free, folder}, []int{6}, append(plan, "RUN")},
		{x.dir, "claims", []string{file, free, folder}, []int{6}, []string{"run", "RUN"}},
		{x.dir, "journal", []string{file, free, folder}, []int{6}, []string{"run", "RUN"}},
		{x.dir, "shards", []string{file, free, folder}, []int{6}, []string{"run", "RUN"}},
		{x.dir, "log", []string{file, free, folder}, []int{6}, []string{"run", "RUN"}},
		{x.dir, "carry", []string{file, free, folder}, []int{6}, []string{"run", "RUN"}},
		{x.dir, "claims/u00000.g1", []string{file, free}, []int{75}, []string{"run", "--units", "0", "RUN"}}, // waits for its owner
		{finished, surfaceFile, []string{file, free}, []int{4, 6}, []string{"merge", "RUN"}},
		{finished, surfaceFile, []string{file}, []int{0}, []string{"merge", "--force", "RUN"}},
		{finished, surfaceFile, []string{free}, []int{6}, []string{"merge", "--force", "RUN"}},
		{finished, "out.h5", []string{file, free}, []int{4, 6}, []string{"merge", "-o", "RUN/out.h5", "RUN"}},
		{corrupt, "quarantine", []string{file, free, folder}, []int{6}, []string{"merge", "RUN"}},
		{complete, "surface_curve.png", []string{file, free}, []int{0}, []string{"plot", "RUN/surface.h5"}},
		{complete, "out.png", []string{file, free}, []int{0}, []string{"plot", "-o", "RUN/out.png", "RUN/surface.h5"}},
		{complete, "out.csv", []string{file, free}, []int{0}, []string{"csv", "-o", "RUN/out.csv", "RUN/surface.h5"}},
	} {
		for _, kind := range c.kinds {
			what := fmt.Sprintf("%v with a link at %s to a %s", c.args, c.name, kind)
			dir := inMemory(t)
			run, others, target := filepath.Join(dir, "run"), filepath.Join(dir, "others"), filepath.Join(dir, "others", "target")
			must := func(err error) {
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			must(os.MkdirAll(run, 0o700))
			if c.from != "" {
				must(os.CopyFS(run, os.DirFS(c.from)))
			}
			must(os.Mkdir(others, 0o700))
			switch kind {
			case file:
				must(os.WriteFile(target, []byte("precious"), 0o600))
			case folder:
				must(os.Mkdir(target, 0o700))
				must(os.WriteFile(filepath.Join(target, "u00000.1"), []byte("precious"), 0o600))
			}
			link := filepath.Join(run, c.name)
			must(os.RemoveAll(link))
			must(os.Symlink(target, link))
			before := tree(t, others)
			var args []string
			for _, arg := range c.args {
				args = append(args, strings.Replace(arg, "RUN", run, 1))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if c.codes[0] == 75 {
				time.AfterFunc(500*time.Millisecond, cancel)
			}
			var out bytes.Buffer
			code := execute(ctx, append([]string{"lsrun"}, args...), &out, &out)
			cancel()
			if said := code == 0 || code == 75; !slices.Contains(c.codes, code) || !said && !strings.Contains(out.String(), link) {
				t.Errorf("%s: exit %d, want one of %v\n%s", what, code, c.codes, &out)
			}
			if info, err := os.Lstat(link); code == 0 && (err != nil || !info.Mode().IsRegular()) {
				t.Errorf("%s: the link was not replaced", what)
			}
			if after := tree(t, others); after != before {
				t.Errorf("%s: what others had is no longer\n%s but\n%s", what, before, after)
			}
		}
	}
}

// tree is everything under a folder.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, path)
		if d.Type().IsRegular() {
			fmt.Fprintf(&b, "%q\n", get(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAPlantedPipeKeepsNobodyWaiting plants pipes among the files of a run, into which nobody writes.
func TestAPlantedPipeKeepsNobodyWaiting(t *testing.T) {
	x := newTiny(t)
	dir := x.copy(t)
	plant := func(name string) {
		t.Helper()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	do := func(want int, args ...string) {
		t.Helper()
		ended := make(chan string, 1)
		go func() {
			code, said := quietly(t, append(args, dir)...)
			ended <- fmt.Sprintf("exit %d, want %d\n%s", code, want, said)
		}()
		select {
		case said := <-ended:
			if !strings.HasPrefix(said, fmt.Sprintf("exit %d,", want)) {
				t.Errorf("%v: %s", args, said)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%v waits", args)
		}
	}
	plant("journal/u00000.x")
	plant("log/u00001.x.log")
	do(0, "run")
	do(0, "status")
	plant("shards/u00002." + strings.Repeat("0", 64) + ".h5")
	do(5, "verify")
	plant("surface.h5")
	do(6, "merge") // which has put the pipe among the shards into quarantine
	if err := os.Remove(filepath.Join(dir, "surface.h5")); err != nil {
		t.Fatal(err)
	}
	do(0, "merge")
	if !bytes.Equal(readFile(t, filepath.Join(dir, surfaceFile)), x.surface) {
		t.Error("another surface")
	}
	if err := os.Remove(filepath.Join(dir, "plan.json")); err != nil {
		t.Fatal(err)
	}
	plant("plan.json")
	do(6, "status")
}
