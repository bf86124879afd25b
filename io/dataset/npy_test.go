package dataset

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lsrun/nn"
	"lsrun/shard"
)

// The same small numbers, saved in every way.
const arraysInPython = `
x = np.arange(2*3*4*5).reshape(2, 3, 4, 5) % 120
y = np.array([4, 1])
xt, yt = x[:1] + 1, y[1:]
def save(name, cast, labels='int64'):
    np.savez(name, X=cast(x), y=y.astype(labels), X_test=cast(xt), y_test=yt.astype(labels))
for t in ['u1', '<f2', '>f2', '<f4', '>f4', '<f8', '>f8']: save('x' + t, lambda a: a.astype(t))
for t in ['u1', 'i1', 'b1', '<u2', '>i2', '<u4', '>i4', '<i4', '<u8', '>i8']: save('y' + t, lambda a: a.astype('u1'), t)
save('fortran', lambda a: np.asfortranarray(a.astype('u1')))
save('column', lambda a: a.astype('u1'))
np.savez_compressed('packed', X=x.astype('u1'), y=y.reshape(2, 1), X_test=xt.astype('u1'), y_test=yt)
os.mkdir('folder')
for k, a in dict(X=x.astype('u1'), y=y, X_test=xt.astype('u1'), y_test=yt).items(): np.save('folder/' + k, a)
with open('v2.npy', 'wb') as f: np.lib.format.write_array(f, y, version=(2, 0))
`

func TestArraysAreReadInEveryTypeAndOrder(t *testing.T) {
	folder := python(t, arraysInPython)
	in := func(name string) string { return filepath.Join(folder, name+".npz") }
	plain := load(t, "npz", in("xu1"))
	if !plain.Shape.Equal(nn.Shape{3, 4, 5}) || plain.Classes != 5 || !slices.Equal(plain.Train.Labels, []int32{4, 1}) {
		t.Fatalf("%v, %d classes, labels %v", plain.Shape, plain.Classes, plain.Train.Labels)
	}
	for i, v := range plain.Train.Bytes {
		if int(v) != i%120 {
			t.Fatalf("pixel %d is %d", i, v)
		}
	}
	for _, name := range []string{"x<f2", "x>f2", "x>f4", "x<f8", "x>f8"} {
		set := load(t, "npz", in(name))
		if set.SHA256 != load(t, "npz", in("x<f4")).SHA256 || set.Train.Floats[7] != 7 {
			t.Errorf("%s is read differently from x<f4", name)
		}
	}
	for _, name := range []string{"yu1", "yi1", "y<u2", "y>i2", "y<u4", "y>i4", "y<i4", "y<u8", "y>i8", "fortran", "packed"} {
		if load(t, "npz", in(name)).SHA256 != plain.SHA256 {
			t.Errorf("%s is read differently from xu1", name)
		}
	}
	if !slices.Equal(load(t, "npz", in("yb1")).Train.Labels, []int32{1, 1}) {
		t.Error("booleans are not 0 and 1")
	}
	if load(t, "npy", filepath.Join(folder, "folder")).SHA256 != plain.SHA256 {
		t.Error("the .npy files are read differently from the .npz file")
	}
	if labels, err := ReadLabels(filepath.Join(folder, "v2.npy")); err != nil || !slices.Equal(labels, []int32{4, 1}) {
		t.Errorf("format version 2: %v, %v", labels, err)
	}
	if Recognise(in("packed")) != "npz" || Recognise(filepath.Join(folder, "folder")) != "npy" || Recognise(folder) != "" {
		t.Error("not recognised")
	}
}

func TestHalvesAreWidenedExactly(t *testing.T) {
	folder := python(t, `
h = np.arange(65536, dtype=np.uint16)
h.view('<f2').astype('<f4').tofile('wide')`)
	want := readBytes(t, filepath.Join(folder, "wide"))
	for h := range 65536 {
		got, w := float16(uint16(h)), math.Float32frombits(uint32(want[4*h])|uint32(want[4*h+1])<<8|uint32(want[4*h+2])<<16|uint32(want[4*h+3])<<24)
		if math.Float32bits(got) != math.Float32bits(w) && !(got != got && w != w) {
			t.Fatalf("%#04x is %v, not %v", h, got, w)
		}
	}
}

func TestACutOrChangedFileOfArraysIsAnError(t *testing.T) {
	folder := python(t, arraysInPython)
	npy := readBytes(t, filepath.Join(folder, "folder/X.npy"))
	for n := range npy {
		if _, err := readNPY(bytes.NewReader(npy[:n]), int64(n)); err == nil {
			t.Fatalf("X.npy cut to %d bytes was read", n)
		}
	}
	npz, path := readBytes(t, filepath.Join(folder, "packed.npz")), filepath.Join(folder, "damaged.npz")
	for n := 0; n < len(npz); n += 7 {
		write(t, path, npz[:n])
		if _, err := Load("npz", path); !errors.Is(err, shard.ErrCorrupt) {
			t.Fatalf("packed.npz cut to %d bytes: %v", n, err)
		}
	}
	plain := readBytes(t, filepath.Join(folder, "xu1.npz"))
	pixels := bytes.Index(plain, []byte{10, 11, 12, 13, 14})
	plain[pixels]++
	write(t, path, plain)
	if _, err := Load("npz", path); !errors.Is(err, shard.ErrCorrupt) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a changed pixel: %v", err)
	}
}

func TestArraysUnderOtherNamesAreListed(t *testing.T) {
	folder := python(t, "np.savez('keras', x_train=np.zeros((1, 2)), y_train=np.zeros(1))")
	_, err := Load("npz", filepath.Join(folder, "keras.npz"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "x_train, y_train") {
		t.Error(err)
	}
}

func TestObjectsAndTextAreNotNumbers(t *testing.T) {
	folder := python(t, `
np.save('object', np.array([{}], dtype=object))
np.save('text', np.array(['a']))
np.save('complex', np.array([1j]))
np.save('record', np.zeros(1, dtype=[('a', 'f4')]))`)
	for _, name := range []string{"object", "text", "complex", "record"} {
		if a, err := readFile(filepath.Join(folder, name+".npy")); !errors.Is(err, shard.ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, a, err)
		}
	}
}

func FuzzNPY(f *testing.F) {
	header := "\x93NUMPY\x01\x00\x46\x00{'descr': '<f2', 'fortran_order': True, 'shape': (2, 1), }            \n"
	f.Add([]byte(header + "abcd"))
	f.Add([]byte(strings.Replace(header, "(2, 1)", "(9223372036854775807, 9)", 1)))
	f.Add([]byte(strings.Replace(header, "(2, 1)", "(-2, 1)", 1)))
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readNPY(bytes.NewReader(data), int64(len(data)))
		if n := len(a.Bytes) + len(a.Floats) + len(a.Ints); err == nil && n != nn.Shape(a.Shape).Size() {
			t.Errorf("%d values of shape %v", n, a.Shape)
		}
	})
}
