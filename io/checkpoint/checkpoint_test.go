package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lsrun/nn"
)

// expectation is what PyTorch said of a fixture (testdata/make.py).
type expectation struct {
	Entries []struct {
		Name   string
		Shape  []int
		Values []float64
	}
	Epoch    *int
	Accuracy *float64
	SHA256   string
}

func expectations(t *testing.T) map[string]expectation {
	t.Helper()
	text, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]expectation
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	return expected
}

func equalPointers[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func TestCheckpointsHaveTheTensorsThatPyTorchSees(t *testing.T) {
	for name, want := range expectations(t) {
		if name == "halves" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f, err := Read(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			format := formatZip
			if strings.HasSuffix(name, "_legacy.pth") {
				format = formatLegacy
			}
			if f.Format != format {
				t.Errorf("format is %q, not %q", f.Format, format)
			}
			if len(f.States) != len(want.Entries) {
				t.Fatalf("%d entries, not %d", len(f.States), len(want.Entries))
			}
			for i, e := range want.Entries {
				got := f.States[i]
				if got.Name != e.Name || !slices.Equal(got.Shape, e.Shape) || len(got.Data) != len(e.Values) {
					t.Errorf("entry %d is %s %v (%d values), not %s %v", i, got.Name, got.Shape, len(got.Data), e.Name, e.Shape)
					continue
				}
				for k, v := range e.Values {
					if math.Float32bits(got.Data[k]) != math.Float32bits(float32(v)) {
						t.Errorf("%s[%d] is %v, not %v", e.Name, k, got.Data[k], v)
					}
				}
			}
			if !equalPointers(f.Epoch, want.Epoch) || !equalPointers(f.Accuracy, want.Accuracy) {
				t.Errorf("epoch, accuracy are %v, %v, not %v, %v", f.Epoch, f.Accuracy, want.Epoch, want.Accuracy)
			}
		})
	}
	if _, err := os.Stat("testdata/executed"); err == nil {
		t.Error("a pickle was executed")
	}
}

func TestWhatWasChosenAndConvertedIsNoted(t *testing.T) {
	for name, want := range map[string]string{
		"training_zip.pth":         "prefix module. removed from every entry",
		"training_legacy.pth":      "the state dict is the one under state_dict",
		"lightning_zip.pth":        "prefix model._orig_mod. removed from every entry",
		"custom_key_zip.pth":       "the state dict is the one under classifier",
		"ema_zip.pth":              "ema holds a state dict too, which is not used",
		"swa_zip.pth":              "entry n_averaged left out: the weights are an average (AveragedModel)",
		"dtypes_zip.pth":           "float16 converted to float32 (1 entry)",
		"before_0_4_1_zip.pth":     "there is no num_batches_tracked, as before PyTorch 0.4.1: it is taken as 0",
		"module_zip.pth":           "a whole module was saved (class unknown_library.Net); its parameters and buffers were taken",
		"numpy_accuracy_zip.pth":   "the recorded acc is a fraction: read as 87.5 %",
		"malicious_beside_zip.pth": "the state dict is the one under state_dict",
	} {
		f, err := Read(filepath.Join("testdata", name))
		if err != nil {
			t.Error(err)
		} else if !slices.Contains(f.Notes, want) {
			t.Errorf("%s: %q is not among %q", name, want, f.Notes)
		}
	}
	if f, err := Read("testdata/small_zip.pth"); err != nil || len(f.Notes) > 0 {
		t.Errorf("a plain state dict is not worth notes: %q, %v", f.Notes, err)
	}
}

const reference = "../../testdata/reference/"

func TestThreeFormsOfOneNetworkGiveTheSameBits(t *testing.T) {
	legacy, err := Read(reference + "resnet20/model_8.t7")
	if err != nil {
		t.Fatal(err)
	}
	if legacy.Epoch == nil || *legacy.Epoch != 8 || legacy.Accuracy == nil {
		t.Errorf("epoch and accuracy are %v, %v", legacy.Epoch, legacy.Accuracy)
	}
	for _, name := range []string{"zip_state_dict.pth", "zip_dataparallel.pth"} {
		f, err := Read(reference + "resnet20/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !sameBits(f.States, legacy.States) {
			t.Errorf("%s differs from model_8.t7", name)
		}
	}
}

func sameBits(a, b nn.Params) bool {
	return slices.EqualFunc(a, b, func(s, t nn.Tensor) bool {
		return s.Name == t.Name && s.Shape.Equal(t.Shape) && slices.EqualFunc(s.Data, t.Data, func(x, y float32) bool {
			return math.Float32bits(x) == math.Float32bits(y)
		})
	})
}

func TestReferenceNetworksHaveTheEntriesOfTheZoo(t *testing.T) {
	text, err := os.ReadFile(reference + "zoo.json")
	if err != nil {
		t.Fatal(err)
	}
	var zoo struct {
		Models map[string]struct{ Entries [][2]json.RawMessage }
	}
	if err := json.Unmarshal(text, &zoo); err != nil {
		t.Fatal(err)
	}
	for path, model := range map[string]string{
		"resnet20/model_8.t7": "resnet20", "resnet20_b/model_4.t7": "resnet20", "resnet20_noshort/model_4.t7": "resnet20_noshort",
	} {
		f, err := Read(reference + path)
		if err != nil {
			t.Fatal(err)
		}
		want := zoo.Models[model].Entries
		if len(f.States) != len(want) {
			t.Errorf("%s has %d entries, not %d", path, len(f.States), len(want))
			continue
		}
		for i, e := range want {
			var name string
			var shape []int
			if json.Unmarshal(e[0], &name) != nil || json.Unmarshal(e[1], &shape) != nil {
				t.Fatal("zoo.json has another form")
			}
			if s := f.States[i]; s.Name != name || !slices.Equal(s.Shape, shape) {
				t.Errorf("%s: entry %d is %s %v, not %s %v", path, i, s.Name, s.Shape, name, shape)
			}
		}
	}
}

func TestTheHashIsOfTheFile(t *testing.T) {
	path := "testdata/small_zip.pth"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); f.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("SHA256 is %s", f.SHA256)
	}
}

func TestEveryHalfIsTheFloatThatNumPySays(t *testing.T) {
	hash := sha256.New()
	for h := range 1 << 16 {
		v := half(uint16(h))
		if v != v { // payloads of NaN are nobody's concern
			v = 0
		}
		if err := binary.Write(hash, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != expectations(t)["halves"].SHA256 {
		t.Errorf("the 65536 values hash to %s", got)
	}
}

func TestNonFiniteValuesAreReadAndNamed(t *testing.T) {
	f, err := Read("testdata/nan_zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	if entry, found := f.NonFinite(); !found || entry != "w" {
		t.Errorf("NonFinite says %q, %v", entry, found)
	}
	f.States[0].Data[1] = float32(math.Inf(-1))
	if _, found := f.NonFinite(); !found {
		t.Error("an infinity was not found")
	}
	f.States[0].Data[1] = 0
	if _, found := f.NonFinite(); found {
		t.Error("finite values are called not finite")
	}
}

func TestBadFilesAreRefusedWithTheReasonAndTheRemedy(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	fixture := func(name string) string { return filepath.Join("testdata", name) }
	for path, want := range map[string][]string{
		filepath.Join(dir, "absent"): {"no such file"},
		dir:                          {"is a directory"},
		write("empty", nil):          {"is empty"},
		write("garbage", bytes.Repeat([]byte("x"), 99)):   {"neither a PyTorch nor a safetensors file", "torch.save(model.state_dict(), path)"},
		write("short", []byte("ab")):                      {"neither a PyTorch"},
		write("tar", tar):                                 {"tar archive", "save it again"},
		write("h5", []byte("\x89HDF\r\n\x1a\n")):          {"HDF5"},
		write("gz", []byte("\x1f\x8b\x08\x00")):           {"gunzip"},
		write("cut.zip", head(t, "small_zip.pth", 900)):   {"directory at its end is missing", "copy it again"},
		write("cut.t7", head(t, "small_legacy.pth", 450)): {fmt.Sprintf("ends after 450 of %d bytes", len(readFixture(t, "small_legacy.pth"))), "copy it again"},
		write("cut2.t7", head(t, "small_legacy.pth", 99)): {"ends after 99 bytes", "copy it again"},
		fixture("malicious.pkl"):                          {"posix.system", "not run"},
		fixture("malicious_zip.pth"):                      {"posix.system", "not run"},
		fixture("plain.pkl"):                              {"not one by torch.save", "a dictionary"},
		fixture("sparse_zip.pth"):                         {"entry w", "_rebuild_sparse_tensor", "dense"},
		fixture("quantised_zip.pth"):                      {"entry w", "_rebuild_qtensor"},
		fixture("complex_zip.pth"):                        {"entry w", "complex64"},
		fixture("several_zip.pth"):                        {"several under unknown keys", `"gen"`, `"dis"`},
		fixture("tensor_zip.pth"):                         {"a tensor instead of a state dict"},
		fixture("nothing_zip.pth"):                        {"no state dict", `"epoch" (a number)`},
		fixture("torchscript.pt"):                         {"TorchScript", "torch.jit.load"},
	} {
		_, err := Read(path)
		if err == nil {
			t.Errorf("%s was read", path)
			continue
		}
		for _, part := range append(want, path) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", path, err, part)
			}
		}
	}
}

func head(t *testing.T, fixture string, n int) []byte {
	t.Helper()
	return readFixture(t, fixture)[:n]
}

func TestEveryTruncationIsAnError(t *testing.T) {
	small, err := Read("testdata/small_zip.pth")
	if err != nil {
		t.Fatal(err)
	}
	safe, err := Encode(small.States, map[string]string{"epoch": "1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"zip": readFixture(t, "small_zip.pth"), "deflated": readFixture(t, "deflated_zip.pth"),
		"legacy": readFixture(t, "small_legacy.pth"), "module": readFixture(t, "module_legacy.pth"), "safetensors": safe,
	} {
		if _, err := decode(bytes.NewReader(data), int64(len(data))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range data {
			if _, err := decode(bytes.NewReader(data[:n]), int64(n)); err == nil {
				t.Errorf("%s: %d of %d bytes were read", name, n, len(data))
			}
		}
	}
}

func readFixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAFlippedBitOfStoredWeightsIsDetected(t *testing.T) {
	data := readFixture(t, "small_zip.pth")
	weight := []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40} // 1, 2 in float32
	at := bytes.Index(data, weight)
	if at < 0 {
		t.Fatal("the weights are not in the file")
	}
	data[at+3] ^= 1
	if _, err := decode(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("the error is %v", err)
	}
}

// FuzzRead: whatever a file holds, reading it ends in a result or an error.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/*.p*")
	if err != nil || len(names) < 40 {
		f.Fatalf("%d fixtures, %v", len(names), err)
	}
	for _, name := range names {
		data := readFixture(f, filepath.Base(name))
		f.Add(data)
	}
	f.Add(rawSafetensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := decode(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, s := range file.States {
			if len(s.Data) != s.Shape.Size() {
				t.Errorf("entry %s has %d values, not %v", s.Name, len(s.Data), s.Shape)
			}
		}
	})
}
