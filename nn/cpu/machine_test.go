package cpu

import (
	"slices"
	"testing"
)

func TestLimitsOfControlGroupsAreLookedForUpToTheRoot(t *testing.T) {
	for groups, want := range map[string][]string{
		"0::/slurm/job_7/step_0\n": {"/sys/fs/cgroup/slurm/job_7/step_0/memory.max", "/sys/fs/cgroup/slurm/job_7/memory.max",
			"/sys/fs/cgroup/slurm/memory.max", "/sys/fs/cgroup/memory.max"},
		"0::/\n": {"/sys/fs/cgroup/memory.max"},
		"5:cpuset:/a\n4:memory:/user/1\n1:name=systemd:/b\n": {"/sys/fs/cgroup/memory/user/1/memory.limit_in_bytes",
			"/sys/fs/cgroup/memory/user/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"},
		"":         nil,
		"nonsense": nil,
	} {
		if got := limitFiles(groups); !slices.Equal(got, want) {
			t.Errorf("%q: %q", groups, got)
		}
	}
}

func TestThisMachineHasMemory(t *testing.T) {
	if memoryBytes() < 1<<28 {
		t.Errorf("%d bytes", memoryBytes())
	}
}
