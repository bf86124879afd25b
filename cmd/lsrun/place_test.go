package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"lsrun/shard"
	"lsrun/slurm"
)

// cpus reads "0-3,8".
func cpus(t *testing.T, text string) []int {
	t.Helper()
	list, err := shard.ParseRanges(text, mostCPUs)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// nodes is a folder like /sys/devices/system/node.
func nodes(online string, lists map[int]string) fstest.MapFS {
	sys := fstest.MapFS{"online": {Data: []byte(online + "\n")}}
	for n, list := range lists {
		sys[fmt.Sprintf("node%d/cpulist", n)] = &fstest.MapFile{Data: []byte(list + "\n")}
	}
	return sys
}

// Two sockets with four domains each and two threads a core, as an EPYC with NPS4: 64 cores, the second threads from 64 on.
var nps4 = nodes("0-7", map[int]string{0: "0-7,64-71", 1: "8-15,72-79", 2: "16-23,80-87", 3: "24-31,88-95",
	4: "32-39,96-103", 5: "40-47,104-111", 6: "48-55,112-119", 7: "56-63,120-127"})

func TestAWorkerComputesInItsShareOfTheHost(t *testing.T) {
	uneven := nodes("0-2,10", map[int]string{0: "0-23", 1: "24-31", 2: "", 10: "32-39"}) // domain 2 has only memory
	for _, c := range []struct {
		name      string
		sys       fstest.MapFS
		mine, all string
		limit     int // 0 for as many as mine
		rank      slurm.Rank
		threads   int
		env       map[string]string
		want      string // threads on CPUs of domains
	}{
		{name: "alone", sys: nps4, mine: "0-127", all: "0-127", want: "128 on 0-127 of 0-7"},
		{name: "alone in a part", sys: nps4, mine: "16-31", all: "16-31", want: "16 on 16-31 of 2-3"},
		{name: "2 workers, 4 domains each", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 2, Local: 1}, want: "64 on 32-63,96-127 of 4-7"},
		{name: "8 workers, a domain each", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 8, Local: 2}, want: "16 on 16-23,80-87 of 2"},
		{name: "16 workers, two in a domain", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 16, Local: 5}, want: "8 on 16-23,80-87 of 2"},
		{name: "the first of 12 workers", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 12, Local: 0}, want: "8 on 0-7,64-71 of 0"},
		{name: "the last of 12 workers", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 12, Local: 11}, want: "16 on 56-63,120-127 of 7"},
		{name: "more workers than CPUs", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 200, Local: 199}, want: "1 on 56-63,120-127 of 7"},
		{name: "5 workers in uneven domains: 3 in the largest", sys: uneven, mine: "0-39", all: "0-39", rank: slurm.Rank{LocalSize: 5, Local: 2}, want: "8 on 0-23 of 0"},
		{name: "5 workers in uneven domains: the fourth", sys: uneven, mine: "0-39", all: "0-39", rank: slurm.Rank{LocalSize: 5, Local: 3}, want: "8 on 24-31 of 1"},
		{name: "5 workers in uneven domains: the fifth", sys: uneven, mine: "0-39", all: "0-39", rank: slurm.Rank{LocalSize: 5, Local: 4}, want: "8 on 32-39 of 10"},
		{name: "CPUs that do not divide", sys: uneven, mine: "0-39", all: "0-39", rank: slurm.Rank{LocalSize: 4, Local: 1}, want: "12 on 0-23 of 0"},
		{name: "offline CPUs", sys: nodes("0-1", map[int]string{0: "0-2", 1: "5-7"}), mine: "0-2,5-7", all: "0-2,5-7", rank: slurm.Rank{LocalSize: 2, Local: 1}, want: "3 on 5-7 of 1"},
		{name: "a job's part of the node, 4 workers", sys: nps4, mine: "8-23", all: "8-23", rank: slurm.Rank{LocalSize: 4, Local: 3}, want: "4 on 16-23 of 2"},
		{name: "bound by the launcher", sys: nps4, mine: "8-15", all: "0-63", rank: slurm.Rank{LocalSize: 8, Local: 1}, want: "8 on 8-15 of 1"},
		{name: "bound to a socket with 3 others", sys: nps4, mine: "32-63", all: "0-63", rank: slurm.Rank{LocalSize: 8, Local: 5}, want: "8 on 32-63 of 4-7"},
		{name: "no domains told", sys: nil, mine: "0-7", all: "0-7", rank: slurm.Rank{LocalSize: 3, Local: 2}, want: "3 on 0-7 of "},
		{name: "a domain not told", sys: nodes("0-1", map[int]string{0: "0-3"}), mine: "0-7", all: "0-7", rank: slurm.Rank{LocalSize: 2, Local: 1}, want: "4 on 0-7 of "},
		{name: "a limit of time, alone", sys: nps4, mine: "0-127", all: "0-127", limit: 6, want: "6 on 0-127 of 0-7"},
		{name: "a limit of time, shared", sys: nps4, mine: "0-127", all: "0-127", limit: 6, rank: slurm.Rank{LocalSize: 2, Local: 0}, want: "3 on 0-31,64-95 of 0-3"},
		{name: "an allocation without a cpuset", sys: nps4, mine: "0-127", all: "0-127", env: map[string]string{"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "4"}, want: "4 on 0-127 of 0-7"},
		{name: "an allocation without a cpuset, shared", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 2, Local: 1},
			env: map[string]string{"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "20"}, want: "10 on 32-63,96-127 of 4-7"},
		{name: "a smaller cpuset than allocated", sys: nps4, mine: "0-1", all: "0-1", env: map[string]string{"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "4"}, want: "2 on 0-1 of 0"},
		{name: "--threads", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 8, Local: 2}, threads: 3,
			env: map[string]string{"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "2"}, want: "3 on 16-23,80-87 of 2"},
		{name: "more --threads than its share has CPUs", sys: nps4, mine: "0-127", all: "0-127", rank: slurm.Rank{LocalSize: 8, Local: 2}, threads: 20, want: "20 on 0-127 of 0-7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := host{mine: cpus(t, c.mine), all: cpus(t, c.all), limit: c.limit, getenv: func(name string) string { return c.env[name] }}
			if h.limit == 0 {
				h.limit = len(h.mine)
			}
			h.domains = numaDomains(c.sys, h.mine)
			p := h.place(c.threads, c.rank)
			if got := fmt.Sprintf("%d on %s of %s", p.threads, shard.FormatRanges(p.cpus), shard.FormatRanges(p.domains)); got != c.want {
				t.Errorf("%s (%s), want %s", got, p.why, c.want)
			}
		})
	}
}

// TestTheWorkersOfAHostUseEveryCPUOnce counts, for all numbers of workers, where the domains allow it.
func TestTheWorkersOfAHostUseEveryCPUOnce(t *testing.T) {
	all := cpus(t, "0-127")
	domains := numaDomains(nps4, all)
	for n := 1; n <= 128; n++ {
		threads, seen := 0, map[int]bool{}
		for i := range n {
			got, its := share(domains, i, n)
			threads += its
			for _, c := range got {
				seen[c] = true
			}
			if n >= len(domains) && !slices.ContainsFunc(domains, func(d domain) bool { return slices.Equal(d.cpus, got) }) {
				t.Errorf("worker %d of %d crosses domains: %v", i, n, got)
			}
			if its < 1 || its > len(got) {
				t.Errorf("worker %d of %d: %d threads on %d CPUs", i, n, its, len(got))
			}
		}
		if threads != len(all) || len(seen) != len(all) {
			t.Errorf("%d workers: %d threads on %d CPUs, want %d", n, threads, len(seen), len(all))
		}
	}
}

// taskCPUs are the Cpus_allowed_list of every thread of this process, without repetition.
func taskCPUs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of this process: %v, %v", files, err)
	}
	var lists []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		match := regexp.MustCompile(`(?m)^Cpus_allowed_list:\t(.*)$`).FindSubmatch(text)
		if match == nil {
			t.Fatalf("%s has no Cpus_allowed_list", file)
		}
		lists = append(lists, string(match[1]))
	}
	slices.Sort(lists)
	return slices.Compact(lists)
}

// TestBindingReachesEveryThread runs in a process of its own, which stays bound.
func TestBindingReachesEveryThread(t *testing.T) {
	if os.Getenv("LSRUN_TEST_BIND") == "" {
		cmd := process(t.Context(), t, "-test.run=^TestBindingReachesEveryThread$")
		cmd.Args[0] = "lsrun.test"
		cmd.Env = append(os.Environ(), "LSRUN_TEST_BIND=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	before, err := affinity()
	if err != nil {
		t.Fatal(err)
	}
	if got := taskCPUs(t); !slices.Equal(got, []string{shard.FormatRanges(before)}) {
		t.Fatalf("threads may run on %v, but affinity says %v", got, before)
	}
	stop := make(chan bool)
	defer close(stop)
	busy := func() { // as many threads as there are processors, and others that are being started
		for range 8 {
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
						os.ReadFile("/proc/self/status")
					}
				}
			}()
		}
	}
	busy()
	last := before[len(before)-1:]
	if err := bind(last); err != nil {
		t.Fatal(err)
	}
	busy()
	if got := taskCPUs(t); !slices.Equal(got, []string{shard.FormatRanges(last)}) {
		t.Errorf("threads may run on %v after they were bound to %v", got, last)
	}
	// What was bound is seen to be bound: the control group would allow more.
	if all := allowed(last); !slices.Equal(all, before) {
		t.Errorf("the process may have %v, want %v", all, before)
	}
	if got := taskCPUs(t); !slices.Equal(got, []string{shard.FormatRanges(last)}) {
		t.Errorf("threads may run on %v after asking what is allowed", got)
	}
}
