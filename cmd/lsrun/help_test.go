package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

// plainZeros are the flags for which 0, their default, is a number like any other.
var plainZeros = []string{"--seed", "--idx", "--split-idx", "--subset-seed", "--hessian-seed", "--lead", "--first-task", "--recompute", "--label-corrupt-prob"}

func TestHelpStatesOneDefaultAFlagAndNoZeroForNotGiven(t *testing.T) {
	for _, verb := range newApp(io.Discard, io.Discard).Commands {
		var out bytes.Buffer
		if code := execute(t.Context(), []string{"lsrun", verb.Name, "--help"}, &out, &out); code != 0 {
			t.Fatalf("lsrun %s --help: exit %d\n%s", verb.Name, code, &out)
		}
		for line := range strings.Lines(out.String()) {
			words := strings.Fields(line)
			if len(words) == 0 || !strings.HasPrefix(words[0], "-") {
				continue
			}
			if strings.Count(line, "(default") > 1 {
				t.Errorf("lsrun %s states two defaults: %s", verb.Name, line)
			}
			if strings.Contains(line, "(default: 0)") && !slices.Contains(plainZeros, words[0]) {
				t.Errorf("lsrun %s calls 0 the default: %s", verb.Name, line)
			}
		}
	}
}

func TestARunMayBeCalledHelp(t *testing.T) {
	plan := tinyPlan(t)
	t.Chdir(t.TempDir())
	for _, name := range []string{"h", "help"} {
		lsrunOK(t, append(slices.Clone(plan), name)...)
		if said := lsrunOK(t, "status", name); !strings.Contains(said, "0 of 5 points") {
			t.Errorf("lsrun status %s says\n%s", name, said)
		}
	}
	for _, args := range [][]string{{"help", "plan"}, {"h", "plan"}, {"plan", "--help"}, {"plan", "-h"}} {
		if said := lsrunOK(t, args...); !strings.Contains(said, "lsrun plan [command options] RUN") || strings.Contains(said, "COMMANDS") {
			t.Errorf("lsrun %v says\n%s", args, said)
		}
	}
}
