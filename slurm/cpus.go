package slurm

import "strconv"

// CPUs is how many processors the allocation gives to each of the tasks here, which are as many as one launcher started on
// this node (0 counts as 1), and the variable that says so; 0 where none does. Where a site does not confine jobs to their
// processors, nothing else tells a worker that it shares the node.
func CPUs(getenv func(string) string, here int) (n int, variable string) {
	if getenv("SLURM_JOB_ID") == "" {
		return 0, ""
	}
	if n = positive(getenv("SLURM_CPUS_ON_NODE")); n > 0 {
		n, variable = max(n/max(here, 1), 1), "SLURM_CPUS_ON_NODE"
	}
	// That of a task may be the whole node's, where mpirun starts several ranks in one task.
	if each := positive(getenv("SLURM_CPUS_PER_TASK")); each > 0 && (n == 0 || each <= n) {
		n, variable = each, "SLURM_CPUS_PER_TASK"
	}
	return n, variable
}

// positive is the number that text is, or 0.
func positive(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
