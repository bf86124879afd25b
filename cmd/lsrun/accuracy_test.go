//go:build torch

package main

import (
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"lsrun/io/checkpoint"
	"lsrun/io/dataset"
)

// TestTrainedNetworksAreAsAccurateAsPyTorchs trains ResNet-20 on drawn pictures from five seeds, here and by PyTorch with the
// same schedule, and compares the means of the test accuracies. It takes a quarter of an hour on two cores.
func TestTrainedNetworksAreAsAccurateAsPyTorchs(t *testing.T) {
	const (
		seeds  = 5
		data   = "train=5000,test=1000"
		epochs = "10"
		decay  = "7"
		batch  = "64"
	)
	dir := t.TempDir()
	set, err := dataset.Load(dataset.ShapesKind, data)
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]*dataset.Part{"train": set.Train, "test": set.Test} {
		labels, err := binary.Append(nil, binary.LittleEndian, part.Labels)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".u8"), part.Bytes, 0o666)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".i32"), labels, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var ours, theirs []float64
	for k := range seeds {
		seed := strconv.Itoa(k)
		folder := filepath.Join(dir, seed)
		lsrunOK(t, "train", "--model", "resnet20", "--dataset", dataset.ShapesKind, "--data", data, "--epochs", epochs,
			"--lr-epochs", decay, "--batch-size", batch, "--seed", seed, folder)
		file, err := checkpoint.Read(filepath.Join(folder, lastName))
		if err != nil {
			t.Fatal(err)
		}
		ours = append(ours, *file.Accuracy)
		out, err := exec.Command("/usr/bin/python3", "-B", "../../nn/train/testdata/accuracy.py", dir, seed, "2", epochs, decay, batch).Output()
		if err != nil {
			t.Fatal(err)
		}
		accuracy, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			t.Fatal(err)
		}
		theirs = append(theirs, accuracy)
		t.Logf("seed %d: %.2f %%, PyTorch %.2f %%", k, ours[k], theirs[k])
	}
	if a, b := mean(ours), mean(theirs); !(math.Abs(a-b) <= 2) || a < 50 {
		t.Errorf("the mean accuracy is %.2f %%, PyTorch's %.2f %%", a, b)
	} else {
		t.Logf("the mean accuracy is %.2f %%, PyTorch's %.2f %%", a, b)
	}
}
