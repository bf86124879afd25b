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

// timeIsUp says whether a worker that ended with err did so because its job's time is
// nearly over: by its deadline, or by SLURM's signal. Other signals come from people, or
// from a scheduler that knows itself what to do next.
func timeIsUp(ctx context.Context, err error) bool {
	var by signalled
	switch {
	case errors.Is(err, shard.ErrDeadline):
		return true
	case errors.Is(err, shard.ErrInterrupted), errors.Is(err, context.Canceled):
		return errors.As(context.Cause(ctx), &by) && by.Signal == syscall.SIGUSR2
	}
	return false
}

// requeue puts the job of a worker that ended with err back into SLURM's queue if its time
// was up, unless --requeues lives of the job in a row finished no point. It returns err,
// with what is to be known of that.
func requeue(c *cli.Context, dir string, computed int, err error) error {
	task, ok := slurm.TaskFrom(os.Getenv)
	if !ok || !c.IsSet("requeues") || !timeIsUp(c.Context, err) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w before there was anything to keep", shard.ErrInterrupted)
	}
	counter := filepath.Join(dir, "log", "slurm-"+task.ID()+".requeues")
	idle, failed := 0, error(nil)
	if computed == 0 {
		if idle, failed = readCount(counter); failed == nil && idle >= c.Int("requeues") {
			return fmt.Errorf("%w; the job went back into the queue %s in a row without finishing a point, and stays out of it now: if points take longer than its time, give lsrun submit a longer --time", err, plural(idle, "time"))
		}
		idle++
	}
	if failed == nil {
		failed = files.Publish(counter, []byte(strconv.Itoa(idle)+"\n"))
	}
	if failed != nil {
		return fmt.Errorf("%w; the job does not go back into the queue, because that cannot be counted: %w", err, failed)
	}
	fmt.Fprintf(c.App.ErrWriter, "lsrun: the job's time is nearly over: it goes back into the queue as %s\n", task.ID())
	if failed := (slurm.Client{}).Requeue(context.WithoutCancel(c.Context), task); failed != nil {
		return fmt.Errorf("%w; the job could not be put back into the queue, and lsrun submit starts another: %w", err, failed)
	}
	return err
}

// readCount reads how many lives of a job in a row finished no point.
func readCount(path string) (int, error) {
	data, err := files.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, nil // it is damaged: count anew
	}
	return n, nil
}
