package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/h5"
	"lsrun/shard"
	"lsrun/slurm"
)

var submitCommand = &cli.Command{
	Name:      "submit",
	Usage:     "start a run's workers on a SLURM cluster, and the merge behind them",
	ArgsUsage: "RUN [-- SBATCH-OPTIONS…]",
	Description: `Hands a job array to sbatch (lsrun sbatch prints it), each of whose tasks is a worker, and
a job that merges when all of them have ended. It may be given again at any time: it
starts only what is missing, beside the workers that are still in the queue.`,
	Flags: append([]cli.Flag{
		&cli.BoolFlag{Name: "dry-run", Usage: "print the scripts and what sbatch --test-only says, and submit nothing"},
	}, batchFlags...),
	Action: submitAction,
}

func submitAction(c *cli.Context) error {
	b, err := newBatch(c)
	if err != nil {
		return err
	}
	status, err := b.run.Status(nil)
	if err != nil {
		return err
	}
	missing := status.Units - status.UnitsDone
	if missing == 0 && b.merged() {
		fmt.Fprintf(c.App.Writer, "complete    %s has every point: there is nothing to submit\n", filepath.Join(b.run.Dir, surfaceFile))
		return nil
	}
	if err := files.MkdirAll(filepath.Join(b.dir, "log")); err != nil { // SLURM writes there and makes no folders
		return err
	}
	return b.submit(missing)
}

// merged says whether the run's surface is there and has every point.
func (b *batch) merged() bool {
	data, err := files.ReadFile(filepath.Join(b.dir, surfaceFile))
	if err != nil {
		return false
	}
	surface, err := h5.Codec{}.DecodeSurface(data)
	return err == nil && bytes.Equal(surface.Plan, b.run.Bytes) &&
		!slices.ContainsFunc(surface.Layers, func(l shard.Layer) bool { return slices.Contains(l.Status, shard.Missing) })
}

// submit starts what the missing units want beside what is queued, and the merge.
func (b *batch) submit(missing int) error {
	q := b.look()
	if b.c.String("schedule") == "static" && len(q.alive) > 0 {
		return fmt.Errorf("%w: %s of this run are still queued or running, and with --schedule static it is not known whose slices are theirs: wait for them, or lsrun cancel them",
			shard.ErrRefused, plural(len(q.alive), "worker"))
	}
	ids, err := b.submitWorkers(q, missing)
	if err != nil && len(ids) == 0 && len(q.alive) == 0 {
		return err
	}
	return errors.Join(err, b.submitMerge(q, append(ids, q.awaited()...)))
}

// queue is what SLURM has of a run.
type queue struct {
	alive  []slurm.Job // workers that run or will
	held   []slurm.Job // workers that wait for somebody to release them
	merges []slurm.Job
}

// awaited are the ids of what is alive: arrays, but the tasks one by one where others of their array are held, maybe for ever.
func (q queue) awaited() (ids []string) {
	for _, job := range q.alive {
		id := job.Job
		if slices.ContainsFunc(q.held, func(held slurm.Job) bool { return held.Job == job.Job }) {
			id = job.ID()
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// stuck says whether a merge waits for workers that are held, maybe for ever.
func (q queue) stuck(merge slurm.Job) bool {
	return slices.ContainsFunc(q.held, func(held slurm.Job) bool {
		return waitsFor(merge.Dependency, []string{held.Job}) || waitsFor(merge.Dependency, []string{held.ID()})
	})
}

// look asks what is queued. Without an answer it goes on as if that were nothing: workers
// that are too many find nothing to do.
func (b *batch) look() queue {
	var q queue
	jobs, err := slurm.Client{}.Jobs(b.c.Context, b.name, mergeName(b.name))
	if err != nil {
		fmt.Fprintf(b.c.App.ErrWriter, "lsrun: %v: going on as if nothing of this run were queued\n", err)
	}
	for _, job := range jobs {
		switch {
		case job.State == "COMPLETING":
		case job.Name != b.name:
			q.merges = append(q.merges, job)
		case job.Held():
			q.held = append(q.held, job)
		default:
			q.alive = append(q.alive, job)
		}
	}
	for i, job := range q.held {
		if i == 0 || q.held[i-1].Job != job.Job {
			fmt.Fprintf(b.c.App.ErrWriter, "lsrun: tasks of job %s are held (%s), and lsrun does without them: scontrol release %s lets them go on\n", job.Job, job.Reason, job.Job)
		}
	}
	return q
}

// submitWorkers submits the workers that are missing, in arrays of the size that the site
// permits, and returns the ids of those arrays.
func (b *batch) submitWorkers(q queue, missing int) (ids []string, err error) {
	out, alive := b.c.App.Writer, len(q.alive)
	if alive > 0 {
		fmt.Fprintf(out, "queued      %s already\n", plural(alive, "worker"))
	}
	if units := len(b.run.Plan.Units()); b.wanted > units {
		fmt.Fprintf(b.c.App.ErrWriter, "lsrun: the run has %s, so that more workers would find nothing to do: lsrun plan --workers-hint %d cuts smaller ones\n", plural(units, "unit"), b.wanted)
	}
	tasks := b.workers(missing) - alive
	if tasks <= 0 {
		return nil, nil
	}
	if tasks, err = b.permitted(tasks); err != nil {
		return nil, err
	}
	parts := chunks(tasks, b.arraySize())
	limits := b.limits(parts, alive)
	for i, chunk := range parts {
		id, err := b.hand(b.array(chunk.tasks, alive+tasks, alive+chunk.first, limits[i]))
		if err != nil {
			return ids, err
		}
		if id != "" {
			ids = append(ids, id)
			fmt.Fprintf(out, "submitted   %s as job array %s\n", plural(chunk.tasks, "worker"), id)
		}
	}
	return ids, nil
}

// limits are how many workers of each array may run at a time, beside those that are alive; 0 for all. SLURM limits each array
// by itself, and to none less than one: so they may be more together than --max-running, which is said then.
func (b *batch) limits(parts []chunk, alive int) []int {
	limits := make([]int, len(parts))
	if b.maxRunning == 0 {
		return limits
	}
	last := parts[len(parts)-1]
	most, tasks, before := min(alive, b.maxRunning), last.first+last.tasks, 0
	for i, part := range parts {
		upTo := max(b.maxRunning-alive, 0) * (part.first + part.tasks) / tasks
		limits[i] = max(upTo-before, 1)
		before = upTo
		most += limits[i]
	}
	if most > b.maxRunning {
		fmt.Fprintf(b.c.App.ErrWriter, "lsrun: SLURM limits each array by itself: up to %d workers may run at a time\n", most)
	}
	return limits
}

// permitted is how many of so many workers the site lets this user put into the queue now,
// beside the merge.
func (b *batch) permitted(tasks int) (int, error) {
	room, known := slurm.Client{}.Room(b.c.Context, b.c.String("account"), b.c.String("qos"))
	if !known || tasks < room {
		return tasks, nil
	}
	if room < 2 {
		return 0, fmt.Errorf("the site lets you have %s more in its queue: give lsrun submit again when there is room for a worker and the merge", plural(room, "job"))
	}
	fmt.Fprintf(b.c.App.Writer, "limited     to %s, because the site lets you have %s more in its queue: lsrun submit again adds others later\n",
		plural(room-1, "worker"), plural(room, "job"))
	return room - 1, nil
}

// chunk is a run of tasks that are one array.
type chunk struct{ first, tasks int }

// chunks cuts tasks into as few arrays of at most size tasks as there may be, of about the
// same size.
func chunks(tasks, size int) []chunk {
	n := (tasks + size - 1) / size
	var out []chunk
	for i := range n {
		first := tasks * i / n
		out = append(out, chunk{first, tasks*(i+1)/n - first})
	}
	return out
}

// usualArraySize is SLURM's MaxArraySize where nobody changed it.
const usualArraySize = 1001

// arraySize is how many tasks an array may have.
func (b *batch) arraySize() int {
	n, err := slurm.Client{}.MaxArraySize(b.c.Context)
	if err != nil {
		fmt.Fprintf(b.c.App.ErrWriter, "lsrun: %v: taking arrays to have at most %d tasks\n", err, usualArraySize)
		return usualArraySize
	}
	return n
}

// submitMerge sees to it that one merge waits for the given jobs.
func (b *batch) submitMerge(q queue, behind []string) error {
	out := b.c.App.Writer
	for _, job := range q.merges {
		if !job.Held() && !q.stuck(job) && (len(behind) == 0 || job.State == "PENDING" && waitsFor(job.Dependency, behind)) {
			fmt.Fprintf(out, "queued      the merge already, as job %s\n", job.Job)
			return nil
		}
	}
	id, err := b.hand(b.merge(behind))
	if err != nil || id == "" {
		return err
	}
	fmt.Fprintf(out, "submitted   the merge as job %s\n", id)
	var outdated []string
	for _, job := range q.merges {
		if job.State == "PENDING" {
			outdated = append(outdated, job.Job)
		}
	}
	if len(outdated) > 0 {
		if err := (slurm.Client{}).Cancel(b.c.Context, outdated...); err != nil {
			fmt.Fprintf(b.c.App.ErrWriter, "lsrun: the earlier merge stays queued, which does no harm: %v\n", err)
		} else {
			fmt.Fprintf(out, "cancelled   the earlier merge, job %s\n", strings.Join(outdated, ", "))
		}
	}
	fmt.Fprintf(out, "next        lsrun status %s\n", slurm.ShellQuote(b.run.Dir))
	return nil
}

var dependencyIDs = regexp.MustCompile(`:(\d+(?:_\d+)?)`) // "100" of 100_*

// waitsFor says whether a job with the given dependency, as squeue shows it, waits for all of ids.
func waitsFor(dependency string, ids []string) bool {
	waits := map[string]bool{}
	for _, match := range dependencyIDs.FindAllStringSubmatch(dependency, -1) {
		waits[match[1]] = true
	}
	return !slices.ContainsFunc(ids, func(id string) bool { return !waits[id] })
}

// hand submits a script and returns the job's id, or prints it and what sbatch says of it
// if this is --dry-run.
func (b *batch) hand(s slurm.Script) (id string, err error) {
	if !b.c.Bool("dry-run") {
		return slurm.Client{}.Submit(b.c.Context, s)
	}
	text, err := s.Text()
	if err != nil {
		return "", usageError{err.Error()}
	}
	fmt.Fprintln(b.c.App.Writer, text)
	said, err := slurm.Client{}.Test(b.c.Context, s)
	if err == nil {
		fmt.Fprintln(b.c.App.Writer, said)
	}
	return "", err
}
