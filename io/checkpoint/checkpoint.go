// Package checkpoint reads trained networks and writes safetensors.
//
// Three formats are read; the content decides which, not the file's name:
//
//	PyTorch zip     what torch.save writes since 1.6: a zip archive of NAME/data.pkl, a pickle
//	                that describes the tensors, and NAME/data/KEY, the raw storages
//	PyTorch legacy  before: five pickles (magic number, protocol 1001, system, object, keys of
//	                the storages), then for each key an int64 count and the raw storage
//	safetensors     a uint64 n, n bytes of JSON (name → dtype, shape, data_offsets), the data
//
// A pickle is a program; here it only builds data. Classes and functions that it names
// become inert placeholders, so nothing of a malicious one runs. What a file can make the
// reader allocate is bounded by a multiple of its size.
//
// The state dict may be the whole object or lie under one of the usual keys (wrapperKeys);
// a whole pickled module is walked as state_dict() would. Prefixes that all entries share
// because a wrapper added them (wrapperPrefixes) are removed. Every tensor becomes float32.
package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"lsrun/nn"
	"lsrun/shard"
)

// The formats, as File.Format names them.
const (
	formatZip         = "PyTorch zip"
	formatLegacy      = "PyTorch legacy"
	formatSafetensors = "safetensors"
)

// File is what a checkpoint holds.
type File struct {
	Format    string            // "PyTorch zip", "PyTorch legacy" or "safetensors"
	SHA256    string            // of the file's bytes, in hexadecimal
	States    nn.Params         // the tensors in the file's order, wrappers' prefixes removed
	Optimizer nn.Params         // of safetensors: those under OptimizerPrefix, which is removed
	Epoch     *int              // if recorded
	Accuracy  *float64          // percent, if recorded
	Metadata  map[string]string // of safetensors
	Notes     []string          // what was chosen and converted, one sentence each
}

// Read reads the checkpoint at path. Values that are NaN or infinite are kept: see NonFinite.
// A file that is damaged, or no checkpoint, is shard.ErrCorrupt.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	defer f.Close()
	file, err := readFile(f)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	return file, nil
}

func readFile(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("it is a directory: name the checkpoint file in it")
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	if err != nil {
		return nil, err
	}
	file, err := decode(f, size)
	if err != nil {
		return nil, blame(err)
	}
	file.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return file, nil
}

// blame tells a file that is not what it should be (shard.ErrCorrupt) from a disk that fails.
func blame(err error) error {
	if _, failed := errors.AsType[*fs.PathError](err); failed {
		return err
	}
	return fmt.Errorf("%w: %w", shard.ErrCorrupt, err)
}

// foreign are beginnings of files that are often taken for checkpoints, and what to do.
var foreign = []struct{ magic, remedy string }{
	{"\x89HDF\r\n", "it is an HDF5 file: convert it to safetensors or to a PyTorch state dict"},
	{"\x1f\x8b", "it is compressed by gzip: unpack it with gunzip first"},
	{"\x93NUMPY", "it is a NumPy array, not a checkpoint"},
}

// decode reads all but the hash.
func decode(r io.ReaderAt, size int64) (*File, error) {
	head := make([]byte, min(size, 512))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	limit := budget(32*size + 64<<20)
	switch {
	case size == 0:
		return nil, errors.New("the file is empty: whatever wrote or copied it was cut off")
	// First, for a header's length may begin with any bytes, and only safetensors have a '{' there.
	case size > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader:
		return decodeSafetensors(r, size, &limit)
	case bytes.HasPrefix(head, []byte("PK")):
		return decodeZip(r, size, &limit)
	case head[0] == opProto:
		return decodeLegacy(r, size, &limit)
	case size >= 262 && string(head[257:262]) == "ustar":
		return nil, errors.New("it is a tar archive, as PyTorch before 0.1.10 wrote: " +
			"load it with PyTorch and save it again with torch.save(model.state_dict(), path)")
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return nil, errors.New(f.remedy)
		}
	}
	return nil, fmt.Errorf("it is neither a PyTorch nor a safetensors file (it begins with %q): "+
		"save the network with torch.save(model.state_dict(), path), or copy the file again if it was one",
		head[:min(len(head), 8)])
}

// budget is how many more bytes the reader may allocate for what a file says it holds.
type budget int64

func (b *budget) spend(n int64) error {
	if n < 0 || n > int64(*b) {
		return errors.New("the file claims to hold far more than its size allows: it is damaged or made to do harm")
	}
	*b -= budget(n)
	return nil
}

// NonFinite returns the first entry that holds a NaN or an infinity, if there is one.
func (f *File) NonFinite() (entry string, found bool) {
	for _, t := range f.States {
		for _, v := range t.Data {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return t.Name, true
			}
		}
	}
	return "", false
}

func (f *File) note(format string, args ...any) {
	f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
}
