package main

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// resources are limits of this process that a worker may run into (setrlimit(2)).
type resources struct {
	openFiles  uint64 // ulimit -n
	fileBytes  uint64 // ulimit -f
	memory     uint64 // ulimit -v
	cpuSeconds uint64 // ulimit -t
}

// unlimited is what a resource without a limit has.
const unlimited uint64 = unix.RLIM_INFINITY

func processLimits() (r resources) {
	for resource, value := range map[int]*uint64{unix.RLIMIT_NOFILE: &r.openFiles, unix.RLIMIT_FSIZE: &r.fileBytes,
		unix.RLIMIT_AS: &r.memory, unix.RLIMIT_CPU: &r.cpuSeconds} {
		var limit unix.Rlimit
		*value = unlimited
		if unix.Getrlimit(resource, &limit) == nil {
			*value = limit.Cur
		}
	}
	return r
}

// controlGroup is who limits memory where the machine does not.
const controlGroup = "the control group"

// freeMemory is how many bytes this process may still take, and what says so: the machine, or the control groups that it is in.
func freeMemory() (bytes int64, by string) {
	bytes, by = math.MaxInt64, "the machine"
	if kilobytes, ok := readBytes("/proc/meminfo", "MemAvailable"); ok {
		bytes = kilobytes << 10
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return bytes, by
	}
	if free := groupMemory("/sys/fs/cgroup", string(groups)); free < bytes {
		return free, controlGroup
	}
	return bytes, by
}

// groupMemory is the least that a process's control groups, as /proc/PID/cgroup names them, and those above them have left of
// their memory; the largest number where they limit nothing. root is where their folders are.
func groupMemory(root, groups string) int64 {
	least := int64(math.MaxInt64)
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		base, most, used, cached := root, "memory.max", "memory.current", "inactive_file"
		switch {
		case parts[0] == "0": // version 2
		case strings.Contains(","+parts[1]+",", ",memory,"):
			base, most, used, cached = filepath.Join(root, "memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		default:
			continue
		}
		for dir := filepath.Join(base, parts[2]); ; dir = filepath.Dir(dir) {
			if limit, ok := readBytes(filepath.Join(dir, most), ""); ok {
				taken, _ := readBytes(filepath.Join(dir, used), "")
				given, _ := readBytes(filepath.Join(dir, "memory.stat"), cached) // back, when it is needed
				least = min(least, max(limit-taken+given, 0))
			}
			if len(dir) <= len(base) {
				break
			}
		}
	}
	return least
}

// readBytes reads a file that is a number, or the number behind a key, "max" being none.
func readBytes(path, key string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if key != "" {
			if len(f) < 2 || strings.TrimSuffix(f[0], ":") != key {
				continue
			}
			f = f[1:]
		}
		if len(f) == 0 {
			continue
		}
		n, err := strconv.ParseInt(f[0], 10, 64)
		return n, err == nil
	}
	return 0, false
}
