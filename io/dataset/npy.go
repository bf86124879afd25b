package dataset

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"lsrun/nn"
	"lsrun/shard"
)

// Array is an array of somebody's file, row-major. One of Bytes (uint8), Floats (from
// float16, 32 or 64, rounded) and Ints (all other integers and bool) is set.
type Array struct {
	Shape  []int
	Bytes  []uint8
	Floats []float32
	Ints   []int64
}

// deflateRatio is the most that DEFLATE can compress; longer announced data is damage,
// which must not be believed when memory is allocated.
const deflateRatio = 1032

// ReadArrays reads the arrays called names of an .npz file, or all of them. Those that
// are not there are left out, but if none is there that is an error.
func ReadArrays(path string, names ...string) (map[string]Array, error) {
	archive, err := zip.OpenReader(path)
	if err != nil {
		if errors.Is(err, zip.ErrFormat) {
			err = fmt.Errorf("%w: %s: not an .npz file (a zip archive), or cut short", shard.ErrCorrupt, path)
		}
		return nil, err
	}
	defer archive.Close()
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	arrays, held := map[string]Array{}, []string{}
	for _, f := range archive.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			continue
		}
		held = append(held, name)
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		most := min(f.UncompressedSize64, uint64(info.Size())*deflateRatio)
		if arrays[name], err = readZipped(f, int64(most)); err != nil {
			return nil, fmt.Errorf("%w: %s: array %s: %w", shard.ErrCorrupt, path, name, err)
		}
	}
	if len(arrays) == 0 {
		return nil, fmt.Errorf("%s: none of the arrays %s: it holds %s: %w", path, strings.Join(names, ", "), few(held), fs.ErrNotExist)
	}
	return arrays, nil
}

func readZipped(f *zip.File, most int64) (Array, error) {
	r, err := f.Open()
	if err != nil {
		return Array{}, err
	}
	defer r.Close()
	a, err := readNPY(r, most)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the checksum is compared at the end
	}
	return a, err
}

// readFile reads an .npy file.
func readFile(path string) (Array, error) {
	file, err := os.Open(path)
	if err != nil {
		return Array{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Array{}, err
	}
	a, err := readNPY(file, info.Size())
	if err != nil {
		return a, fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, path, err)
	}
	return a, nil
}

var (
	npyMagic   = []byte("\x93NUMPY")
	npyType    = regexp.MustCompile(`'descr': *'([^']*)'`)
	npyFortran = regexp.MustCompile(`'fortran_order': *(True|False)`)
	npyShape   = regexp.MustCompile(`'shape': *\(([^)]*)\)`)
)

// readNPY reads NumPy's format: the magic bytes, a version, the length of the header in
// two bytes (version 1) or four, the header as a Python dict, and the values. There are
// at most so many bytes of it.
func readNPY(r io.Reader, most int64) (Array, error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		return Array{}, cutShort(err)
	}
	if !bytes.HasPrefix(head, npyMagic) {
		return Array{}, errors.New("it is not an .npy array")
	}
	length := int64(binary.LittleEndian.Uint16(head[8:]))
	if version := head[6]; version > 1 {
		var high [2]byte
		if _, err := io.ReadFull(r, high[:]); err != nil {
			return Array{}, cutShort(err)
		}
		length |= int64(binary.LittleEndian.Uint16(high[:])) << 16
	}
	if length > most {
		return Array{}, cutShort(io.ErrUnexpectedEOF)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(r, header); err != nil {
		return Array{}, cutShort(err)
	}
	kind, fortran, shape := npyType.FindSubmatch(header), npyFortran.FindSubmatch(header), npyShape.FindSubmatch(header)
	if kind == nil || fortran == nil || shape == nil {
		return Array{}, fmt.Errorf("its header %.80q is not that of an array of numbers", header)
	}
	var dims []int
	for _, text := range strings.FieldsFunc(string(shape[1]), func(c rune) bool { return c == ',' || c == ' ' }) {
		d, err := strconv.Atoi(text)
		if err != nil {
			return Array{}, fmt.Errorf("its shape (%s) is damaged", shape[1])
		}
		dims = append(dims, d)
	}
	return decode(r, most, string(kind[1]), dims, string(fortran[1]) == "True")
}

// decode reads an array of the given NumPy type, such as "<f4", of at most so many bytes.
func decode(r io.Reader, most int64, kind string, dims []int, fortran bool) (Array, error) {
	a := Array{Shape: dims}
	var order binary.ByteOrder = binary.LittleEndian
	if strings.HasPrefix(kind, ">") {
		order = binary.BigEndian
	}
	code := strings.TrimLeft(kind, "<>|=")
	width, err := strconv.Atoi(code[min(1, len(code)):])
	if err != nil || width < 1 || width > 8 {
		return a, errType(kind)
	}
	n, err := elements(dims, width, most)
	if err != nil {
		return a, err
	}
	switch code {
	case "u1":
		a.Bytes, err = values(r, n, width, func(b []byte) uint8 { return b[0] })
	case "b1":
		a.Ints, err = values(r, n, width, func(b []byte) int64 { return int64(b[0]) })
	case "i1":
		a.Ints, err = values(r, n, width, func(b []byte) int64 { return int64(int8(b[0])) })
	case "u2":
		a.Ints, err = values(r, n, width, func(b []byte) int64 { return int64(order.Uint16(b)) })
	case "i2":
		a.Ints, err = values(r, n, width, func(b []byte) int64 { return int64(int16(order.Uint16(b))) })
	case "u4":
		a.Ints, err = values(r, n, width, func(b []byte) int64 { return int64(order.Uint32(b)) })
	case "i4":
		a.Ints, err = values(r, n, width, func(b []byte) int64 { return int64(int32(order.Uint32(b))) })
	case "u8", "i8": // above 2⁶³ it turns negative, which no label may be
		a.Ints, err = values(r, n, width, func(b []byte) int64 { return int64(order.Uint64(b)) })
	case "f2":
		a.Floats, err = values(r, n, width, func(b []byte) float32 { return float16(order.Uint16(b)) })
	case "f4":
		a.Floats, err = values(r, n, width, func(b []byte) float32 { return math.Float32frombits(order.Uint32(b)) })
	case "f8":
		a.Floats, err = values(r, n, width, func(b []byte) float32 { return float32(math.Float64frombits(order.Uint64(b))) })
	default:
		err = errType(kind)
	}
	if err != nil {
		return a, err
	}
	if fortran && len(dims) > 1 {
		a.Bytes, a.Floats, a.Ints = rowMajor(a.Bytes, dims), rowMajor(a.Floats, dims), rowMajor(a.Ints, dims)
	}
	return a, nil
}

func errType(kind string) error {
	return fmt.Errorf("its numbers are of type %q: save uint8, float16, float32 or float64 pixels and integer labels", kind)
}

// elements is the number of elements of an array, of which most bytes may be there.
func elements(dims []int, width int, most int64) (int, error) {
	n := 1
	for _, d := range dims {
		if d < 0 {
			return 0, fmt.Errorf("its shape %v is damaged", dims)
		}
		if d > 0 && n > math.MaxInt/d/width {
			return 0, fmt.Errorf("its shape %v is damaged", dims)
		}
		n *= d
	}
	if int64(n*width) > most {
		return 0, fmt.Errorf("it announces %v elements of %d bytes, more than there are: it is cut short: fetch or save it again", nn.Shape(dims), width)
	}
	return n, nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut short: fetch or save it again")
	}
	return err
}

// values reads n elements of width bytes.
func values[T any](r io.Reader, n, width int, value func([]byte) T) ([]T, error) {
	out := make([]T, 0, n)
	buf := make([]byte, min(n*width, 1<<16))
	for len(out) < n {
		piece := buf[:min((n-len(out))*width, len(buf))]
		if _, err := io.ReadFull(r, piece); err != nil {
			return nil, cutShort(err)
		}
		for b := range slices.Chunk(piece, width) {
			out = append(out, value(b))
		}
	}
	return out, nil
}

// rowMajor reorders an array whose first index runs fastest.
func rowMajor[T any](in []T, dims []int) []T {
	if in == nil {
		return nil
	}
	out, index := make([]T, len(in)), make([]int, len(dims))
	for _, v := range in {
		at := 0
		for a, d := range dims {
			at = at*d + index[a]
		}
		out[at] = v
		for a := range dims {
			if index[a]++; index[a] < dims[a] {
				break
			}
			index[a] = 0
		}
	}
	return out
}

// float16 widens an IEEE half exactly.
func float16(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15), uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0:
		v := float32(fraction) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign<<31)
	case 31:
		return math.Float32frombits(sign<<31 | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign<<31 | (exponent+127-15)<<23 | fraction<<13)
}

// isNPZ reports whether the file at path is a zip archive with arrays X or X_test.
func isNPZ(path string) bool {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return false
	}
	defer archive.Close()
	return slices.ContainsFunc(archive.File, func(f *zip.File) bool { return f.Name == "X.npy" || f.Name == "X_test.npy" })
}

func loadNPZ(path string) (*Set, error) {
	arrays, err := ReadArrays(path, ArrayNames...)
	if err != nil {
		return nil, err
	}
	return fromArrays("npz", path, arrays)
}

// findNPY returns the folder if it holds X.npy or X_test.npy.
func findNPY(path string) (folder, error) {
	found, err := find("arrays", path, nil, []string{"X.npy", "X_test.npy"})
	if err != nil {
		return folder{}, err
	}
	return found[0], nil
}

func loadNPY(path string) (*Set, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() && filepath.Ext(path) == ".npy" {
		return nil, fmt.Errorf("%s is one array: name the folder that holds X.npy and y.npy", path)
	}
	where, err := findNPY(path)
	if err != nil {
		return nil, err
	}
	arrays := map[string]Array{}
	for _, name := range ArrayNames {
		if !where.has(name + ".npy") {
			continue
		}
		if arrays[name], err = readFile(where.file(name + ".npy")); err != nil {
			return nil, err
		}
	}
	return fromArrays("npy", path, arrays)
}

func fromArrays(name, path string, arrays map[string]Array) (*Set, error) {
	set, err := FromArrays(name, arrays)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}
