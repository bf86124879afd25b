package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"lsrun/shard"
	"lsrun/slurm"
)

// timeIsUp says whether a worker stopped because its job's time is nearly over: by its
// deadline, or by SLURM's signal. Other signals come from people, or from a scheduler that
// knows itself what to do next.
func timeIsUp(ctx context.Context, err error) bool {
	var by signalled
	if errors.As(context.Cause(ctx), &by) {
		return by.Signal == syscall.SIGUSR2
	}
	return ctx.Err() == nil && errors.Is(err, shard.ErrInterrupted)
}

// requeue puts this worker's job back into SLURM's queue, unless that was done --requeues
// times in a row without a point having been finished. It returns err, with what was done.
func requeue(c *cli.Context, dir string, computed int, err error) error {
	task, ok := slurm.TaskFrom(os.Getenv)
	if !ok || !c.IsSet("requeues") || !timeIsUp(c.Context, err) {
		return err
	}
	counter := filepath.Join(dir, "log", "slurm-"+task.ID()+".requeues")
	times, failed := requeuesSoFar(counter)
	if computed > 0 {
		times = 0
	}
	most := c.Int("requeues")
	if failed == nil && times >= most {
		return fmt.Errorf("%w; not one point was finished since the job went back into the queue %d times in a row, so it stays out of it: a point takes longer than the job's time; give lsrun submit a longer --time", err, times)
	}
	if failed == nil {
		failed = files.Publish(counter, []byte(strconv.Itoa(times+1)+"\n"))
	}
	if failed != nil {
		return fmt.Errorf("%w; the job does not go back into the queue, because its count cannot be kept: %w", err, failed)
	}
	fmt.Fprintf(c.App.ErrWriter, "lsrun: the job's time is nearly over: %s finished here; job %s goes back into the queue\n", plural(computed, "point"), task.ID())
	if failed := (slurm.Client{}).Requeue(context.WithoutCancel(c.Context), task); failed != nil {
		return fmt.Errorf("%w; the job could not be put back into the queue: %w", err, failed)
	}
	return err
}

// requeuesSoFar reads how often in a row a task went back into the queue without progress.
func requeuesSoFar(counter string) (int, error) {
	data, err := files.ReadFile(counter)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n < 0 {
		return 0, nil // damaged: count anew
	}
	return n, nil
}
