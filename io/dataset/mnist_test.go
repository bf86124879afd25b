package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lsrun/nn"
	"lsrun/shard"
)

// Two training images and one test image of 28×28, in the names that are about.
const idxInPython = `
rng = np.random.default_rng(0)
def idx(a): return bytes([0, 0, 8, a.ndim]) + b''.join(d.to_bytes(4, 'big') for d in a.shape) + a.tobytes()
train, test = (rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for n in (2, 1))
parts = {'train-images-idx3': train, 'train-labels-idx1': np.array([3, 9], np.uint8),
         't10k-images-idx3': test, 't10k-labels-idx1': np.array([0], np.uint8)}
for folder, name, put in [('plain', '%s-ubyte', bytes), ('packed', '%s-ubyte.gz', gzip.compress), ('above/MNIST/raw', '%s-ubyte', bytes)]:
    os.makedirs(folder)
    for k, a in parts.items(): open(folder + '/' + name % k, 'wb').write(put(idx(a)))
os.makedirs('dotted')
for k, a in parts.items(): open('dotted/%s-ubyte' % k.replace('-idx', '.idx'), 'wb').write(idx(a))
train.tofile('train.raw')
`

func TestIDXFilesAreReadUnderAllTheirNames(t *testing.T) {
	folder := python(t, idxInPython)
	plain := load(t, "mnist", filepath.Join(folder, "plain"))
	if !plain.Shape.Equal(nn.Shape{1, 28, 28}) || plain.Classes != 10 || len(plain.Test.Labels) != 1 {
		t.Errorf("%v, %d classes", plain.Shape, plain.Classes)
	}
	if !slices.Equal(plain.Train.Labels, []int32{3, 9}) || !slices.Equal(plain.Train.Bytes, readBytes(t, filepath.Join(folder, "train.raw"))) {
		t.Error("the training set is not what was written")
	}
	for _, name := range []string{"packed", "dotted", "above"} {
		path := filepath.Join(folder, name)
		if got := load(t, "mnist", path); got.SHA256 != plain.SHA256 {
			t.Errorf("%s is read differently", name)
		}
		if got := Recognise(path); got != "mnist" {
			t.Errorf("%s is recognised as %q", name, got)
		}
	}
}

func TestTwoIDXSetsInOneFolderMustBeToldApart(t *testing.T) {
	folder := python(t, idxInPython)
	if err := os.CopyFS(filepath.Join(folder, "above/FashionMNIST/raw"), os.DirFS(filepath.Join(folder, "plain"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("mnist", filepath.Join(folder, "above")); err == nil || !strings.Contains(err.Error(), "FashionMNIST") {
		t.Error(err)
	}
}

func TestDamagedIDXFilesAreErrors(t *testing.T) {
	folder := python(t, idxInPython)
	for _, name := range []string{"plain/train-images-idx3-ubyte", "packed/train-images-idx3-ubyte.gz"} {
		whole := readBytes(t, filepath.Join(folder, name))
		for n := 0; n < len(whole); n += 1 + n/20 {
			if _, _, err := decodeIDX(whole[:n], 3); err == nil {
				t.Fatalf("%s cut to %d bytes was read", name, n)
			}
		}
		if _, _, err := decodeIDX(append(slices.Clone(whole), 0), 3); err == nil {
			t.Errorf("%s with a byte too many was read", name)
		}
	}
	images := filepath.Join(folder, "plain/train-images-idx3-ubyte")
	write(t, images, readBytes(t, images)[:100])
	if _, err := Load("mnist", filepath.Dir(images)); !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), images) {
		t.Error(err)
	}
	write(t, images, readBytes(t, filepath.Join(folder, "plain/t10k-images-idx3-ubyte")))
	if _, err := Load("mnist", filepath.Dir(images)); !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), "1 train images, but 2 labels") {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(folder, "plain/train-labels-idx1-ubyte")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("mnist", filepath.Dir(images)); err == nil || !strings.Contains(err.Error(), "train-labels-idx1-ubyte is missing") {
		t.Error(err)
	}
}

func FuzzIDX(f *testing.F) {
	f.Add([]byte{0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 5, 6})
	f.Add([]byte{0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Add([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		values, dims, err := decodeIDX(data, 3)
		if err == nil && len(values) != nn.Shape(dims).Size() {
			t.Errorf("%d values of shape %v", len(values), dims)
		}
	})
}
