package slurm

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// nasty is a path in which everything that a shell or SLURM might interpret occurs.
const nasty = "/tmp/my run's \"best\" $(touch pwned) `touch pwned` #1 %A_%a {a,b} *? ~ ! é;&|<>"

func example() Script {
	return Script{Comment: []string{"An example."}, Name: "lsrun-example-00000000", Dir: "/home/me/run", Log: "log", Tasks: 8, Running: 4,
		Options: []Option{{"cpus-per-task", "4"}, {"mem", "2G"}, {"time", "1:00:00"}, {"partition", "gpu"}},
		Passed:  []string{"--exclusive", "--comment", "two words"}, Lead: 120, Setup: []string{"module load cuda", "export A='b c'"},
		Command: []string{"/opt/lsrun", "run", "--tasks", "8", "/home/me/run"}, Seconds: 3600, TimeLeft: "--walltime"}
}

func mustText(t rapid.TB, s Script) string {
	t.Helper()
	text, err := s.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestScriptsReadAsTheGoldenFilesDo(t *testing.T) {
	job := example()
	job.Tasks, job.Running, job.Passed, job.Setup, job.Lead, job.Seconds, job.Dir = 0, 0, nil, nil, 0, 0, nasty
	job.Command = []string{"/opt/lsrun", "merge", nasty}
	feed := job
	feed.Tasks, feed.Dir, feed.Command = 2, "/tmp/back\\slash\nand line feed", []string{"/opt/lsrun", "merge", "/tmp/back\\slash\nand line feed"}
	for name, s := range map[string]Script{"array": example(), "nasty": job, "linefeed": feed} {
		path := filepath.Join("testdata", name+".sh")
		got := mustText(t, s)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is now:\n%s", path, got)
		}
	}
}

// TestBashGivesTheCommandItsWordsUnchanged lets bash execute scripts whose command shows
// the words that it got.
func TestBashGivesTheCommandItsWordsUnchanged(t *testing.T) {
	dir := t.TempDir()
	show := filepath.Join(dir, "show it's")
	if err := os.WriteFile(show, []byte("#!/bin/sh\nprintf '%s\\0' \"$@\"\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	check := func(t rapid.TB, words []string) {
		s := Script{Name: "x", Dir: "/", Log: "log", Command: append([]string{show}, words...)}
		cmd := exec.Command("bash", "-s")
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader(mustText(t, s))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := strings.Join(words, "\x00") + "\x00"
		if !bytes.HasSuffix(out, []byte("\n"+want)) {
			t.Errorf("the words %q arrived as %q", words, out)
		}
	}
	check(t, []string{nasty, "", "a\nb", "a\r\n#SBATCH --x\n", "\\", "'", "\\'", "\t\x01\x7f\x1b", "\xff\xfe", "-n", "$'x'", "a\\nb", "1\n2'3"})
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.SliceOfN(rapid.Map(rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 12), func(b []byte) string { return string(b) }), 1, 4).Draw(t, "words"))
	})
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("something was executed: %q", names)
	}
}

// offline is a configuration of SLURM without a cluster: sbatch reads a script, says what
// it understood, and fails.
const offline = `ClusterName=none
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=1
MessageTimeout=2
SlurmUser=root
AuthInfo=socket=/nonexistent
NodeName=n1
PartitionName=main Nodes=n1 Default=YES
`

var definedOption = regexp.MustCompile(`(?m)^sbatch: ([a-z-]+) +: (.*)$`)

func TestSbatchReadsTheOptionsUnchanged(t *testing.T) {
	sbatch, err := exec.LookPath("sbatch")
	if err != nil {
		t.Fatalf("%v: make setup installs it", err)
	}
	conf := filepath.Join(t.TempDir(), "slurm.conf")
	if err := os.WriteFile(conf, []byte(offline), 0o666); err != nil {
		t.Fatal(err)
	}
	defined := func(s Script) map[string]string {
		cmd := exec.Command(sbatch, "-v")
		cmd.Env = append(os.Environ(), "SLURM_CONF="+conf)
		cmd.Stdin = strings.NewReader(mustText(t, s))
		out, _ := cmd.CombinedOutput() // there is nobody to take the job
		options := map[string]string{}
		for _, m := range definedOption.FindAllStringSubmatch(string(out), -1) {
			options[m[1]] = m[2]
		}
		if len(options) == 0 {
			t.Fatalf("sbatch said %s", out)
		}
		return options
	}
	for _, dir := range []string{"/home/me/run", nasty, "/", "/:a  b=c --wrap=x "} {
		s := example()
		s.Dir = dir
		s.Passed = []string{"--comment", `C:\dir "x" #y`, "--exclusive"}
		got := defined(s)
		output := strings.ReplaceAll(filepath.Join(dir, "log"), "%", "%%") + "/slurm-%A_%a.out"
		for name, want := range map[string]string{"chdir": dir, "output": output, "comment": `C:\dir "x" #y`, "exclusive": "exclusive", "job-name": s.Name,
			"array": "0-7%4", "open-mode": "a", "mem": "2G", "time": "01:00:00", "partition": "gpu", "signal": "B:USR2@120"} {
			if got[name] != want {
				t.Errorf("%q: %s is %q, want %q", dir, name, got[name], want)
			}
		}
	}
}

func TestAScriptOpensItsLogWhereSbatchCannot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "back\\slash\nand 'line feed")
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o777); err != nil {
		t.Fatal(err)
	}
	s := Script{Name: "x", Dir: dir, Log: "log", Tasks: 2, Command: []string{"/bin/pwd"}}
	for range 2 {
		cmd := exec.Command("bash", "-s")
		cmd.Env = append(os.Environ(), "SLURM_ARRAY_JOB_ID=12", "SLURM_ARRAY_TASK_ID=1", "SLURM_JOB_ID=14")
		cmd.Stdin = strings.NewReader(mustText(t, s))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v: %s", err, out)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "log", "slurm-12_1.out"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(log, []byte("\n"+dir+"\n")); n != 2 {
		t.Errorf("the log of two lives has %d of them:\n%s", n, log)
	}
}

func TestSetUpEndsTheJobWhereItFails(t *testing.T) {
	for _, c := range []struct {
		setup    []string
		succeeds bool
		want     string
	}{
		{[]string{"export GREETING='hello  world'"}, true, "hello  world\n"},
		{[]string{"export GREETING=x", "false because", "export GREETING=y"}, false, "the setup failed: false because\n"},
	} {
		s := Script{Name: "x", Dir: "/", Log: "log", Setup: c.setup, Command: []string{"/usr/bin/printenv", "GREETING"}}
		cmd := exec.Command("bash", "-s")
		cmd.Stdin = strings.NewReader(mustText(t, s))
		out, err := cmd.CombinedOutput()
		if (err == nil) != c.succeeds || !strings.HasSuffix(string(out), c.want) {
			t.Errorf("%q: %v, %q", c.setup, err, out)
		}
	}
}

func TestTheCommandIsToldWhatIsLeftOfItsTime(t *testing.T) {
	s := Script{Name: "x", Dir: "/", Log: "log", Setup: []string{"SECONDS=100"}, Command: []string{"/bin/echo", "command"}, Seconds: 600, TimeLeft: "--walltime"}
	cmd := exec.Command("bash", "-s")
	cmd.Stdin = strings.NewReader(mustText(t, s))
	out, err := cmd.Output()
	if err != nil || !regexp.MustCompile(`command --walltime (500|49\d)\n$`).Match(out) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestOptionsWithControlCharactersAreRefused(t *testing.T) {
	s := example()
	s.Passed = []string{"--comment=a\n#SBATCH --uid=0"}
	if text, err := s.Text(); err == nil || !strings.Contains(err.Error(), "control character") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestTimesAreThoseOfSbatch(t *testing.T) {
	for text, want := range map[string]int{"10": 600, "1:30": 90, "2:00:00": 7200, "1-0": 86400, "1-12": 129600, "1-0:30": 88200, "0-0:0:1": 1, "90:00": 5400} {
		if got, err := ParseTime(text); err != nil || got != want {
			t.Errorf("%s is %d s, %v; want %d", text, got, err, want)
		}
	}
	var read []string
	for _, text := range []string{"", "0", "-1", "1h", "1:2:3:4", "1-", "1-2:3:4:5", "UNLIMITED", "1 ", "0:0", "9999999999", "1.5"} {
		if _, err := ParseTime(text); err == nil {
			read = append(read, text)
		}
	}
	if slices.Sort(read); len(read) > 0 {
		t.Errorf("read as times: %q", read)
	}
}

func TestMemoryHasAUnit(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "512K": 512 << 10, "100M": 100 << 20, "2G": 2 << 30, "2g": 2 << 30, "1T": 1 << 40} {
		if got, err := ParseMemory(text); err != nil || got != want {
			t.Errorf("%s is %d bytes, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "2", "00", "G", "-1G", "1.5G", "2GB", "2 G", "foo", "1P", "999999999T", "9999999999M"} {
		if n, err := ParseMemory(text); err == nil {
			t.Errorf("%q was read as %d bytes", text, n)
		}
	}
}
