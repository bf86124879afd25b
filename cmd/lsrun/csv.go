package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"lsrun/shard"
)

var csvCommand = &cli.Command{
	Name:      "csv",
	Usage:     "write a surface as a table",
	ArgsUsage: "SURFACE.h5|RUN",
	Description: `One line a point, x running fastest: its coordinates, and for every metric the value, its status if
the file has one, and what is recorded beside it (METRIC/standard_error). NaN, Inf and -Inf are written so.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "o", Usage: "write to `FILE`", DefaultText: "standard output"},
	},
	Action: csvAction,
}

func csvAction(c *cli.Context) error {
	path, err := oneArgument(c, "a surface file or a run")
	if err != nil {
		return err
	}
	surface, path, err := loadSurface(path)
	if err != nil {
		return err
	}
	if surface.Layers == nil {
		return fmt.Errorf("%s: the surface has no metrics to write", path)
	}
	table, err := surfaceTable(surface)
	if err != nil {
		return err
	}
	if c.String("o") == "" {
		_, err = c.App.Writer.Write(table)
		return err
	}
	if err := publishResult(c.String("o"), table, len("x,")); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "%s: %s\n", c.String("o"), plural(len(surface.Layers[0].Values), "point"))
	return nil
}

// column is a named value of every point.
type column struct {
	name string
	at   func(k int) string
}

// surfaceTable is a surface as comma-separated values with a line of names.
func surfaceTable(s *shard.Surface) ([]byte, error) {
	columns := surfaceColumns(s)
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	line := make([]string, len(columns))
	for n, c := range columns {
		line[n] = c.name
	}
	if err := w.Write(line); err != nil {
		return nil, err
	}
	for k := range len(s.X) * max(len(s.Y), 1) {
		for n, c := range columns {
			line[n] = c.at(k)
		}
		if err := w.Write(line); err != nil {
			return nil, err
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

func surfaceColumns(s *shard.Surface) []column {
	numbers := func(name string, v []float64) column {
		return column{name, func(k int) string { return plainNumber(v[k]) }}
	}
	width := len(s.X)
	columns := []column{{"x", func(k int) string { return plainNumber(s.X[k%width]) }}}
	if s.Y != nil {
		columns = append(columns, column{"y", func(k int) string { return plainNumber(s.Y[k/width]) }})
	}
	for _, l := range s.Layers {
		columns = append(columns, numbers(l.Name, l.Values))
		if l.Status != nil {
			columns = append(columns, column{l.Name + "/status", func(k int) string { return l.Status[k].String() }})
		}
		for _, beside := range slices.Sorted(maps.Keys(l.Beside)) {
			columns = append(columns, numbers(l.Name+"/"+beside, l.Beside[beside]))
		}
	}
	return columns
}

// plainNumber writes v in the fewest digits that give it back, infinities as R and pandas write them.
func plainNumber(v float64) string {
	if math.IsInf(v, 1) {
		return "Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
