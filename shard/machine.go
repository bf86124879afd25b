package shard

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// System is what a worker asks of where it runs.
type System interface {
	// Self describes this worker.
	Self() Owner
	// Dead says whether it is certain that the owner will do nothing more.
	Dead(Owner) bool
}

// Owner is who works on a unit.
type Owner struct {
	Host      string `json:"host"`
	PID       int    `json:"pid"`
	Started   string `json:"started"`       // when the process did: clock ticks since boot
	Boot      string `json:"boot_id"`       // "" where the system does not say
	Namespace string `json:"pid_namespace"` // containers of one host count processes apart
	Job       string `json:"job"`           // the scheduler's name for it, if any
}

// Machine is the System of a process on Linux. Elsewhere no owner is known to be dead,
// and claims are succeeded only after they have stood still for a while.
type Machine struct {
	Job string // the scheduler's name for this process's job
}

// Self describes this process.
func (m Machine) Self() Owner {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	started, _ := processStart(os.Getpid())
	return Owner{
		Host: host, PID: os.Getpid(), Started: started,
		Boot: strings.TrimSpace(string(boot)), Namespace: namespace, Job: m.Job,
	}
}

// Dead says whether the owner was a process of this very system that is gone.
func (m Machine) Dead(o Owner) bool {
	self := m.Self()
	if o.Boot == "" || o.Host != self.Host || o.Boot != self.Boot || o.Namespace != self.Namespace {
		return false
	}
	started, err := processStart(o.PID)
	if os.IsNotExist(err) { // unless /proc hides the processes of others
		return syscall.Kill(o.PID, 0) == syscall.ESRCH
	}
	return err == nil && started != o.Started
}

// processStart is when a process began to live, field 22 of /proc/PID/stat; "" for a
// zombie.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// Field 2 is the program's name in parentheses, and may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const state, startTime = 3 - 3, 22 - 3
	if len(fields) <= startTime || strings.ContainsAny(fields[state], "ZX") {
		return "", nil
	}
	return fields[startTime], nil
}
