package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"lsrun/io/h5"
	"lsrun/shard"
)

var verifyCommand = &cli.Command{
	Name:      "verify",
	Usage:     "check every checksum of a run or of one of its files, and computed points again",
	ArgsUsage: "RUN|FILE",
	Description: `Changes nothing. A run's files are held against its plan and against each other; a file that lies
somewhere else, against the plan and the checksum that are in it. Exit code 0 means that everything is there and good, 3 that
what is there is good.`,
	Flags: append([]cli.Flag{
		&cli.IntFlag{Name: "recompute", Usage: "compute `K` finished points again, drawn at random, and compare them bit for bit"},
		&cli.Uint64Flag{Name: "seed", Usage: "which ones --recompute draws"},
		&cli.IntFlag{Name: "threads", Usage: "threads", DefaultText: "all cores"},
	}, movedFlags...),
	Action: func(c *cli.Context) error {
		path, err := oneArgument(c, "a run directory or a file")
		if err != nil {
			return err
		}
		if n := c.Int("recompute"); n < 0 {
			return usagef("--recompute %d: a number of points", n)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return verifyRun(c, path)
		}
		if c.IsSet("recompute") {
			return usagef("--recompute: %s is a file, and points are computed in a run", path)
		}
		said, err := verifyFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintf(c.App.Writer, "%s: %s\n", path, said)
		return nil
	},
}

func verifyRun(c *cli.Context, dir string) error {
	run, err := shard.Open(files, dir)
	if err != nil {
		return err
	}
	out := c.App.Writer
	fmt.Fprintf(out, "plan        %.12s, as it was written\n", run.ID)
	var findings []error
	for _, input := range []struct{ title, name, sha256 string }{
		{"theta", thetaFile, run.Plan.Checkpoint.Theta}, {"directions", directionsFile, run.Plan.Directions.SHA256},
	} {
		if _, err := readVerified(filepath.Join(dir, input.name), input.sha256); err != nil {
			findings = append(findings, err)
			continue
		}
		fmt.Fprintf(out, "%-11s SHA-256 %.12s…, as planned\n", input.title, input.sha256)
	}
	surface, unread := files.ReadFile(filepath.Join(dir, surfaceFile)) // before the shards: what is merged meanwhile may hold more than they do
	v, err := shard.Verify(run, h5.Codec{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "shards      %s read\njournals    %s read, with %s\n", plural(v.Shards, "file"), plural(v.Journals, "file"), plural(v.Journaled, "point"))
	if v.Carries > 0 {
		fmt.Fprintf(out, "carry       %s read\n", plural(v.Carries, "file"))
	}
	if v.Quarantined > 0 {
		fmt.Fprintf(out, "quarantine  %s, not read\n", plural(v.Quarantined, "file"))
	}
	fmt.Fprintf(out, "points      %s of %s are finished\n", count(int64(v.Done)), count(int64(v.Points)))
	findings = append(findings, v.Findings...)
	said, err := "not there yet: lsrun merge makes it", unread
	if err == nil {
		said, err = verifySurface(v, filepath.Join(dir, surfaceFile), surface)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		findings = append(findings, err)
	} else {
		fmt.Fprintf(out, "surface     %s\n", said)
	}
	if c.Int("recompute") > 0 {
		if len(findings) > 0 {
			fmt.Fprintln(c.App.ErrWriter, "lsrun: nothing is computed again while files are not what they should be")
		} else if err := recompute(c, v, dir); errors.Is(err, shard.ErrCorrupt) {
			findings = append(findings, err)
		} else if err != nil {
			return err
		}
	}
	return judge(c, v, findings)
}

// verifySurface holds what the surface at path holds against the rest of the run.
func verifySurface(v *shard.Verification, path string, data []byte) (string, error) {
	if !h5.Sealed(data) {
		return "", fmt.Errorf("%w: %s: its seal is gone: another program changed it, or it was cut", shard.ErrCorrupt, path)
	}
	done, err := v.CheckSurface(h5.Codec{}, data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Sprintf("seal and plan are right; its %s are those of shards and journals", plural(done, "finished point")), nil
}

// recompute computes points again.
func recompute(c *cli.Context, v *shard.Verification, dir string) error {
	job, err := openJob(dir)
	if err != nil {
		return err
	}
	_, data, err := job.loadImages(c.String("data"), c.String("labels"))
	if err != nil {
		return err
	}
	evaluator, err := job.newEvaluator(c.Context, data, worker{threads: threads(c)})
	if err != nil {
		return err
	}
	defer evaluator.engine.Close()
	points := v.Sample(evaluator.Kernel(), c.Int("recompute"), c.Uint64("seed"))
	if len(points) == 0 {
		return fmt.Errorf("%w: none of the finished points was computed by %s, which is what this machine has: use another", shard.ErrRefused, evaluator.Kernel())
	}
	progress := newProgress(c.App.ErrWriter, len(points))
	defer progress.end()
	for _, k := range points {
		if err := v.Recompute(c.Context, evaluator, k); err != nil {
			return err
		}
		progress.event(shard.Event{Kind: shard.Computed, Points: 1})
	}
	fmt.Fprintf(c.App.Writer, "recomputed  %s by %s: the same bits\n", plural(len(points), "point"), evaluator.Kernel())
	return nil
}

// judge prints what is wrong and returns the worst of it.
func judge(c *cli.Context, v *shard.Verification, findings []error) error {
	if len(findings) > 0 {
		slices.SortStableFunc(findings, func(a, b error) int { return exitCode(a) - exitCode(b) })
		worst := len(findings) - 1
		for _, finding := range findings[:worst] {
			fmt.Fprintf(c.App.ErrWriter, "lsrun: %v\n", finding)
		}
		return findings[worst]
	}
	if v.Done < v.Points {
		return fmt.Errorf("%w: what is there is good, but not all: missing are %s", shard.ErrIncomplete, plural(v.Points-v.Done, "point"))
	}
	return nil
}

// verifyFile checks a single file by its kind, and says what it is.
func verifyFile(path string) (string, error) {
	data, err := files.ReadFile(path)
	if err != nil {
		return "", err
	}
	switch {
	case bytes.HasPrefix(data, []byte("\x89HDF\r\n\x1a\n")):
		return verifyHDF5(path, data)
	case shard.IsJournal(data):
		points, err := shard.CheckJournal(files, path)
		return fmt.Sprintf("a journal of this plan, whole, with %s", plural(points, "point")), err
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")):
		if _, err := shard.ParsePlan(data); err != nil {
			return "", err
		}
		return fmt.Sprintf("a plan as it was written, %.12s", digest(data)), nil
	}
	return "", usagef("verify knows runs, plans, journals, and the HDF5 files that lsrun writes, and this is none (its SHA-256 is %s)", digest(data))
}

func verifyHDF5(path string, data []byte) (string, error) {
	d, err := h5.Describe(data)
	if err != nil {
		return "", err
	}
	if !h5.Sealed(data) {
		return "", fmt.Errorf("%w: this %s file has no seal: lsrun did not write it, or another program has changed it since", shard.ErrRefused, d.Kind)
	}
	said := "a " + d.Kind + " file, its seal is right"
	switch d.Kind {
	case "surface":
		s, err := shard.CheckSurface(h5.Codec{}, data)
		if err != nil {
			return "", err
		}
		said += fmt.Sprintf(", of the plan %.12s: %s of %s are finished", digest(s.Plan), count(int64(s.Finished())), plural(len(s.X)*max(len(s.Y), 1), "point"))
	case "shard":
		s, err := shard.CheckShard(h5.Codec{}, filepath.Base(path), data)
		if err != nil {
			return "", err
		}
		said += fmt.Sprintf(", of the plan %.12s: unit %d with %s", digest(s.Plan), s.Unit, plural(len(s.Records), "point"))
	case "direction":
		if _, err := h5.DecodeDirections(data); err != nil {
			return "", err
		}
	}
	return said, nil
}
