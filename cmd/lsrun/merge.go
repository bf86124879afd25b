package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/h5"
	"lsrun/shard"
)

var mergeCommand = &cli.Command{
	Name:      "merge",
	Usage:     "verify what the workers found and join it into a surface file",
	ArgsUsage: "RUN",
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write to `FILE` (default: RUN/surface.h5)"},
		&cli.BoolFlag{Name: "allow-partial", Usage: "join what there is; the rest is NaN with the status missing"},
		&cli.BoolFlag{Name: "force", Usage: "replace another file, keeping it as a backup"},
	},
	Action: mergeAction,
}

func mergeAction(c *cli.Context) error {
	run, err := runArgument(c)
	if err != nil {
		return err
	}
	surface, report, err := shard.Merge(run, h5.Codec{}, shard.MergeOptions{AllowPartial: c.Bool("allow-partial")})
	if report != nil {
		for _, problem := range slices.Concat(report.Problems, report.Quarantined, report.Resolved) {
			fmt.Fprintf(c.App.ErrWriter, "lsrun: %s\n", problem)
		}
	}
	if errors.Is(err, shard.ErrIncomplete) {
		return fmt.Errorf("%w: %s", err, howToCompute(run, report.Missing))
	}
	if err != nil {
		return err
	}
	path := orElse(c.String("o"), filepath.Join(run.Dir, surfaceFile))
	outcome, err := shard.PublishSurface(files, h5.Codec{}, path, surface, c.Bool("force"))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %s\n", path, outcome)
	describeSurface(c, surface)
	describeOrigins(c, report)
	compareOrigin(c, run.Plan, surface, report)
	return nil
}

// describeOrigins says where the shards were computed, and by what.
func describeOrigins(c *cli.Context, report *shard.MergeReport) {
	if len(report.Hosts) == 0 { // all from journals
		return
	}
	fmt.Fprintf(c.App.Writer, "  computed by %s on %s: %s\n", strings.Join(slices.Concat(report.Kernels, report.Notes[deviceNote]), ", "),
		plural(len(report.Hosts), "host"), abridgedList(report.Hosts, 8))
	if len(report.Kernels) > 1 {
		fmt.Fprintln(c.App.Writer, "  the kernels are mixed, as planned: the attributes of the surface's group lsrun say which points each computed")
	}
}

// compareOrigin holds the surface at (0, 0) against what every worker found for the
// trained network itself: they must be the same number, if they have one kernel.
func compareOrigin(c *cli.Context, plan *shard.Plan, surface *shard.Surface, report *shard.MergeReport) {
	k, ok := plan.Grid.Origin()
	if !ok || len(report.Kernels) > 1 {
		return
	}
	compared := false
	for _, layer := range surface.Layers {
		found := report.Notes[originNote+layer.Name]
		if len(found) == 0 { // workers tell of losses and accuracies only, and journals of neither
			continue
		}
		if layer.Status[k] == shard.Missing {
			return
		}
		there := strconv.FormatFloat(layer.Values[k], 'g', -1, 64)
		for _, itself := range found {
			if itself != there {
				fmt.Fprintf(c.App.ErrWriter, "lsrun: warning: %s at the origin is %s, but the trained network itself has %s: the machines %v do not compute alike\n",
					layer.Name, there, itself, report.Hosts)
				return
			}
		}
		compared = true
	}
	if compared {
		fmt.Fprintln(c.App.Writer, "  the origin has the loss and accuracy of the checkpoint itself")
	}
}

// describeSurface prints the range of each metric.
func describeSurface(c *cli.Context, surface *shard.Surface) {
	for _, layer := range surface.Layers {
		low, high := math.Inf(1), math.Inf(-1)
		others := map[shard.Status]int{}
		for i, v := range layer.Values {
			if status := layer.Status[i]; status != shard.Done {
				others[status]++
				continue
			}
			low, high = math.Min(low, v), math.Max(high, v)
		}
		var parts []string
		if low <= high {
			parts = append(parts, fmt.Sprintf("from %.6g to %.6g", low, high))
		}
		for status, name := range shard.StatusNames() {
			if n := others[shard.Status(status)]; n > 0 {
				parts = append(parts, fmt.Sprintf("%s %s", plural(n, "point"), name))
			}
		}
		fmt.Fprintf(c.App.Writer, "  %-11s %s\n", layer.Name, strings.Join(parts, ", "))
	}
}
