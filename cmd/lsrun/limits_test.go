package main

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestMemoryOfControlGroupsIsTheLeastOnTheWayUp(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("job/step/memory.max", "max")
	write("job/step/memory.current", "7")
	write("job/memory.max", "1000")
	write("job/memory.current", "100")
	write("job/memory.stat", "anon 5\ninactive_file 30\nactive_file 4")
	write("memory/old/memory.limit_in_bytes", "500")
	write("memory/old/memory.usage_in_bytes", "450")
	for groups, want := range map[string]int64{
		"0::/job/step\n": 930,
		"0::/\n":         math.MaxInt64,
		"5:cpu,memory:/old\n1:name=systemd:/job\n": 50,
		"0::/job/step\n5:memory:/old\n":            50,
		"3:cpuset:/job\n":                          math.MaxInt64,
		"nonsense\n":                               math.MaxInt64,
	} {
		if got := groupMemory(root, groups); got != want {
			t.Errorf("%q: %d, want %d", groups, got, want)
		}
	}
}

func TestLimitsAreThoseOfTheShell(t *testing.T) {
	out, err := exec.Command("sh", "-c", "ulimit -n; ulimit -f; ulimit -v; ulimit -t").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := processLimits()
	for i, got := range []uint64{r.openFiles, r.fileBytes / 512, r.memory / 1024, r.cpuSeconds} { // in the shell's units
		word := strings.Fields(string(out))[i]
		if want, err := strconv.ParseUint(word, 10, 64); err == nil && got != want && i > 0 || word == "unlimited" && got < unlimited/1024 {
			t.Errorf("limit %d is %d, and the shell says %s", i, got, word)
		}
	}
	if r.openFiles < 3 {
		t.Errorf("%d open files", r.openFiles)
	}
}
