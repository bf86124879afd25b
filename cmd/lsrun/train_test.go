package main

import (
	"bufio"
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// tinyTraining is a command that trains a tiny network, but for its folder: six steps.
var tinyTraining = []string{"train", "--model", "mlp_3", "--dataset", "shapes", "--data", "train=30,test=10", "--lr", "0.01",
	"--epochs", "3", "--lr-epochs", "2", "--save-epoch", "1", "--batch-size", "16"}

// sameTraining fails the test unless two folders hold the same files.
func sameTraining(t *testing.T, dir, want string) {
	t.Helper()
	for _, name := range []string{modelName(0), modelName(1), modelName(2), modelName(3), lastName, historyName, trainingName, curveName} {
		if !bytes.Equal(readFile(t, filepath.Join(dir, name)), readFile(t, filepath.Join(want, name))) {
			t.Errorf("%s differs", name)
		}
	}
}

// TestATrainingKilledAtAnyCallGoesOnToTheSameBits kills lsrun train with SIGKILL at its i-th call of the file system.
func TestATrainingKilledAtAnyCallGoesOnToTheSameBits(t *testing.T) {
	want := filepath.Join(inMemory(t), "whole")
	lsrunOK(t, append(tinyTraining, want)...)
	for i := 0; ; i += stride(11) {
		dir := filepath.Join(inMemory(t), "training")
		died := dies(t, i, append(tinyTraining, dir)...)
		lsrunOK(t, append(tinyTraining, dir)...)
		sameTraining(t, dir, want)
		if !died {
			return
		}
	}
}

// TestASignalEndsATrainingAfterTheStepInHand: what is kept then goes on to the bits of a training that was let alone.
func TestASignalEndsATrainingAfterTheStepInHand(t *testing.T) {
	args := append(tinyTraining, "--epochs", "2000", "--save-epoch", "2000")
	dir := filepath.Join(inMemory(t), "training")
	cmd := process(t.Context(), t, append(args, dir)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "epoch 5 ") {
			cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &failed) || failed.ExitCode() != 75 || !strings.Contains(said.String(), "the same command goes on from there") {
		t.Fatalf("%v, and said %q", err, said.String())
	}
	done := bytes.Count(readFile(t, filepath.Join(dir, historyName)), []byte("\n")) - 2 // the head and epoch 0
	if done < 5 {
		t.Fatalf("it was ended after %d epochs", done)
	}
	epochs := []string{"--epochs", strconv.Itoa(done + 10), "--save-epoch", "2000"}
	whole := filepath.Join(inMemory(t), "whole")
	lsrunOK(t, append(append(tinyTraining, epochs...), dir)...)
	lsrunOK(t, append(append(tinyTraining, epochs...), whole)...)
	if !bytes.Equal(readFile(t, filepath.Join(dir, lastName)), readFile(t, filepath.Join(whole, lastName))) {
		t.Error("the results differ")
	}
}
