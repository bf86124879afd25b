package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lsrun/nn"
	"lsrun/shard"
)

// The names of an IDX file of the training and of the test set, plain or compressed.
func idxNames(part, kind string) []string {
	return []string{
		part + "-" + kind + "-ubyte", part + "-" + kind + "-ubyte.gz",
		part + "-" + dotted[kind], part + "-" + dotted[kind] + ".gz",
	}
}

var dotted = map[string]string{"images-idx3": "images.idx3-ubyte", "labels-idx1": "labels.idx1-ubyte"}

// findMNIST returns the only folder, at or below path, with IDX files.
func findMNIST(path string) (folder, error) {
	found, err := find("MNIST data", path, []string{"raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw"},
		append(idxNames("train", "images-idx3"), idxNames("t10k", "images-idx3")...))
	if err != nil {
		return folder{}, err
	}
	if len(found) > 1 {
		return folder{}, fmt.Errorf("%s holds several data sets: name %s or %s", path, found[0].path, found[1].path)
	}
	return found[0], nil
}

func loadMNIST(path string) (*Set, error) {
	where, err := findMNIST(path)
	if err != nil {
		return nil, err
	}
	set := &Set{Name: "MNIST", Classes: 10}
	for _, p := range []struct {
		name string
		part **Part
	}{{"train", &set.Train}, {"t10k", &set.Test}} {
		images := idxNames(p.name, "images-idx3")
		if !where.hasAny(images) {
			continue
		}
		pixels, dims, err := readIDX(where, images, 3)
		if err != nil {
			return nil, err
		}
		labels, count, err := readIDX(where, idxNames(p.name, "labels-idx1"), 1)
		if err != nil {
			return nil, err
		}
		if count[0] != dims[0] {
			return nil, fmt.Errorf("%w: %s: %d %s images, but %d labels", shard.ErrCorrupt, where.path, dims[0], p.name, count[0])
		}
		shape := nn.Shape{1, dims[1], dims[2]}
		if set.Shape != nil && !set.Shape.Equal(shape) {
			return nil, fmt.Errorf("%w: %s: training images are %v, test images %v", shard.ErrCorrupt, where.path, set.Shape, shape)
		}
		set.Shape = shape
		*p.part = &Part{Bytes: pixels, Labels: make([]int32, len(labels))}
		for i, l := range labels {
			(*p.part).Labels[i] = int32(l)
		}
	}
	return set.finish()
}

// readIDX reads the first of names that where holds.
func readIDX(where folder, names []string, rank int) ([]uint8, []int, error) {
	for _, name := range names {
		if !where.has(name) {
			continue
		}
		data, err := where.read(name)
		if err != nil {
			return nil, nil, err
		}
		values, dims, err := decodeIDX(data, rank)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, where.file(name), err)
		}
		return values, dims, nil
	}
	return nil, nil, fmt.Errorf("%s: %s is missing", where.path, names[0])
}

// decodeIDX reads the IDX format, compressed or not: two zero bytes, 8 for unsigned bytes,
// the rank, each extent as a big-endian 32-bit integer, and the values, row-major.
func decodeIDX(data []byte, rank int) (values []uint8, dims []int, err error) {
	var r io.Reader = bytes.NewReader(data)
	most := int64(len(data))
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		if r, err = gzip.NewReader(r); err != nil {
			return nil, nil, fmt.Errorf("it cannot be decompressed: %w", err)
		}
		most *= deflateRatio
	}
	head := make([]byte, 4+4*rank)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, nil, cutShort(err)
	}
	if !bytes.Equal(head[:4], []byte{0, 0, 8, byte(rank)}) {
		return nil, nil, fmt.Errorf("it begins with % x, not with the % x of an IDX file of bytes with %d axes", head[:4], []byte{0, 0, 8, byte(rank)}, rank)
	}
	for i := range rank {
		dims = append(dims, int(binary.BigEndian.Uint32(head[4+4*i:])))
	}
	n, err := elements(dims, 1, most)
	if err != nil {
		return nil, nil, err
	}
	values = make([]uint8, n)
	if _, err := io.ReadFull(r, values); err != nil {
		return nil, nil, cutShort(err)
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("there is more in it than the %v that it announces, or its checksum is wrong: fetch it again", nn.Shape(dims))
	}
	return values, dims, nil
}
