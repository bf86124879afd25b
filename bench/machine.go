package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine describes where the numbers were measured, a fact a line.
func machine() []string {
	model, flags := processor()
	facts := []string{
		fmt.Sprintf("%s, %d processors%s", model, goruntime.NumCPU(), virtual(flags)),
		"caches: " + strings.Join(caches(), ", "),
		"instructions: " + strings.Join(relevant(flags), " "),
		fmt.Sprintf("%s, %s, %s", goruntime.Version(), said("node", "--version", "node "), said("uname", "-sr", "")),
		"lsrun " + revision() + ", " + time.Now().UTC().Format("2006-01-02 15:04 UTC"),
	}
	return facts
}

// processor is the model and the flags of the first CPU.
func processor() (model string, flags []string) {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags":
			return model, strings.Fields(value)
		}
	}
	return model, nil
}

func virtual(flags []string) string {
	if slices.Contains(flags, "hypervisor") {
		return " of a virtual machine"
	}
	return ""
}

// relevant are the flags that a kernel for convolutions may want.
func relevant(flags []string) []string {
	var found []string
	for _, f := range flags {
		if f == "avx" || f == "avx2" || f == "fma" || strings.HasPrefix(f, "avx512") || strings.HasPrefix(f, "amx") {
			found = append(found, f)
		}
	}
	return found
}

// caches are those that the first CPU sees.
func caches() []string {
	var found []string
	folders, _ := filepath.Glob("/sys/devices/system/cpu/cpu0/cache/index*")
	for _, folder := range folders {
		attribute := func(name string) string {
			text, _ := os.ReadFile(filepath.Join(folder, name))
			return string(bytes.TrimSpace(text))
		}
		if kind := attribute("type"); kind != "Instruction" {
			found = append(found, fmt.Sprintf("L%s %s (CPUs %s)", attribute("level"), attribute("size"), attribute("shared_cpu_list")))
		}
	}
	return found
}

// said is what a program prints, behind prefix; nothing if it cannot run.
func said(program, flag, prefix string) string {
	out, _ := exec.Command(program, flag).Output()
	return prefix + string(bytes.TrimSpace(out))
}

// pause lets the threads of the one before fall asleep, and tells which share of the processors is
// busy then.
func pause() float64 {
	time.Sleep(100 * time.Millisecond)
	busy, all := ticks()
	time.Sleep(200 * time.Millisecond)
	busyThen, allThen := ticks()
	return (busyThen - busy) / max(1, allThen-all)
}

// ticks counts the time of all processors so far, and what of it was not idle: work, here or on the
// host of a virtual machine.
func ticks() (busy, all float64) {
	text, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(text), "\n")
	const idle, wait, stolen = 3, 4, 7
	for i, field := range strings.Fields(strings.TrimPrefix(first, "cpu")) {
		n, _ := strconv.ParseFloat(field, 64)
		if i > stolen {
			break // guests are counted in users
		}
		all += n
		if i != idle && i != wait {
			busy += n
		}
	}
	return busy, all
}

// processorTime is the seconds that this process has had of all processors.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return math.NaN()
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// revision is the commit that this program was built from.
func revision() string {
	info, _ := debug.ReadBuildInfo()
	commit, state := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			state = " with changes"
		}
	}
	return commit + state
}
