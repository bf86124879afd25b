// Package slurm connects a worker to what started it: the environment of an MPI launcher
// or a SLURM step.
package slurm

import "strconv"

// Rank is a process's place among those that one launcher started together.
type Rank struct {
	Index, Size int // 0 ≤ Index < Size
	LocalSize   int // how many of them are on this host; 0 if the launcher does not say
	Local       int // its place among those on this host; 0 if the launcher does not say
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
		place := getenv(l.place)
		if place == "" && getenv(l.index) == getenv("SLURM_PROCID") { // srun's PMI leaves it out
			place = getenv("SLURM_LOCALID")
		}
		if r, ok := parseRank(getenv(l.index), getenv(l.size), getenv(l.local), place); ok {
			return r, true
		}
	}
	if getenv("SLURM_STEP_ID") == "" {
		return Rank{}, false
	}
	return parseRank(getenv("SLURM_PROCID"), getenv("SLURM_STEP_NUM_TASKS"), getenv("SLURM_STEP_TASKS_PER_NODE"), getenv("SLURM_LOCALID"))
}

func parseRank(index, size, local, place string) (Rank, bool) {
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(size)
	if err1 != nil || err2 != nil || i < 0 || i >= n {
		return Rank{}, false
	}
	// SLURM writes "4(x2),1" where nodes differ: then the host's share is not known.
	l, err := strconv.Atoi(local)
	if err != nil || l < 0 {
		l = 0
	}
	p, err := strconv.Atoi(place)
	if err != nil || p < 0 {
		p = 0
	}
	return Rank{Index: i, Size: n, LocalSize: l, Local: p}, true
}
