package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"lsrun/nn"
)

// maxHeader is the longest header that the format allows.
const maxHeader = 100_000_000

const metadataKey = "__metadata__"

// OptimizerPrefix begins the names of what lsrun train keeps of its optimiser beside the network's entries.
const OptimizerPrefix = "optimizer."

// header describes one tensor; begin and end count from the end of the header.
type header struct {
	DType   string  `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"`

	name  string
	dtype *dtype
	size  int
}

// decodeSafetensors reads the format of https://github.com/huggingface/safetensors. The
// tensors must fill the file without holes and overlaps.
func decodeSafetensors(r io.ReaderAt, size int64, limit *budget) (*File, error) {
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, err
	}
	n := int64(u64(prefix[:])) // ≤ maxHeader: decode looked
	if 8+n > size {
		return nil, fmt.Errorf("the file ends after %d bytes, within its header of %d: %s", size, n, copyAgain)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, err
	}
	f := &File{Format: formatSafetensors}
	headers, err := f.parseHeader(text)
	if err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	if err := checkLayout(headers, size-8-n); err != nil {
		return nil, err
	}
	converted := conversions{}
	var names []string
	for _, h := range headers {
		if err := limit.spend(4 * int64(h.size)); err != nil {
			return nil, fmt.Errorf("entry %s: %w", h.name, err)
		}
		raw := make([]byte, h.Offsets[1]-h.Offsets[0])
		if _, err := r.ReadAt(raw, 8+n+h.Offsets[0]); err != nil && err != io.EOF {
			return nil, fmt.Errorf("entry %s: %w", h.name, err)
		}
		t := nn.Tensor{Shape: h.Shape, Data: h.dtype.floats(raw)}
		converted.count(h.name, h.dtype)
		if name, is := strings.CutPrefix(h.name, OptimizerPrefix); is {
			t.Name = name
			f.Optimizer = append(f.Optimizer, t)
			continue
		}
		f.States, names = append(f.States, t), append(names, h.name)
	}
	if len(f.Optimizer) > 0 {
		f.note("the optimiser's state (%s) is not part of the network", entriesOf(len(f.Optimizer)))
	}
	if len(f.States) == 0 {
		return nil, errors.New("there is no network in it, only the state of an optimiser")
	}
	f.noteNames(names)
	for i, name := range names {
		f.States[i].Name = name
	}
	converted.note(f)
	f.readMetadata()
	return f, nil
}

// parseHeader reads the JSON object token by token, for a map would lose the order and
// let entries that occur twice pass.
func (f *File) parseHeader(text []byte) ([]header, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var headers []header
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string) // the decoder lets nothing else be a key
		if seen[name] {
			return nil, fmt.Errorf("entry %s occurs twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			if err := d.Decode(&f.Metadata); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		h := header{name: name}
		if err := d.Decode(&h); err != nil {
			return nil, fmt.Errorf("entry %s: %w", name, err)
		}
		if err := h.check(); err != nil {
			return nil, fmt.Errorf("entry %s: %w", name, err)
		}
		headers = append(headers, h)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if rest := bytes.TrimRight(text[d.InputOffset():], " "); len(rest) > 0 {
		return nil, errors.New("something follows the JSON object")
	}
	if len(headers) == 0 {
		return nil, errors.New("there are no tensors")
	}
	return headers, nil
}

func (h *header) check() (err error) {
	if h.dtype = safetensorsType(h.DType); h.dtype == nil {
		return fmt.Errorf("values of type %q cannot be used: save the network in floating point", h.DType)
	}
	if h.Shape == nil || len(h.Offsets) != 2 {
		return errors.New("shape or data_offsets is missing")
	}
	if h.size, err = elements(h.Shape); err != nil {
		return err
	}
	if h.Offsets[0] < 0 || h.Offsets[1] < h.Offsets[0] || h.Offsets[1]-h.Offsets[0] != int64(h.size*h.dtype.size) {
		return fmt.Errorf("data_offsets %v do not fit %s %v", h.Offsets, h.DType, nn.Shape(h.Shape))
	}
	return nil
}

// checkLayout returns an error unless the tensors fill size bytes exactly.
func checkLayout(headers []header, size int64) error {
	sorted := slices.Clone(headers)
	slices.SortStableFunc(sorted, func(a, b header) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.Offsets[1], b.Offsets[1]))
	})
	end := int64(0)
	for _, h := range sorted {
		if h.Offsets[0] != end {
			return fmt.Errorf("entry %s begins at byte %d of the data instead of %d: the file is damaged", h.name, h.Offsets[0], end)
		}
		end = h.Offsets[1]
	}
	if size < end {
		return fmt.Errorf("the file ends after %d of %d bytes of data: copy it again", size, end)
	}
	if size > end {
		return fmt.Errorf("%d bytes follow the last tensor: the file is damaged", size-end)
	}
	return nil
}

// Encode returns the safetensors file of states, in their order and as float32, with the
// given metadata. Equal arguments give equal bytes.
func Encode(states nn.Params, metadata map[string]string) ([]byte, error) {
	var head bytes.Buffer
	put := func(name string, value any) error { // json.Marshal sorts the keys of maps
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if head.Len() > 0 {
			head.WriteByte(',')
		}
		fmt.Fprintf(&head, "%s:%s", key, text)
		return nil
	}
	if len(metadata) > 0 {
		if err := put(metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{metadataKey: true}
	end := int64(0)
	for _, t := range states {
		if seen[t.Name] {
			return nil, fmt.Errorf("encode safetensors: entry %s occurs twice", t.Name)
		}
		seen[t.Name] = true
		if len(t.Data) != t.Shape.Size() {
			return nil, fmt.Errorf("encode safetensors: entry %s has %d values, not %v", t.Name, len(t.Data), t.Shape)
		}
		begin := end
		end += 4 * int64(len(t.Data))
		shape := append([]int{}, t.Shape...) // a nil shape would be null
		if err := put(t.Name, header{DType: "F32", Shape: shape, Offsets: []int64{begin, end}}); err != nil {
			return nil, err
		}
	}
	for head.Len()%8 != 6 { // with its braces the header is a multiple of eight
		head.WriteByte(' ')
	}
	n := head.Len() + 2
	file := make([]byte, 0, 8+int64(n)+end)
	file = binary.LittleEndian.AppendUint64(file, uint64(n))
	file = fmt.Appendf(file, "{%s}", head.Bytes())
	for _, t := range states {
		for _, v := range t.Data {
			file = binary.LittleEndian.AppendUint32(file, math.Float32bits(v))
		}
	}
	return file, nil
}
