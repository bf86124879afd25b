package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/nn/engine"
	"lsrun/shard"
	"lsrun/slurm"
)

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
	moved      []string // words for run that say where files are now
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
	if err := refuseStray(b.passed); err != nil {
		return nil, err
	}
	if err := refuseOwned(b.passed); err != nil {
		return nil, err
	}
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
	b.warnOfLittleMemory(job)
	return b, b.chooseMemory(job)
}

// batchArguments splits RUN -- SBATCH-OPTIONS…
func batchArguments(c *cli.Context) (dir string, passed []string, err error) {
	args := c.Args().Slice()
	if i := slices.Index(args, "--"); i >= 0 {
		args, passed = args[:i], args[i+1:]
	}
	dir, err = onlyPath(c, args, "a run directory before sbatch's options, which follow --")
	return dir, passed, err
}

// readFlags checks the flags and takes what is read from them.
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
	for _, flag := range []string{"data", "labels"} {
		path, err := absolute(c.String(flag))
		if err != nil {
			return err
		}
		if path != "" {
			b.moved = append(b.moved, "--"+flag, path)
		}
	}
	if b.mem != "" && b.mem != "site" {
		if _, err := slurm.ParseMemory(b.mem); err != nil {
			return usagef("--mem %s: %v; site leaves it to the site", b.mem, err)
		}
	}
	if err := b.readTime(c.String("time"), c.Int("signal")); err != nil {
		return err
	}
	return b.readCard(c.String("gpus"))
}

// readTime takes --time, of which workers leave lead seconds.
func (b *batch) readTime(text string, lead int) (err error) {
	if text == "" {
		return nil
	}
	if b.seconds, err = slurm.ParseTime(text); err != nil {
		return usagef("--time %s: %v", text, err)
	}
	if b.seconds <= lead+60 {
		return usagef("--time %s: workers stop %d s before the end (--signal), SLURM may tell them a minute earlier, and nothing is left", text, lead)
	}
	return nil
}

// readCard takes --gpus.
func (b *batch) readCard(text string) error {
	if text == "" {
		return nil
	}
	if kind, one := strings.CutSuffix(text, ":1"); text != "1" && (!one || kind == "") {
		return usagef("--gpus %s: 1 or TYPE:1: a task is one worker, and a worker has one card", text)
	}
	b.gres = "gpu:" + text
	return nil
}

// owned are sbatch's options that lsrun gives itself.
var owned = map[string]string{
	"--array": "--workers", "-a": "--workers", "--time": "--time", "-t": "--time", "--mem": "--mem", "--mem-per-cpu": "--mem", "--signal": "--signal",
	"--job-name": "", "-J": "", "--output": "", "-o": "", "--chdir": "", "-D": "", "--open-mode": "", "--no-requeue": "", "--requeue": "",
	"--wrap": "", "--parsable": "", "--wait": "", "-W": "", "--test-only": "lsrun submit --dry-run",
}

// ownedBy is the option of lsrun's own that a word for sbatch means. sbatch takes the beginning of a long option for it.
func ownedBy(word string) (name string, ok bool) {
	name, _, _ = strings.Cut(word, "=")
	if len(word) > 2 && word[0] == '-' && word[1] != '-' { // -t30
		name = word[:2]
	}
	if _, ok = owned[name]; ok || len(name) < 3 || !strings.HasPrefix(name, "--") {
		return name, ok
	}
	for _, long := range slices.Sorted(maps.Keys(owned)) {
		if strings.HasPrefix(long, name) {
			return long, true
		}
	}
	return name, false
}

// refuseStray refuses what is neither an option for sbatch nor the value of the one before it: sbatch would take it for a script.
func refuseStray(passed []string) error {
	before := ""
	for _, word := range passed {
		if !strings.HasPrefix(word, "-") && (!strings.HasPrefix(before, "-") || strings.Contains(before, "=")) {
			return usagef("%q is no option for sbatch: did you mean --%[1]s?", word)
		}
		before = word
	}
	return nil
}

// refuseOwned keeps options from sbatch that would come between lsrun and its workers.
func refuseOwned(passed []string) error {
	for _, word := range passed {
		name, ok := ownedBy(word)
		if instead := owned[name]; instead != "" {
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

// mostWorkers is how many workers are started without being asked for.
const mostWorkers = 100

// workers is how many workers should share so many units.
func (b *batch) workers(units int) int {
	if b.wanted > 0 {
		return min(b.wanted, units)
	}
	return min((units+shard.UnitsAWorker-1)/shard.UnitsAWorker, max(mostWorkers, b.run.Plan.Work.Workers))
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
	bytes, err := job.plannedMemory(b.c.Int("cpus-per-task"))
	if err != nil {
		fmt.Fprintf(b.c.App.ErrWriter, "lsrun: the memory of a worker is left to the site (--mem says otherwise): %v\n", err)
		return nil
	}
	b.mem = slurmMemory(bytes)
	return nil
}

// warnOfLittleMemory says that a worker will not get what it needs. A --mem of 0 is all of the node's.
func (b *batch) warnOfLittleMemory(job *job) {
	given, err := slurm.ParseMemory(b.mem)
	if err != nil || given == 0 {
		return
	}
	if need, err := job.plannedMemory(b.c.Int("cpus-per-task")); err == nil && given < need {
		fmt.Fprintf(b.c.App.ErrWriter, "lsrun: warning: --mem %s: a worker of this plan needs %s, and SLURM ends one that takes more than it asked for\n", b.mem, megabytes(need))
	}
}

// cardMemory is what a card's driver takes of the host.
const cardMemory = 2 << 30

// plannedMemory is what a worker of so many threads takes on a machine like this one.
func (j *job) plannedMemory(threads int) (int64, error) {
	if j.plan.Device == onCard {
		return j.workerMemory(nil, threads), nil
	}
	e, err := j.newEngine(worker{threads: threads})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	return j.workerMemory(e, threads), nil
}

// workerMemory is memory without reading the data, which need not be here.
func (j *job) workerMemory(e engine.Engine, threads int) int64 {
	s := &subject{graph: j.graph, loss: j.loss, theta: j.plane.Theta}
	stored := int64(j.plan.Data.TrainOf+j.plan.Data.TestOf) * int64(j.graph.Input.Size())
	if slices.Contains([]string{"npz", "npy", "h5"}, j.plan.Data.Dataset) {
		stored *= 4 // they may hold floats
	}
	bytes := memory(e, s, j.plan, threads, stored)
	if j.plan.Device == onCard {
		bytes += cardMemory
	}
	return bytes
}

// array is the job array of tasks workers, which are those from first on of total.
func (b *batch) array(tasks, total, first, running int) slurm.Script {
	c := b.c
	command := []string{b.program, "run"}
	if b.seconds > 0 { // else nobody knows the --walltime
		command = append(command, "--lead", strconv.Itoa(c.Int("signal")))
	}
	command = append(command, "--requeues", strconv.Itoa(c.Int("max-requeues")), "--tasks", strconv.Itoa(total), "--first-task", strconv.Itoa(first))
	if s := c.String("schedule"); s != "dynamic" {
		command = append(command, "--schedule", s)
	}
	command = append(append(command, b.moved...), b.dir)
	s := b.script(b.name, command, b.mem, c.Int("cpus-per-task"))
	s.Comment = []string{fmt.Sprintf("Workers of the run of plan %.12s. Submit it as often as you like: each takes what is missing.", b.run.ID)}
	s.Tasks, s.Running = tasks, running
	s.Lead, s.TimeLeft = c.Int("signal"), "--walltime"
	if b.gres != "" {
		s.Options = append(s.Options, slurm.Option{Name: "gres", Value: b.gres})
	}
	s.Passed = b.passed
	return s
}

// mergeMemory is what a merge of the plan takes: the surface some times over, as arrays, as a file's image, and as it is read back.
func mergeMemory(plan *shard.Plan) string {
	surface := int64(plan.Grid.Points()) * int64(8*len(plan.Columns())+len(plan.Metrics))
	return slurmMemory(max(768<<20, programMemory+5*surface))
}

// slurmMemory is a quarter more than bytes, in steps of 256 MB.
func slurmMemory(bytes int64) string { return fmt.Sprintf("%dM", 256*((bytes+bytes/4)>>28+1)) }

// merge is the job that merges when the given jobs have ended.
func (b *batch) merge(behind []string) slurm.Script {
	mem := mergeMemory(b.run.Plan)
	if b.mem == "" {
		mem = ""
	}
	s := b.script(mergeName(b.name), []string{b.program, "merge", b.dir}, mem, 1)
	s.Comment = []string{fmt.Sprintf("Merges the run of plan %.12s when its workers have ended, and says what is missing if anything is.", b.run.ID)}
	s.Passed = slices.Clone(b.passed)
	if len(behind) > 0 { // last, so that it counts
		s.Passed = append(s.Passed, "--dependency=afterany:"+strings.Join(behind, ":"))
	}
	return s
}

// script is what the array and the merge have in common.
func (b *batch) script(name string, command []string, mem string, cpus int) slurm.Script {
	options := []slurm.Option{{Name: "nodes", Value: "1"}, {Name: "ntasks", Value: "1"}, {Name: "cpus-per-task", Value: strconv.Itoa(cpus)}}
	if mem != "" {
		options = append(options, slurm.Option{Name: "mem", Value: mem})
	}
	for _, flag := range []string{"time", "partition", "account", "qos", "constraint"} {
		if value := b.c.String(flag); value != "" {
			options = append(options, slurm.Option{Name: flag, Value: value})
		}
	}
	return slurm.Script{Name: name, Dir: b.dir, Log: "log", Options: options, Setup: b.setup, Command: command, Seconds: b.seconds}
}
