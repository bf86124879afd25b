package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"lsrun/io/h5"
	"lsrun/shard"
	"lsrun/slurm"
)

var runCommand = &cli.Command{
	Name:      "run",
	Usage:     "compute the points of a run that are missing",
	ArgsUsage: "RUN",
	Description: `Works until every point is there. Any number of lsrun run may work on one RUN at the
same time, on any number of machines that share it; what a killed one finished is kept.
Ranks are taken from mpirun's or srun's environment; those on one host share the images in
memory, and where nobody bound them each keeps to NUMA domains of its own. lsrun sbatch writes
the flags of jobs.`,
	Flags: append([]cli.Flag{
		&cli.IntFlag{Name: "threads", Usage: "threads", DefaultText: "this rank's share of the CPUs that the host, the launcher and SLURM leave"},
		&cli.StringFlag{Name: "units", Usage: "only these units, as in 3,7-9"},
		&cli.IntFlag{Name: "rank", Usage: "this worker's number, from 0", DefaultText: "what the launcher says"},
		&cli.IntFlag{Name: "ranks", Usage: "how many workers were started together", DefaultText: "what the launcher says"},
		&cli.StringFlag{Name: "schedule", Usage: "dynamic: workers share all units; static: rank r of n computes its fixed slice", Value: "dynamic"},
		&cli.IntFlag{Name: "walltime", Usage: "begin no point that cannot be finished `SECONDS`, less --lead, from now", DefaultText: "no limit"},
		&cli.IntFlag{Name: "lead", Usage: "`SECONDS` to spare at the end of --walltime"},
		&cli.IntFlag{Name: "requeues", Usage: "as a job of SLURM: go back into its queue when the time is up, at most `N` times in a row without a point having been finished", DefaultText: "never"},
		&cli.IntFlag{Name: "tasks", Usage: "as a task of a SLURM array: how many tasks there are, with those of arrays beside it", DefaultText: "it is no such task"},
		&cli.IntFlag{Name: "first-task", Usage: "of these tasks, the one that is this array's first"},
	}, movedFlags...),
	Action: runAction,
}

// movedFlags say where the files are that a plan names.
var movedFlags = []cli.Flag{
	&cli.StringFlag{Name: "data", Usage: "where the data is now, if not where it was planned"},
	&cli.StringFlag{Name: "labels", Usage: "where the file of labels is now, if the plan has one"},
}

func runAction(c *cli.Context) error {
	dir, err := oneArgument(c, "a run directory")
	if err != nil {
		return err
	}
	if err := refuseIdleFlags(c); err != nil {
		return err
	}
	rank, err := chooseRank(c)
	if err != nil {
		return err
	}
	place, err := settle(c.Int("threads"), rank)
	if err != nil {
		fmt.Fprintf(c.App.ErrWriter, "lsrun: %v\n", err)
	}
	job, err := openJob(dir)
	if err != nil {
		return err
	}
	var units []int
	if text := c.String("units"); text != "" {
		if units, err = shard.ParseRanges(text, len(job.plan.Units())); err != nil {
			return usagef("--units: %v", err)
		}
	}
	computed, err := job.work(c, rank, place, units)
	return requeue(c, dir, computed, err)
}

// refuseIdleFlags refuses flags that would have no effect.
func refuseIdleFlags(c *cli.Context) error {
	_, inJob := slurm.TaskFrom(os.Getenv)
	switch {
	case c.IsSet("walltime") && (c.Int("walltime") <= 0 || c.Int("lead") < 0):
		return usagef("--walltime %d, --lead %d: seconds from now, and how many of them to spare", c.Int("walltime"), c.Int("lead"))
	case c.IsSet("lead") && !c.IsSet("walltime"):
		return usagef("--lead has no effect without --walltime: give that too, or leave it out")
	case c.IsSet("first-task") && !c.IsSet("tasks"):
		return usagef("--first-task has no effect without --tasks: give that too, or leave it out")
	case c.IsSet("requeues") && !inJob:
		return usagef("--requeues has no effect outside a job of SLURM (SLURM_JOB_ID is %q): leave it out, or start jobs with lsrun submit", os.Getenv("SLURM_JOB_ID"))
	}
	return nil
}

// started is when the program was, as near as it can tell.
var started = time.Now()

// deadline is when --walltime, less --lead, is over; zero for never.
func deadline(c *cli.Context) time.Time {
	if !c.IsSet("walltime") {
		return time.Time{}
	}
	return started.Add(time.Duration(c.Int("walltime")-c.Int("lead")) * time.Second)
}

// Workers of an array that find nothing to begin give their allocation back after idleTime, all but a reserve
// that takes over, as long as its own time lasts, if those at work die.
const (
	idleTime = 5 * time.Minute
	reserve  = 2
)

// patience is how long a worker waits for others; zero for as long as they take.
func patience(c *cli.Context, rank slurm.Rank) time.Duration {
	if c.IsSet("tasks") && rank.Index >= reserve {
		return idleTime
	}
	return 0
}

// chooseRank reads --rank and --ranks, or --tasks, or what the launcher says.
func chooseRank(c *cli.Context) (slurm.Rank, error) {
	if s := c.String("schedule"); s != "dynamic" && s != "static" {
		return slurm.Rank{}, usagef("--schedule %s: dynamic or static", s)
	}
	if c.Int("threads") < 0 {
		return slurm.Rank{}, usagef("--threads %d: at least 1, or none for all cores", c.Int("threads"))
	}
	if c.IsSet("rank") && c.IsSet("tasks") {
		return slurm.Rank{}, usagef("--rank and --tasks exclude each other")
	}
	if c.IsSet("rank") != c.IsSet("ranks") {
		return slurm.Rank{}, usagef("--rank and --ranks go together")
	}
	if c.IsSet("rank") {
		rank := slurm.Rank{Index: c.Int("rank"), Size: c.Int("ranks")}
		if rank.Index < 0 || rank.Index >= rank.Size {
			return rank, usagef("--rank %d --ranks %d: ranks go from 0 to one less than their number", rank.Index, rank.Size)
		}
		return rank, nil
	}
	step, ok := slurm.RankFrom(os.Getenv)
	if !ok {
		step = slurm.Rank{Size: 1}
	}
	if !c.IsSet("tasks") {
		return step, nil
	}
	task, _ := slurm.TaskFrom(os.Getenv)
	number := task.Index + c.Int("first-task")
	if task.Job == "" || task.Index < 0 || number < 0 || number >= c.Int("tasks") {
		return step, usagef("--tasks %d --first-task %d: this is no such task of a SLURM array (SLURM_ARRAY_TASK_ID is %q)", c.Int("tasks"), c.Int("first-task"), os.Getenv("SLURM_ARRAY_TASK_ID"))
	}
	step.Index += number * step.Size
	step.Size *= c.Int("tasks")
	return step, nil
}

// work computes as one worker, and returns how many points.
func (j *job) work(c *cli.Context, rank slurm.Rank, place place, units []int) (computed int, err error) {
	fmt.Fprintf(c.App.ErrWriter, "lsrun: %s\n", place.text(rank, j.plan.Device))
	data, err := j.workerImages(c.Context, c.App.ErrWriter, rank.LocalSize, c.String("data"), c.String("labels"))
	if err != nil {
		return 0, err
	}
	w := worker{threads: place.threads, card: rank.Local, sharers: rank.LocalSize}
	if free, by := freeMemory(); by == controlGroup {
		w.states = j.states(w, free)
	}
	evaluator, err := j.newEvaluator(c.Context, data, w)
	if err != nil {
		return 0, err
	}
	defer evaluator.engine.Close()
	if j.plan.Hessian != nil && os.Getenv("GOMEMLIMIT") == "" { // what points leave behind must not double what the worker was said to take
		heap := j.workerMemory(evaluator.engine, place.threads) - programMemory
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(heap + heap/8))
	}
	progress := newProgress(c.App.ErrWriter, j.plan.Grid.Points())
	worker := shard.Worker{Run: j.run, Evaluator: evaluator, Codec: h5.Codec{}, Rank: rank.Index, Ranks: rank.Size,
		Static: c.String("schedule") == "static", Units: units, Deadline: deadline(c), Patience: patience(c, rank), Progress: progress.event, Notes: evaluator.notes(j.plan), System: newSystem(os.Getenv, rank.Size)}
	report, err := worker.Work(c.Context)
	progress.end()
	for _, problem := range report.Problems {
		fmt.Fprintf(c.App.ErrWriter, "lsrun: %s\n", problem)
	}
	if err != nil && (report.Left == 0 || !timeIsUp(c.Context, err)) { // who only waited has nothing to come back for
		return report.Computed, err
	}
	fmt.Fprintf(c.App.Writer, "%s computed here, %s taken from journals, %s published\n",
		plural(report.Computed, "point"), count(int64(report.Resumed)), plural(report.Published, "unit"))
	if report.Left > 0 {
		fmt.Fprintf(c.App.Writer, "left        %s to the workers that are at it\n", plural(report.Left, "unit"))
	} else if units == nil && c.String("schedule") == "dynamic" {
		fmt.Fprintf(c.App.Writer, "next        lsrun merge %s\n", slurm.ShellQuote(j.run.Dir))
	}
	return report.Computed, nil
}

// states is how much of the memory that a control group leaves, which is this job's alone, base states may take, with a
// quarter to spare; 0, the engine's own choice, where a plan has no Hessian.
func (j *job) states(w worker, free int64) int64 {
	if j.plan.Hessian == nil || j.plan.Device != onCPU {
		return 0
	}
	left := func(states int64) int64 {
		w.states = states
		e, err := j.newEngine(w)
		if err != nil {
			return 0 // and the engine that is wanted will say why
		}
		defer e.Close()
		return free/int64(max(w.sharers, 1))*4/5 - j.workerMemory(e, w.threads)
	}
	if left(math.MaxInt64) >= 0 {
		return math.MaxInt64
	}
	if bytes := left(-1); bytes > 0 {
		return bytes
	}
	return -1
}

// progress shows how far a run is: a bar on a terminal, else a line every ten seconds.
type progress struct {
	out      io.Writer
	bar      *progressbar.ProgressBar
	total    int
	finished int // points, wherever they were computed
	computed int // points, here
	start    time.Time
	told     time.Time
}

// lineInterval is how often progress prints a line where there is no terminal.
const lineInterval = 10 * time.Second

func newProgress(out io.Writer, points int) *progress {
	p := &progress{out: out, total: points, start: time.Now(), told: time.Now()}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(points, progressbar.OptionSetWriter(out), progressbar.OptionSetDescription("points"),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false), progressbar.OptionFullWidth())
	}
	return p
}

func (p *progress) event(e shard.Event) {
	p.finished += e.Points
	switch e.Kind {
	case shard.Computed:
		p.computed += e.Points
	case shard.TakenOver:
		p.say("unit %d: going on where another worker left it", e.Unit)
	case shard.Waiting:
		p.say("every unit that is left is being computed elsewhere: waiting for it")
	case shard.AttemptFailed:
		p.say("unit %d failed: %v", e.Unit, e.Err)
	}
	if p.bar != nil {
		p.bar.Describe(p.speed())
		p.bar.Set(p.finished)
		return
	}
	if now := time.Now(); now.Sub(p.told) >= lineInterval {
		p.told = now
		p.say("%s of %s points, %s", count(int64(p.finished)), count(int64(p.total)), p.speed())
	}
}

// speed is the rate of this worker and what it would need alone for the rest.
func (p *progress) speed() string {
	if p.computed == 0 {
		return "starting"
	}
	rate := float64(p.computed) / time.Since(p.start).Seconds()
	left := time.Duration(float64(p.total-p.finished) / rate * float64(time.Second))
	return fmt.Sprintf("%.3g points/s, at most %s left", rate, lasting(left))
}

func (p *progress) say(format string, args ...any) {
	if p.bar != nil {
		p.bar.Clear()
	}
	fmt.Fprintf(p.out, "lsrun: "+format+"\n", args...)
}

func (p *progress) end() {
	if p.bar != nil {
		p.bar.Exit()
		fmt.Fprintln(p.out)
	}
}
