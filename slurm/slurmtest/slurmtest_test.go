package slurmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lifeline is a named pipe; a job that has opened it for writing lives while it is held.
type lifeline struct{ *os.File }

func newLifeline(t *testing.T) lifeline {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lifeline")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	return lifeline{pipe}
}

// held says whether anybody has the pipe open: then reading waits.
func (l lifeline) held() bool {
	l.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := l.Read(make([]byte, 1))
	return os.IsTimeout(err)
}

// hold submits a job that holds the pipe of that path until it is killed.
func (c *Cluster) hold(t *testing.T, path string) (id string) {
	t.Helper()
	return c.Run(t, "sbatch", "--parsable", "--requeue", "--output=/dev/null", "--wrap=exec sleep 1000 >'"+path+"'")
}

func (c *Cluster) job(t *testing.T, id string) Job {
	t.Helper()
	jobs := c.Jobs(t)
	i := slices.IndexFunc(jobs, func(j Job) bool { return j.ID == id })
	if i < 0 {
		t.Fatalf("no job %s among %v", id, jobs)
	}
	return jobs[i]
}

func TestNodesAreMachinesOfTheirOwn(t *testing.T) {
	c := Start(t, Options{Nodes: 2, CPUs: 2})
	out := strings.Fields(c.Run(t, "srun", "--nodes=2", "sh", "-c", "echo $(hostname):$(readlink /proc/self/ns/pid)"))
	slices.Sort(out)
	if len(out) != 2 {
		t.Fatalf("two tasks say %q", out)
	}
	a, pidsOfA, _ := strings.Cut(out[0], ":")
	b, pidsOfB, _ := strings.Cut(out[1], ":")
	if a != "n1" || b != "n2" || pidsOfA == pidsOfB {
		t.Errorf("two tasks say %q: want other names and other PID namespaces", out)
	}
}

func TestJobsOutliveTheirSlurmdButNotTheirNode(t *testing.T) {
	c := Start(t, Options{Nodes: 1, CPUs: 1})
	line := newLifeline(t)
	id := c.hold(t, line.Name())
	c.Wait(t, "the job to run", line.held)

	c.KillSlurmd(t, "n1")
	c.StartNode(t, "n1")
	if j := c.job(t, id); !line.held() || j.State != "RUNNING" {
		t.Errorf("without slurmd for a moment: the process lives: %v; %+v", line.held(), j)
	}
	c.KillNode("n1")
	if line.held() {
		t.Error("the node is off, and a process of it lives")
	}
	c.Lose(t, "n1")
	c.Wait(t, "the job to wait", func() bool { return c.job(t, id).State == "PENDING" })
	c.StartNode(t, "n1")
	c.Wait(t, "the job to run again", line.held)
	if j := c.job(t, id); j.Restarts != "1" || j.Over() {
		t.Errorf("after its node was lost: %+v", j)
	}
	c.Run(t, "scancel", id)
	c.Wait(t, "the job to end", func() bool { return c.job(t, id).Over() && !line.held() })
}

// TestNothingOutlivesTheTest kills a process that has started a cluster.
func TestNothingOutlivesTheTest(t *testing.T) {
	const pipeOf = "SLURMTEST_LIFELINE"
	if path := os.Getenv(pipeOf); path != "" {
		Start(t, Options{Nodes: 1, CPUs: 1}).hold(t, path)
		time.Sleep(time.Hour) // unlike select {}, it is no deadlock
	}
	line := newLifeline(t)
	temporary := t.TempDir() // which the killed process leaves behind
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), pipeOf+"="+line.Name(), "TMPDIR="+temporary)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // it says nothing unless it fails
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	none := &Cluster{dir: temporary}
	none.Wait(t, "the other process's job to run", line.held)
	cmd.Process.Kill()
	cmd.Wait()
	none.Wait(t, "the job to end with that process", func() bool { return !line.held() })
}
