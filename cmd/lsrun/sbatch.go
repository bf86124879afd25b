package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/shard"
	"lsrun/slurm"
)

var sbatchCommand = &cli.Command{
	Name:      "sbatch",
	Usage:     "print the batch script of a run's workers for SLURM",
	ArgsUsage: "RUN [-- SBATCH-OPTIONS…]",
	Description: `Prints what lsrun submit would hand to sbatch if nothing were computed or queued yet:
a job array, each of whose tasks is a worker. What follows -- is passed to sbatch.`,
	Flags:  append([]cli.Flag{&cli.StringFlag{Name: "o", Usage: "write it to `FILE`"}}, batchFlags...),
	Action: sbatchAction,
}

// batchFlags say what the workers of a run ask SLURM for. But for --profile and those of
// moved files they are also the keys of a profile.
var batchFlags = append([]cli.Flag{
	&cli.IntFlag{Name: "workers", Usage: "tasks of the array", DefaultText: "one for eight units"},
	&cli.IntFlag{Name: "max-running", Usage: "at most `N` workers run at a time", DefaultText: "as many as SLURM starts"},
	&cli.StringFlag{Name: "time", Usage: "limit of a worker's time: minutes, HH:MM:SS or D-HH:MM:SS; then it begins no point that it could not finish, and goes back into the queue", DefaultText: "the site's"},
	&cli.StringFlag{Name: "partition", Usage: "where to run"},
	&cli.StringFlag{Name: "account", Usage: "who is charged"},
	&cli.StringFlag{Name: "qos", Usage: "quality of service"},
	&cli.StringFlag{Name: "constraint", Usage: "features that nodes must have"},
	&cli.IntFlag{Name: "cpus-per-task", Usage: "cores of a worker", Value: 4},
	&cli.StringFlag{Name: "mem", Usage: "memory of a worker, as in 2G; site leaves it to the site", DefaultText: "what the plan needs"},
	&cli.StringFlag{Name: "gpus", Usage: "1, or TYPE:1: a card for every worker", DefaultText: "1 if the plan is for cards"},
	&cli.IntFlag{Name: "signal", Usage: "`SECONDS` before the end of its time at which a worker stops", Value: 120},
	&cli.IntFlag{Name: "max-requeues", Usage: "how often in a row a worker goes back into the queue without having finished a point", Value: 3},
	&cli.StringFlag{Name: "schedule", Usage: "dynamic: workers share all units; static: each computes its fixed slice", Value: "dynamic"},
	&cli.StringFlag{Name: "profile", Usage: "take every flag that is not given from the profile `NAME` in ~/.config/lsrun/profiles.json, or in the file that $LSRUN_PROFILES names"},
}, movedFlags...)

func sbatchAction(c *cli.Context) error {
	b, err := newBatch(c)
	if err != nil {
		return err
	}
	workers := b.workers(len(b.run.Plan.Units()))
	text, err := b.array(workers, workers, 0, b.maxRunning).Text()
	if err != nil {
		return usageError{err.Error()}
	}
	if path := c.String("o"); path != "" {
		if err := files.PublishNew(path, []byte(text)); err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "%s: %s\n", path, plural(workers, "worker"))
		return nil
	}
	fmt.Fprint(c.App.Writer, text)
	return nil
}

// batch is a run with what its jobs ask SLURM for.
type batch struct {
	c          *cli.Context
	run        *shard.Run
	dir        string // of the run, absolute
	program    string // lsrun, absolute
	name       string // of the job array
	wanted     int    // workers; 0 for as many as make sense
	maxRunning int
	seconds    int // of a worker's time; 0 for the site's
	mem, gres  string
	setup      []string // lines of bash
	passed     []string // words for sbatch
}

func newBatch(c *cli.Context) (*batch, error) {
	dir, passed, err := batchArguments(c)
	if err != nil {
		return nil, err
	}
	b := &batch{c: c}
	if b.setup, b.passed, err = adoptProfile(c); err != nil {
		return nil, err
	}
	b.passed = append(b.passed, passed...)
	if err := b.readFlags(); err != nil {
		return nil, err
	}
	job, err := openJob(dir)
	if err != nil {
		return nil, err
	}
	b.run = job.run
	if b.dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("finding the working folder: %w", err)
	}
	if b.program, err = thisProgram(); err != nil {
		return nil, err
	}
	b.name = jobName(b.run)
	if job.plan.Device == onCard && b.gres == "" {
		b.gres = "gpu:1"
	}
	return b, b.chooseMemory(job)
}

// batchArguments splits RUN -- SBATCH-OPTIONS…
func batchArguments(c *cli.Context) (dir string, passed []string, err error) {
	args := c.Args().Slice()
	if i := slices.Index(args, "--"); i >= 0 {
		args, passed = args[:i], args[i+1:]
	}
	if len(args) != 1 || args[0] == "" {
		return "", nil, usagef("%s needs one argument, a run directory, and got %d: %q; sbatch's own options follow --", c.Command.Name, len(args), args)
	}
	return args[0], passed, nil
}

// readFlags checks the flags.
func (b *batch) readFlags() error {
	c := b.c
	for name, least := range map[string]int{"workers": 1, "max-running": 1, "cpus-per-task": 1, "signal": 0, "max-requeues": 0} {
		if c.IsSet(name) && c.Int(name) < least {
			return usagef("--%s %d: at least %d", name, c.Int(name), least)
		}
	}
	if s := c.String("schedule"); s != "dynamic" && s != "static" {
		return usagef("--schedule %s: dynamic or static", s)
	}
	b.wanted, b.maxRunning, b.mem = c.Int("workers"), c.Int("max-running"), c.String("mem")
	if text := c.String("time"); text != "" {
		var err error
		if b.seconds, err = slurm.ParseTime(text); err != nil {
			return usagef("--time %s: %v", text, err)
		}
		if least := c.Int("signal") + 60; b.seconds <= least {
			return usagef("--time %s: workers stop %d s before the end (--signal), SLURM may say so a minute earlier, and nothing is left", text, c.Int("signal"))
		}
	}
	if gpus := c.String("gpus"); gpus != "" {
		kind, count, typed := strings.Cut(gpus, ":")
		if !typed {
			kind, count = "", gpus
		}
		if count != "1" || typed && kind == "" {
			return usagef("--gpus %s: 1 or TYPE:1: a task is one worker, and a worker has one card", gpus)
		}
		b.gres = "gpu:" + gpus
	}
	return refuseOwned(b.passed)
}

// owned are sbatch's options that lsrun gives itself.
var owned = map[string]string{
	"--array": "--workers", "-a": "--workers", "--time": "--time", "-t": "--time", "--mem": "--mem", "--mem-per-cpu": "--mem", "--signal": "--signal",
	"--job-name": "", "-J": "", "--output": "", "-o": "", "--chdir": "", "-D": "", "--open-mode": "", "--no-requeue": "", "--requeue": "",
	"--wrap": "", "--parsable": "", "--test-only": "lsrun submit --dry-run",
}

// refuseOwned keeps options from sbatch that would come between lsrun and its workers.
func refuseOwned(passed []string) error {
	for _, word := range passed {
		name, _, _ := strings.Cut(word, "=")
		if instead, ok := owned[name]; ok && instead != "" {
			return usagef("%s is not for sbatch directly: use %s", word, instead)
		} else if ok {
			return usagef("%s cannot be passed to sbatch: lsrun needs its own", word)
		}
	}
	return nil
}

// thisProgram is the path that lsrun was started by, absolute: where that is a symbolic
// link, it names the lsrun that the jobs should take too.
func thisProgram() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		path, err = os.Executable()
	}
	if err != nil {
		return "", fmt.Errorf("finding the program itself: %w", err)
	}
	return filepath.Abs(path)
}

// jobName is how a run's jobs are found again.
func jobName(run *shard.Run) string {
	dir, err := filepath.Abs(run.Dir)
	if real, failed := filepath.EvalSymlinks(run.Dir); failed == nil {
		dir, err = filepath.Abs(real)
	}
	if err != nil { // there is no working folder
		dir = run.Dir
	}
	harmless := strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '_'
	}, filepath.Base(dir))
	sum := sha256.Sum256([]byte(run.ID + dir))
	return fmt.Sprintf("lsrun-%s-%s", harmless[:min(len(harmless), 40)], hex.EncodeToString(sum[:4]))
}

// mergeName is the name of the job that merges behind the array of the given name.
func mergeName(name string) string { return name + "-merge" }

// unitsAWorker is how many units a worker should find, so that all end at about the same time.
const unitsAWorker = 8

// mostWorkers is how many workers are started without being asked for.
const mostWorkers = 100

// workers is how many workers should share so many units.
func (b *batch) workers(units int) int {
	if b.wanted > 0 {
		return min(b.wanted, units)
	}
	return min((units+unitsAWorker-1)/unitsAWorker, max(mostWorkers, b.run.Plan.Work.Workers))
}

// chooseMemory fills in --mem from the plan.
func (b *batch) chooseMemory(job *job) error {
	if b.mem == "site" {
		b.mem = ""
		return nil
	}
	if b.mem != "" {
		return nil
	}
	bytes, err := job.workerMemory(b.c.Int("cpus-per-task"))
	if err != nil {
		fmt.Fprintf(b.c.App.ErrWriter, "lsrun: the memory of a worker is left to the site (--mem says otherwise): %v\n", err)
		return nil
	}
	b.mem = fmt.Sprintf("%dM", 256*((bytes+bytes/4)>>28+1)) // a quarter to spare, in steps of 256 MB
	return nil
}

// cardMemory is what a card's driver takes of the host.
const cardMemory = 2 << 30

// workerMemory is memory without reading the data, which need not be here.
func (j *job) workerMemory(threads int) (int64, error) {
	s := &subject{graph: j.graph, loss: j.loss, theta: j.plane.Theta}
	stored := int64(j.plan.Data.TrainOf+j.plan.Data.TestOf) * int64(j.graph.Input.Size())
	if slices.Contains([]string{"npz", "npy", "h5"}, j.plan.Data.Dataset) {
		stored *= 4 // they may hold floats
	}
	if j.plan.Device == onCard {
		return memory(nil, s, j.plan, threads, stored) + cardMemory, nil
	}
	e, err := j.newEngine(worker{threads: threads})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	return memory(e, s, j.plan, threads, stored), nil
}

// array is the job array of tasks workers, which are those from first on of total.
func (b *batch) array(tasks, total, first, running int) slurm.Script {
	c := b.c
	command := []string{b.program, "run", "--lead", strconv.Itoa(c.Int("signal")), "--requeues", strconv.Itoa(c.Int("max-requeues")),
		"--tasks", strconv.Itoa(total), "--first-task", strconv.Itoa(first)}
	if s := c.String("schedule"); s != "dynamic" {
		command = append(command, "--schedule", s)
	}
	for _, flag := range []string{"data", "labels"} {
		if path := c.String(flag); path != "" {
			command = append(command, "--"+flag, inFolder(path))
		}
	}
	s := b.script(b.name, append(command, b.dir), b.mem, c.Int("cpus-per-task"))
	s.Comment = []string{fmt.Sprintf("Workers of the run of plan %.12s. Submit it as often as you like: each takes what is missing.", b.run.ID)}
	s.Tasks, s.Running = tasks, running
	s.Lead, s.TimeLeft = c.Int("signal"), "--walltime"
	if b.gres != "" {
		s.Options = append(s.Options, slurm.Option{Name: "gres", Value: b.gres})
	}
	s.Passed = b.passed
	return s
}

// mergeMemory is enough for any merge, which holds the surface and one shard at a time.
const mergeMemory = "1G"

// merge is the job that merges when the given jobs have ended.
func (b *batch) merge(behind []string) slurm.Script {
	mem := mergeMemory
	if b.mem == "" {
		mem = ""
	}
	s := b.script(mergeName(b.name), []string{b.program, "merge", b.dir}, mem, 1)
	s.Comment = []string{"Merges the run of plan " + b.run.ID[:12] + ", and says what is missing if anything is."}
	for _, word := range b.passed {
		if name, _, _ := strings.Cut(word, "="); name != "--dependency" && name != "-d" {
			s.Passed = append(s.Passed, word)
		}
	}
	if len(behind) > 0 {
		s.Options = append(s.Options, slurm.Option{Name: "dependency", Value: "afterany:" + strings.Join(behind, ":")})
	}
	return s
}

// script is what the array and the merge have in common.
func (b *batch) script(name string, command []string, mem string, cpus int) slurm.Script {
	options := []slurm.Option{{Name: "nodes", Value: "1"}, {Name: "ntasks", Value: "1"}, {Name: "cpus-per-task", Value: strconv.Itoa(cpus)}}
	for _, o := range []slurm.Option{{Name: "mem", Value: mem}, {Name: "time", Value: b.c.String("time")}, {Name: "partition", Value: b.c.String("partition")},
		{Name: "account", Value: b.c.String("account")}, {Name: "qos", Value: b.c.String("qos")}, {Name: "constraint", Value: b.c.String("constraint")}} {
		if o.Value != "" {
			options = append(options, o)
		}
	}
	return slurm.Script{Name: name, Dir: b.dir, Log: "log", Options: options, Setup: b.setup, Command: command, Seconds: b.seconds}
}

// inFolder is a path that means the same from everywhere.
func inFolder(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}
