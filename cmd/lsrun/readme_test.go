package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeDoesWhatItSays executes README's command blocks in order, in a folder with
// what the demo leaves. Of make's commands it only checks that there are such targets.
func TestReadmeDoesWhatItSays(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unpackDemo(filepath.Join(dir, "demo")); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "lsrun")); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, command := range commandBlocks(string(readme)) {
		if target, ok := strings.CutPrefix(command, "make "); ok {
			if target = strings.Fields(target)[0]; !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("the Makefile has no target %s", target)
			}
			continue
		}
		commands++
		shell := exec.CommandContext(t.Context(), "sh", "-ec", command)
		shell.Dir = dir
		shell.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		if out, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	if commands < 5 {
		t.Errorf("only %d commands were found in README", commands)
	}
}

// commandBlocks returns the lines of README's sh blocks.
func commandBlocks(text string) []string {
	var commands []string
	for _, block := range strings.Split(text, "```sh\n")[1:] {
		body, _, _ := strings.Cut(block, "```")
		for line := range strings.Lines(body) {
			if line = strings.TrimSpace(line); line != "" {
				commands = append(commands, line)
			}
		}
	}
	return commands
}
