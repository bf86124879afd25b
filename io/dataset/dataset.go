// Package dataset reads labelled image sets, or draws one, and turns them into what a network sees,
// bit for bit as torchvision's ToTensor and Normalize do.
//
// A Set holds the pictures as they lie on the disk: bytes, or floats that somebody
// preprocessed already. TrainImages and TestImages choose among them and preprocess.
package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"slices"

	"lsrun/nn"
	"lsrun/shard"
)

// Part is the training or the test set as it is stored: N = len(Labels) images, row-major,
// in exactly one of Bytes and Floats.
type Part struct {
	Bytes  []uint8   // 0…255
	Floats []float32 // finite, on any scale
	Labels []int32   // not negative
}

// Set is a data set as it lies on the disk.
type Set struct {
	Name        string
	Shape       nn.Shape // of one image: (C, H, W) or (D)
	Classes     int      // what the format says, or 1 + the largest label
	Train, Test *Part    // nil where the set has none; never empty
	// SHA256 is over the content alone, whatever files it came from: shape, and for the
	// training and the test set their kind of number, pixels and labels, in order.
	SHA256 string
}

// Kinds are the data sets that there are. All but "h5" are read, or drawn, by Load; of an HDF5
// file somebody else takes the arrays for FromArrays.
func Kinds() []string {
	return []string{"cifar10", "cifar100", "mnist", "npz", "npy", "h5", ShapesKind}
}

// HoldsBytes reports whether the pixels are bytes, which become numbers from 0 to 1.
func (s *Set) HoldsBytes() bool {
	return s.Train != nil && s.Train.Bytes != nil || s.Test != nil && s.Test.Bytes != nil
}

// Load reads the data set of the given kind at path, which for the drawn one is what ParseShapes reads.
func Load(kind, path string) (*Set, error) {
	switch kind {
	case "cifar10":
		return loadCIFAR(cifar10, path)
	case "cifar100":
		return loadCIFAR(cifar100, path)
	case "mnist":
		return loadMNIST(path)
	case "npz":
		return loadNPZ(path)
	case "npy":
		return loadNPY(path)
	case ShapesKind:
		shapes, err := ParseShapes(path)
		if err != nil {
			return nil, err
		}
		return shapes.set()
	}
	return nil, fmt.Errorf("%s is not a data set that can be loaded from a path", kind)
}

// Recognise returns the kind of the data set at path, or "". It looks at names, and at
// the first bytes of a file, not at the content.
func Recognise(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return ""
	case !info.IsDir() && isNPZ(path):
		return "npz"
	}
	for _, kind := range []struct {
		name string
		find func(string) error
	}{
		{"cifar10", func(p string) error { _, _, err := cifar10.find(p); return err }},
		{"cifar100", func(p string) error { _, _, err := cifar100.find(p); return err }},
		{"mnist", func(p string) error { _, err := findMNIST(p); return err }},
		{"npy", func(p string) error { _, err := findNPY(p); return err }},
	} {
		if kind.find(path) == nil {
			return kind.name
		}
	}
	return ""
}

// finish checks a set, fills in its digest and raises Classes to 1 + the largest label.
func (s *Set) finish() (*Set, error) {
	if s.Train == nil && s.Test == nil {
		return nil, fmt.Errorf("%w: there are neither training nor test images", fs.ErrNotExist)
	}
	digest := sha256.New()
	fmt.Fprintf(digest, "data set %v\n", s.Shape)
	for _, p := range []struct {
		name string
		part *Part
	}{{"training", s.Train}, {"test", s.Test}} {
		if p.part == nil {
			continue
		}
		largest, err := p.part.check(s.Shape)
		if err != nil {
			return nil, fmt.Errorf("%w: %s set: %w", shard.ErrCorrupt, p.name, err)
		}
		s.Classes = max(s.Classes, 1+int(largest))
		p.part.digest(digest, p.name)
	}
	s.SHA256 = hex.EncodeToString(digest.Sum(nil))
	return s, nil
}

// check returns the largest label.
func (p *Part) check(shape nn.Shape) (largest int32, err error) {
	size := shape.Size()
	if len(p.Labels) == 0 || size == 0 {
		return 0, fmt.Errorf("it holds no images")
	}
	for i, l := range p.Labels {
		if l < 0 {
			return 0, fmt.Errorf("image %d has the label %d: labels count from 0", i, l)
		}
	}
	for i, v := range p.Floats {
		if v-v != 0 { // NaN or infinite
			return 0, fmt.Errorf("image %d holds %v: every pixel must be finite in float32", i/size, v)
		}
	}
	return slices.Max(p.Labels), nil
}

func (p *Part) digest(h hash.Hash, name string) {
	kind := "uint8"
	if p.Floats != nil {
		kind = "float32"
	}
	fmt.Fprintf(h, "%s %d %s\n", name, len(p.Labels), kind)
	h.Write(p.Bytes)
	hashWords(h, p.Floats)
	hashWords(h, p.Labels)
}

// hashWords writes 32-bit words in little-endian order, a piece at a time.
func hashWords[T int32 | float32](h hash.Hash, words []T) {
	buf := make([]byte, 0, 1<<16)
	for piece := range slices.Chunk(words, 1<<14) {
		buf, _ = binary.Append(buf[:0], binary.LittleEndian, piece)
		h.Write(buf)
	}
}
