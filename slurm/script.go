package slurm

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

// Script is a batch job, or an array of them: what a file for sbatch says. Nothing in its
// words and paths is interpreted by anybody; Setup alone is code.
type Script struct {
	Comment  []string // lines that head it
	Name     string
	Dir      string   // absolute: where it runs
	Log      string   // a folder in Dir
	Tasks    int      // of an array, numbered from 0; 0 for one job
	Running  int      // of them at a time; 0 for all
	Options  []Option // further ones of sbatch, in this order
	Passed   []string // words for sbatch that come last, so that they count
	Lead     int      // seconds before its time is over at which the command gets SIGUSR2; 0 for never
	Setup    []string // lines of bash, executed first; the first that fails ends the job
	Command  []string // words, the program's absolute path first
	Seconds  int      // the time that sbatch is asked for; 0 if it is not known
	TimeLeft string   // the command's flag for what Setup leaves of Seconds
}

// Option is an option of sbatch, --Name=Value or --Name.
type Option struct{ Name, Value string }

func (o Option) String() string {
	if o.Value == "" {
		return "--" + o.Name
	}
	return "--" + o.Name + "=" + o.Value
}

// options are all of sbatch's but Passed.
//
// SLURM puts the working folder before a log's relative path and then interprets % in
// both: so the path is absolute, with %% for %. It removes backslashes, and a line cannot
// hold a line feed: then the script itself opens its log.
func (s Script) options() []Option {
	options := []Option{{"job-name", s.Name}}
	if s.opensLog() {
		options = append(options, Option{"output", "/dev/null"})
	} else {
		options = append(options, Option{"chdir", s.Dir},
			Option{"output", strings.ReplaceAll(filepath.Join(s.Dir, s.Log), "%", "%%") + "/slurm-" + s.pattern("%A", "%a", "%j") + ".out"})
	}
	options = append(options, Option{"open-mode", "append"}, Option{"requeue", ""})
	if s.Tasks > 0 {
		array := fmt.Sprintf("0-%d", s.Tasks-1)
		if s.Running > 0 {
			array += "%" + strconv.Itoa(s.Running)
		}
		options = append(options, Option{"array", array})
	}
	if s.Lead > 0 {
		options = append(options, Option{"signal", fmt.Sprintf("B:USR2@%d", s.Lead)})
	}
	return append(options, s.Options...)
}

func (s Script) opensLog() bool {
	return strings.ContainsFunc(s.Dir, func(c rune) bool { return c == '\\' || isControl(c) })
}

// pattern names a log by the array and its task, or by the job.
func (s Script) pattern(array, task, job string) string {
	if s.Tasks > 0 {
		return array + "_" + task
	}
	return job
}

// words are the options as words of sbatch's command line.
func (s Script) words() []string {
	var words []string
	for _, o := range s.options() {
		words = append(words, o.String())
	}
	return append(words, s.Passed...)
}

// Text is the script for bash.
func (s Script) Text() (string, error) {
	var b strings.Builder
	fmt.Fprintln(&b, "#!/bin/bash")
	for _, line := range s.Comment {
		fmt.Fprintln(&b, "# "+line)
	}
	for _, o := range s.options() {
		if err := directive(&b, o.String()); err != nil {
			return "", err
		}
	}
	if len(s.Passed) > 0 {
		if err := directive(&b, s.Passed...); err != nil {
			return "", err
		}
	}
	b.WriteString("\n")
	if s.opensLog() {
		fmt.Fprintf(&b, "cd %s || exit\nexec >>%s/slurm-%s.out 2>&1\n\n", bashWord(s.Dir), bashWord(s.Log),
			s.pattern("${SLURM_ARRAY_JOB_ID}", "${SLURM_ARRAY_TASK_ID}", "${SLURM_JOB_ID}"))
	}
	b.WriteString(s.heading())
	if len(s.Setup) > 0 {
		fmt.Fprintf(&b, "\nset -e\ntrap 'echo \"the setup failed: $BASH_COMMAND\" >&2' ERR\n%s\ntrap - ERR\nset +e\n", strings.Join(s.Setup, "\n"))
	}
	b.WriteString("\nif command -v module >/dev/null; then module list 2>&1; fi\n")
	b.WriteString("exec " + s.command() + "\n")
	return b.String(), nil
}

// directive writes a line that sbatch reads.
func directive(b *strings.Builder, words ...string) error {
	b.WriteString("#SBATCH")
	for _, word := range words {
		if strings.ContainsFunc(word, isControl) {
			return fmt.Errorf("%q holds a control character, which sbatch's options cannot", word)
		}
		b.WriteString(" " + sbatchWord(word))
	}
	b.WriteString("\n")
	return nil
}

// heading prints into the log where the job runs. Nothing in it can end the job.
func (s Script) heading() string {
	id := "${SLURM_JOB_ID-}"
	if s.Tasks > 0 {
		id = "${SLURM_ARRAY_JOB_ID-}_${SLURM_ARRAY_TASK_ID-}"
	}
	return `SECONDS=0 # bash counts from here
echo "job      ` + id + `, restart ${SLURM_RESTART_COUNT:-0}, on $(hostname) at $(date -u +%FT%TZ)"
echo "cpu      $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
if command -v nvidia-smi >/dev/null; then timeout 20 nvidia-smi -L; fi
`
}

func (s Script) command() string {
	var words []string
	for _, word := range s.Command {
		words = append(words, bashWord(word))
	}
	if s.Seconds > 0 && s.TimeLeft != "" {
		words = append(words, s.TimeLeft, fmt.Sprintf("$((%d - SECONDS))", s.Seconds))
	}
	return strings.Join(words, " ")
}

// ParseTime reads a time limit as sbatch does: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or
// D-HH:MM:SS. It returns seconds.
func ParseTime(text string) (int, error) {
	days, rest, hasDays := strings.Cut(text, "-")
	if !hasDays {
		days, rest = "0", text
	}
	parts := strings.Split(rest, ":")
	units := map[bool][][]int{ // seconds of each part, by how many there are
		true:  {{3600}, {3600, 60}, {3600, 60, 1}},
		false: {{60}, {60, 1}, {3600, 60, 1}},
	}[hasDays]
	if len(parts) > len(units) {
		return 0, errTime
	}
	total, err := number(days)
	total *= 86400
	for i, part := range parts {
		n, failed := number(part)
		if failed != nil {
			err = failed
		}
		total += n * units[len(parts)-1][i]
	}
	if err != nil || total <= 0 {
		return 0, errTime
	}
	return total, nil
}

// ParseMemory reads an amount of memory: a whole number with a unit, K, M, G or T, or 0, which to sbatch is all that a
// node has. sbatch itself takes a number without a unit for megabytes. It returns bytes.
func ParseMemory(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	digits := strings.TrimRight(text, "KMGTkmgt")
	if len(digits) != len(text)-1 || !isNumber(digits) || len(digits) > 9 {
		return 0, errors.New("an amount of memory is a whole number with a unit, K, M, G or T, as in 2G")
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	unit := strings.Index("KMGT", strings.ToUpper(text[len(digits):]))
	if err == nil && n > math.MaxInt64>>(10*(unit+1)) {
		err = errors.New("no node has so much memory")
	}
	return n << (10 * (unit + 1)), err
}

var errTime = errors.New("a time is MINUTES, HH:MM:SS, D-HH or D-HH:MM:SS, and more than none")

func number(text string) (int, error) {
	if !isNumber(text) || len(text) > 9 {
		return 0, errTime
	}
	return strconv.Atoi(text)
}
