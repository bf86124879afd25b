package slurm

import "testing"

func TestTheSizeOfArraysIsAskedFor(t *testing.T) {
	standIns(t, map[string]string{"scontrol": "printf 'Configuration data as of 2026\\nMaxArrayTasks = 5\\nMaxArraySize            = 1001\\nMaxDBDMsgs = 3\\n'\n"})
	if n, err := (Client{}).MaxArraySize(t.Context()); n != 1001 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	standIns(t, map[string]string{"scontrol": "echo MaxArraySize = many\n"})
	if n, err := (Client{}).MaxArraySize(t.Context()); err == nil {
		t.Errorf("%d", n)
	}
}

func TestTheLimitOfASiteIsItsAccountsLessWhatIsQueued(t *testing.T) {
	const queue = "printf 'Welcome\\n12\\n12\\n15\\n'\n"
	for _, c := range []struct {
		name, sacctmgr string
		room           int
		known          bool
	}{
		{"no accounts are kept", "echo 'You are not running a supported accounting_storage plugin' >&2; exit 1", 0, false},
		{"no limit", "echo", 0, false},
		{"a limit", "case \"$*\" in *associations*) echo 10;; *) echo;; esac", 7, true},
		{"that of the quality of service is lower", "case \"$*\" in *associations*) echo 10;; *MaxSubmitJobsPerUser*name=short) echo 5;; esac", 2, true},
		{"only the quality of service has one", "case \"$*\" in *associations*) echo;; *) echo 5;; esac", 2, true},
		{"several associations", "case \"$*\" in *associations*) printf '10\\n20\\n';; *) echo;; esac", 17, true},
		{"one of them without a limit", "case \"$*\" in *associations*) printf '10\\n\\n';; *) echo;; esac", 0, false},
		{"the queue is full", "case \"$*\" in *associations*) echo 2;; *) echo;; esac", 0, true},
	} {
		standIns(t, map[string]string{"sacctmgr": c.sacctmgr + "\n", "squeue": queue})
		if room, known := (Client{}).Room(t.Context(), "", "short"); room != c.room || known != c.known {
			t.Errorf("%s: room %d, %v; want %d, %v", c.name, room, known, c.room, c.known)
		}
	}
}
