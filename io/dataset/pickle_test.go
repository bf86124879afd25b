package dataset

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const picklesInPython = `
data = (np.arange(2*3072) % 251).astype(np.uint8).reshape(2, 3072)
def dump(name, d, protocol): open(name, 'wb').write(pickle.dumps(d, protocol))
for p in range(2, 6):
    dump('bytes%d' % p, {b'data': data, b'labels': [0, 9]}, p)
    dump('text%d' % p, {'data': np.asfortranarray(data), 'labels': np.array([0, 9])}, p)
    dump('scalars%d' % p, {'data': data, 'labels': [np.int64(0), np.int64(9)]}, p)
open('numpy2', 'wb').write(pickle.dumps({'data': data, 'labels': [0, 9]}, 2).replace(b'numpy.core', b'numpy._core'))
dump('old0', {'data': data, 'labels': [0, 9]}, 0)
class Evil:
    def __reduce__(self): return os.system, ('touch executed',)
dump('evil', {'data': Evil(), 'labels': [0, 9]}, 2)
dump('list', [1, 2], 2)
dump('floats', {'data': data.astype('f4'), 'labels': [0, 9]}, 2)
dump('flat', {'data': data.ravel(), 'labels': [0, 9]}, 2)
dump('short', {'data': data, 'labels': [0]}, 2)
dump('words', {'data': data, 'labels': ['cat', 'dog']}, 2)
dump('coarse', {'data': data, 'coarse_labels': [0, 9]}, 2)
`

func checkPickled(t *testing.T, name string, data []byte) {
	t.Helper()
	pixels, labels, err := pickled("labels")(data)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if !slices.Equal(labels, []int32{0, 9}) || len(pixels) != 2*cifarPixels {
		t.Errorf("%s: labels %v of %d bytes", name, labels, len(pixels))
	}
	for i, v := range pixels {
		if int(v) != i%251 {
			t.Errorf("%s: byte %d is %d", name, i, v)
			return
		}
	}
}

func TestPicklesOfEveryProtocolAreRead(t *testing.T) {
	folder := python(t, picklesInPython)
	for protocol := 2; protocol <= 5; protocol++ {
		for _, form := range []string{"bytes", "text", "scalars"} {
			name := fmt.Sprint(form, protocol)
			checkPickled(t, name, readBytes(t, filepath.Join(folder, name)))
		}
	}
	checkPickled(t, "numpy2", readBytes(t, filepath.Join(folder, "numpy2")))
}

// The published files were written by Python 2, whose strings are bytes.
func TestPython2sPicklesAreRead(t *testing.T) {
	pixels := make([]byte, 2*cifarPixels)
	for i := range pixels {
		pixels[i] = byte(i % 251)
	}
	counted := string(binary.LittleEndian.AppendUint32(nil, uint32(len(pixels)))) + string(pixels)
	checkPickled(t, "Python 2", []byte("\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"+
		"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"+counted+"tb"+
		"U\x06labels](K\x00K\x09eu."))
}

func TestNothingInAPickleIsExecutedAndOddOnesAreRefused(t *testing.T) {
	folder := python(t, picklesInPython)
	for name, says := range map[string]string{
		"evil":   "posix.system, which is no part of a data set",
		"old0":   "array",
		"list":   "not a dict",
		"floats": "N×3072 array of uint8",
		"flat":   "N×3072 array of uint8",
		"short":  "2 pictures, but 1 labels",
		"words":  "not an integer at 0",
		"coarse": "labels is not a list",
	} {
		if _, _, err := pickled("labels")(readBytes(t, filepath.Join(folder, name))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, which does not say %q", name, err, says)
		}
	}
	if _, err := os.Stat("executed"); err == nil {
		t.Error("the pickle was executed")
	}
}

func TestACutPickleIsAnError(t *testing.T) {
	folder := python(t, picklesInPython)
	for _, name := range []string{"bytes2", "text4", "text5"} {
		whole := readBytes(t, filepath.Join(folder, name))
		for n := 0; n < len(whole); n += 1 + n/50 {
			if _, _, err := pickled("labels")(whole[:n]); err == nil {
				t.Fatalf("%s cut to %d bytes was read", name, n)
			}
		}
	}
}

func TestLengthsBeyondTheFileAskForNoMemory(t *testing.T) {
	for _, pickle := range []string{
		"\x80\x05\x8e\x00\x00\x00\x00\x00\x01\x00\x00.", "\x80\x04\x95\x00\x00\x00\x00\x00\x01\x00\x00.", "\x80\x02B\xff\xff\xff\xff.", "X\xff\xff\xff\x7f", "cnumpy", "cnumpy\ndtype", "K",
	} {
		if _, err := unpickle([]byte(pickle)); err == nil || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("%q: %v", pickle, err)
		}
	}
}

func FuzzPickledCIFAR(f *testing.F) {
	f.Add([]byte("\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" +
		"(K\x01K\x00M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x00tbU\x06labels]u."))
	f.Add([]byte("\x80\x02\x8a\x00."))
	f.Add([]byte("\x80\x02cnumpy.core.multiarray\nscalar\n(tR."))
	f.Fuzz(func(t *testing.T, data []byte) {
		pixels, labels, err := pickled("labels")(data)
		if err == nil && len(pixels) != len(labels)*cifarPixels {
			t.Errorf("%d bytes for %d labels", len(pixels), len(labels))
		}
	})
}
