package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
	"gonum.org/v1/gonum/stat"

	"lsrun/shard"
	"lsrun/shard/landscape"
)

var compareCommand = &cli.Command{
	Name:      "compare",
	Usage:     "measure surfaces: sharpness, level sets, negative curvature, barriers",
	ArgsUsage: "[NAME=]SURFACE.h5|RUN…",
	Description: `Surfaces of one NAME differ in their seeds: they get one column, with the mean and the standard
deviation (of n − 1) over them. L is the metric, linear between the points of a line, and on a plane in the
four triangles between the corners of a cell and its centre, which has their mean. Lengths are in units of the directions.

   origin, lowest   L(0), and the lowest value of a point
   sharpness r      100 · (max of L within the distance r − L(0)) / (1 + L(0))   (Keskar et al. 2017)
   rise r           mean of L at the distance r − L(0)
   level set c      area (on a line: length) of {L ≤ c}; ≥ where the set reaches the border
   negative         share of the points at which λmin < 0, of those where its sign is known
   ratio            mean of |λmin/λmax|
   barrier a:b      max of L on the straight way from a to b − max(L(a), L(b))
   pass a:b         min over all ways on the plane of the max of L on the way − max(L(a), L(b))

A – stands where a measure needs a value that is NaN or missing, or the surface has no such measure.`,
	Flags: []cli.Flag{
		&cli.StringFlag{Name: "metric", Usage: "what L is", Value: "train_loss"},
		&cli.StringFlag{Name: "radii", Usage: "distances `R,…` of sharpness and rise", DefaultText: "a quarter, half and all of the way that every grid has around the origin"},
		&cli.StringFlag{Name: "levels", Usage: "levels `C,…` of level sets", Value: "0.5,1,2"},
		&cli.StringFlag{Name: "between", Usage: "ends of barriers, `A:B …`, such as \"0:1\" on a line and \"0,0:1,0 0,0:0,1\" on a plane", DefaultText: "the networks that the directions lead to"},
		&cli.BoolFlag{Name: "json", Usage: "print every surface's measures, means and deviations as JSON"},
		&cli.BoolFlag{Name: "csv", Usage: "print them as a table with a line for each number"},
	},
	Action: compareAction,
}

// measure is what is measured, and where.
type measure struct{ name, at string }

func (m measure) String() string { return strings.TrimSpace(m.name + " " + m.at) }

// quantity is a measure's value. open says that it is a lower bound.
type quantity struct {
	measure
	value float64
	open  bool
}

func compareAction(c *cli.Context) error {
	if c.Bool("json") && c.Bool("csv") {
		return usagef("--json and --csv exclude each other")
	}
	all, err := namedSurfaces(c)
	if err != nil {
		return err
	}
	lands := make([]*landscape.Landscape, len(all))
	for k, s := range all {
		if lands[k], err = landscape.New(s.Planned(c.String("metric")), c.String("metric")); err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		if lands[k].Line() != lands[0].Line() {
			return usagef("%s and %s: a line and a plane have no measures in common", all[0].path, s.path)
		}
	}
	w, err := measuresWanted(c, all, lands)
	if err != nil {
		return err
	}
	table := &comparison{metric: c.String("metric"), surfaces: all}
	for k, s := range all {
		table.quantities = append(table.quantities, w.of(s.Surface, lands[k]))
	}
	var out []byte
	switch {
	case c.Bool("json"):
		out, err = table.json()
	case c.Bool("csv"):
		out, err = table.csv()
	default:
		out, err = table.text()
	}
	if err != nil {
		return err
	}
	_, err = c.App.Writer.Write(out)
	return err
}

// wanted is what to measure.
type wanted struct {
	radii, levels []float64
	between       [][2]landscape.Point // nil: the networks that a surface's directions lead to
}

func measuresWanted(c *cli.Context, all []namedSurface, lands []*landscape.Landscape) (wanted, error) {
	var w wanted
	var err error
	if w.radii, err = numbersOf(c, "radii"); err != nil {
		return w, err
	}
	if w.levels, err = numbersOf(c, "levels"); err != nil {
		return w, err
	}
	reach := math.Inf(1)
	for k, l := range lands {
		r := l.Radius(landscape.Point{})
		for _, want := range w.radii {
			if !(0 <= want && want <= r) {
				return w, usagef("--radii %g: around the origin %s has %g", want, all[k].path, max(r, 0))
			}
		}
		reach = min(reach, r)
	}
	if !c.IsSet("radii") && reach > 0 {
		w.radii = []float64{reach / 4, reach / 2, reach}
	}
	for word := range strings.FieldsSeq(c.String("between")) {
		from, to, both := strings.Cut(word, ":")
		a, errA := placeNamed(from, lands[0].Line())
		b, errB := placeNamed(to, lands[0].Line())
		if !both || errA != nil || errB != nil {
			return w, usagef("--between %s: two places with a colon between them, such as %s", word, map[bool]string{true: "0:1", false: "0,0:1,0"}[lands[0].Line()])
		}
		for k, l := range lands {
			if !l.Has(a) || !l.Has(b) {
				return w, usagef("--between %s: not both are on the grid of %s", word, all[k].path)
			}
		}
		w.between = append(w.between, [2]landscape.Point{a, b})
	}
	return w, nil
}

// numbersOf reads a flag that lists numbers.
func numbersOf(c *cli.Context, flag string) ([]float64, error) {
	var out []float64
	for word := range strings.FieldsFuncSeq(c.String(flag), func(r rune) bool { return r == ',' || r == ' ' }) {
		v, err := strconv.ParseFloat(word, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, usagef("--%s %s: %q is not a finite number", flag, c.String(flag), word)
		}
		out = append(out, v)
	}
	return out, nil
}

// placeNamed reads X, or on a plane X,Y.
func placeNamed(text string, line bool) (p landscape.Point, err error) {
	x, y, two := strings.Cut(text, ",")
	if two == line {
		return p, fmt.Errorf("%q is not a place", text)
	}
	if p.X, err = strconv.ParseFloat(x, 64); err == nil && two {
		p.Y, err = strconv.ParseFloat(y, 64)
	}
	return p, err
}

// of measures a surface.
func (w wanted) of(s *shard.Surface, l *landscape.Landscape) []quantity {
	var out []quantity
	add := func(name, at string, value float64) { out = append(out, quantity{measure{name, at}, value, false}) }
	_, lowest := l.Lowest()
	add("origin", "", l.At(landscape.Point{}))
	add("lowest", "", lowest)
	for _, r := range w.radii {
		sharpness, rise := l.Sharpness(landscape.Point{}, r)
		add("sharpness", plainNumber(r), sharpness)
		add("rise", plainNumber(r), rise)
	}
	for _, c := range w.levels {
		size, open := l.Sublevel(c)
		out = append(out, quantity{measure{"level set", plainNumber(c)}, size, open})
	}
	if share, ratio, ok := negativeCurvature(s); ok {
		add("negative", "", share)
		add("ratio", "", ratio)
	}
	between := w.between
	if between == nil {
		between = networkPairs(s, l)
	}
	for _, ends := range between {
		at := placeName(ends[0], l) + ":" + placeName(ends[1], l)
		add("barrier", at, l.LineBarrier(ends[0], ends[1]))
		if !l.Line() {
			add("pass", at, l.PathBarrier(ends[0], ends[1]))
		}
	}
	return out
}

func placeName(p landscape.Point, l *landscape.Landscape) string {
	if l.Line() {
		return plainNumber(p.X)
	}
	return plainNumber(p.X) + "," + plainNumber(p.Y)
}

// networkPairs are the origin with each network that a direction leads to, and, of two, these.
func networkPairs(s *shard.Surface, l *landscape.Landscape) [][2]landscape.Point {
	ends := []landscape.Point{{}}
	for _, m := range networksOn(s) {
		ends = append(ends, landscape.Point{X: m.X, Y: m.Y})
	}
	ends = slices.DeleteFunc(ends, func(p landscape.Point) bool { return !l.Has(p) })
	var pairs [][2]landscape.Point
	for k := range ends {
		for _, other := range ends[k+1:] {
			pairs = append(pairs, [2]landscape.Point{ends[k], other})
		}
	}
	return pairs
}

// negativeCurvature is the share of points with a negative smallest eigenvalue, and the mean of |λmin/λmax|. Points
// without finite eigenvalues are left out, for the share those whose interval for λmin holds 0, for the mean those that have not converged.
func negativeCurvature(s *shard.Surface) (share, ratio float64, ok bool) {
	smallest, ratios := s.Layer(minEig), s.Layer(eigRatio)
	if smallest == nil {
		return 0, 0, false
	}
	undetermined := smallest.Beside[signUndetermined]
	negative, known := 0, 0
	var finite []float64
	for k, v := range smallest.Values {
		if !smallest.Computed(k) || math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		if undetermined == nil || undetermined[k] == 0 {
			known++
			if v < 0 {
				negative++
			}
		}
		converged := smallest.Status == nil || smallest.Status[k] == shard.Done
		if ratios != nil && converged && !math.IsNaN(ratios.Values[k]) && !math.IsInf(ratios.Values[k], 0) {
			finite = append(finite, ratios.Values[k])
		}
	}
	return float64(negative) / float64(known), stat.Mean(finite, nil), true
}

// comparison is every surface's quantities.
type comparison struct {
	metric     string
	surfaces   []namedSurface
	quantities [][]quantity // one list a surface
}

// measures are all that were found of any surface, in order.
func (t *comparison) measures() []measure {
	var out []measure
	for _, list := range t.quantities {
		for _, f := range list {
			if !slices.Contains(out, f.measure) {
				out = append(out, f.measure)
			}
		}
	}
	return out
}

// over is the mean and standard deviation of a measure over some surfaces; NaN where one of them lacks it. Of one surface
// there is no deviation.
func (t *comparison) over(surfaces []int, m measure) (mean, deviation float64, open bool) {
	var values []float64
	for _, k := range surfaces {
		i := slices.IndexFunc(t.quantities[k], func(f quantity) bool { return f.measure == m })
		if i < 0 {
			return math.NaN(), math.NaN(), false
		}
		values = append(values, t.quantities[k][i].value)
		open = open || t.quantities[k][i].open
	}
	mean, deviation = stat.MeanStdDev(values, nil)
	return mean, deviation, open
}

func (t *comparison) text() ([]byte, error) {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, t.metric)
	for _, group := range byName(t.surfaces) {
		fmt.Fprintf(w, "\t%s", t.surfaces[group[0]].name)
		if len(group) > 1 {
			fmt.Fprintf(w, " (n = %d)", len(group))
		}
	}
	fmt.Fprintln(w)
	for _, m := range t.measures() {
		fmt.Fprint(w, m)
		for _, group := range byName(t.surfaces) {
			mean, deviation, open := t.over(group, m)
			fmt.Fprintf(w, "\t%s", withDeviation(mean, deviation, open))
		}
		fmt.Fprintln(w)
	}
	err := w.Flush()
	return out.Bytes(), err
}

// withDeviation writes a value with its deviation.
func withDeviation(mean, deviation float64, open bool) string {
	if math.IsNaN(mean) {
		return "–"
	}
	text := fmt.Sprintf("%.4g", mean)
	if open {
		text = "≥ " + text
	}
	if !math.IsNaN(deviation) {
		text += fmt.Sprintf(" ± %.2g", deviation)
	}
	return text
}

// lines calls line for every number: of each surface, and of each name with several the mean and the standard deviation.
func (t *comparison) lines(line func(s namedSurface, file, statistic string, f quantity)) {
	for _, group := range byName(t.surfaces) {
		for _, k := range group {
			for _, f := range t.quantities[k] {
				line(t.surfaces[k], t.surfaces[k].path, "value", f)
			}
		}
		for _, m := range t.measures() {
			if mean, deviation, open := t.over(group, m); len(group) > 1 {
				line(t.surfaces[group[0]], "", "mean", quantity{m, mean, open})
				line(t.surfaces[group[0]], "", "standard deviation", quantity{m, deviation, false})
			}
		}
	}
}

func (t *comparison) csv() ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	rows := [][]string{{"name", "file", "metric", "statistic", "measure", "at", "value", "lower_bound"}}
	t.lines(func(s namedSurface, file, statistic string, f quantity) {
		rows = append(rows, []string{s.name, file, t.metric, statistic, f.name, f.at, plainNumber(f.value), strconv.FormatBool(f.open)})
	})
	err := w.WriteAll(rows)
	return out.Bytes(), err
}

// jsonQuantity is a line of the JSON form. Value is null where it is NaN, and a text where it is infinite.
type jsonQuantity struct {
	Name       string `json:"name"`
	File       string `json:"file,omitempty"`
	Statistic  string `json:"statistic"`
	Measure    string `json:"measure"`
	At         string `json:"at,omitempty"`
	Value      any    `json:"value"`
	LowerBound bool   `json:"lower_bound,omitempty"`
}

func (t *comparison) json() ([]byte, error) {
	form := struct {
		Metric     string         `json:"metric"`
		Quantities []jsonQuantity `json:"quantities"`
	}{Metric: t.metric}
	t.lines(func(s namedSurface, file, statistic string, f quantity) {
		var value any = f.value
		switch {
		case math.IsNaN(f.value):
			value = nil
		case math.IsInf(f.value, 0):
			value = plainNumber(f.value)
		}
		form.Quantities = append(form.Quantities, jsonQuantity{s.name, file, statistic, f.name, f.at, value, f.open})
	})
	out, err := json.MarshalIndent(form, "", "  ")
	return append(out, '\n'), err
}
