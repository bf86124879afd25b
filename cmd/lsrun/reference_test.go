package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lsrun/io/h5"
	"lsrun/shard"
)

const (
	reference = "../../testdata/reference/"
	pictures  = reference + "data/cifar-10-batches-bin"
)

// lsrunOK carries out a command and fails the test unless it succeeds. It returns what
// the command printed.
func lsrunOK(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := execute(t.Context(), append([]string{"lsrun"}, args...), &stdout, &stderr); code != 0 {
		t.Fatalf("lsrun %s: exit %d\n%s%s", strings.Join(args, " "), code, &stdout, &stderr)
	}
	return stdout.String() + stderr.String()
}

// readSurface decodes a surface file.
func readSurface(t *testing.T, path string) *shard.Surface {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	surface, err := h5.Codec{}.DecodeSurface(data)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return surface
}

// TestSurfacesEqualThoseOfThePapersCode computes every reference surface anew from its
// direction file: losses within 1e-5 of PyTorch's in float64, and the same accuracies.
func TestSurfacesEqualThoseOfThePapersCode(t *testing.T) {
	for _, c := range []struct {
		name, model, checkpoint, directions, metrics, loss string
		noAccuracy                                         bool
	}{
		{"resnet20_surface", "resnet20", "resnet20/model_8.t7", "resnet20_filter", "train,test", "crossentropy", false},
		{"resnet20_mse", "resnet20", "resnet20/model_8.t7", "resnet20_filter", "train", "mse", false},
		{"resnet20_noshort_surface", "resnet20_noshort", "resnet20_noshort/model_4.t7", "resnet20_noshort_layer", "train,test", "crossentropy", false},
		// Where a running variance is negative the logits are NaN and the accuracy means nothing.
		{"resnet20_interpolation", "resnet20", "resnet20/model_8.t7", "resnet20_states", "train,test", "crossentropy", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := readSurface(t, reference+c.name+".h5")
			run := filepath.Join(t.TempDir(), "run")
			args := []string{"plan", "--model", c.model, "--checkpoint", reference + c.checkpoint, "--dir-file", reference + c.directions + ".h5",
				"--dataset", "cifar10", "--data", pictures, "--metrics", c.metrics, "--loss", c.loss, "--x=" + axisOf(want.X)}
			if want.Y != nil {
				args = append(args, "--y="+axisOf(want.Y))
			}
			lsrunOK(t, append(args, run)...)
			lsrunOK(t, "run", run)
			lsrunOK(t, "merge", run)
			got := readSurface(t, filepath.Join(run, surfaceFile))
			for _, metric := range strings.Split(c.metrics, ",") {
				compareLosses(t, metric, got.Layer(metric+"_loss").Values, want.Layer(metric+"_loss_fp64").Values)
				if !c.noAccuracy {
					compareAccuracies(t, metric, got.Layer(metric+"_acc").Values, want.Layer(metric+"_acc").Values)
				}
			}
		})
	}
}

// TestEigenvaluesEqualThoseOfThePapersCode computes the reference's Hessians anew: both eigenvalues within
// 1e-3 of the larger magnitude, and inside their intervals.
func TestEigenvaluesEqualThoseOfThePapersCode(t *testing.T) {
	t.Parallel()
	want := readSurface(t, reference+"resnet20_hessian.h5")
	run := filepath.Join(t.TempDir(), "run")
	lsrunOK(t, "plan", "--model", "resnet20", "--checkpoint", reference+"resnet20/model_8.t7", "--dir-file", reference+"resnet20_filter.h5",
		"--dataset", "cifar10", "--data", pictures, "--x="+axisOf(want.X), "--y="+axisOf(want.Y),
		"--hessian", "--hessian-images", "first:128", "--data-split", "5", run)
	lsrunOK(t, "run", run)
	lsrunOK(t, "merge", run)
	got := readSurface(t, filepath.Join(run, surfaceFile))
	sum := 0.0
	for k, largest := range want.Layer(maxEig).Values {
		smallest := want.Layer(minEig).Values[k]
		size := max(math.Abs(largest), math.Abs(smallest))
		for metric, value := range map[string]float64{maxEig: largest, minEig: smallest} {
			layer := got.Layer(metric)
			if gap := math.Abs(layer.Values[k] - value); !(gap <= 1e-3*size) || layer.Status[k] != shard.Done {
				t.Errorf("%s at point %d is %g (%v), want %g", metric, k, layer.Values[k], layer.Status[k], value)
			}
			if low, high := layer.Beside[lowerBound][k], layer.Beside[upperBound][k]; !(low-5e-5*size <= value && value <= high+5e-5*size) {
				t.Errorf("%s at point %d is %g, which is not from %g to %g", metric, k, value, low, high)
			}
		}
		sum += got.Layer(minEig).Beside[products][k]
	}
	t.Logf("%.3g products a point", sum/float64(len(want.Layer(maxEig).Values)))
}

// axisOf is the axis that has these coordinates.
func axisOf(coordinates []float64) string {
	return shard.Axis{Min: coordinates[0], Max: coordinates[len(coordinates)-1], N: len(coordinates)}.String()
}

func compareLosses(t *testing.T, metric string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d points, want %d", metric, len(got), len(want))
	}
	worst := 0.0
	for k := range want {
		if math.IsNaN(want[k]) && math.IsNaN(got[k]) {
			continue
		}
		gap := math.Abs(got[k]-want[k]) / math.Abs(want[k])
		if !(gap <= 1e-5) {
			t.Errorf("%s loss at point %d is %.8g, want %.8g", metric, k, got[k], want[k])
		}
		worst = max(worst, gap)
	}
	t.Logf("%s: losses within %.1e of float64", metric, worst)
}

func compareAccuracies(t *testing.T, metric string, got, want []float64) {
	t.Helper()
	for k := range want {
		if math.Abs(got[k]-want[k]) > 1e-9 {
			t.Errorf("%s accuracy at point %d is %g, want %g", metric, k, got[k], want[k])
		}
	}
}
