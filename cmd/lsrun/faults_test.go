package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lsrun/io/durable"
	"lsrun/io/h5"
	"lsrun/shard"
)

// long says that tests which go through everything shall do so.
var long = os.Getenv("LSRUN_LONG") != ""

// troubles are what storage says, each with a word of its remedy.
var troubles = []struct {
	err    error
	remedy string
}{
	{syscall.ENOSPC, "free some space"}, {syscall.EDQUOT, "quota is used up"}, {syscall.EIO, "system log"}, {syscall.EACCES, "permissions"},
}

// eachTrouble calls attack for every system call from the first on, with every trouble, or one after the other where tests
// shall be short, until attack says that the call was not reached.
func eachTrouble(attack func(f *durable.Fault, remedy string)) {
	for i := 0; ; i++ {
		for n, trouble := range troubles {
			if !long && n != i%len(troubles) {
				continue
			}
			f := &durable.Fault{At: i, Err: trouble.err}
			if attack(f, trouble.remedy); !f.Hit() {
				return
			}
		}
	}
}

// checkText fails the test unless what was said names a file of the run and the remedy.
func checkText(t *testing.T, call int, dir, said, remedy string) {
	t.Helper()
	if !strings.Contains(said, dir) || !strings.Contains(said, remedy) {
		t.Errorf("call %d: %q names no file, or not the remedy %q", call, said, remedy)
	}
}

// checkWhole fails the test unless every published file is whole.
func checkWhole(t *testing.T, call int, dir string, surface []byte) {
	t.Helper()
	shards, err := filepath.Glob(filepath.Join(dir, "shards", "u*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range shards {
		data, err := os.ReadFile(name)
		if err != nil || !strings.Contains(name, digest(data)) {
			t.Errorf("call %d: %s is not whole: %v", call, name, err)
		}
	}
	claims, err := filepath.Glob(filepath.Join(dir, "claims", "u*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range claims { // one that does not say whose it is could only be waited for
		if data, err := os.ReadFile(name); err != nil || !bytes.HasSuffix(data, []byte("}\n")) {
			t.Errorf("call %d: %s is not whole: %v, %q", call, name, err, data)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, surfaceFile)); err == nil && string(data) != string(surface) {
		t.Errorf("call %d: another surface", call)
	}
}

func TestStorageThatFailsAtAnyCallOfAWorkerIsSaidAndNothingIsLost(t *testing.T) {
	x := newTiny(t)
	eachTrouble(func(f *durable.Fault, remedy string) {
		dir := x.copy(t)
		computed, err := x.work(durable.Faulty(f), dir)
		if err != nil {
			if code := exitCode(err); code != 6 {
				t.Errorf("call %d: exit %d, want 6: %v", f.At, code, err)
			}
			checkText(t, f.At, dir, err.Error(), remedy)
		} else if computed < tinyPoints { // one more where what it handed on could not be read
			t.Errorf("call %d: %d of %d points, and no error", f.At, computed, tinyPoints)
		}
		checkWhole(t, f.At, dir, x.surface)
		x.finish(t, dir, computed)
		x.merge(t, f.At, dir)
	})
}

func TestStorageThatFailsAtAnyCallOfAMergeIsSaidAndNothingIsLost(t *testing.T) {
	x := newTiny(t)
	corrupt := x.corrupt(t)
	eachTrouble(func(f *durable.Fault, remedy string) {
		dir := x.copyOf(t, corrupt)
		code, said := withFiles(t, durable.Faulty(f), "merge", "--allow-partial", dir)
		if code != 0 {
			if code != 6 {
				t.Errorf("call %d: exit %d, want 6: %s", f.At, code, said)
			}
			checkText(t, f.At, dir, said, remedy)
		}
		if data, err := os.ReadFile(filepath.Join(dir, surfaceFile)); err == nil {
			if _, err := (h5.Codec{}).DecodeSurface(data); err != nil {
				t.Errorf("call %d: half a surface: %v", f.At, err)
			}
		}
		quietly(t, "merge", dir) // the quarantine may still be to do
		x.finish(t, dir, tinyPoints)
		x.merge(t, f.At, dir)
	})
}

func TestStorageThatFailsAtAnyCallOfAPlanIsSaidAndPlanningAgainMendsIt(t *testing.T) {
	plan := tinyPlan(t)
	var want []byte
	eachTrouble(func(f *durable.Fault, remedy string) {
		dir := filepath.Join(inMemory(t), "run")
		code, said := withFiles(t, durable.Faulty(f), append(plan, dir)...)
		if code != 0 {
			if code != 6 {
				t.Errorf("call %d: exit %d, want 6: %s", f.At, code, said)
			}
			checkText(t, f.At, dir, said, remedy)
		}
		lsrunOK(t, append(plan, dir)...)
		got, err := shard.Open(durable.Files{}, dir)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got.Bytes
		}
		if _, err := openJob(dir); err != nil || string(got.Bytes) != string(want) {
			t.Errorf("call %d: another plan: %v", f.At, err)
		}
		os.RemoveAll(dir)
	})
}

// TestADiskThatIsFullAtAnyPointIsSaidAndNothingIsLost runs out of space, and of inodes, on a real file system: with no room
// at first, then with a little more, until there is enough.
func TestADiskThatIsFullAtAnyPointIsSaidAndNothingIsLost(t *testing.T) {
	if os.Getuid() != 0 {
		asRoot(t)
		return
	}
	x := newTiny(t)
	finished := x.finished(t)
	disk := t.TempDir()
	for _, c := range []struct {
		what   string
		levels func(n int) string // options of a disk with room for n more
		from   string
	}{
		{"room for a worker", func(n int) string { return fmt.Sprintf("size=%dk", 64+4*n) }, x.dir},
		{"inodes for a worker", func(n int) string { return fmt.Sprintf("size=4m,nr_inodes=%d", 10+n) }, x.dir},
		{"room for a merge", func(n int) string { return fmt.Sprintf("size=%dk", 64+4*n) }, finished},
	} {
		full, enough := 0, false
		for n := 0; !enough; n++ {
			if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, c.levels(n)); err != nil {
				t.Fatalf("mounting a small tmpfs: %v", err)
			}
			enough = func() bool {
				defer syscall.Unmount(disk, 0)
				dir := filepath.Join(disk, "run")
				if err := os.CopyFS(dir, os.DirFS(c.from)); err != nil { // not even for what was there before
					return false
				}
				computed, code, said := tinyPoints, 0, ""
				if c.from == x.dir {
					var err error
					if computed, err = x.work(durable.Files{}, dir); err != nil {
						code, said = exitCode(err), err.Error()
					}
				} else {
					code, said = quietly(t, "merge", dir)
				}
				if code == 0 {
					return true
				}
				full++
				if code != 6 {
					t.Errorf("%s, %d: exit %d, want 6: %s", c.what, n, code, said)
				}
				checkText(t, n, dir, said, "free some space")
				checkWhole(t, n, dir, x.surface)
				if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, "size=64m,nr_inodes=10000"); err != nil {
					t.Fatal(err)
				}
				x.finish(t, dir, computed)
				if string(merged(t, dir)) != string(x.surface) {
					t.Errorf("%s, %d: another surface", c.what, n)
				}
				return false
			}()
		}
		if full < 3 {
			t.Errorf("%s: the disk was full only %d times", c.what, full)
		}
	}
}

// TestTextThatCannotBeWrittenIsAnError prints what every verb has to say to a full disk.
func TestTextThatCannotBeWrittenIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	plan, run := tinyPlan(t), filepath.Join(t.TempDir(), "run")
	hessian := append([]string{"hessian", "--trace", "0", "--probes", "0"}, plan[1:9]...)
	for _, args := range [][]string{
		append(plan, run), {"status", run}, {"status", "--json", run}, {"sbatch", run}, {"run", run}, {"merge", run}, {"verify", run},
		{"status", "--watch", run}, {"csv", run}, {"inspect", run}, {"plot", run}, hessian, {"models"}, {"plan", "--help"}, {"--version"},
	} {
		var stderr bytes.Buffer
		code := execute(t.Context(), append([]string{"lsrun"}, args...), full, &stderr)
		if code != 6 || strings.Count(stderr.String(), "no space left") != 1 {
			t.Errorf("lsrun %s: exit %d, want 6 for one reason\n%s", strings.Join(args, " "), code, &stderr)
		}
	}
	if surface := filepath.Join(run, surfaceFile); !exists(surface) {
		t.Errorf("%s is not there", surface)
	}
}
