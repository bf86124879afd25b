package main

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/urfave/cli/v2"

	"lsrun/io/checkpoint"
	"lsrun/shard"
)

var exportCommand = &cli.Command{
	Name:      "export",
	Usage:     "write a checkpoint as PyTorch loads it",
	ArgsUsage: "CHECKPOINT",
	Description: `Takes any checkpoint that lsrun reads and writes the network alone, without the state of an optimiser, as
safetensors whose entries are named as in PyTorch (there, pip install safetensors):

   model.load_state_dict(safetensors.torch.load_file("FILE.safetensors"))`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write to `FILE`, whose name ends with .safetensors"},
	},
	Action: func(c *cli.Context) error {
		path, err := oneArgument(c, "a checkpoint")
		if err != nil {
			return err
		}
		if c.String("o") == "" {
			return usagef("-o is missing: the file to write")
		}
		if target := c.String("o"); filepath.Ext(target) != ".safetensors" {
			return usagef("-o %s: what is written is safetensors: let the name end with .safetensors", target)
		}
		return export(c, path, c.String("o"))
	},
}

func export(c *cli.Context, path, target string) error {
	file, err := checkpoint.Read(path)
	if err != nil {
		return err
	}
	metadata := map[string]string{"format": "pt"} // what PyTorch's loaders look for
	if model := file.Metadata["model"]; model != "" {
		metadata["model"] = model
	}
	if file.Epoch != nil {
		metadata["epoch"] = strconv.Itoa(*file.Epoch)
	}
	if file.Accuracy != nil {
		metadata["acc"] = strconv.FormatFloat(*file.Accuracy, 'g', -1, 64)
	}
	data, err := checkpoint.Encode(file.States, metadata)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, path, err)
	}
	if err := publishOnce(target, data); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %s with %s values\n", target, plural(len(file.States), "entry"), count(int64(file.States.Elements())))
	return nil
}
