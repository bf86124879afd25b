// Package slurm connects a worker to what started it: the environment of an MPI launcher
// or a SLURM step.
package slurm

import (
	"strconv"
	"strings"
)

// Rank is a process's place among those that one launcher started together.
type Rank struct {
	Index, Size int // 0 ≤ Index < Size
	LocalSize   int // how many of them are on this host; 0 if the launcher does not say
	Local       int // its place among those on this host; if the launcher does not say, what fits equal hosts in a row, or 0
}

// launchers lists the variables that hold index, size, size on the host and index there.
var launchers = []struct{ index, size, local, place string }{
	{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"}, // Open MPI
	{"PMIX_RANK", "PMIX_SIZE", "PMIX_LOCAL_SIZE", "PMIX_LOCAL_RANK"},
	{"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"}, // MPICH, Intel MPI
}

// RankFrom reads the rank from the environment (os.Getenv), or says that there is none.
//
// SLURM_PROCID counts only inside a step that srun started: SLURM sets it to 0 in every
// batch script too, array tasks included, where it would make all of them rank 0 of n.
func RankFrom(getenv func(string) string) (Rank, bool) {
	for _, l := range launchers {
		local, place := getenv(l.local), getenv(l.place)
		if place == "" && getenv(l.index) == getenv("SLURM_PROCID") { // srun's PMI leaves them out
			local, place = stepTasksHere(getenv), getenv("SLURM_LOCALID")
		}
		if r, ok := parseRank(getenv(l.index), getenv(l.size), local, place); ok {
			return r, true
		}
	}
	if getenv("SLURM_STEP_ID") == "" {
		return Rank{}, false
	}
	return parseRank(getenv("SLURM_PROCID"), getenv("SLURM_STEP_NUM_TASKS"), stepTasksHere(getenv), getenv("SLURM_LOCALID"))
}

// stepTasksHere is how many of the step's tasks are on this node, of the list that SLURM writes for all nodes: "4(x2),1" for 4, 4
// and 1.
func stepTasksHere(getenv func(string) string) string {
	list := getenv("SLURM_STEP_TASKS_PER_NODE")
	node, err := strconv.Atoi(getenv("SLURM_NODEID"))
	if err != nil {
		return list // a list of one is good enough
	}
	for part := range strings.SplitSeq(list, ",") {
		tasks, times, _ := strings.Cut(strings.TrimSuffix(part, ")"), "(x")
		nodes := max(positive(times), 1)
		if node < nodes {
			return tasks
		}
		node -= nodes
	}
	return ""
}

func parseRank(index, size, local, place string) (Rank, bool) {
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(size)
	if err1 != nil || err2 != nil || i < 0 || i >= n {
		return Rank{}, false
	}
	l, err := strconv.Atoi(local)
	if err != nil || l < 0 {
		l = 0
	}
	p, err := strconv.Atoi(place)
	if err != nil || p < 0 {
		p = i % max(l, 1)
	}
	return Rank{Index: i, Size: n, LocalSize: l, Local: p}, true
}
