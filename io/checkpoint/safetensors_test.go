package checkpoint

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lsrun/nn"
)

// rawSafetensors is a file of the given header and n bytes 0, 1, 2, …
func rawSafetensors(header string, n int) []byte {
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for i := range n {
		data = append(data, byte(i))
	}
	return data
}

func TestEncodedStatesAreReadBackBitForBit(t *testing.T) {
	f, err := Read(reference + "resnet20/model_8.t7")
	if err != nil {
		t.Fatal(err)
	}
	data, err := Encode(f.States, map[string]string{"epoch": "8", "acc": "12.5", "made by": "<a test>"})
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Encode(f.States, map[string]string{"made by": "<a test>", "acc": "12.5", "epoch": "8"})
	if !bytes.Equal(data, again) {
		t.Error("equal states give different bytes")
	}
	path := filepath.Join(t.TempDir(), "theta.bin") // the content decides
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if back.Format != formatSafetensors || !sameBits(back.States, f.States) {
		t.Error("what was read is not what was written")
	}
	if back.Metadata["made by"] != "<a test>" || *back.Epoch != 8 || *back.Accuracy != 12.5 {
		t.Errorf("metadata is %v, epoch %v, accuracy %v", back.Metadata, back.Epoch, back.Accuracy)
	}
}

func TestEncodeWritesTheFormatByteForByte(t *testing.T) {
	got, err := Encode(nn.Params{{Name: "b", Shape: nn.Shape{}, Data: []float32{1}}, {Name: "a", Shape: nn.Shape{1, 2}, Data: []float32{-2, 0.5}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	header := `{"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]}   }`
	want := string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header +
		"\x00\x00\x80\x3f" + "\x00\x00\x00\xc0" + "\x00\x00\x00\x3f"
	if string(got) != want {
		t.Errorf("the file is\n%q, not\n%q", got, want)
	}
}

func TestEncodeRefusesWhatCannotBeReadBack(t *testing.T) {
	one := nn.Tensor{Name: "a", Shape: nn.Shape{1}, Data: []float32{1}}
	for name, states := range map[string]nn.Params{
		"twice":  {one, one},
		"values": {{Name: "a", Shape: nn.Shape{2}, Data: []float32{1}}},
		"nil":    {{Name: "a", Shape: nn.Shape{2}}},
		"meta":   {{Name: metadataKey, Shape: nn.Shape{1}, Data: []float32{1}}},
	} {
		if _, err := Encode(states, nil); err == nil {
			t.Errorf("%s was encoded", name)
		}
	}
}

// The length of the header, which comes first, may look like the beginning of a pickle
// (0x80) or of a zip archive ("PK").
func TestSafetensorsAreRecognisedWhateverTheLengthOfTheirHeader(t *testing.T) {
	for _, length := range []int{0x80, 0x280, 0x4B50} {
		header := `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`
		data := rawSafetensors(header+strings.Repeat(" ", length-len(header)), 1)
		path := filepath.Join(t.TempDir(), "net")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := Read(path); err != nil || f.Format != formatSafetensors {
			t.Errorf("a header of %#x bytes: %v", length, err)
		}
	}
}

func TestSafetensorsOfOtherTypesAndOrderAreRead(t *testing.T) {
	data := rawSafetensors(`{"module.b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},"module.a":{"data_offsets":[0,2],"shape":[],"dtype":"BF16"}}  `, 4)
	f, err := decode(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	// Bytes 0, 1 are the bfloat16 of sign 0, exponent 2, fraction 0: 2⁻¹²⁵.
	want := nn.Params{{Name: "b", Shape: nn.Shape{2}, Data: []float32{2, 3}}, {Name: "a", Data: []float32{0x1p-125}}}
	if !sameBits(f.States, want) {
		t.Errorf("the states are %v", f.States)
	}
}

func TestTheStateOfAnOptimiserIsKeptApart(t *testing.T) {
	network := nn.Params{{Name: "a", Shape: nn.Shape{2}, Data: []float32{1, 2}}, {Name: "optimizer", Shape: nn.Shape{1}, Data: []float32{3}}}
	optimiser := nn.Params{{Name: "exp_avg.a", Shape: nn.Shape{2}, Data: []float32{4, 5}}, {Name: "exp_avg.optimizer", Shape: nn.Shape{1}, Data: []float32{6}}}
	var all nn.Params
	for i := range network {
		prefixed := optimiser[i]
		prefixed.Name = OptimizerPrefix + prefixed.Name
		all = append(all, prefixed, network[i])
	}
	data, err := Encode(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := decode(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if !sameBits(f.States, network) || !sameBits(f.Optimizer, optimiser) || len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "2 entries") {
		t.Errorf("the network is %v, the optimiser %v, the notes %q", f.States, f.Optimizer, f.Notes)
	}
	if data, err = Encode(all[:1], nil); err != nil {
		t.Fatal(err)
	}
	if _, err := decode(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("an optimiser alone: %v", err)
	}
}

func TestBadSafetensorsAreRefusedWithTheReason(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	for header, want := range map[string]string{
		`{` + a + `,` + a + `}`: "entry a occurs twice",
		`{` + a + `,"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}`:  "entry b begins at byte 2 of the data instead of 4",
		`{` + a + `,"b":{"dtype":"F32","shape":[1],"data_offsets":[6,10]}}`: "entry b begins at byte 6",
		`{` + a + `,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`: "ends after 8 of 12 bytes",
		`{` + a + `}`: "4 bytes follow the last tensor",
		`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`:                       "entry a: data_offsets [0 4] do not fit F32 2",
		`{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}`:                   `type "F8_E4M3"`,
		`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`:                      "impossible",
		`{"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}}`: "impossible",
		`{"a":{"dtype":"F32","shape":[18446744073709551617],"data_offsets":[0,8]}}`:    "entry a",
		`{"a":{"dtype":"F32","data_offsets":[0,8]}}`:                                   "missing",
		`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`:                         "missing",
		`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]}}`:          "stride",
		`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x`:                     "something follows",
		`{}`:                      "no tensors",
		`{"__metadata__":{"a":1}`: "__metadata__",
		`{"a":[`:                  "entry a",
	} {
		data := rawSafetensors(header, 8)
		if _, err := decode(bytes.NewReader(data), int64(len(data))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", header, err, want)
		}
	}
}
