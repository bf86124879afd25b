package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lsrun/io/checkpoint"
	"lsrun/io/h5"
	"lsrun/nn"
	"lsrun/nn/direction"
	"lsrun/nn/zoo"
	"lsrun/shard"
)

// papersPath is the paper's code's answer for the checkpoints of reference/resnet20.
const papersPath = reference + "resnet20/PCA_weights_ignore=biasbn_save_epoch=1/"

func readDirections(t *testing.T, name string) *h5.Directions {
	t.Helper()
	d, err := h5.DecodeDirections(readFile(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func readProjection(t *testing.T, name string) *h5.Projection {
	t.Helper()
	p, err := h5.DecodeProjection(readFile(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// TestPathsAreThoseOfThePapersCode compares principal components, and the projection, which the paper's code makes by
// cosine: for orthonormal directions that is least squares. Both come from float32, ours summed in float64.
func TestPathsAreThoseOfThePapersCode(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "plane")
	lsrunOK(t, "path", "--model", "resnet20", "-o", dir, reference+"resnet20")
	got, want := readDirections(t, filepath.Join(dir, directionsFile)), readDirections(t, papersPath+directionsFile)
	for _, axis := range []struct {
		name      string
		got, want nn.Params
	}{{"x", got.X, want.X}, {"y", got.Y, want.Y}} {
		if len(axis.got) != len(axis.want) {
			t.Fatalf("%s has %d tensors, want %d", axis.name, len(axis.got), len(axis.want))
		}
		squares := 0.0
		for i, w := range axis.want {
			if !axis.got[i].Shape.Equal(w.Shape) {
				t.Fatalf("%s/%d is %v, want %v", axis.name, i, axis.got[i].Shape, w.Shape)
			}
			for k, v := range w.Data { // the signs are scikit-learn's too
				squares += math.Pow(float64(axis.got[i].Data[k])-float64(v), 2)
			}
		}
		t.Logf("%s is off by %.1e of its length", axis.name, math.Sqrt(squares))
		if math.Sqrt(squares) > 1e-6 {
			t.Errorf("%s is off by %.1e of its length", axis.name, math.Sqrt(squares))
		}
	}
	for name, want := range want.Extra {
		for k, w := range want {
			if g := got.Extra[name][k]; math.Abs(g-w) > 1e-6*w {
				t.Errorf("%s[%d] is %.8g, want %.8g", name, k, g, w)
			}
		}
	}
	if len(want.Extra) != 3 {
		t.Errorf("the reference has %d extras", len(want.Extra))
	}

	projected := readProjection(t, papersPath+"directions.h5_proj_cos.h5")
	onTheirs := filepath.Join(t.TempDir(), "theirs")
	lsrunOK(t, "path", "--model", "resnet20", "--dir-file", papersPath+directionsFile, "-o", onTheirs, reference+"resnet20")
	for _, dir := range []string{dir, onTheirs} {
		p := readProjection(t, filepath.Join(dir, projectionFile))
		extent := projected.X[0] - projected.X[8]
		for i := range projected.X {
			if gap := math.Hypot(p.X[i]-projected.X[i], p.Y[i]-projected.Y[i]); gap > 1e-5*extent {
				t.Errorf("checkpoint %d is at (%v, %v), want (%v, %v)", i, p.X[i], p.Y[i], projected.X[i], projected.Y[i])
			}
		}
		ratio := want.Extra["explained_variance_ratio_"]
		if math.Abs(p.Facts.Held[0]-ratio[0]-ratio[1]) > 1e-6 {
			t.Errorf("the plane holds %v, want the sum of %v", p.Facts.Held, ratio)
		}
	}
}

// TestPathsOfManyCheckpointsTakeTheMemoryOfAFew measures processes of their own, on a path through 300 networks of 0.13 MB and on one
// through its first twelve.
func TestPathsOfManyCheckpointsTakeTheMemoryOfAFew(t *testing.T) {
	graph, err := zoo.New("mlp_40", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMAXPROCS", "1") // so that garbage is collected in time, however busy the machine is
	folder := t.TempDir()
	theta := direction.Random(graph, false, direction.Key{})
	var names []string
	for epoch := range 300 {
		for i := range theta {
			for k, v := range theta[i].Data[:min(97, len(theta[i].Data))] { // a few values make another network
				theta[i].Data[k] = 0.9*v + float32(math.Sin(float64(epoch*k)))
			}
		}
		data, err := checkpoint.Encode(theta, nil)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Join(folder, fmt.Sprintf("model_%d.safetensors", epoch)))
		if err := os.WriteFile(names[epoch], data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_, _, few := usage(t, append([]string{"path", "--model", "mlp_40", "-o", filepath.Join(t.TempDir(), "few")}, names[:12]...)...)
	_, spent, many := usage(t, "path", "--model", "mlp_40", "-o", filepath.Join(t.TempDir(), "many"), folder)
	t.Logf("%d MB for 12 checkpoints, %d MB for 300, in %v", few, many, spent)
	if many > few+16 {
		t.Errorf("300 checkpoints took %d MB, and 12 of them %d MB", many, few)
	}
}

// TestPathsOfOddNamesArePlannedByThePrintedCommand follows what lsrun path prints by a shell.
func TestPathsOfOddNamesArePlannedByThePrintedCommand(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range oddNames {
		dir := t.TempDir()
		sh := shell(t, dir)
		said, err := sh(`lsrun path --model resnet20 -o "$1" "$2"/model_[048].t7`, name, filepath.Join(root, "resnet20"))
		if err != nil {
			t.Fatalf("%q: %v\n%s", name, err, said)
		}
		next := strings.Replace(printed(t, said, "plan"), "NAME --data PATH RUN", `cifar10 --data "$1" --subset 5 run`, 1)
		if said, err = sh(next, filepath.Join(root, "data", "cifar-10-batches-bin")); err != nil {
			t.Fatalf("%s: %v\n%s", next, err, said)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 { // the plane and the run
			t.Errorf("%q: the folder holds %v (%v)", name, entries, err)
		}
	}
}

func TestCheckpointsThatChangeWhileTheyAreReadAreRefused(t *testing.T) {
	graph, err := zoo.New("mlp_4", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "model_0.safetensors")
	tour := &trails{graph: graph, stops: []stop{{file: file}}}
	for i := range 3 {
		data, err := checkpoint.Encode(direction.Random(graph, false, direction.Key{Index: i / 2}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err = tour.read(0)
		if changed := i == 2; changed != errors.Is(err, shard.ErrRefused) || !changed && err != nil {
			t.Errorf("reading it for the %d. time: %v", i+1, err)
		}
	}
}

func TestAnInterruptedPathWritesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := filepath.Join(t.TempDir(), "plane")
	var out bytes.Buffer
	if code := execute(ctx, []string{"lsrun", "path", "--model", "resnet20", "-o", dir, reference + "resnet20"}, &out, &out); code != 75 || exists(dir) {
		t.Errorf("exit %d, %s there: %v\n%s", code, dir, exists(dir), &out)
	}
}

func TestRatesThatFellAfterThePathDropNothing(t *testing.T) {
	p := &h5.Projection{X: []float64{3, 2, 1, 0}, Y: make([]float64, 4)}
	for _, c := range []struct{ drops, want []int }{{[]int{2}, []int{2}}, {[]int{1, 3}, []int{1}}, {[]int{150}, nil}} {
		if got := pathsOf(p, c.drops)[0].Drops; !slices.Equal(got, c.want) {
			t.Errorf("rates that fell after epochs %v drop at checkpoints %v, not %v", c.drops, got, c.want)
		}
	}
}
