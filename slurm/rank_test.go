package slurm

import "testing"

func TestTheRankComesFromWhateverStartedTheProcess(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want Rank
		ok   bool
	}{
		{"a shell", nil, Rank{}, false},
		{"Open MPI", map[string]string{"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}, Rank{1, 2, 2, 1}, true},
		{"MPICH", map[string]string{"PMI_RANK": "3", "PMI_SIZE": "4"}, Rank{3, 4, 0, 0}, true},
		{"a launcher that does not say which of a host's ranks it is", map[string]string{"PMI_RANK": "6", "PMI_SIZE": "8", "MPI_LOCALNRANKS": "4"}, Rank{6, 8, 4, 2}, true},
		{"srun's PMI2", map[string]string{"PMI_RANK": "9", "PMI_SIZE": "16", "SLURM_PROCID": "9", "SLURM_STEP_ID": "0", "SLURM_LOCALID": "1"}, Rank{9, 16, 0, 1}, true},
		{"MPICH inside a SLURM step", map[string]string{"PMI_RANK": "3", "PMI_SIZE": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "1"}, Rank{3, 4, 0, 0}, true},
		{"an srun step", map[string]string{"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "5", "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "3,2", "SLURM_LOCALID": "2"}, Rank{2, 5, 0, 2}, true},
		{"an srun step on the third of its nodes", map[string]string{"SLURM_PROCID": "8", "SLURM_STEP_NUM_TASKS": "11", "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "4(x2),2,1", "SLURM_NODEID": "2", "SLURM_LOCALID": "0"}, Rank{8, 11, 2, 0}, true},
		{"an srun step on the second of equal nodes", map[string]string{"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "4(x2)", "SLURM_NODEID": "1", "SLURM_LOCALID": "1"}, Rank{5, 8, 4, 1}, true},
		{"an srun step on one node", map[string]string{"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "2", "SLURM_LOCALID": "1"}, Rank{1, 2, 2, 1}, true},
		{"srun's PMI2 on the second node", map[string]string{"PMI_RANK": "3", "PMI_SIZE": "5", "SLURM_PROCID": "3", "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "3,2", "SLURM_NODEID": "1", "SLURM_LOCALID": "0"}, Rank{3, 5, 2, 0}, true},
		{"a list that ends too early", map[string]string{"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "5", "SLURM_STEP_ID": "0", "SLURM_STEP_TASKS_PER_NODE": "3", "SLURM_NODEID": "1", "SLURM_LOCALID": "2"}, Rank{2, 5, 0, 2}, true},
		{"an array task's batch script", map[string]string{"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_ARRAY_TASK_ID": "7"}, Rank{}, false},
		{"Open MPI inside a SLURM step", map[string]string{"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "8", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "0"}, Rank{1, 8, 0, 0}, true},
		{"nonsense", map[string]string{"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "2"}, Rank{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := RankFrom(func(key string) string { return c.env[key] })
			if got != c.want || ok != c.ok {
				t.Errorf("RankFrom = %+v, %v; want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}
