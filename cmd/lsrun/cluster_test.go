package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lsrun/shard"
	"lsrun/slurm"
	"lsrun/slurm/slurmtest"
)

// scenario is a run on a real cluster, with a partition of two nodes to itself.
type scenario struct {
	t         *testing.T
	cluster   *slurmtest.Cluster
	lsrun     string // the program
	dir       string // holds run and nothing else
	run       string
	partition string
	nodes     [2]string
	want      []byte // the surface of the same plan, computed without a cluster
	profiles  string // file for --profile, if any
}

// The plan of all scenarios: long enough for something to happen in the middle.
const (
	clusterPoints = 99
	clusterUnit   = 2 // points of a unit
)

func planForCluster(t *testing.T, run string) {
	t.Helper()
	lsrunOK(t, "plan", "--model", "resnet20", "--checkpoint", reference+"resnet20/model_8.t7", "--dataset", "cifar10", "--data", pictures,
		"--x=-1:1:9", "--y=-0.5:1:11", "--subset", "40", "--metrics", "train,test", run)
}

// TestRunsOnAClusterEndInTheSurfaceOfALocalOne plays what happens to jobs on a real SLURM.
func TestRunsOnAClusterEndInTheSurfaceOfALocalOne(t *testing.T) {
	local := filepath.Join(t.TempDir(), "local")
	planForCluster(t, local)
	lsrunOK(t, "run", local)
	want := merged(t, local)

	const partitions = 5 // so many scenarios are played at a time
	config := []string{"PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE", "PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF"}
	free := make(chan int, partitions)
	for i := range partitions {
		config = append(config, fmt.Sprintf("PartitionName=p%d Nodes=n%d,n%d", i, 2*i+1, 2*i+2))
		free <- i
	}
	cluster := slurmtest.Start(t, slurmtest.Options{Nodes: 2 * partitions, CPUs: 2, Config: config})

	var all sync.WaitGroup
	for _, c := range []struct {
		name string
		play func(*scenario)
	}{
		{"the slurmd of a node dies and its workers live", (*scenario).loseSightOfANode},
		{"a node is lost with its workers", (*scenario).loseANode},
		{"workers run into their time limit", (*scenario).runIntoTheLimit},
		{"workers leave before their deadline", (*scenario).leaveBeforeTheDeadline},
		{"nothing happens", (*scenario).happily},
		{"a task is cancelled", (*scenario).cancelATask},
		{"a task is requeued", (*scenario).requeueATask},
		{"urgent jobs preempt workers", (*scenario).preempt},
		{"submitted again while running", (*scenario).submitAgain},
		{"submitted again after all workers failed", (*scenario).submitAfterFailure},
		{"cancelled and submitted again", (*scenario).cancelAll},
		{"fixed slices, one of them interrupted", (*scenario).fixedSlices},
		{"ranks of srun", (*scenario).ranksOfSrun},
		{"ranks of mpirun", (*scenario).ranksOfMpirun},
		{"paths that a shell would interpret", (*scenario).hostilePaths},
		{"a storm", (*scenario).storm},
	} {
		all.Go(func() { // most of the time is waiting: more at a time than cores
			i := <-free
			defer func() { free <- i }()
			t.Run(c.name, func(t *testing.T) {
				s := &scenario{t: t, cluster: cluster, want: want, partition: fmt.Sprintf("p%d", i),
					nodes: [2]string{fmt.Sprintf("n%d", 2*i+1), fmt.Sprintf("n%d", 2*i+2)}}
				s.in(filepath.Join(t.TempDir(), "run"))
				c.play(s)
			})
		})
	}
	all.Wait()
}

// in plans the run and links lsrun into the folder around it.
func (s *scenario) in(run string) {
	s.t.Helper()
	s.run, s.dir = run, filepath.Dir(run)
	s.lsrun = filepath.Join(s.dir, "lsrun") // the test's binary is lsrun under that name
	program, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(s.dir, 0o755)
	}
	if err == nil {
		err = os.Symlink(program, s.lsrun)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	planForCluster(s.t, run)
}

// do carries a command of lsrun out on the cluster.
func (s *scenario) do(args ...string) string {
	s.t.Helper()
	cmd := s.cluster.Command(s.t.Context(), s.lsrun, args...)
	cmd.Env = append(cmd.Env, "LSRUN_PROFILES="+s.profiles)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("lsrun %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// flags are those with which eight workers share a run, four at a time on two nodes.
func (s *scenario) flags(further ...string) []string {
	return append([]string{"--workers", "8", "--max-running", "4", "--cpus-per-task", "1", "--partition", s.partition}, further...)
}

func (s *scenario) submit(further ...string) {
	s.t.Helper()
	s.do(append(append([]string{"submit"}, s.flags(further...)...), s.run)...)
}

// jobs lists the workers and the merges that there ever were.
func (s *scenario) jobs() (workers, merges []slurmtest.Job) {
	s.t.Helper()
	run, err := shard.Open(files, s.run)
	if err != nil {
		s.t.Fatal(err)
	}
	name := jobName(run)
	for _, j := range s.cluster.Jobs(s.t) {
		switch j.Name {
		case name:
			workers = append(workers, j)
		case mergeName(name):
			merges = append(merges, j)
		}
	}
	return workers, merges
}

// midway waits until the run has begun in earnest, and returns the workers of a node that
// are at it.
func (s *scenario) midway(node string) (there []slurmtest.Job) {
	s.t.Helper()
	s.cluster.Wait(s.t, "workers on "+node, func() bool {
		workers, _ := s.jobs()
		there = slices.DeleteFunc(workers, func(j slurmtest.Job) bool { return j.State != "RUNNING" || j.Node != node })
		return len(there) > 0 && finished(s.t, s.run) >= 4
	})
	return there
}

// incomplete fails the test if the run ended before anything could happen to it.
func (s *scenario) incomplete() {
	s.t.Helper()
	if n := finished(s.t, s.run); n == clusterPoints {
		s.t.Fatal("the run was over too early to test anything")
	}
}

// ended waits until every job of the run has ended, and returns them.
func (s *scenario) ended() (workers, merges []slurmtest.Job) {
	s.t.Helper()
	s.cluster.Wait(s.t, "all jobs of the run to end", func() bool {
		workers, merges = s.jobs()
		return !slices.ContainsFunc(append(workers, merges...), func(j slurmtest.Job) bool { return !j.Over() })
	})
	return workers, merges
}

// converges waits for the end and fails the test unless the dependent job has merged the
// surface of the local run, with at most so many points computed twice.
func (s *scenario) converges(twice int) (workers []slurmtest.Job) {
	s.t.Helper()
	workers, merges := s.ended()
	if !slices.ContainsFunc(merges, func(j slurmtest.Job) bool { return j.State == "COMPLETED" }) {
		s.t.Errorf("the merge did not succeed: %+v", merges)
	}
	s.isMerged(twice)
	if s.t.Failed() {
		s.t.Logf("%+v\n%+v\n%q", workers, merges, s.logs())
	}
	return workers
}

// isMerged fails the test unless there is the surface of the local run.
func (s *scenario) isMerged(twice int) {
	s.t.Helper()
	got, err := os.ReadFile(filepath.Join(s.run, surfaceFile))
	if err != nil {
		s.t.Error(err)
	} else if !bytes.Equal(got, s.want) {
		s.t.Error("another surface than that of a local run")
	}
	if n := recordsWritten(s.t, s.run); n < clusterPoints || n > clusterPoints+twice {
		s.t.Errorf("%d points were computed for %d, and at most %d may be computed twice", n, clusterPoints, twice)
	} else if twice > 0 {
		s.t.Logf("%d points were computed twice", n-clusterPoints)
	}
}

// logs is what the jobs wrote, by the names of the files.
func (s *scenario) logs() map[string]string {
	s.t.Helper()
	said := map[string]string{}
	folder := filepath.Join(s.run, "log")
	entries, err := os.ReadDir(folder)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "slurm-") {
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				s.t.Fatal(err)
			}
			said[e.Name()] = string(text)
		}
	}
	return said
}

// state is that of a job among others.
func state(jobs []slurmtest.Job, id string) string {
	i := slices.IndexFunc(jobs, func(j slurmtest.Job) bool { return j.ID == id })
	return jobs[i].State + " after restart " + jobs[i].Restarts
}

func (s *scenario) happily() {
	s.submit()
	nodes := map[string]bool{}
	s.cluster.Wait(s.t, "all jobs to end", func() bool {
		workers, merges := s.jobs()
		running := 0
		for _, j := range workers {
			nodes[j.Node] = true
			if j.State == "RUNNING" {
				running++
			}
		}
		if running > 4 {
			s.t.Errorf("%d workers run at the same time, and at most 4 may: %+v", running, workers)
		}
		return !slices.ContainsFunc(append(workers, merges...), func(j slurmtest.Job) bool { return !j.Over() })
	})
	for _, j := range s.converges(0) {
		if j.State != "COMPLETED" {
			s.t.Errorf("worker %+v", j)
		}
	}
	if !nodes[s.nodes[0]] || !nodes[s.nodes[1]] {
		s.t.Errorf("the workers ran on %v alone", nodes)
	}
	if said := s.do("submit", s.run); !strings.Contains(said, "complete") {
		s.t.Errorf("submitting a complete run says %q", said)
	}
}

func (s *scenario) cancelATask() {
	s.submit()
	victim := s.midway(s.nodes[0])[0].ID
	s.incomplete()
	s.cluster.Run(s.t, "scancel", victim)
	if got := state(s.converges(0), victim); got != "CANCELLED after restart 0" {
		s.t.Errorf("the task that was cancelled is %s", got)
	}
}

func (s *scenario) requeueATask() {
	s.submit()
	victim := s.midway(s.nodes[0])[0].ID
	s.incomplete()
	s.cluster.Run(s.t, "scontrol", "requeue", victim)
	if got := state(s.converges(0), victim); got != "COMPLETED after restart 1" {
		s.t.Errorf("the task that was requeued is %s", got)
	}
}

func (s *scenario) loseANode() {
	s.submit()
	victim := s.midway(s.nodes[0])[0].ID
	s.incomplete()
	s.cluster.KillNode(s.nodes[0])
	if got := state(s.converges(0), victim); got != "COMPLETED after restart 1" {
		s.t.Errorf("the task of the node that was lost is %s", got)
	}
	s.cluster.StartNode(s.t, s.nodes[0])
	s.cluster.WaitForNode(s.t, s.nodes[0], "idle")
}

// loseSightOfANode has SLURM start workers again that are still at work. They share units
// for as long as both live.
func (s *scenario) loseSightOfANode() {
	s.submit()
	orphans := s.midway(s.nodes[0])
	s.cluster.KillSlurmd(s.t, s.nodes[0])
	s.incomplete()
	s.cluster.Run(s.t, "scontrol", "update", "nodename="+s.nodes[0], "state=down", "reason=lost")
	workers := s.converges(len(orphans) * clusterUnit)
	if got := state(workers, orphans[0].ID); got != "COMPLETED after restart 1" {
		s.t.Errorf("the task that SLURM lost sight of is %s", got)
	}
	s.cluster.StartNode(s.t, s.nodes[0])
	s.cluster.WaitForNode(s.t, s.nodes[0], "idle")
}

// runIntoTheLimit has SLURM send its signal to a worker that is at work. SLURM looks at
// limits every 30 s only, so the worker must stand still until it does.
func (s *scenario) runIntoTheLimit() {
	script := filepath.Join(s.dir, "script")
	s.do(append(append([]string{"sbatch", "-o", script, "--time", "2", "--signal", "50"}, s.flags()...), s.run)...)
	s.cluster.Run(s.t, "sbatch", "--time=1", script) // SLURM knows no shorter time than a minute
	victim := s.pause(func(pid int) string {
		return fmt.Sprintf("(while ! grep -q '^ShdPnd:.*[89a-f]..$' /proc/%d/status; do sleep 0.1; done; kill -CONT %[1]d) &", pid) // until USR2 is pending
	})
	workers, _ := s.ended()
	if got := state(workers, victim); got != "COMPLETED after restart 1" {
		s.t.Errorf("the task that ran into its limit is %s", got)
	}
	s.submit() // the merge
	s.converges(0)
}

// leaveBeforeTheDeadline gives workers ten seconds: two minutes less what a site's setup
// took and what they keep free. One of them stands still until they are over.
func (s *scenario) leaveBeforeTheDeadline() {
	s.profiles = filepath.Join(s.dir, "profiles.json")
	if err := os.WriteFile(s.profiles, []byte(`{"slow": {"setup": ["SECONDS=60"], "time": "2", "signal": 50}}`), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.submit("--profile", "slow", "--max-requeues", "10")
	victim := s.pause(func(pid int) string { return fmt.Sprintf("(sleep 10; kill -CONT %d) &", pid) })
	if got := state(s.converges(0), victim); !strings.HasPrefix(got, "COMPLETED") || strings.HasSuffix(got, " 0") {
		s.t.Errorf("the task that reached its deadline is %s", got)
	}
}

// pause stops a worker in the middle of the run, and has its node carry out what goes on
// with its process.
func (s *scenario) pause(then func(pid int) string) (victim string) {
	s.t.Helper()
	s.midway(s.nodes[0])
	w := s.atWork()[0]
	s.cluster.Shell(s.t, w.Host, fmt.Sprintf("kill -STOP %d\n%s", w.PID, then(w.PID)))
	s.incomplete()
	task, ok := slurm.ParseTask(w.Job)
	if !ok {
		s.t.Errorf("a claim names the job %q", w.Job)
	}
	return task.ID()
}

// atWork lists the processes of workers, by what the run itself says.
func (s *scenario) atWork() []shard.Running {
	s.t.Helper()
	run, err := shard.Open(files, s.run)
	if err != nil {
		s.t.Fatal(err)
	}
	status, err := run.Status(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Running
}

func (s *scenario) preempt() {
	s.submit()
	victim := s.midway(s.nodes[0])[0].ID
	s.incomplete()
	s.cluster.Run(s.t, "sbatch", "--partition=urgent", "--nodelist="+s.nodes[0], "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
	if got := state(s.converges(0), victim); got != "COMPLETED after restart 1" {
		s.t.Errorf("the task that was preempted is %s", got)
	}
}

func (s *scenario) submitAgain() {
	s.submit()
	s.midway(s.nodes[0])
	s.incomplete()
	s.submit()
	if workers := s.converges(0); len(workers) > 8 {
		s.t.Errorf("submitting again made workers beside those that there were: %+v", workers)
	}
}

func (s *scenario) submitAfterFailure() {
	s.profiles = filepath.Join(s.dir, "profiles.json")
	if err := os.WriteFile(s.profiles, []byte(`{"broken": {"setup": ["module load what-is-not-there"]}}`), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.submit("--profile", "broken")
	workers, merges := s.ended()
	for _, j := range append(workers, merges...) {
		if j.State != "FAILED" {
			s.t.Errorf("with a broken setup: %+v", j)
		}
	}
	s.submit()
	s.converges(0)
}

func (s *scenario) cancelAll() {
	s.submit()
	s.midway(s.nodes[0])
	s.incomplete()
	s.do("cancel", s.run)
	workers, merges := s.ended()
	for _, j := range append(workers, merges...) {
		if j.State != "CANCELLED" {
			s.t.Errorf("after lsrun cancel: %+v", j)
		}
	}
	s.incomplete()
	s.submit()
	s.converges(0)
}

func (s *scenario) fixedSlices() {
	s.submit("--schedule", "static")
	victim := s.midway(s.nodes[0])[0].ID
	s.incomplete()
	s.cluster.Run(s.t, "scontrol", "requeue", victim)
	for _, j := range s.converges(0) {
		if j.State != "COMPLETED" {
			s.t.Errorf("worker %+v", j)
		}
	}
}

// ranks runs a job that starts several ranks, and merges by hand. Slices make every rank
// indispensable.
func (s *scenario) ranks(launcher string, options ...string) {
	id := s.cluster.Run(s.t, "sbatch", append(options, "--parsable", "--partition="+s.partition, "--output="+filepath.Join(s.run, "log", "slurm-%j.out"),
		fmt.Sprintf("--wrap=exec %s %s run --threads 1 --schedule static %s", launcher, s.lsrun, s.run))...)
	s.cluster.Wait(s.t, "the job to end", func() bool {
		return slices.ContainsFunc(s.cluster.Jobs(s.t), func(j slurmtest.Job) bool { return j.ID == id && j.Over() })
	})
	lsrunOK(s.t, "merge", s.run)
	s.isMerged(0)
	if said := s.logs()["slurm-"+id+".out"]; strings.Count(said, " points computed here, 0 taken from journals") != 4 {
		s.t.Errorf("not four ranks have a share:\n%s", said)
	}
}

func (s *scenario) ranksOfSrun() { s.ranks("srun", "--nodes=2", "--ntasks=4") }

func (s *scenario) ranksOfMpirun() {
	s.ranks("env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 4", "--nodes=1", "--ntasks=2")
}

func (s *scenario) hostilePaths() {
	s.in(filepath.Join(s.dir, "it's $(touch pwned) `touch pwned`; touch pwned\n#SBATCH --array=0", `"run" \ %j %% * é`))
	s.submit("--data", pictures)
	s.converges(0)
	if logs := s.logs(); len(logs) != 9 {
		s.t.Errorf("eight workers and a merge leave the logs %q", logs)
	}
	filepath.WalkDir(filepath.Dir(s.dir), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() == "pwned" {
			s.t.Errorf("%q was interpreted: %s, %v", s.run, path, err)
		}
		return nil
	})
}

// storm lets things happen by chance until the surface is there, to one run, or with
// LSRUN_LONG to twenty.
func (s *scenario) storm() {
	runs := 1
	if os.Getenv("LSRUN_LONG") != "" {
		runs = 20
	}
	seed := uint64(time.Now().UnixNano())
	s.t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for i := range runs {
		s.in(filepath.Join(s.t.TempDir(), fmt.Sprintf("run%d", i)))
		s.batter(chance)
	}
}

// batter strikes a run whenever it has got on, and submits it again whenever nothing of it
// is left in the queue.
func (s *scenario) batter(chance *rand.Rand) {
	var strikes []string
	for !exists(filepath.Join(s.run, surfaceFile)) {
		s.submit()
		for s.getsOn() {
			strikes = append(strikes, s.strike(chance))
		}
	}
	s.t.Logf("%q", strikes)
	s.isMerged(4 * clusterUnit * len(strikes))
}

// getsOn waits until the run has got on, or says that no job of it is left.
func (s *scenario) getsOn() bool {
	before, over := finished(s.t, s.run), false
	s.cluster.Wait(s.t, "the run to get on", func() bool {
		workers, merges := s.jobs()
		over = !slices.ContainsFunc(append(workers, merges...), func(j slurmtest.Job) bool { return !j.Over() })
		now := finished(s.t, s.run)
		return over || now >= before+clusterPoints/6 && now < clusterPoints && len(s.atWork()) > 0
	})
	return !over
}

// strike lets something happen to a worker or to its node.
func (s *scenario) strike(chance *rand.Rand) (what string) {
	running := s.atWork()
	if len(running) == 0 {
		return "too late"
	}
	w := running[chance.IntN(len(running))]
	task, _ := slurm.ParseTask(w.Job)
	lost := func() {
		s.cluster.Run(s.t, "scontrol", "update", "nodename="+w.Host, "state=down", "reason=lost")
		s.cluster.StartNode(s.t, w.Host)
	}
	switch chance.IntN(6) {
	case 0:
		s.cluster.Command(s.t.Context(), "scancel", task.ID()).Run() // it may have ended meanwhile
		return "scancel"
	case 1:
		s.cluster.Command(s.t.Context(), "scontrol", "requeue", task.ID()).Run()
		return "requeue"
	case 2:
		s.cluster.Shell(s.t, w.Host, fmt.Sprintf("kill -KILL %d || true", w.PID))
		return "kill -9"
	case 3:
		s.cluster.KillNode(w.Host)
		lost()
		return "a node lost"
	case 4:
		s.cluster.KillSlurmd(s.t, w.Host)
		lost()
		return "a node out of sight"
	default:
		s.do("cancel", s.run)
		return "lsrun cancel"
	}
}
