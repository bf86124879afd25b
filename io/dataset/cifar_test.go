package dataset

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lsrun/shard"
)

const reference = "../../testdata/reference/data"

func load(t *testing.T, kind, path string) *Set {
	t.Helper()
	set, err := Load(kind, path)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestBothFormsOfCIFARAreTheSameData(t *testing.T) {
	binary := load(t, "cifar10", reference+"/cifar-10-batches-bin")
	python := load(t, "cifar10", reference+"/cifar-10-batches-py")
	if len(binary.Train.Labels) != 640 || len(binary.Test.Labels) != 200 || binary.Classes != 10 {
		t.Fatalf("%d training and %d test images of %d classes", len(binary.Train.Labels), len(binary.Test.Labels), binary.Classes)
	}
	if !slices.Equal(binary.Train.Bytes, python.Train.Bytes) || !slices.Equal(binary.Test.Labels, python.Test.Labels) {
		t.Error("the pixels or labels differ")
	}
	if binary.SHA256 != python.SHA256 {
		t.Errorf("the digests differ: %s and %s", binary.SHA256, python.SHA256)
	}
}

func TestTheParentOfCIFARsFolderWillDo(t *testing.T) {
	if above, in := load(t, "cifar10", reference), load(t, "cifar10", reference+"/cifar-10-batches-py"); above.SHA256 != in.SHA256 {
		t.Error("the digests differ")
	}
}

const archivesInPython = `
import tarfile
for form, mode in [('cifar-10-batches-bin', 'binary'), ('cifar-10-batches-py', 'python')]:
    with tarfile.open('cifar-10-%s.tar.gz' % mode, 'w:gz', dereference=True) as f: f.add(sys.argv[1] + '/' + form, form)
`

func TestCIFARIsReadFromItsArchive(t *testing.T) {
	folder := python(t, archivesInPython, absolute(t, reference))
	want := load(t, "cifar10", reference).SHA256
	for _, name := range []string{"cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"} {
		path := filepath.Join(folder, name)
		if load(t, "cifar10", path).SHA256 != want {
			t.Errorf("%s is read differently", name)
		}
		whole := readBytes(t, path)
		write(t, path, whole[:len(whole)/2])
		if _, err := Load("cifar10", path); !errors.Is(err, shard.ErrCorrupt) {
			t.Errorf("half of %s: %v", name, err)
		}
	}
}

const cifar100InPython = `
rng = np.random.default_rng(0)
os.makedirs('cifar-100-binary'); os.makedirs('cifar-100-python')
for name, n in [('train', 3), ('test', 2)]:
    data, coarse, fine = rng.integers(0, 256, (n, 3072), dtype=np.uint8), list(range(n)), [99 - i for i in range(n)]
    open('cifar-100-binary/%s.bin' % name, 'wb').write(b''.join(bytes([c, f]) + d.tobytes() for c, f, d in zip(coarse, fine, data)))
    pickle.dump({b'data': data, b'coarse_labels': coarse, b'fine_labels': fine}, open('cifar-100-python/' + name, 'wb'), protocol=2)
`

func TestCIFAR100HasItsFineLabelsInBothForms(t *testing.T) {
	folder := python(t, cifar100InPython)
	binary, python := load(t, "cifar100", filepath.Join(folder, "cifar-100-binary")), load(t, "cifar100", filepath.Join(folder, "cifar-100-python"))
	if !slices.Equal(binary.Train.Labels, []int32{99, 98, 97}) || binary.Classes != 100 {
		t.Errorf("labels %v of %d classes", binary.Train.Labels, binary.Classes)
	}
	if binary.SHA256 != python.SHA256 {
		t.Error("the two forms differ")
	}
	if got := Recognise(folder); got != "cifar100" {
		t.Errorf("recognised as %q", got)
	}
	if got := Recognise(reference); got != "cifar10" {
		t.Errorf("recognised as %q", got)
	}
}

func TestASetOfTestPicturesAloneWillDo(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "test_batch.bin"), readBytes(t, reference+"/cifar-10-batches-bin/test_batch.bin")[:3073])
	set := load(t, "cifar10", folder)
	if set.Train != nil || len(set.Test.Labels) != 1 || set.Classes != 10 {
		t.Errorf("%+v", set)
	}
}

func TestIncompleteAndForeignCIFARFoldersAreRefused(t *testing.T) {
	batch := readBytes(t, reference+"/cifar-10-batches-bin/data_batch_1.bin")
	spoilt := slices.Clone(batch)
	spoilt[2*3073] = 10
	for _, c := range []struct {
		says    string
		corrupt bool
		files   map[string][]byte
	}{
		{"it holds nothing", false, nil},
		{"it holds photo.jpg", false, map[string][]byte{"photo.jpg": nil}},
		{"data_batch_2.bin", false, map[string][]byte{"data_batch_1.bin": batch}},
		{"not a whole number of records of 3073", true, map[string][]byte{"test_batch.bin": batch[:5000]}},
		{"not a whole number of records", true, map[string][]byte{"test_batch.bin": nil}},
		{"record 2 has the label 10", true, map[string][]byte{"test_batch.bin": spoilt}},
		{"cut short or damaged", true, map[string][]byte{"test_batch": []byte("garbage")}},
	} {
		folder := t.TempDir()
		for name, data := range c.files {
			write(t, filepath.Join(folder, name), data)
		}
		_, err := Load("cifar10", folder)
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, shard.ErrCorrupt) != c.corrupt {
			t.Errorf("%v, which does not say %q", err, c.says)
		}
	}
	if _, err := Load("cifar10", filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Load("cifar10", reference+"/cifar-10-batches-bin/test_batch.bin"); err == nil || !strings.Contains(err.Error(), "name the folder") {
		t.Error(err)
	}
}
