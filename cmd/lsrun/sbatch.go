package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/urfave/cli/v2"

	"lsrun/shard"
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
		err := files.PublishNew(path, []byte(text))
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %s is there already: name another file", shard.ErrRefused, path)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "%s: %s\n", path, plural(workers, "worker"))
		return nil
	}
	fmt.Fprint(c.App.Writer, text)
	return nil
}
