package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
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

// clusterPoints is the size of every scenario's run: large enough for something to happen in
// the middle.
const clusterPoints = 99

// clusterImages is how many images a point has: more where processors are so fast that a run would be over before anything could happen to it.
var clusterImages = 30

// slowDown chooses clusterImages so that the points of a run take a worker a few seconds, besides its start.
func slowDown(t *testing.T) {
	t.Helper()
	const enough, most = 5 * time.Second, 100
	trial := filepath.Join(t.TempDir(), "trial")
	planForCluster(t, trial)
	run := func() time.Duration {
		began := time.Now()
		lsrunOK(t, "run", "--threads", "1", trial)
		return time.Since(began)
	}
	points := run() - run() // the second finds nothing left to do
	clusterImages = min(most, max(clusterImages, int(int64(clusterImages)*int64(enough)/int64(max(points, 1)))))
	t.Logf("%d images a point", clusterImages)
}

func planForCluster(t *testing.T, run string) {
	t.Helper()
	lsrunOK(t, "plan", "--model", "resnet20", "--checkpoint", reference+"resnet20/model_8.t7", "--dataset", "cifar10", "--data", pictures,
		"--x=-1:1:9", "--y=-0.5:1:11", "--subset", fmt.Sprint(clusterImages), "--metrics", "train,test", "--workers-hint", "4", run) // units of three points
}

// TestRunsOnAClusterEndInTheSurfaceOfALocalOne plays what happens to jobs on a real SLURM.
func TestRunsOnAClusterEndInTheSurfaceOfALocalOne(t *testing.T) {
	slowDown(t)
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
		{"workers run into their time limit", (*scenario).runIntoTheLimit}, // what takes longest comes first
		{"a node is lost with its workers", (*scenario).loseANode},
		{"a node is out of sight while its workers live", (*scenario).loseSightOfANode},
		{"workers leave before their deadline", (*scenario).leaveBeforeTheDeadline},
		{"a storm", (*scenario).storm},
		{"nothing happens", (*scenario).happily},
		{"somebody looks", (*scenario).look},
		{"a task is cancelled", (*scenario).cancelATask},
		{"a task is held", (*scenario).holdATask},
		{"a task is requeued", (*scenario).requeueATask},
		{"a worker of a fixed slice is requeued", (*scenario).requeueASlice},
		{"urgent jobs preempt workers", (*scenario).preempt},
		{"submitted again while running", (*scenario).submitAgain},
		{"submitted again after all workers failed", (*scenario).submitAfterFailure},
		{"cancelled and submitted again", (*scenario).cancelAll},
		{"ranks of srun", (*scenario).ranksOfSrun},
		{"ranks of mpirun", (*scenario).ranksOfMpirun},
		{"a line feed in the path", (*scenario).lineFeed},
	} {
		i := <-free
		all.Go(func() { // most of the time is waiting: more at a time than cores
			defer func() { free <- i }()
			t.Run(c.name, func(t *testing.T) {
				s := &scenario{t: t, cluster: cluster, want: want, partition: fmt.Sprintf("p%d", i),
					nodes: [2]string{fmt.Sprintf("n%d", 2*i+1), fmt.Sprintf("n%d", 2*i+2)}}
				s.plan(filepath.Join(t.TempDir(), "it's"), `a "run" $(touch pwned) \ %j * é`)
				c.play(s)
				s.interpretedNothing()
			})
		})
	}
	all.Wait()
}

// plan plans a run in a new folder beside a link to lsrun.
func (s *scenario) plan(dir, name string) {
	s.t.Helper()
	s.dir, s.run, s.lsrun = dir, filepath.Join(dir, name), filepath.Join(dir, "lsrun")
	program, err := os.Executable() // the test's, which is lsrun under that name
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		err = os.Symlink(program, s.lsrun)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	planForCluster(s.t, s.run)
}

// interpretedNothing fails the test if a shell carried out what the paths say.
func (s *scenario) interpretedNothing() {
	err := filepath.WalkDir(filepath.Dir(s.dir), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Name() == "pwned" {
			s.t.Errorf("%q was interpreted: there is %q", s.run, path)
		}
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
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

// maxRunning is how many workers of a run there are at a time.
const maxRunning = 4

// flags are those with which eight workers share a run, maxRunning at a time on two nodes.
func (s *scenario) flags(further ...string) []string {
	return append([]string{"--workers", "8", "--max-running", fmt.Sprint(maxRunning), "--cpus-per-task", "1", "--partition", s.partition}, further...)
}

func (s *scenario) submit(further ...string) {
	s.t.Helper()
	s.do(append(append([]string{"submit"}, s.flags(further...)...), s.run)...)
}

func (s *scenario) open() *shard.Run {
	s.t.Helper()
	run, err := shard.Open(files, s.run)
	if err != nil {
		s.t.Fatal(err)
	}
	return run
}

// jobs lists the workers and the merges that there ever were.
func (s *scenario) jobs() (workers, merges []slurmtest.Job) {
	s.t.Helper()
	name := jobName(s.open())
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

// midway waits until the run has begun in earnest, and returns the workers of the first
// node that are at it. They stand still meanwhile: SLURM may take longer to answer than they to finish.
func (s *scenario) midway() (there []slurmtest.Job) {
	s.t.Helper()
	s.hold()
	s.cluster.Wait(s.t, "workers on "+s.nodes[0], func() bool {
		workers, _ := s.jobs()
		there = slices.DeleteFunc(workers, func(j slurmtest.Job) bool { return j.State != "RUNNING" || j.Node != s.nodes[0] })
		return len(there) > 0
	})
	s.signal(syscall.SIGCONT)
	return there
}

// hold waits until the run has begun in earnest, and stops its workers at once: all that may run at a time, so that nobody
// comes later and finishes it.
func (s *scenario) hold() {
	s.t.Helper()
	s.cluster.Wait(s.t, "all workers to stand still", func() bool {
		n := finished(s.t, s.run)
		return n == clusterPoints || n >= 4 && s.signal(syscall.SIGSTOP) == maxRunning
	})
	s.incomplete()
}

// holdAtWork holds the workers while one at least is in the middle of a unit, and returns those that have one.
func (s *scenario) holdAtWork() (at []shard.Running) {
	s.t.Helper()
	s.cluster.Wait(s.t, "workers in the middle of a unit", func() bool {
		s.hold()
		at = s.atWork()
		if slices.ContainsFunc(at, func(w shard.Running) bool { return w.PointsDone > 0 }) {
			return true
		}
		s.signal(syscall.SIGCONT)
		return false
	})
	return at
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
		return over(workers, merges)
	})
	return workers, merges
}

func over(workers, merges []slurmtest.Job) bool {
	return !slices.ContainsFunc(slices.Concat(workers, merges), func(j slurmtest.Job) bool { return !j.Over() })
}

// converges waits for the end and fails the test unless the dependent job has merged the
// surface of the local run.
func (s *scenario) converges(twins int) (workers []slurmtest.Job) {
	s.t.Helper()
	workers, merges := s.ended()
	if !slices.ContainsFunc(merges, func(j slurmtest.Job) bool { return j.State == "COMPLETED" }) {
		s.t.Errorf("the merge did not succeed: %+v", merges)
	}
	s.isMerged(twins)
	if s.t.Failed() {
		s.t.Logf("%+v\n%+v\n%q", workers, merges, s.logs())
	}
	return workers
}

// isMerged fails the test unless there is the surface of the local run, and no point was
// computed twice; but every worker that SLURM started again while it lived may have shared a
// unit with another.
func (s *scenario) isMerged(twins int) {
	s.t.Helper()
	got, err := os.ReadFile(filepath.Join(s.run, surfaceFile))
	if err != nil {
		s.t.Error(err)
	} else if !bytes.Equal(got, s.want) {
		s.t.Error("another surface than that of a local run")
	}
	units := s.open().Plan.Units()
	largest := slices.MaxFunc(units, func(a, b shard.Unit) int { return a.Count - b.Count }).Count
	if n := recordsWritten(s.t, s.run); n < clusterPoints || n > clusterPoints+twins*largest {
		s.t.Errorf("%d points were computed for %d, with %d workers living twice", n, clusterPoints, twins)
	} else if twins > 0 {
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

// fate fails the test unless the job ended in the state after so many lives.
func (s *scenario) fate(jobs []slurmtest.Job, id, state, restarts string) {
	s.t.Helper()
	i := slices.IndexFunc(jobs, func(j slurmtest.Job) bool { return j.ID == id })
	if i < 0 || jobs[i].State != state || jobs[i].Restarts != restarts {
		s.t.Errorf("job %s should be %s after %s restarts: %+v", id, state, restarts, jobs)
	}
}

func (s *scenario) happily() {
	s.submit()
	workers := s.converges(0)
	nodes := map[string]bool{}
	for _, j := range workers {
		nodes[j.Node] = true
		s.fate(workers, j.ID, "COMPLETED", "0")
	}
	if len(workers) != 8 || len(nodes) != 2 {
		s.t.Errorf("not eight workers on two nodes: %+v", workers)
	}
	if said := s.cluster.Run(s.t, "scontrol", "show", "job", workers[0].ID); !strings.Contains(said, "ArrayTaskThrottle=4") {
		s.t.Errorf("not four workers at a time:\n%s", said)
	}
	if said := s.do("submit", s.run); !strings.Contains(said, "complete") {
		s.t.Errorf("submitting a complete run says %q", said)
	}
}

func (s *scenario) cancelATask() {
	s.submit()
	victim := s.midway()[0].ID
	s.cluster.Run(s.t, "scancel", victim)
	s.fate(s.converges(0), victim, "CANCELLED", "0")
}

// holdATask keeps a worker from starting: neither the others nor the merge wait until it is released.
func (s *scenario) holdATask() {
	s.submit()
	s.midway()
	workers, _ := s.jobs()
	i := slices.IndexFunc(workers, func(j slurmtest.Job) bool { return j.State == "PENDING" })
	if i < 0 {
		s.t.Fatalf("no worker waits: %+v", workers)
	}
	s.cluster.Run(s.t, "scontrol", "hold", workers[i].ID)
	s.submit()
	s.cluster.Wait(s.t, "the merge", func() bool {
		_, merges := s.jobs()
		return slices.ContainsFunc(merges, func(j slurmtest.Job) bool { return j.State == "COMPLETED" })
	})
	s.cluster.Run(s.t, "scontrol", "release", workers[i].ID)
	s.fate(s.converges(0), workers[i].ID, "COMPLETED", "0")
}

func (s *scenario) requeueATask()  { s.requeue() }
func (s *scenario) requeueASlice() { s.requeue("--schedule", "static") }

func (s *scenario) requeue(flags ...string) {
	s.submit(flags...)
	victim := s.midway()[0].ID
	s.cluster.Run(s.t, "scontrol", "requeue", victim)
	s.fate(s.converges(0), victim, "COMPLETED", "1")
}

func (s *scenario) preempt() {
	s.submit()
	victim := s.midway()[0].ID
	s.cluster.Run(s.t, "sbatch", "--partition=urgent", "--nodelist="+s.nodes[0], "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
	s.fate(s.converges(0), victim, "COMPLETED", "1")
}

func (s *scenario) loseANode() {
	s.submit()
	victim := s.midway()[0].ID
	s.cluster.KillNode(s.nodes[0])
	s.cluster.Lose(s.t, s.nodes[0])
	s.fate(s.converges(0), victim, "COMPLETED", "1")
	s.cluster.StartNode(s.t, s.nodes[0])
	s.cluster.WaitForNode(s.t, s.nodes[0], "idle")
}

// loseSightOfANode has SLURM start workers again that are still at work: then two may share
// a unit.
func (s *scenario) loseSightOfANode() {
	s.submit()
	orphans := s.midway()
	s.cluster.KillSlurmd(s.t, s.nodes[0])
	s.incomplete()
	s.cluster.Lose(s.t, s.nodes[0])
	s.fate(s.converges(len(orphans)), orphans[0].ID, "COMPLETED", "1")
	s.cluster.StartNode(s.t, s.nodes[0])
	s.cluster.WaitForNode(s.t, s.nodes[0], "idle")
}

// runIntoTheLimit has SLURM send its signal to a worker that is at work. SLURM looks at
// limits every 30 s only, so the worker must stand still until USR2 is pending.
func (s *scenario) runIntoTheLimit() {
	script := filepath.Join(s.dir, "script")
	s.do(append(append([]string{"sbatch", "-o", script, "--time", "2", "--signal", "50"}, s.flags()...), s.run)...)
	s.cluster.Run(s.t, "sbatch", "--time=1", script) // lsrun leaves more to its workers
	victim := s.pause("while ! grep -q '^ShdPnd:.*[89a-f]..$' /proc/$pid/status; do sleep 0.1; done")
	workers, _ := s.ended()
	s.fate(workers, victim, "COMPLETED", "1")
	s.submit() // the merge
	s.converges(0)
}

// leaveBeforeTheDeadline gives workers ten seconds: two minutes less what a site's setup
// took and what they keep free. All stand still until they are over: nobody finishes the run for the others.
func (s *scenario) leaveBeforeTheDeadline() {
	s.submit("--profile", s.profile(`{"setup": ["SECONDS=60"], "time": "2", "signal": 50}`))
	victims := s.holdAtWork()
	time.Sleep(10 * time.Second)
	s.signal(syscall.SIGCONT)
	workers := s.converges(0)
	for _, v := range victims {
		id := s.taskID(v)
		i := slices.IndexFunc(workers, func(j slurmtest.Job) bool { return j.ID == id })
		if workers[i].State != "COMPLETED" || workers[i].Restarts == "0" { // more than once where machines are slow
			s.t.Errorf("a worker that reached its deadline: %+v", workers[i])
		}
	}
}

// profile makes a profile and returns its name.
func (s *scenario) profile(text string) (name string) {
	s.t.Helper()
	s.profiles = filepath.Join(s.dir, "profiles.json")
	if err := os.WriteFile(s.profiles, []byte(`{"site": `+text+"}"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return "site"
}

// pause stops a worker in the middle of a unit, which nobody finishes for it, until a line of shell, in which $pid is the
// worker's process, has ended on its node.
func (s *scenario) pause(until string) (victim string) {
	s.t.Helper()
	s.midway()
	var w shard.Running
	s.cluster.Wait(s.t, "a worker in the middle of a unit", func() bool {
		s.incomplete()
		at := s.atWork()
		i := slices.IndexFunc(at, func(r shard.Running) bool { return r.PointsDone < r.Points-1 })
		if i < 0 {
			return false
		}
		w = at[i]
		s.cluster.Shell(s.t, w.Host, fmt.Sprintf("kill -STOP %d || true", w.PID))
		if slices.ContainsFunc(s.atWork(), func(r shard.Running) bool {
			return r.Unit == w.Unit && r.Generation == w.Generation && r.PointsDone < r.Points-1 // it was still there
		}) {
			return true
		}
		s.cluster.Shell(s.t, w.Host, fmt.Sprintf("kill -CONT %d || true", w.PID))
		return false
	})
	s.cluster.Shell(s.t, w.Host, fmt.Sprintf("pid=%d\n{ %s; kill -CONT $pid; } &", w.PID, until))
	s.incomplete()
	return s.taskID(w)
}

// taskID is the task that a claim names.
func (s *scenario) taskID(w shard.Running) string {
	s.t.Helper()
	task, ok := slurm.ParseTask(w.Job)
	if !ok {
		s.t.Fatalf("a claim names the job %q", w.Job)
	}
	return task.ID()
}

// signal sends a signal to all workers, those between two claims too, and returns how many there are. It starts no process:
// that takes seconds on a busy machine, in which a run comes to its end. The nodes' processes are this machine's too.
func (s *scenario) signal(which syscall.Signal) (workers int) {
	s.t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, process := range processes {
		line, _ := os.ReadFile(filepath.Join(process, "cmdline")) // empty where it has ended
		words := strings.Split(string(line), "\x00")
		pid, err := strconv.Atoi(filepath.Base(process))
		if err == nil && len(words) > 1 && words[1] == "run" && slices.Contains(words, s.run) && syscall.Kill(pid, which) == nil {
			workers++
		}
	}
	return workers
}

// atWork lists the processes of workers, by what the run itself says.
func (s *scenario) atWork() []shard.Running {
	s.t.Helper()
	status, err := s.open().Status(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Running
}

func (s *scenario) submitAgain() {
	s.submit()
	s.midway()
	s.submit()
	if workers := s.converges(0); len(workers) > 8 {
		s.t.Errorf("submitting again made workers beside those that there were: %+v", workers)
	}
}

func (s *scenario) submitAfterFailure() {
	s.submit("--profile", s.profile(`{"setup": ["module load what-is-not-there"]}`))
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
	s.hold() // until SLURM wakes what it cancels: the run is not over too early
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

// ranks runs a job that starts four ranks, and merges by hand. Fixed slices make every rank
// indispensable.
func (s *scenario) ranks(launcher string, options ...string) {
	log := filepath.Join(s.dir, "log")
	command := fmt.Sprintf("exec %s %s run --threads 1 --schedule static %s", launcher, slurm.ShellQuote(s.lsrun), slurm.ShellQuote(s.run))
	id := s.cluster.Run(s.t, "sbatch", append(options, "--parsable", "--partition="+s.partition, "--output="+log, "--wrap="+command)...)
	s.cluster.Wait(s.t, "the job to end", func() bool {
		return slices.ContainsFunc(s.cluster.Jobs(s.t), func(j slurmtest.Job) bool { return j.ID == id && j.Over() })
	})
	said, err := os.ReadFile(log)
	if err != nil || strings.Count(string(said), " points computed here, 0 taken from journals") != 4 {
		s.t.Fatalf("not four ranks have a share: %v\n%s", err, said)
	}
	lsrunOK(s.t, "merge", s.run)
	s.isMerged(0)
}

func (s *scenario) ranksOfSrun() { s.ranks("srun", "--nodes=2", "--ntasks=4") }

func (s *scenario) ranksOfMpirun() {
	s.ranks("env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 4", "--nodes=1", "--ntasks=2")
}

// lineFeed has what lsrun cannot write into the options of its script.
func (s *scenario) lineFeed() {
	s.plan(filepath.Join(s.dir, "a\n#SBATCH --array=0\ntouch pwned"), "run\n")
	s.submit("--data", pictures)
	s.converges(0)
	if logs := s.logs(); len(logs) != 9 {
		s.t.Errorf("eight workers and a merge leave the logs %q", logs)
	}
}

// storm lets things happen by chance until the surface is there, to one run, or with
// LSRUN_LONG to twenty.
func (s *scenario) storm() {
	runs := 1
	if os.Getenv("LSRUN_LONG") != "" {
		runs = 20
	}
	for i := range runs {
		s.plan(filepath.Join(s.t.TempDir(), fmt.Sprint(i)), "run")
		s.batter()
	}
}

// batter strikes a run whenever it has got on, and submits it again whenever nothing of it
// is left in the queue.
func (s *scenario) batter() {
	var strikes []string
	for range 20 {
		s.submit()
		for s.getsOn() {
			strikes = append(strikes, s.strike())
		}
		if exists(filepath.Join(s.run, surfaceFile)) {
			break
		}
	}
	s.t.Logf("%q", strikes)
	twins := 0
	for _, what := range strikes {
		if what == outOfSight {
			twins += 2 // workers of a node
		}
	}
	s.isMerged(twins)
}

const outOfSight = "a node is out of sight"

// getsOn waits until the run has got on, or says that no job of it is left.
func (s *scenario) getsOn() bool {
	before, end := finished(s.t, s.run), false
	s.cluster.Wait(s.t, "the run to get on", func() bool {
		now := finished(s.t, s.run)
		end = over(s.jobs())
		return end || now >= before+clusterPoints/6 && now < clusterPoints && len(s.atWork()) > 0
	})
	return !end
}

// strike lets something happen to a worker or to its node, and says what.
func (s *scenario) strike() string {
	running := s.atWork()
	if len(running) == 0 {
		return "too late"
	}
	w := running[rand.IntN(len(running))]
	task, _ := slurm.ParseTask(w.Job)
	switch rand.IntN(6) {
	case 0:
		s.cluster.Command(s.t.Context(), "scancel", task.ID()).Run() // in vain if it has just ended
		return "scancel"
	case 1:
		s.cluster.Command(s.t.Context(), "scontrol", "requeue", task.ID()).Run()
		return "requeue"
	case 2:
		s.cluster.Shell(s.t, w.Host, fmt.Sprintf("kill -KILL %d || true", w.PID))
		return "kill -9"
	case 3:
		s.cluster.KillNode(w.Host)
		s.cluster.Lose(s.t, w.Host)
		s.cluster.StartNode(s.t, w.Host)
		return "a node lost"
	case 4:
		s.cluster.KillSlurmd(s.t, w.Host)
		s.cluster.Lose(s.t, w.Host)
		s.cluster.StartNode(s.t, w.Host)
		return outOfSight
	default:
		s.do("cancel", s.run)
		return "lsrun cancel"
	}
}
