package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"lsrun/nn"
)

// The presets written again as people's Python has them.
const presetsInPython = `
presets = {
 'paper': ([x/255.0 for x in [125.3, 123.0, 113.9]], [x/255.0 for x in [63.0, 62.1, 66.7]]),
 'cifar10': ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
 'cifar10-kuangliu': ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
 'cifar100': ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
 'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
 'mnist': ((0.1307,)*3, (0.3081,)*3),
 'fashion-mnist': ((0.2860,)*3, (0.3530,)*3),
 'half': ((0.5,)*3, (0.5,)*3),
 'raw': ((0.0,)*3, (1.0,)*3),
}
batch = pickle.load(open(sys.argv[1], 'rb'), encoding='latin1')
x = np.asarray(batch['data']).reshape(-1, 3, 32, 32).astype(np.float32) / np.float32(255)
for name, (mean, std) in presets.items():
    mean, std = (np.array(v, dtype=np.float32).reshape(3, 1, 1) for v in (mean, std))
    y = (x - mean) / std
    assert y.dtype == np.float32
    y.astype('<f4').tofile(name)
`

func TestEveryPresetGivesNumPysBits(t *testing.T) {
	folder := python(t, presetsInPython, absolute(t, reference+"/cifar-10-batches-py/test_batch"))
	set := load(t, "cifar10", reference)
	for _, preset := range Presets() {
		want := readBytes(t, filepath.Join(folder, preset.Name))
		images, err := set.TestImages(Selection{}, preset.Preprocess)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) != 4*len(images.Pixels) {
			t.Fatalf("%d values, but NumPy has %d", len(images.Pixels), len(want)/4)
		}
		for i, x := range images.Pixels {
			if w := binary.LittleEndian.Uint32(want[4*i:]); math.Float32bits(x) != w {
				t.Errorf("%s: pixel %d is %v, not %v", preset.Name, i, x, math.Float32frombits(w))
				break
			}
		}
	}
}

func TestFloatsAreTakenAsTheyAreUnlessAMeanIsGiven(t *testing.T) {
	set := &Set{Shape: nn.Shape{2, 1, 2}, Train: &Part{Floats: []float32{1, 2, 3, 4, 5, 6, 7, 8}, Labels: []int32{0, 1}}}
	for _, c := range []struct {
		pre  Preprocess
		want string
	}{
		{Preprocess{}, "[1 2 3 4 5 6 7 8]"},
		{Preprocess{Mean: []float64{1, 3}}, "[0 1 0 1 4 5 4 5]"},
		{Preprocess{Mean: []float64{1, 3}, Std: []float64{2}}, "[0 0.5 0 0.5 2 2.5 2 2.5]"},
	} {
		images, err := set.TrainImages(Selection{}, c.pre)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(images.Pixels); got != c.want {
			t.Errorf("%+v gives %s, not %s", c.pre, got, c.want)
		}
	}
}

func TestImpossibleNormalisationsAreRefused(t *testing.T) {
	set := load(t, "cifar10", reference)
	for _, c := range []struct {
		pre  Preprocess
		says string
	}{
		{Preprocess{Mean: []float64{0, 0}}, "2 values of the mean for 3 channels"},
		{Preprocess{Std: []float64{1, 1, 0}}, "not above 0"},
		{Preprocess{Std: []float64{-1}}, "not above 0"},
		{Preprocess{Std: []float64{1e-60}}, "not above 0"},
		{Preprocess{Std: []float64{math.NaN()}}, "not a finite number"},
		{Preprocess{Mean: []float64{math.Inf(1)}}, "not a finite number"},
		{Preprocess{Mean: []float64{1e300}}, "not a finite number"},
	} {
		if _, err := set.TestImages(Selection{}, c.pre); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, which does not say %q", c.pre, err, c.says)
		}
	}
}

func TestPresetsAreFoundByName(t *testing.T) {
	for _, name := range append(PresetNames(), DefaultPreset("cifar10"), DefaultPreset("mnist"), DefaultPreset("npz")) {
		if p, err := ParsePreset(name); err != nil || p.Name != name {
			t.Errorf("%s: %v, %v", name, p.Name, err)
		}
	}
	if p, err := ParsePreset("none"); err != nil || p.Name != "raw" {
		t.Errorf("none: %v, %v", p.Name, err)
	}
	if _, err := ParsePreset("cifar"); err == nil || !strings.Contains(err.Error(), "cifar10-kuangliu") {
		t.Errorf("an unknown preset: %v", err)
	}
}
