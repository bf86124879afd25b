package dataset

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// python runs a script with NumPy in a new folder and returns the folder.
func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.Command("/usr/bin/python3", append([]string{"-c", "import numpy as np, pickle, gzip, sys, os\n" + script}, args...)...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return folder
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readBytes(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}
