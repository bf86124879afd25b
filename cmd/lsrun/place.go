package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lsrun/shard"
	"lsrun/slurm"
)

// place is the part of a host that a worker computes on.
type place struct {
	threads int
	cpus    []int // that its threads may run on
	domains []int // NUMA domains that these lie in; none where the system does not say
	why     string
}

// host is what a worker sees of its host before it settles.
type host struct {
	mine    []int    // CPUs that this process may run on
	all     []int    // CPUs that it may ask for: those of its control groups
	limit   int      // of threads: GOMAXPROCS, which follows mine and the groups' share of the time
	domains []domain // that mine lie in, never none
	getenv  func(string) string
}

// domain is a NUMA domain: CPUs and the memory that is nearest to them.
type domain struct {
	number int // -1 where the system does not say
	cpus   []int
}

// mostCPUs is the most that Linux can be built for.
const mostCPUs = 1 << 13

// settle chooses this worker's place and binds the process to it, so that what its threads touch first is in the memory
// next to them. threads is --threads, or 0.
func settle(threads int, rank slurm.Rank) (place, error) {
	h := thisHost()
	p := h.place(threads, rank)
	// Nothing else of this process takes more either: neither collecting garbage nor the vectors of eigenvalues.
	runtime.GOMAXPROCS(min(p.threads, h.limit))
	if len(p.cpus) == len(h.mine) {
		return p, nil
	}
	if err := bind(p.cpus); err != nil {
		return p, fmt.Errorf("binding to CPUs %s: %w: this worker computes on any", shard.FormatRanges(p.cpus), err)
	}
	return p, nil
}

// placeThreads is how many threads run would use here.
func placeThreads() int {
	rank, _ := slurm.RankFrom(os.Getenv)
	return thisHost().place(0, rank).threads
}

// place is where a worker computes: where its launcher bound it, or else its share of the host; with as many threads as it
// has CPUs there, unless the allocation says fewer or somebody asks for another number.
func (h host) place(threads int, rank slurm.Rank) place {
	p := place{threads: len(h.mine), cpus: h.mine, why: "all that it may use"}
	workers := max(rank.LocalSize, 1)
	if workers > 1 && len(h.mine) == len(h.all) {
		p.cpus, p.threads = share(h.domains, rank.Local%workers, workers)
		p.why = fmt.Sprintf("its share of a host whose %d workers nobody bound", workers)
	} else if workers > 1 {
		// Where ranks are bound to sockets, several have the same CPUs: seen from one, there are not enough for all.
		p.threads = min(p.threads, max(len(h.all)/workers, 1))
		p.why = "where its launcher bound it"
	}
	atMost := func(n int, why string) {
		if n < p.threads {
			p.threads, p.why = n, why
		}
	}
	if h.limit < len(h.mine) {
		atMost(max(h.limit/workers, 1), "the control group's share of the time, or GOMAXPROCS")
	}
	if n, variable := slurm.CPUs(h.getenv, rank.LocalSize); n > 0 {
		atMost(n, variable)
	}
	if threads > 0 {
		p.threads, p.why = threads, "--threads"
		if threads > len(p.cpus) {
			p.cpus = h.mine
		}
	}
	for _, d := range h.domains {
		if d.number >= 0 && slices.ContainsFunc(d.cpus, func(c int) bool { return slices.Contains(p.cpus, c) }) {
			p.domains = append(p.domains, d.number)
		}
	}
	return p
}

// share is what worker i of n gets: whole domains that follow one another, or, where there are fewer domains than workers,
// threads in one of them. There it is bound to the domain, not to CPUs, which others may happen to use.
func share(domains []domain, i, n int) (cpus []int, threads int) {
	if n <= len(domains) {
		for _, d := range domains[len(domains)*i/n : len(domains)*(i+1)/n] {
			cpus = append(cpus, d.cpus...)
		}
		slices.Sort(cpus)
		return cpus, len(cpus)
	}
	workers := make([]int, len(domains)) // by domain: one and, one after another, where each has the most CPUs
	for k := range n {
		best := k
		if k >= len(domains) {
			best = 0
			for d := range domains {
				if len(domains[d].cpus)*(workers[best]+1) > len(domains[best].cpus)*(workers[d]+1) {
					best = d
				}
			}
		}
		workers[best]++
	}
	d := 0
	for ; i >= workers[d]; d++ {
		i -= workers[d]
	}
	cpus = domains[d].cpus
	return cpus, max(len(cpus)*(i+1)/workers[d]-len(cpus)*i/workers[d], 1)
}

// text says in a line where a worker computes, on what device, and why there.
func (p place) text(rank slurm.Rank, device string) string {
	var b strings.Builder
	if rank.Size > 1 {
		fmt.Fprintf(&b, "rank %d of %d: ", rank.Index, rank.Size)
	}
	if device == onCard {
		fmt.Fprintf(&b, "card %d, counted round those that it sees, and ", rank.Local)
	}
	fmt.Fprintf(&b, "%s on CPUs %s", plural(p.threads, "thread"), shard.FormatRanges(p.cpus))
	if len(p.domains) > 0 {
		fmt.Fprintf(&b, " (NUMA %s)", shard.FormatRanges(p.domains))
	}
	return b.String() + ": " + p.why
}

// thisHost asks the system. Where that does not answer, all CPUs are there for everybody.
func thisHost() host {
	h := host{limit: runtime.GOMAXPROCS(0), getenv: os.Getenv}
	mine, err := affinity()
	if err != nil {
		for c := range runtime.NumCPU() {
			mine = append(mine, c)
		}
	}
	h.mine, h.all = mine, allowed(mine)
	h.domains = numaDomains(os.DirFS("/sys/devices/system/node"), mine)
	return h
}

// affinity lists the CPUs that the calling thread may run on.
func affinity() ([]int, error) {
	set := unix.NewCPUSet(mostCPUs)
	if err := unix.SchedGetaffinityDynamic(0, set); err != nil {
		return nil, err
	}
	var cpus []int
	for c := range mostCPUs {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

// allowed lists the CPUs that a process like this one may have: a thread that asks for all gets those, whatever version
// of control groups says so. Mine are a part of them if somebody bound this process.
func allowed(mine []int) []int {
	runtime.LockOSThread() // which also keeps others from being started from here
	defer runtime.UnlockOSThread()
	every := unix.NewCPUSet(mostCPUs)
	every.Fill()
	if err := unix.SchedSetaffinityDynamic(0, every); err != nil {
		return mine
	}
	defer unix.SchedSetaffinityDynamic(0, cpuSet(mine))
	all, err := affinity()
	if err != nil {
		return mine
	}
	return all
}

func cpuSet(cpus []int) unix.CPUSetDynamic {
	set := unix.NewCPUSet(mostCPUs)
	for _, c := range cpus {
		set.Set(c)
	}
	return set
}

// numaDomains reads which of the CPUs lie in which domain from a folder like /sys/devices/system/node. They are one domain where
// it does not tell that of all.
func numaDomains(sys fs.FS, cpus []int) []domain {
	var domains []domain
	found := 0
	for _, number := range readRanges(sys, "online") {
		d := domain{number: number}
		for _, c := range readRanges(sys, path.Join(fmt.Sprintf("node%d", number), "cpulist")) {
			if slices.Contains(cpus, c) {
				d.cpus = append(d.cpus, c)
			}
		}
		if found += len(d.cpus); len(d.cpus) > 0 { // a domain may be of memory alone
			domains = append(domains, d)
		}
	}
	if found != len(cpus) {
		return []domain{{-1, cpus}}
	}
	return domains
}

// readRanges reads a file of ranges, or none.
func readRanges(sys fs.FS, name string) []int {
	text, err := fs.ReadFile(sys, name)
	if err != nil {
		return nil
	}
	numbers, err := shard.ParseRanges(strings.TrimSpace(string(text)), mostCPUs)
	if err != nil {
		return nil
	}
	return numbers
}

// bind confines all threads of this process to cpus: those that there are, and those that they will start.
func bind(cpus []int) error {
	set := cpuSet(cpus)
	bound := map[int]bool{}
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		before := len(bound)
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil || bound[id] {
				continue
			}
			if err := unix.SchedSetaffinityDynamic(id, set); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			bound[id] = true
		}
		if len(bound) == before { // nobody started another meanwhile
			return nil
		}
	}
}
