package checkpoint

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"path"

	"github.com/nlpodyssey/gopickle/types"

	"lsrun/nn"
)

// storage is a flat run of values in the file, of which tensors are views.
type storage struct {
	key   string
	dtype *dtype
	count int   // values
	at    int64 // where its bytes begin in a legacy file
}

func (s *storage) bytes() int64 { return int64(s.count) * int64(s.dtype.size) }

const (
	copyAgain     = "the file is truncated or damaged: copy it again"
	saveStateDict = "save the network with torch.save(model.state_dict(), path)"
)

// decodeZip reads what torch.save writes since PyTorch 1.6.
func decodeZip(r io.ReaderAt, size int64, limit *budget) (*File, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("it begins like a zip archive, but the directory at its end is missing or wrong (%w): %s", err, copyAgain)
	}
	members := map[string]*zip.File{}
	folder := "."
	for _, m := range archive.File {
		members[m.Name] = m
		if path.Base(m.Name) == "data.pkl" {
			folder = path.Dir(m.Name)
		}
	}
	load := func(name string) ([]byte, error) {
		m := members[path.Join(folder, name)]
		if m == nil {
			return nil, fmt.Errorf("its zip archive has no member %s: %s", path.Join(folder, name), copyAgain)
		}
		return unpack(m, limit)
	}
	if members[path.Join(folder, "data.pkl")] == nil {
		return nil, errors.New("it is a zip archive, but not one by torch.save (no data.pkl in it)")
	}
	if members[path.Join(folder, "constants.pkl")] != nil {
		return nil, errors.New("it is a TorchScript program: load it with torch.jit.load and " + saveStateDict)
	}
	bigEndian := false
	if members[path.Join(folder, "byteorder")] != nil {
		order, err := load("byteorder")
		if err != nil {
			return nil, err
		}
		bigEndian = string(order) == "big"
	}
	raw, err := load("data.pkl")
	if err != nil {
		return nil, err
	}
	pickled, err := scanPickle(bufio.NewReader(bytes.NewReader(raw)), int64(len(raw)))
	if err != nil {
		return nil, fmt.Errorf("zip member %s: %w: %s", path.Join(folder, "data.pkl"), err, copyAgain)
	}
	root, err := unpickle(pickled, storages{}.persistent)
	if err != nil {
		return nil, err
	}
	return assemble(formatZip, root, limit, func(s *storage) ([]byte, error) {
		raw, err := load("data/" + s.key)
		if err != nil {
			return nil, err
		}
		if int64(len(raw)) != s.bytes() {
			return nil, fmt.Errorf("storage %s holds %d bytes instead of %d: the file is damaged", s.key, len(raw), s.bytes())
		}
		if bigEndian {
			s.dtype.swapBytes(raw)
		}
		return raw, nil
	})
}

// unpack reads a member, stored or deflated, and checks its CRC.
func unpack(m *zip.File, limit *budget) ([]byte, error) {
	if m.UncompressedSize64 > 1<<62 {
		return nil, errors.New("its zip archive states impossible sizes: " + copyAgain)
	}
	if err := limit.spend(int64(m.UncompressedSize64)); err != nil {
		return nil, err
	}
	r, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("zip member %s: %w: %s", m.Name, err, copyAgain)
	}
	defer r.Close()
	raw := make([]byte, m.UncompressedSize64)
	if _, err = io.ReadFull(r, raw); err == nil {
		if _, err = r.Read(make([]byte, 1)); err == io.EOF { // the CRC was right
			return raw, nil
		}
	}
	return nil, fmt.Errorf("zip member %s: %v: %s", m.Name, err, copyAgain)
}

// magicNumber is the first pickle of a legacy file, protocolVersion the second.
const (
	magicNumber     = "119547037146038801333356"
	protocolVersion = 1001
)

// decodeLegacy reads what torch.save wrote before PyTorch 1.6.
func decodeLegacy(r io.ReaderAt, size int64, limit *budget) (*File, error) {
	stream := bufio.NewReader(io.NewSectionReader(r, 0, size))
	position := int64(0)
	known := storages{}
	next := func() (any, error) {
		raw, err := scanPickle(stream, size-position)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("the file ends after %d bytes, before the description of its tensors does: %s", size, copyAgain)
		}
		if err != nil {
			return nil, err
		}
		position += int64(len(raw))
		return unpickle(raw, known.persistent)
	}
	var parts [5]any
	for i := range parts {
		var err error
		if parts[i], err = next(); err != nil {
			return nil, err
		}
		if n, ok := parts[0].(*big.Int); !ok || n.String() != magicNumber {
			return nil, fmt.Errorf("it is a pickle, but not one by torch.save (it holds %s): %s", describe(parts[0]), saveStateDict)
		}
		if i == 1 && parts[1] != protocolVersion {
			return nil, fmt.Errorf("its protocol is %v instead of %d: %s", parts[1], protocolVersion, saveStateDict)
		}
	}
	if err := known.locate(parts[4], position, r, size); err != nil {
		return nil, err
	}
	return assemble(formatLegacy, parts[3], limit, func(s *storage) ([]byte, error) {
		raw := make([]byte, s.bytes())
		_, err := r.ReadAt(raw, s.at)
		return raw, err
	})
}

// storages are what a pickle refers to, by their keys.
type storages map[string]*storage

// persistent resolves a reference: ("storage", class, key, device, count[, view]), with
// view (key, start, count) in legacy files, or ("module", class, source…). The device is
// of no interest: the data are the same.
func (known storages) persistent(id any) (any, error) {
	ref, _ := sequence(id)
	if len(ref) >= 2 && ref[0] == "module" {
		return ref[1], nil
	}
	if len(ref) < 5 || ref[0] != "storage" {
		return nil, errors.New("it refers to something that is no storage")
	}
	class, ok1 := ref[1].(*inert)
	key, ok2 := ref[2].(string)
	count, ok3 := ref[4].(int)
	if !ok1 || !ok2 || !ok3 || count < 0 || count > 1<<48 {
		return nil, errors.New("it refers to a storage in an unknown way")
	}
	s := known[key]
	if s == nil {
		d := storageType(class.name)
		if d == nil {
			return nil, fmt.Errorf("it has a storage of the unknown class %v", class)
		}
		s = &storage{key: key, dtype: d, count: count}
		known[key] = s
	}
	if len(ref) > 5 && ref[5] != nil {
		part, ok := integers(viewExtent(ref[5]))
		if !ok || len(part) != 2 {
			return nil, errors.New("it refers to a part of a storage in an unknown way")
		}
		return view{s, part[0], part[1]}, nil
	}
	return view{s, 0, s.count}, nil
}

// viewExtent is (start, count) of (key, start, count).
func viewExtent(v any) any {
	if parts, ok := sequence(v); ok && len(parts) == 3 {
		return types.NewTupleFromSlice(parts[1:])
	}
	return nil
}

// locate sets where each storage begins: they follow position in the order of keys, each
// after its count.
func (known storages) locate(keys any, position int64, r io.ReaderAt, size int64) error {
	list, ok := sequence(keys)
	if !ok || len(list) != len(known) {
		return errors.New("its list of storages does not match the tensors: the file is damaged")
	}
	for _, k := range list {
		key, _ := k.(string)
		s := known[key]
		if s == nil || s.at != 0 {
			return errors.New("its list of storages does not match the tensors: the file is damaged")
		}
		s.at = position + 8
		position = s.at + s.bytes()
		if position < 0 {
			return errors.New("its storages have impossible sizes: the file is damaged")
		}
	}
	if position > size {
		return fmt.Errorf("the file ends after %d of %d bytes: copy it again", size, position)
	}
	for _, s := range known {
		var count [8]byte
		if _, err := r.ReadAt(count[:], s.at-8); err != nil {
			return err
		}
		if u64(count[:]) != uint64(s.count) {
			return fmt.Errorf("storage %s states %d values instead of %d: the file is damaged", s.key, u64(count[:]), s.count)
		}
	}
	return nil
}

// assemble turns what a pickle built into a File.
func assemble(format string, root any, limit *budget, load func(*storage) ([]byte, error)) (*File, error) {
	f := &File{Format: format}
	entries, err := f.findStates(root, limit)
	if err != nil {
		return nil, err
	}
	if err := f.fill(entries, limit, load); err != nil {
		return nil, err
	}
	return f, f.readRecord(root, load)
}

// fill copies the entries' values out of their storages. One storage is held at a time.
func (f *File) fill(entries []entry, limit *budget, load func(*storage) ([]byte, error)) error {
	f.States = make(nn.Params, len(entries))
	users := map[*storage][]int{}
	var order []*storage
	converted := conversions{}
	for i, e := range entries {
		n, err := e.tensor.check()
		if err == nil {
			err = limit.spend(4 * int64(n))
		}
		if err != nil {
			return fmt.Errorf("entry %s: %w", e.name, err)
		}
		f.States[i] = nn.Tensor{Name: e.name, Shape: e.tensor.shape, Data: make([]float32, n)}
		s := e.tensor.storage
		if users[s] == nil {
			order = append(order, s)
		}
		users[s] = append(users[s], i)
		converted.count(e.name, s.dtype)
	}
	for _, s := range order {
		raw, err := load(s)
		if err != nil {
			return fmt.Errorf("entry %s: %w", entries[users[s][0]].name, err)
		}
		values := s.dtype.floats(raw)
		for _, i := range users[s] {
			entries[i].tensor.gather(f.States[i].Data, values)
		}
	}
	converted.note(f)
	return nil
}

// check returns the number of elements, or an error unless all lie within the view.
func (t *tensor) check() (int, error) {
	if t.dtype.value == nil {
		return 0, fmt.Errorf("values of type %s cannot be used: save the network in floating point", t.dtype.name)
	}
	n, err := elements(t.shape)
	if err != nil || n == 0 {
		return 0, err
	}
	outside := errors.New("it lies outside its storage: the file is damaged")
	if t.start < 0 || t.length < 0 || t.length > t.count || t.start > t.count-t.length {
		return 0, outside
	}
	left := t.length - 1 - t.offset // values after the element last reached
	if t.offset < 0 || left < 0 {
		return 0, outside
	}
	for a, d := range t.shape {
		if stride := t.stride[a]; d > 1 && stride != 0 {
			if stride < 0 || d-1 > left/stride {
				return 0, outside
			}
			left -= (d - 1) * stride
		}
	}
	return n, nil
}

// gather copies the elements, row-major, from the storage's values.
func (t *tensor) gather(dst, values []float32) {
	at := t.start + t.offset
	if len(dst) > 0 && t.contiguous() {
		copy(dst, values[at:])
		return
	}
	index := make([]int, len(t.shape))
	for i := range dst {
		dst[i] = values[at]
		for a := len(index) - 1; a >= 0; a-- { // the next index, carrying like an odometer
			index[a]++
			at += t.stride[a]
			if index[a] < t.shape[a] {
				break
			}
			at -= index[a] * t.stride[a]
			index[a] = 0
		}
	}
}

// contiguous reports whether the elements follow one another in the storage.
func (t *tensor) contiguous() bool {
	stride := 1
	for a := len(t.shape) - 1; a >= 0; a-- {
		if t.stride[a] != stride {
			return false
		}
		stride *= t.shape[a]
	}
	return true
}
