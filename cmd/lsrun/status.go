package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"lsrun/shard"
)

var statusCommand = &cli.Command{
	Name:      "status",
	Usage:     "say how far a run is",
	ArgsUsage: "RUN",
	Flags:     []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "for programs"}},
	Action: func(c *cli.Context) error {
		dir, err := oneArgument(c, "a run directory")
		if err != nil {
			return err
		}
		return printStatus(c, dir, c.Bool("json"))
	},
}

func printStatus(c *cli.Context, dir string, asJSON bool) error {
	run, err := shard.Open(files, dir)
	if err != nil {
		return err
	}
	s, err := run.Status(nil)
	if err != nil {
		return err
	}
	out := c.App.Writer
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(s)
	}
	plan := run.Plan
	fmt.Fprintf(out, "run         %s, plan %.12s: %s around %s\n", dir, run.ID, plan.Network.Model, plan.Checkpoint.File)
	describeGrid(out, plan)
	fmt.Fprintf(out, "done        %s of %s points, %s of %s units\n", count(int64(s.PointsDone)), count(int64(s.Points)), count(int64(s.UnitsDone)), count(int64(s.Units)))
	for _, r := range s.Running {
		fmt.Fprintf(out, "running     unit %d on %s, process %d, %s\n", r.Unit, r.Host, r.PID, r.Kernel)
	}
	if s.ETASeconds > 0 {
		fmt.Fprintf(out, "speed       %.3g points/s, %s left\n", s.PointsASecond, lasting(time.Duration(s.ETASeconds*float64(time.Second))))
	}
	for _, f := range s.Failed {
		fmt.Fprintf(out, "failed      unit %d (%s): %s\n", f.Unit, f.Attempt, f.Cause)
	}
	for _, problem := range s.Problems {
		fmt.Fprintf(out, "problem     %s\n", problem)
	}
	surface := filepath.Join(dir, surfaceFile)
	if s.UnitsDone == s.Units && exists(surface) {
		fmt.Fprintf(out, "next        lsrun plot %s\n", shard.ShellQuote(asArgument(surface)))
	} else if s.UnitsDone == s.Units {
		fmt.Fprintf(out, "next        lsrun merge %s\n", shard.ShellQuote(dir))
	} else if s.Missing != "" {
		fmt.Fprintf(out, "missing     units %s\nnext        lsrun run %s\n", s.Missing, shard.ShellQuote(dir))
	}
	return nil
}
