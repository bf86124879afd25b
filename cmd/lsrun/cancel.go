package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"lsrun/slurm"
)

var cancelCommand = &cli.Command{
	Name:      "cancel",
	Usage:     "take a run's workers and its merge out of SLURM's queue",
	ArgsUsage: "RUN",
	Description: `Every finished point is kept: lsrun submit goes on from there. Workers that were started
by hand are left alone.`,
	Action: cancelAction,
}

func cancelAction(c *cli.Context) error {
	run, err := runArgument(c)
	if err != nil {
		return err
	}
	name := jobName(run)
	jobs, err := slurm.Client{}.Jobs(c.Context, name, mergeName(name))
	if err != nil {
		return err
	}
	if len(jobs) == 0 {
		fmt.Fprintln(c.App.Writer, "nothing     no job of this run is queued or running")
		return nil
	}
	var ids []string
	workers := map[string]int{}
	for _, job := range jobs {
		if _, seen := workers[job.Job]; !seen {
			ids = append(ids, job.Job)
		}
		workers[job.Job]++
	}
	if err := (slurm.Client{}).Cancel(c.Context, ids...); err != nil {
		return err
	}
	for _, id := range ids {
		fmt.Fprintf(c.App.Writer, "cancelled   job %s, %s\n", id, plural(workers[id], "task"))
	}
	fmt.Fprintf(c.App.Writer, "kept        every finished point\nnext        lsrun submit %s goes on from there\n", slurm.ShellQuote(run.Dir))
	return nil
}
