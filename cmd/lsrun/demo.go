package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"lsrun/shard"
	"lsrun/slurm"
)

// demoFiles are a ResNet-20 and the 640 training and 200 test pictures of ten drawn
// classes that it was trained on.
//
//go:embed demo
var demoFiles embed.FS

// demoNetwork is the checkpoint among the embedded files.
const demoNetwork = "resnet20.t7"

// demoGrid and demoImages are what a minute on two cores allows.
const (
	demoGrid   = "-1:1:25"
	demoImages = "160"
)

var demoCommand = &cli.Command{
	Name:      "demo",
	Usage:     "compute the landscape of an embedded network, in about a minute on two cores",
	ArgsUsage: "[DIR]",
	Action: func(c *cli.Context) error {
		if c.NArg() > 1 {
			return usagef("demo needs at most one argument, the folder to make, and got %q", c.Args().Slice())
		}
		dir := orElse(c.Args().First(), "demo")
		if err := unpackDemo(dir); err != nil {
			return err
		}
		return runDemo(c, dir)
	},
}

// unpackDemo writes the embedded files into dir.
func unpackDemo(dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 && !exists(filepath.Join(dir, demoNetwork)) {
		return fmt.Errorf("%w: %s is not empty and not a demo: name another folder", shard.ErrRefused, dir)
	}
	return fs.WalkDir(demoFiles, "demo", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, strings.TrimPrefix(path, "demo"))
		if entry.IsDir() {
			return files.MkdirAll(target)
		}
		data, err := demoFiles.ReadFile(path)
		if err != nil {
			return err
		}
		return files.Publish(target, data)
	})
}

// runDemo goes the way of every landscape, by the commands that it prints.
func runDemo(c *cli.Context, dir string) error {
	run, surface := filepath.Join(dir, "run"), filepath.Join(dir, "run", surfaceFile)
	plan := []string{"plan", "--checkpoint", filepath.Join(dir, demoNetwork), "--model", "resnet20",
		"--dataset", "cifar10", "--data", filepath.Join(dir, "cifar-10-batches-bin"),
		"--x=" + demoGrid, "--y=" + demoGrid, "--subset", demoImages, run}
	if err := step(c, plan); err != nil {
		return err
	}
	worker := []string{"run", "--threads", "1", run}
	if err := step(c, worker, worker); err != nil {
		return err
	}
	if err := step(c, []string{"merge", run}); err != nil {
		return err
	}
	if err := step(c, []string{"plot", surface}); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, `
That was the whole way, and its files are in %s:
   run/plan.json, run/shards   the plan, and what the workers found
   run/surface.h5              the surface, in the layout of the paper's code
   run/surface_*.png           the pictures

The same with your own network and data:
   lsrun plan --checkpoint YOUR.pth --model NAME --dataset cifar10 --data FOLDER --x=-1:1:51 --y=-1:1:51 RUN
   lsrun run RUN          (as often and on as many machines as you like)
   lsrun merge RUN
   lsrun plot RUN/surface.h5
lsrun models lists the names; lsrun plan --help explains the rest.
`, dir)
	return nil
}

// step prints and carries out lsrun commands side by side.
func step(c *cli.Context, commands ...[]string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program itself: %w", err)
	}
	group, ctx := errgroup.WithContext(c.Context)
	for _, args := range commands {
		words := make([]string, len(args))
		for i, arg := range args {
			words[i] = slurm.ShellQuote(arg)
		}
		fmt.Fprintf(c.App.Writer, "\n$ lsrun %s\n", strings.Join(words, " "))
	}
	for i, args := range commands {
		group.Go(func() error { return lsrun(ctx, c, program, args, i == 0) })
	}
	return group.Wait()
}

// lsrun carries out one command in a process of its own; what one that is not shown
// says is part of its error.
func lsrun(ctx context.Context, c *cli.Context, program string, args []string, shown bool) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = os.Args[0]
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if shown {
		cmd.Stdout, cmd.Stderr = beneath(c.App.Writer), c.App.ErrWriter
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lsrun %s: %w\n%s", strings.Join(args, " "), err, &said)
	}
	return nil
}
