package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"lsrun/shard"
	"lsrun/slurm"
)

var statusCommand = &cli.Command{
	Name:      "status",
	Usage:     "say how far a run is",
	ArgsUsage: "RUN",
	Flags: []cli.Flag{
		&cli.BoolFlag{Name: "watch", Usage: "go on until every unit is done; without a terminal, a line whenever something has changed"},
		&cli.BoolFlag{Name: "json", Usage: "for programs"},
	},
	Action: func(c *cli.Context) error {
		dir, err := oneArgument(c, "a run directory")
		if err != nil {
			return err
		}
		if c.Bool("watch") {
			return watch(c, dir)
		}
		return printStatus(c, dir, c.Bool("json"))
	},
}

func printStatus(c *cli.Context, dir string, asJSON bool) error {
	run, err := shard.Open(files, dir)
	if err != nil {
		return err
	}
	s, q, err := newObserver().look(c.Context, run)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(c.App.Writer)
		encoder.SetIndent("", "  ")
		return encoder.Encode(statusReport{s, q})
	}
	writeStatus(c.App.Writer, run, s, q)
	return nil
}

// statusReport is what --json prints.
type statusReport struct {
	*shard.RunStatus
	Queue *queued `json:"queue"` // null where there is no SLURM
}

// Between two looks watch waits a while, and longer where looking takes long.
const (
	watchPause = 2 * time.Second
	watchShare = 10 // of the time that a look took
)

// watch prints the status until the run is complete.
func watch(c *cli.Context, dir string) error {
	run, err := shard.Open(files, dir)
	if err != nil {
		return err
	}
	file, isFile := beneath(c.App.Writer).(*os.File)
	redraw := isFile && term.IsTerminal(int(file.Fd())) && !c.Bool("json")
	o := newObserver()
	for last := ""; ; {
		start := time.Now()
		s, q, err := o.look(c.Context, run)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		switch {
		case redraw:
			text.WriteString("\x1b[H\x1b[J") // to the upper left corner, and clear
			writeStatus(&text, run, s, q)
		case c.Bool("json"):
			json.NewEncoder(&text).Encode(statusReport{s, q})
		default:
			fmt.Fprintf(&text, "%s, %d running%s\n", doneText(s), len(s.Running), speedText(s))
		}
		if text.String() != last {
			last = text.String()
			fmt.Fprint(c.App.Writer, last)
		}
		if s.UnitsDone == s.Units {
			return nil
		}
		select {
		case <-c.Context.Done():
			return c.Context.Err()
		case <-time.After(max(watchPause, watchShare*time.Since(start))):
		}
	}
}

// A list on a screen is cut after so many lines.
const (
	mostRunning  = 8
	mostHosts    = 12
	mostCauses   = 8
	mostProblems = 8
)

func writeStatus(out io.Writer, run *shard.Run, s *shard.RunStatus, q *queued) {
	plan := run.Plan
	fmt.Fprintf(out, "run         %s, plan %.12s: %s around %s\n", run.Dir, run.ID, plan.Network.Model, plan.Checkpoint.File)
	describeGrid(out, plan)
	fmt.Fprintf(out, "done        %s\n", doneText(s))
	writeRunning(out, s)
	q.write(out)
	if seconds := secondsText(s); seconds != "" {
		fmt.Fprintf(out, "speed       a worker takes %s%s\n", seconds, speedText(s))
	}
	writeHosts(out, s)
	if s.Interrupted > 0 {
		fmt.Fprintf(out, "interrupted %s: their units go on from the last finished point\n", plural(s.Interrupted, "attempt"))
	}
	for _, f := range s.Failed[:min(len(s.Failed), mostCauses)] {
		fmt.Fprintf(out, "failed      %s on %s, units %s (unfinished: %d), for example %s: %s\n", plural(f.Attempts, "attempt"),
			abridgedList(f.Hosts, 4), abridgedList(strings.Split(f.Units, ","), 8), f.Left, f.Attempt, f.Cause)
	}
	andMore(out, "failed", len(s.Failed)-mostCauses, "cause")
	for _, problem := range s.Problems[:min(len(s.Problems), mostProblems)] {
		fmt.Fprintf(out, "problem     %s\n", problem)
	}
	andMore(out, "problem", len(s.Problems)-mostProblems, "file")
	surface := filepath.Join(run.Dir, surfaceFile)
	if s.UnitsDone == s.Units && exists(surface) {
		fmt.Fprintf(out, "next        lsrun plot %s\n", slurm.ShellQuote(asArgument(surface)))
	} else if s.UnitsDone == s.Units {
		fmt.Fprintf(out, "next        lsrun merge %s\n", slurm.ShellQuote(run.Dir))
	} else if other := otherArithmetic(run); s.Missing != "" && other != "" {
		fmt.Fprintf(out, "missing     units %s\nrefused     %s\n", s.Missing, other)
	} else if s.Missing != "" {
		verb := "run"
		if q != nil && q.Problem == "" {
			verb = "submit"
		}
		fmt.Fprintf(out, "missing     units %s\nnext        lsrun %s %s\n", s.Missing, verb, slurm.ShellQuote(run.Dir))
	}
}

// howToCompute is what to do about units that are missing.
func howToCompute(run *shard.Run, units []int) string {
	if other := otherArithmetic(run); other != "" {
		return other
	}
	dir := slurm.ShellQuote(run.Dir)
	return fmt.Sprintf("compute them with\n  lsrun run --units %s %s\nor, on a SLURM cluster, with\n  lsrun submit %[2]s", shard.FormatRanges(units), dir)
}

func andMore(out io.Writer, what string, n int, noun string) {
	if n > 0 {
		fmt.Fprintf(out, "%-11s and %s more (--json has all)\n", what, plural(n, noun))
	}
}

// abridgedList joins at most n of words.
func abridgedList(words []string, n int) string {
	if len(words) <= n {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:n], ", "), len(words)-n)
}

func doneText(s *shard.RunStatus) string {
	curved := ""
	if s.HessianPoints > 0 {
		curved = fmt.Sprintf(" (with curvature %s of %s)", count(int64(s.HessianPointsDone)), count(int64(s.HessianPoints)))
	}
	return fmt.Sprintf("%s of %s points%s, %s of %s units", count(int64(s.PointsDone)), count(int64(s.Points)), curved,
		count(int64(s.UnitsDone)), count(int64(s.Units)))
}

// speedText begins with a comma.
func speedText(s *shard.RunStatus) string {
	if s.ETASeconds == 0 {
		return ""
	}
	return fmt.Sprintf(", %.3g points/s together, %s left", s.PointsASecond, lasting(time.Duration(s.ETASeconds*float64(time.Second))))
}

// secondsText is what points take one worker.
func secondsText(s *shard.RunStatus) string {
	var parts []string
	if s.SecondsAPoint > 0 {
		parts = append(parts, fmt.Sprintf("%.3g s a point", s.SecondsAPoint))
	}
	if s.SecondsAHessianPoint > 0 {
		parts = append(parts, fmt.Sprintf("%.3g s one with curvature", s.SecondsAHessianPoint))
	}
	return strings.Join(parts, ", ")
}

func writeRunning(out io.Writer, s *shard.RunStatus) {
	if len(s.Running) > mostRunning {
		hosts := map[string]bool{}
		for _, r := range s.Running {
			hosts[r.Host] = true
		}
		fmt.Fprintf(out, "running     %s on %s\n", plural(len(s.Running), "unit"), plural(len(hosts), "host"))
		return
	}
	for _, r := range s.Running {
		job := ""
		if r.Job != "" {
			job = ", job " + r.Job
		}
		fmt.Fprintf(out, "running     unit %d on %s, process %d%s, %s: %d of %s\n", r.Unit, r.Host, r.PID, job, r.Kernel, r.PointsDone, plural(r.Points, "point"))
	}
}

// straggler is the part of the median host's speed below which one stands out.
const straggler = 0.7

// slowHosts are those that stand out.
func slowHosts(s *shard.RunStatus) []string {
	var measured []shard.HostStatus
	for _, h := range s.Hosts {
		if h.Speed > 0 {
			measured = append(measured, h)
		}
	}
	var slow []string
	for _, h := range measured { // slowest first
		if h.Speed < straggler*measured[len(measured)/2].Speed {
			slow = append(slow, h.Host)
		}
	}
	return slow
}

// writeHosts compares the hosts, the slowest first; one alone is not compared.
func writeHosts(out io.Writer, s *shard.RunStatus) {
	if len(s.Hosts) < 2 {
		return
	}
	slow := slowHosts(s)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, h := range s.Hosts[:min(len(s.Hosts), mostHosts)] {
		title, speed := "", "no point yet"
		if i == 0 {
			title = "hosts"
		}
		if h.Speed > 0 {
			speed = fmt.Sprintf("%.2f × the average speed of a worker", h.Speed)
		}
		if slices.Contains(slow, h.Host) {
			speed += ": slow"
		}
		fmt.Fprintf(table, "%-10s\t%s\t%d running\t%s\t%s\n", title, h.Host, h.Running, plural(h.Points, "point"), speed)
	}
	table.Flush()
	if rest := s.Hosts[min(len(s.Hosts), mostHosts):]; len(rest) > 0 {
		fmt.Fprintf(out, "            and %s up to %.2f × (--json has all)\n", plural(len(rest), "faster one"), rest[len(rest)-1].Speed)
	}
}
