package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// TestTheDoctorSeesWhatARealFileSystemLacks mounts small ones.
func TestTheDoctorSeesWhatARealFileSystemLacks(t *testing.T) {
	if os.Getuid() != 0 {
		asRoot(t)
		return
	}
	disk := t.TempDir()
	mount := func(flags uintptr, options string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", flags, options); err != nil {
			t.Fatalf("mounting a tmpfs with %s: %v", options, err)
		}
	}
	mount(0, "size=8m,nr_inodes=400")
	defer syscall.Unmount(disk, 0)
	run, ballast := filepath.Join(disk, "run"), filepath.Join(disk, "ballast")
	smallPlan(t, run) // 25 units of four files
	doctor := func(want int, says string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		code := execute(t.Context(), []string{"lsrun", "doctor", run}, &stdout, &stderr)
		if code != want || !regexp.MustCompile("(?m)"+says).Match(stdout.Bytes()) {
			t.Errorf("exit %d, want %d and %q:\n%s%s", code, want, says, &stdout, &stderr)
		}
	}
	doctor(0, "^ok +room .* free on tmpfs")
	doctor(0, "^ok +inodes +[0-9]+ files may still be made; the run will need about 101$")
	mount(syscall.MS_REMOUNT, "size=8m,nr_inodes=60")
	doctor(6, "^problem +inodes .*no space left on device: .* files may still be made")
	mount(syscall.MS_REMOUNT, "size=8m,nr_inodes=400")
	var s syscall.Statfs_t
	if err := syscall.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ballast, make([]byte, int(s.Bavail)*int(s.Bsize)-1<<18), 0o666); err != nil {
		t.Fatal(err)
	}
	doctor(6, "^problem +room .*no space left on device: 0 MB free on tmpfs")
	doctor(6, "^problem +writing .*no space left on device: free some space")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	doctor(0, "^ok +writing") // nothing was left in the way
	mount(syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=8m,nr_inodes=400")
	doctor(6, "^problem +writing .*read-only file system: choose a folder on a file system that can be written")
}

func TestTheWorstProblemDecides(t *testing.T) {
	e := &examination{}
	if err := e.worst(); err != nil {
		t.Error(err)
	}
	e.ok("a", "fine")
	e.note("b", "hm")
	e.refuse("c", "no kernel")
	if code := exitCode(e.worst()); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	e.problem("d", syscall.EIO)
	e.refuse("e", "no card")
	if code := exitCode(e.worst()); code != 6 {
		t.Errorf("exit code %d, want 6", code)
	}
}
