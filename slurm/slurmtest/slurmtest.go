// Package slurmtest gives a test a SLURM cluster of its own: real daemons in a temporary
// folder, as many nodes as it wants, all on this machine.
//
// Every node, and the head that the controller runs on, is a machine (machine.go): a shell
// in namespaces of its own, with its own host name and processes, which takes all of them
// along when it ends. What runs on different nodes meets only in the file system and on
// the loopback, as on a real cluster.
package slurmtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Cluster is a running cluster.
type Cluster struct {
	dir   string
	head  *machine
	nodes map[string]*machine
}

// Options say what a cluster is like.
type Options struct {
	Nodes  int      // n1, n2, …
	CPUs   int      // that each node claims to have
	Config []string // further lines of slurm.conf; without a partition among them, main has all nodes
}

// configuration is slurm.conf but for nodes and partitions. It schedules at once, forgets no
// job, and needs neither cgroups nor a database. How long a requeued job waits follows from
// cred_expire. SlurmdTimeout is long because nodes register with every 20th ping, and a
// slurmd that registers may purge the script of a job that it is just starting: tests say
// themselves that a node is down.
const configuration = `ClusterName=slurmtest
SlurmctldHost=head(127.0.0.1)
SlurmctldPort=%[2]d
SlurmUser=%[3]s
SlurmdUser=%[3]s
AuthType=auth/munge
AuthInfo=socket=%[1]s/munge/socket,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation=%[1]s/state
SlurmdSpoolDir=%[1]s/spool-%%n
SlurmctldPidFile=%[1]s/slurmctld.pid
SlurmdPidFile=%[1]s/slurmd-%%n.pid
SlurmctldLogFile=%[1]s/log/slurmctld
SlurmdLogFile=%[1]s/log/slurmd-%%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
MinJobAge=86400
KillWait=5
CompleteWait=0
SlurmdTimeout=300
InactiveLimit=0
`

// Start starts a cluster, which ends with the test. It needs the programs of SLURM and
// MUNGE, and the right to make namespaces.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if _, err := exec.LookPath("sbatch"); err != nil {
		t.Fatalf("slurmtest: %v: make setup-test installs SLURM and MUNGE", err)
	}
	dir, err := os.MkdirTemp("", "slurmtest") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{dir: dir, head: &machine{name: "head"}, nodes: map[string]*machine{}}
	t.Cleanup(func() { c.end(t) })
	c.configure(t, o)
	c.head.boot(t, c)
	c.head.do(t, "munged --force --key-file=munge/key --socket=munge/socket --pid-file=munge/pid --log-file=log/munged --seed-file=munge/seed")
	c.head.do(t, "slurmctld -c")
	for i := range o.Nodes {
		name := fmt.Sprintf("n%d", i+1)
		c.nodes[name] = &machine{name: name}
		c.StartNode(t, name)
	}
	for name := range c.nodes {
		c.WaitForNode(t, name, "idle")
	}
	return c
}

// configure writes what the daemons read.
func (c *Cluster) configure(t testing.TB, o Options) {
	t.Helper()
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(c.dir, 0o755); err != nil { // munged lets nobody else write on the way to its socket
		t.Fatal(err)
	}
	ports := freePorts(t, 1+o.Nodes)
	var conf, hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost head\n")
	fmt.Fprintf(&conf, configuration, c.dir, ports[0], who.Username)
	for i, port := range ports[1:] {
		fmt.Fprintf(&conf, "NodeName=n%[1]d NodeAddr=127.0.0.1 Port=%[2]d CPUs=%[3]d CoresPerSocket=%[3]d RealMemory=8000\n", i+1, port, o.CPUs)
		fmt.Fprintf(&hosts, "127.0.0.1 n%d\n", i+1)
	}
	if !slices.ContainsFunc(o.Config, func(line string) bool { return strings.HasPrefix(line, "PartitionName=") }) {
		fmt.Fprintln(&conf, "PartitionName=main Nodes=ALL Default=YES")
	}
	for _, line := range o.Config {
		fmt.Fprintln(&conf, line)
	}
	for _, folder := range []string{"munge", "state", "log"} {
		if err := os.Mkdir(filepath.Join(c.dir, folder), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	key := make([]byte, 128)
	rand.Read(key)
	for name, text := range map[string]string{"slurm.conf": conf.String(), "hosts": hosts.String(), "munge/key": string(key)} {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// freePorts finds ports of the loopback below those that the kernel gives to anyone.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for port := 20000 + os.Getpid()%10000; len(ports) < n && port < 32768; port++ {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer listener.Close()
		ports = append(ports, port)
	}
	if len(ports) < n {
		t.Fatalf("slurmtest: no %d free ports", n)
	}
	return ports
}

// end stops all machines. A test that failed leaves what the daemons said last.
func (c *Cluster) end(t testing.TB) {
	for _, m := range c.nodes {
		m.end()
	}
	c.head.end()
	if t.Failed() {
		t.Log(c.logs())
	}
	if err := os.RemoveAll(c.dir); err != nil {
		t.Errorf("slurmtest: %v", err)
	}
}

// logs are the last lines of every log.
func (c *Cluster) logs() string {
	var b strings.Builder
	names, _ := filepath.Glob(filepath.Join(c.dir, "log", "*"))
	for _, name := range names {
		data, _ := os.ReadFile(name)
		lines := strings.SplitAfter(string(data), "\n")
		fmt.Fprintf(&b, "--- %s\n%s", filepath.Base(name), strings.Join(lines[max(0, len(lines)-30):], ""))
	}
	return b.String()
}

// Environ is this process's environment for use with the cluster: that of no other one.
func (c *Cluster) Environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "SLURM_") || strings.HasPrefix(s, "SBATCH_") || strings.HasPrefix(s, "SQUEUE_")
	})
	return append(env, "SLURM_CONF="+filepath.Join(c.dir, "slurm.conf"), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
}

// Command prepares a program that talks to the cluster.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.Environ()
	return cmd
}

// Run carries a program out, fails the test unless it succeeds, and returns what it wrote,
// without the white space around it.
func (c *Cluster) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := c.Command(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Job is a job, or one task of an array.
type Job struct {
	ID       string // 7, or 7_3 of the array 7
	Name     string
	State    string // PENDING, RUNNING, COMPLETED, …
	Restarts string
	Node     string // the last that it ran on
}

// Jobs lists all jobs that there ever were, in the order of their submission, each task of
// an array by itself.
func (c *Cluster) Jobs(t testing.TB) []Job {
	t.Helper()
	out := c.Run(t, "squeue", "--noheader", "--array", "--states=all", "--sort=i",
		"--Format=JobArrayID:|,State:|,RestartCnt:|,NodeList:|,Name:|")
	var jobs []Job
	for line := range strings.Lines(out) {
		f := strings.Split(line, "|")
		if len(f) < 5 {
			t.Fatalf("squeue printed %q", line)
		}
		jobs = append(jobs, Job{ID: f[0], State: f[1], Restarts: f[2], Node: f[3], Name: f[4]})
	}
	return jobs
}

// Over says whether the job will do nothing more.
func (j Job) Over() bool {
	return !slices.Contains([]string{"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "SIGNALING"}, j.State)
}

// patience is how long a test waits for what should take seconds.
const patience = 3 * time.Minute

// Wait returns when the condition holds, and fails the test if it never does.
func (c *Cluster) Wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			queue, _ := c.Command(context.WithoutCancel(t.Context()), "squeue", "--array", "--states=all").CombinedOutput()
			t.Fatalf("waited %v for %s\n%s%s", patience, what, queue, c.logs())
		}
	}
}

// WaitForNode returns when the cluster sees a node in the state, as sinfo writes it.
func (c *Cluster) WaitForNode(t testing.TB, name, state string) {
	t.Helper()
	c.Wait(t, name+" to be "+state, func() bool {
		out, err := c.Command(t.Context(), "sinfo", "--noheader", "--nodes="+name, "--format=%T").Output()
		return err == nil && strings.TrimSpace(string(out)) == state
	})
}

// StartNode starts a node, or only its slurmd if that was killed and the node was not.
func (c *Cluster) StartNode(t testing.TB, name string) {
	t.Helper()
	if c.nodes[name].shell == nil {
		c.nodes[name].boot(t, c)
	}
	c.nodes[name].do(t, "slurmd -D >/dev/null 2>&1 & slurmd=$!")
}

// KillSlurmd kills a node's daemon: the cluster loses sight of the node, but what runs on
// it goes on.
func (c *Cluster) KillSlurmd(t testing.TB, name string) {
	t.Helper()
	c.nodes[name].do(t, "kill -KILL $slurmd; wait $slurmd || true")
}

// Lose has the cluster take a node for down, as it would by itself after SlurmdTimeout: jobs
// that ran there are requeued. When the node's slurmd starts again the node is back.
func (c *Cluster) Lose(t testing.TB, name string) {
	t.Helper()
	c.Run(t, "scontrol", "update", "nodename="+name, "state=down", "reason=lost")
}

// Shell carries lines of shell out on a node, beside its jobs, and fails the test unless the
// last one succeeds.
func (c *Cluster) Shell(t testing.TB, name, lines string) {
	t.Helper()
	c.nodes[name].do(t, lines)
}

// KillNode pulls the plug of a node: everything that runs there is gone at once.
func (c *Cluster) KillNode(name string) { c.nodes[name].end() }
