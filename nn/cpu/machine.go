package cpu

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryBytes is the memory that this process may use: the machine's, or the least that its control groups
// allow. 0 where nothing is known.
func memoryBytes() int64 {
	var total int64
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			total = kilobytes << 10
		}
	}
	text, _ = os.ReadFile("/proc/self/cgroup")
	for _, file := range limitFiles(string(text)) {
		text, _ := os.ReadFile(file)
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 {
			total = min(total, limit)
		}
	}
	return total
}

// limitFiles are where the limits of a process's control groups stand, from its own up to the root, given its
// /proc/PID/cgroup: lines of HIERARCHY:CONTROLLERS:PATH, with no controllers in version 2.
func limitFiles(groups string) (files []string) {
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		folder, name := "/sys/fs/cgroup", "memory.max"
		if parts[1] == "memory" {
			folder, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if parts[1] != "" {
			continue
		}
		for path := filepath.Clean("/" + parts[2]); ; path = filepath.Dir(path) {
			files = append(files, filepath.Join(folder, path, name))
			if path == "/" {
				break
			}
		}
	}
	return files
}
