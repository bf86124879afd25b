package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"lsrun/io/checkpoint"
	"lsrun/io/dataset"
	"lsrun/io/h5"
	"lsrun/nn/zoo"
	"lsrun/shard"
)

var inspectCommand = &cli.Command{
	Name:        "inspect",
	Usage:       "say in words what a file is: checkpoint, data, direction, shard, surface, plan, journal, claim, run, training",
	ArgsUsage:   "FILE",
	Description: "The content decides, not the name.",
	Action: func(c *cli.Context) error {
		path, err := oneArgument(c, "a file or folder")
		if err != nil {
			return err
		}
		return inspect(c, path)
	},
}

func inspect(c *cli.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		if exists(filepath.Join(path, "plan.json")) {
			return printStatus(c, path, false)
		}
		if exists(filepath.Join(path, trainingName)) {
			return inspectTraining(c, path)
		}
		return inspectData(c, path)
	}
	head := make([]byte, 8)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	n, _ := file.Read(head)
	file.Close()
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("\x89HDF\r\n\x1a\n")):
		return inspectHDF5(c, path)
	case shard.IsJournal(head), len(head) > 1 && head[0] == '{' && head[1] != 0: // there the length of safetensors' header has a zero
		return inspectRecord(c, path)
	case dataset.Recognise(path) != "":
		return inspectData(c, path)
	}
	return inspectCheckpoint(c, path)
}

// inspectRecord says what a small file of a run's folder is, or of a training's.
func inspectRecord(c *cli.Context, path string) error {
	if filepath.Base(path) == trainingName {
		return inspectTraining(c, filepath.Dir(path))
	}
	data, err := files.ReadFile(path)
	if err != nil {
		return err
	}
	if text, ok := shard.ClaimText(data); ok {
		fmt.Fprintf(c.App.Writer, "%s: claim of %s\n", path, text)
		return nil
	}
	said, err := verifyFile(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(c.App.Writer, "%s: %s\n", path, said)
	if plan, err := shard.ParsePlan(data); err == nil {
		fmt.Fprintf(c.App.Writer, "network     %s around %s\n", plan.Network.Model, plan.Checkpoint.File)
		describeGrid(c.App.Writer, plan)
	}
	return nil
}

func inspectHDF5(c *cli.Context, path string) error {
	data, err := files.ReadFile(path)
	if err != nil {
		return err
	}
	d, err := h5.Describe(data)
	if err != nil {
		return fmt.Errorf("%s: %w%s", path, err, howToRemake(path))
	}
	fmt.Fprintf(c.App.Writer, "%s: %s file (HDF5)\n", path, d.Kind)
	table := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	for _, item := range d.Items {
		fmt.Fprintf(table, "  %s\t%v\t%s\t%s\n", item.Path, item.Shape, item.Type, abridged(item.Value))
	}
	if err := table.Flush(); err != nil || d.Kind != "surface" {
		return err
	}
	surface, err := h5.Codec{}.DecodeSurface(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if text := caption(surface, ""); text != "" {
		fmt.Fprintln(c.App.Writer, text)
		describeSurface(c, surface)
	}
	return nil
}

// abridged is text on one line of at most 72 characters.
func abridged(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > 72 {
		return string(runes[:71]) + "…"
	}
	return string(runes)
}

// inspectTraining says what a folder of lsrun train is of, and how far it got.
func inspectTraining(c *cli.Context, dir string) error {
	path := filepath.Join(dir, trainingName)
	data, err := files.ReadFile(path)
	if err != nil {
		return err
	}
	var t trainingText
	if err := json.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("%w: %s: %w: train anew in another folder", shard.ErrCorrupt, path, err)
	}
	out, r := c.App.Writer, t.Recipe
	fmt.Fprintf(out, "%s: training of %s for %d classes on %s (SHA-256 %s)\n", dir, t.Network.Model, t.Network.Classes, t.Data.Dataset, t.Data.SHA256)
	fmt.Fprintf(out, "  %s from a rate of %v, times %v after epochs %v; momentum %v, weight decay %v, batches of %d, seed %d\n",
		r.Optimizer, r.Rate, r.Decay, r.DecayEpochs, r.Momentum, r.WeightDecay, r.Batch, r.Seed)
	history, err := files.ReadFile(filepath.Join(dir, historyName))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(out, "  no epoch has ended yet")
		return nil
	}
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(history)), "\n")
	fmt.Fprintf(out, "  %s\n  %s\n", lines[0], lines[len(lines)-1])
	return nil
}

func inspectData(c *cli.Context, path string) error {
	kind := dataset.Recognise(path)
	if kind == "" {
		return fmt.Errorf("%s is a folder, but neither a run nor a data set that lsrun knows", path)
	}
	set, err := loadSet(kind, path)
	if err != nil {
		return err
	}
	out := c.App.Writer
	fmt.Fprintf(out, "%s: %s data, images of %v, %d classes\n", path, kind, set.Shape, set.Classes)
	for _, part := range []struct {
		name string
		part *dataset.Part
	}{{"training", set.Train}, {"test", set.Test}} {
		if part.part != nil {
			fmt.Fprintf(out, "  %s images for %s\n", count(int64(len(part.part.Labels))), part.name)
		}
	}
	fmt.Fprintf(out, "  SHA-256 of the content %s\n", set.SHA256)
	return nil
}

func inspectCheckpoint(c *cli.Context, path string) error {
	file, err := checkpoint.Read(path)
	if err != nil {
		return err
	}
	out := c.App.Writer
	fmt.Fprintf(out, "%s: checkpoint (%s), %s entries with %s values, SHA-256 %.12s…\n", path, file.Format,
		count(int64(len(file.States))), count(int64(file.States.Elements())), file.SHA256)
	if file.Epoch != nil {
		fmt.Fprintf(out, "  epoch %d\n", *file.Epoch)
	}
	if file.Accuracy != nil {
		fmt.Fprintf(out, "  accuracy %.2f %%\n", *file.Accuracy)
	}
	for _, note := range file.Notes {
		fmt.Fprintf(out, "  %s\n", note)
	}
	if entry, ok := file.NonFinite(); ok {
		fmt.Fprintf(out, "  entry %s holds NaN or infinite values\n", entry)
	}
	fmt.Fprintf(out, "  models that fit: %v\n", zoo.Fitting(file.States))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, t := range file.States {
		fmt.Fprintf(table, "  %s\t%v\n", t.Name, t.Shape)
	}
	return table.Flush()
}
