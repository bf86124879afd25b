package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"lsrun/nn"
	"lsrun/nn/zoo"
)

var modelsCommand = &cli.Command{
	Name:      "models",
	Usage:     "list the architectures, or the layers and entries of one",
	ArgsUsage: "[NAME]",
	Flags: []cli.Flag{
		&cli.IntFlag{Name: "classes", Usage: "number of labels", Value: 10},
	},
	Action: func(c *cli.Context) error {
		if n := c.Int("classes"); n < 1 {
			return usagef("--classes %d: at least 1", n)
		}
		if c.NArg() == 0 {
			return listModels(c)
		}
		name, err := oneArgument(c, "a model's name")
		if err != nil {
			return err
		}
		graph, err := zoo.New(name, zoo.Options{Classes: c.Int("classes")})
		if err != nil {
			return usagef("%v; lsrun models lists them", err)
		}
		return describeModel(c, graph)
	},
}

func listModels(c *cli.Context) error {
	table := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "model\tparameters\tmultiply-adds\tinput\t")
	for _, name := range zoo.Names() {
		graph, err := zoo.New(name, zoo.Options{Classes: c.Int("classes")})
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%v\t\n", name, count(int64(graph.Parameters())), magnitude(float64(graph.MACs())), graph.Input)
	}
	return table.Flush()
}

// describeModel prints every operation with its output and cost, then every entry of the
// state dict.
func describeModel(c *cli.Context, graph *nn.Graph) error {
	out := c.App.Writer
	fmt.Fprintf(out, "%s: %s parameters, %s multiply-adds an image of %v, %d classes\n\n",
		graph.Name, count(int64(graph.Parameters())), count(graph.MACs()), graph.Input, graph.Classes)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "layer\toperation\tfrom\toutput\tmultiply-adds")
	for i, node := range graph.Nodes {
		if node.Op == nil {
			fmt.Fprintf(table, "%s\t\t\t%v\t\n", node.Name, node.Shape)
			continue
		}
		from := ""
		for k, input := range node.Inputs {
			if k > 0 {
				from += ", "
			}
			from += graph.Nodes[input].Name
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%v\t%s\n", node.Name, node.Op.Kind(), from, node.Shape, count(node.Op.MACs(graph.InShapes(i))))
	}
	fmt.Fprintln(table, "\t\t\t\t\nentry\tshape\t\t\t")
	for _, e := range graph.Entries {
		fmt.Fprintf(table, "%s\t%v\t\t\t\n", e.Name, e.Shape)
	}
	return table.Flush()
}
