package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"lsrun/io/durable"
	"lsrun/io/h5"
	"lsrun/nn/cuda"
	"lsrun/shard"
	"lsrun/slurm"
)

var doctorCommand = &cli.Command{
	Name:      "doctor",
	Usage:     "try whether this machine and the run's file system have what the run will need",
	ArgsUsage: "RUN",
	Description: `Leaves nothing behind. What stands in the way is a problem, with a remedy; what may be is a note. The nodes of a
cluster differ from the machine that one logs in to: srun lsrun doctor RUN looks at one of them.`,
	Flags: append([]cli.Flag{
		&cli.IntFlag{Name: "threads", Usage: "threads of a worker", DefaultText: "as many as run would take"},
		&cli.BoolFlag{Name: "json", Usage: "for programs"},
	}, movedFlags...),
	Action: func(c *cli.Context) error {
		run, err := runArgument(c)
		if err != nil {
			return err
		}
		e := &examination{c: c, run: run}
		e.examine()
		if c.Bool("json") {
			encoder := json.NewEncoder(c.App.Writer)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(e.findings)
		} else {
			e.write(c.App.Writer)
		}
		if err != nil {
			return err
		}
		return e.worst()
	},
}

// finding is a line of what the doctor says.
type finding struct {
	What    string `json:"what"`
	Verdict string `json:"verdict"` // "ok", "note" or "problem"
	Text    string `json:"text"`
	err     error  // of a problem
}

// examination of a machine and a file system for a run.
type examination struct {
	c        *cli.Context
	run      *shard.Run
	findings []finding
}

func (e *examination) ok(what, format string, args ...any) {
	e.findings = append(e.findings, finding{what, "ok", fmt.Sprintf(format, args...), nil})
}

// note is something that need not be wrong.
func (e *examination) note(what, format string, args ...any) {
	e.findings = append(e.findings, finding{what, "note", fmt.Sprintf(format, args...), nil})
}

func (e *examination) problem(what string, err error) {
	e.findings = append(e.findings, finding{what, "problem", err.Error(), err})
}

// refuse is the problem of a machine that is not fit.
func (e *examination) refuse(what, format string, args ...any) {
	e.problem(what, fmt.Errorf("%w: %s", shard.ErrRefused, fmt.Sprintf(format, args...)))
}

func (e *examination) write(out io.Writer) {
	for _, f := range e.findings {
		fmt.Fprintf(out, "%-7s  %-10s  %s\n", f.Verdict, f.What, strings.Join(strings.Fields(f.Text), " "))
	}
}

// worst is the error of the problem with the highest exit code; nil if there is no problem.
func (e *examination) worst() error {
	n := 0
	var worst error
	for _, f := range e.findings {
		if f.err != nil {
			n++
			if worst == nil || exitCode(f.err) > exitCode(worst) {
				worst = f.err
			}
		}
	}
	if n > 1 {
		return fmt.Errorf("%s, of which the worst is: %w", plural(n, "problem"), worst)
	}
	return worst
}

func (e *examination) examine() {
	e.probe()
	e.room()
	e.hdf5()
	limits := processLimits()
	e.limits(limits)
	e.slurm()
	job, err := openJob(e.run.Dir)
	if err != nil {
		e.problem("inputs", err)
		return
	}
	e.ok("inputs", "plan, θ and directions are as planned")
	e.data(job)
	rank, _ := slurm.RankFrom(os.Getenv)
	place := thisHost().place(e.c.Int("threads"), rank)
	e.engine(job, place.threads, place.text(rank, job.plan.Device))
	e.memory(job, place.threads, limits)
}

// probe tries the file system.
func (e *examination) probe() {
	p, err := files.Probe(e.run.Dir)
	if err != nil {
		e.problem("writing", err)
		return
	}
	for _, try := range []struct {
		what, good string
		err        error
	}{
		{"creating", "a file is made once, by one process", p.Create},
		{"writing", "a file is written, synchronised, read back and renamed", p.Publish},
		{"appending", "records are appended and synchronised", p.Append},
		{"removing", "files are removed", p.Remove},
	} {
		if try.err != nil {
			e.problem(try.what, try.err)
		} else {
			e.ok(try.what, "%s", try.good)
		}
	}
	switch {
	case p.Link != nil && p.RenameNew != nil && p.Create == nil:
		e.problem("renaming", fmt.Errorf("nothing keeps a file from being replaced: neither a rename (%v) nor a hard link: %w", p.RenameNew, p.Link))
	case p.Create == nil && errors.Join(p.Link, p.RenameNew) != nil:
		e.note("renaming", "%v; the other way of renaming without replacing works, which is enough", errors.Join(p.Link, p.RenameNew))
	case p.Create == nil:
		e.ok("renaming", "a rename and a hard link replace nothing")
	}
	e.syncing(p.Sync)
	if skew := p.Clock.Abs(); skew > 2*time.Second {
		e.note("clock", "the file system's is %s off this machine's: lsrun compares no clocks, but other programs do", lasting(skew))
	} else {
		e.ok("clock", "the file system's agrees with this machine's")
	}
}

// slowSync is what a point may pay for being safe.
const slowSync = 50 * time.Millisecond

func (e *examination) syncing(took []time.Duration) {
	if len(took) == 0 {
		return
	}
	median, worst := took[len(took)/2], took[len(took)-1]
	text := fmt.Sprintf("%.2g ms, at worst %.2g ms: that much a point, or 1 %% of one that takes %.2g s",
		1e3*median.Seconds(), 1e3*worst.Seconds(), 100*median.Seconds())
	if median > slowSync {
		e.note("fsync", "%s: a folder on another file system may be faster", text)
		return
	}
	e.ok("fsync", "%s", text)
}

// need is what a run will still take of its file system, about.
type need struct{ bytes, files int64 }

// block is what a file takes at least.
const block = 4096

// filesAUnit are its claim, log, journal and shard, without restarts.
const filesAUnit = 4

// need estimates it from above: the units that are not published, the surface, which is there twice while it is
// being written, and what points hand on in as many units as the plan expects workers.
func (e *examination) need() (need, error) {
	plan, units := e.run.Plan, e.run.Plan.Units()
	published, err := files.ReadDir(filepath.Join(e.run.Dir, "shards"))
	if err != nil {
		return need{}, err
	}
	left := max(len(units)-len(published), 0)
	point := int64(len(plan.Metrics) + 8*len(plan.Columns()))
	points := int64(plan.Grid.Points())
	n := need{files: int64(filesAUnit*left) + 1}
	shardHead := int64(len(e.run.Bytes)) + 2*block // HDF5's own
	n.bytes = int64(left)*(filesAUnit*block+shardHead) + points*int64(left)/int64(len(units))*(2*point+64) + 2*points*point + 1<<20
	if h := plan.Hessian; h != nil {
		theta, err := files.ReadFile(filepath.Join(e.run.Dir, thetaFile))
		if err != nil {
			return need{}, err
		}
		carries := int64(min(plan.Work.Workers, left)) * int64(h.Points(plan.Grid)/len(units)+1)
		n.files += carries
		n.bytes += carries * 2 * int64(len(theta)) // two vectors of θ's size each
	}
	return n, nil
}

// room compares what there is with what the run needs.
func (e *examination) room() {
	room, err := durable.FreeRoom(e.run.Dir)
	var want need
	if err == nil {
		want, err = e.need()
	}
	if err != nil {
		e.problem("room", err)
		return
	}
	if room.Bytes < want.bytes {
		e.problem("room", fmt.Errorf("%w: %s free on %s, and the run will still need about %s: free some, or plan in another folder",
			syscall.ENOSPC, megabytes(room.Bytes), room.Type, megabytes(want.bytes)))
	} else {
		e.ok("room", "%s free on %s; the run will still need about %s. Quotas may not show here", megabytes(room.Bytes), room.Type, megabytes(want.bytes))
	}
	switch {
	case room.Files < 0:
		e.ok("inodes", "%s does not count files", room.Type)
	case room.Files < want.files:
		e.problem("inodes", fmt.Errorf("%w: %s may still be made, and the run will need about %s: remove some, or plan with fewer --workers-hint",
			syscall.ENOSPC, plural(int(room.Files), "file"), count(want.files)))
	default:
		e.ok("inodes", "%s may still be made; the run will need about %s", plural(int(room.Files), "file"), count(want.files))
	}
}

// hdf5 writes and reads a shard in memory.
func (e *examination) hdf5() {
	record := shard.Record{Status: make([]shard.Status, len(e.run.Plan.Metrics)), Values: make([]float64, len(e.run.Plan.Columns()))}
	made := &shard.Shard{Plan: e.run.Bytes, Records: []shard.Record{record}}
	data, err := h5.Codec{}.EncodeShard(made)
	var again *shard.Shard
	if err == nil {
		again, err = h5.Codec{}.DecodeShard(data)
	}
	if err == nil && !bytes.Equal(again.Plan, made.Plan) {
		err = fmt.Errorf("%w: it reads something else than it wrote", shard.ErrCorrupt)
	}
	if err != nil {
		e.problem("libhdf5", fmt.Errorf("version %s: %w", h5.Version(), err))
		return
	}
	e.ok("libhdf5", "version %s writes and reads a shard", h5.Version())
}

// fewFiles is how many open files a worker is content with.
const fewFiles = 64

func (e *examination) limits(r resources) {
	before := len(e.findings)
	if r.openFiles < fewFiles {
		e.refuse("limits", "only %d files may be open: ulimit -n %d", r.openFiles, fewFiles)
	}
	surface := uint64(e.run.Plan.Grid.Points())*uint64(9*len(e.run.Plan.Columns())) + 1<<20
	if r.fileBytes < surface {
		e.problem("limits", fmt.Errorf("%w: files may have %s, and the surface will have up to %s: ulimit -f unlimited",
			syscall.ENOSPC, megabytes(int64(r.fileBytes)), megabytes(int64(surface))))
	}
	if r.cpuSeconds != unlimited {
		e.note("limits", "the system ends every worker after %s of processor time (ulimit -t): nothing is lost, but somebody has to start another",
			lasting(time.Duration(r.cpuSeconds)*time.Second))
	}
	if len(e.findings) == before {
		e.ok("limits", "open files, file size and processor time are enough")
	}
}

// slurm looks for its commands and limits.
func (e *examination) slurm() {
	var lacking []string
	for _, name := range []string{"sbatch", "squeue", "scontrol", "scancel"} {
		if _, err := exec.LookPath(name); err != nil {
			lacking = append(lacking, name)
		}
	}
	switch {
	case len(lacking) == 4:
		e.note("slurm", "it is not here: start workers with lsrun run, by hand or under mpirun")
		return
	case len(lacking) > 0:
		e.note("slurm", "%s not found: PATH may lack some of SLURM's commands", strings.Join(lacking, ", "))
	}
	size, err := slurm.Client{}.MaxArraySize(e.c.Context)
	if err != nil {
		e.note("slurm", "%v", err)
		return
	}
	e.ok("slurm", "arrays may have %s; larger ones are submitted in parts", plural(size, "task"))
}

func (e *examination) data(j *job) {
	set, _, err := j.loadImages(e.c.String("data"), e.c.String("labels"))
	if err != nil {
		e.problem("data", err)
		return
	}
	e.ok("data", "%s is as planned, SHA-256 %.12s…", orElse(e.c.String("data"), j.plan.Data.Path), set.SHA256)
}

// engine looks for the processor or card that the plan wants; where says what of this host a worker would use.
func (e *examination) engine(j *job, threads int, where string) {
	what := "processor"
	if j.plan.Device == onCard {
		what = "card"
	}
	made, err := j.newEngine(worker{threads: threads})
	if err != nil {
		e.problem(what, err)
		return
	}
	defer made.Close()
	if kernel := made.Kernel(); !j.plan.Mix && kernel != j.plan.Kernel {
		e.refuse(what, "it computes with %s, and the plan wants %s: unset LSRUN_KERNEL", kernel, j.plan.Kernel)
		return
	}
	card, isCard := made.(*cuda.Engine)
	if !isCard {
		e.ok(what, "kernel %s, %s", made.Kernel(), where)
		return
	}
	free, err := card.FreeMemory()
	if err != nil {
		e.problem(what, err)
		return
	}
	e.ok(what, "kernel %s on %s, with %s free beside network and directions", made.Kernel(), card.Device(), megabytes(free))
}

// memory compares what a worker takes with what there is.
func (e *examination) memory(j *job, threads int, r resources) {
	want, err := j.plannedMemory(threads)
	if err != nil { // the engine has said so
		return
	}
	free, by := freeMemory()
	if r.memory != unlimited && int64(r.memory) < free {
		free, by = int64(r.memory), "ulimit -v"
	}
	if free < want {
		e.refuse("memory", "a worker needs about %s, and %s has %s left: fewer --threads need less", megabytes(want), by, megabytes(free))
		return
	}
	e.ok("memory", "a worker needs about %s; %s has %s left", megabytes(want), by, megabytes(free))
}
