package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lsrun": main, "mortal": mortal})
}

// TestScripts runs testdata/script: lsrun as a user meets it, right and wrong.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			root, err := filepath.Abs(reference)
			env.Setenv("REFERENCE", root)
			env.Setenv("HOME", os.Getenv("HOME"))
			if err != nil {
				return err
			}
			program, err := exec.LookPath("lsrun")
			if err != nil {
				return err
			}
			env.Setenv("LSRUN_BIN", filepath.Dir(program))
			oracle, err := filepath.Abs("testdata/python")
			env.Setenv("PYTHONPATH", oracle)
			env.Setenv("PYTHONDONTWRITEBYTECODE", "1")
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits is the command `exits CODE PROGRAM ARGS…`: it fails unless the program ends with
// that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	code := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		code = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}
