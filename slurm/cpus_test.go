package slurm

import "testing"

func TestAWorkerTakesNoMoreProcessorsThanTheAllocationHas(t *testing.T) {
	for _, c := range []struct {
		name     string
		env      map[string]string
		here     int
		want     int
		variable string
	}{
		{"outside of SLURM", map[string]string{"SLURM_CPUS_PER_TASK": "4"}, 1, 0, ""},
		{"a batch script with --cpus-per-task", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "4"}, 0, 4, "SLURM_CPUS_PER_TASK"},
		{"a batch script without", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "16"}, 0, 16, "SLURM_CPUS_ON_NODE"},
		{"an srun step of 4 tasks", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "2", "SLURM_CPUS_ON_NODE": "8"}, 4, 2, "SLURM_CPUS_PER_TASK"},
		{"an srun step of 4 tasks without --cpus-per-task", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8"}, 4, 2, "SLURM_CPUS_ON_NODE"},
		{"mpirun -n 4 in one task of 32", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "32", "SLURM_CPUS_ON_NODE": "32"}, 4, 8, "SLURM_CPUS_ON_NODE"},
		{"mpirun -n 4 in 4 tasks of 8", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "8", "SLURM_CPUS_ON_NODE": "32"}, 4, 8, "SLURM_CPUS_PER_TASK"},
		{"more ranks than processors", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2"}, 5, 1, "SLURM_CPUS_ON_NODE"},
		{"the task's alone", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "3"}, 2, 3, "SLURM_CPUS_PER_TASK"},
		{"nothing said", map[string]string{"SLURM_JOB_ID": "7"}, 2, 0, ""},
		{"nonsense", map[string]string{"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "many", "SLURM_CPUS_ON_NODE": "-1"}, 2, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, variable := CPUs(func(key string) string { return c.env[key] }, c.here)
			if got != c.want || variable != c.variable {
				t.Errorf("CPUs = %d by %q; want %d by %q", got, variable, c.want, c.variable)
			}
		})
	}
}
