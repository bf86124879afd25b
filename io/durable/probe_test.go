package durable

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestAProbeFindsThisFileSystemGoodAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	p, err := Files{}.Probe(dir)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"create": p.Create, "link": p.Link, "rename": p.RenameNew, "publish": p.Publish, "append": p.Append, "remove": p.Remove} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(p.Sync) != probeRecords || p.Sync[0] <= 0 || math.Abs(p.Clock.Seconds()) > 5 {
		t.Errorf("%v, clock %v", p.Sync, p.Clock)
	}
	if names := list(t, dir); len(names) > 0 {
		t.Errorf("it left %q", names)
	}
}

// TestAProbeTellsEveryCallThatFails makes the i-th call fail, for every i.
func TestAProbeTellsEveryCallThatFails(t *testing.T) {
	for at := 0; ; at++ {
		dir := t.TempDir()
		fault := &Fault{At: at, Err: syscall.EIO}
		p, err := Faulty(fault).Probe(dir)
		if err == nil {
			err = errors.Join(p.Create, p.Link, p.RenameNew, p.Publish, p.Append, p.Remove)
		}
		if !fault.Hit() {
			if err != nil {
				t.Errorf("without a fault: %v", err)
			}
			return
		}
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("call %d failed, and the probe says %v", at, err)
		}
		// What could not be removed is left, and nothing else.
		if names := list(t, dir); len(names) > 0 && p.Remove == nil {
			t.Errorf("call %d: it left %q", at, names)
		}
	}
}

func TestAFileSystemWithoutLinksIsSeen(t *testing.T) {
	// The calls: mkdir; open, write, sync, close; open; link.
	p, err := Faulty(&Fault{At: 6, Err: syscall.EPERM}).Probe(t.TempDir())
	if err != nil || !errors.Is(p.Link, syscall.EPERM) || errors.Join(p.Create, p.RenameNew, p.Publish, p.Append, p.Remove) != nil {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestFreeRoomIsWhatOtherProgramsSay compares with df and stat, which share no code with it.
func TestFreeRoomIsWhatOtherProgramsSay(t *testing.T) {
	dir := t.TempDir()
	r, err := FreeRoom(dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("df", "--output=avail,iavail", "--block-size=1", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(strings.Split(string(out), "\n")[1])
	bytes, _ := strconv.ParseFloat(fields[0], 64)
	if math.Abs(bytes-float64(r.Bytes)) > 0.05*bytes+1<<28 {
		t.Errorf("%d bytes are free, and df says %s", r.Bytes, fields[0])
	}
	if inodes, err := strconv.ParseFloat(fields[1], 64); err == nil && r.Files >= 0 && math.Abs(inodes-float64(r.Files)) > 0.05*inodes+1e4 {
		t.Errorf("%d files may be made, and df says %s", r.Files, fields[1])
	}
	if _, err := FreeRoom(dir + "/nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
