package dataset

import (
	"fmt"
	"io/fs"
	"slices"

	"lsrun/nn"
	"lsrun/shard"
)

// A picture of CIFAR: 3 channels (red, green, blue) of 32 rows of 32 pixels.
const cifarPixels = 3 * 32 * 32

// layout is one of the two CIFARs (Krizhevsky, "Learning multiple layers of features from
// tiny images", 2009).
type layout struct {
	name    string
	classes int
	forms   []form
}

// form is how its files are laid out, in the binary or in the Python version.
type form struct {
	folder string
	train  []string
	test   string
	read   func(data []byte) (pixels []uint8, labels []int32, err error)
}

var (
	cifar10 = layout{"CIFAR-10", 10, []form{
		{"cifar-10-batches-bin", []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
			"test_batch.bin", records(1)},
		{"cifar-10-batches-py", []string{"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"},
			"test_batch", pickled("labels")},
	}}
	cifar100 = layout{"CIFAR-100", 100, []form{
		{"cifar-100-binary", []string{"train.bin"}, "test.bin", records(2)},
		{"cifar-100-python", []string{"train"}, "test", pickled("fine_labels")},
	}}
)

// find returns the first folder, at or below path, with a file of one of the forms.
func (l layout) find(path string) (folder, form, error) {
	var below, wanted []string
	for _, f := range l.forms {
		below = append(below, f.folder)
		wanted = append(wanted, append(slices.Clone(f.train), f.test)...)
	}
	found, err := find(l.name+" data", path, below, wanted)
	if err != nil {
		return folder{}, form{}, err
	}
	for _, f := range l.forms {
		if found[0].has(f.test) || found[0].hasAny(f.train) {
			return found[0], f, nil
		}
	}
	panic("dataset: a folder without the file that it was found by")
}

func loadCIFAR(l layout, path string) (*Set, error) {
	where, form, err := l.find(path)
	if err != nil {
		return nil, err
	}
	set := &Set{Name: l.name, Shape: nn.Shape{3, 32, 32}, Classes: l.classes}
	if where.hasAny(form.train) {
		if set.Train, err = l.read(where, form, form.train); err != nil {
			return nil, err
		}
	}
	if where.has(form.test) {
		if set.Test, err = l.read(where, form, []string{form.test}); err != nil {
			return nil, err
		}
	}
	return set.finish()
}

// read joins batches.
func (l layout) read(where folder, form form, batches []string) (*Part, error) {
	part := &Part{}
	for _, name := range batches {
		if !where.has(name) {
			return nil, fmt.Errorf("%s is missing: the training set is incomplete: %w", where.file(name), fs.ErrNotExist)
		}
		data, err := where.read(name)
		if err != nil {
			return nil, err
		}
		pixels, labels, err := form.read(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, where.file(name), err)
		}
		for i, label := range labels {
			if label < 0 || int(label) >= l.classes {
				return nil, fmt.Errorf("%w: %s: record %d has the label %d, but %s has %d classes: is it another data set's file?",
					shard.ErrCorrupt, where.file(name), i, label, l.name, l.classes)
			}
		}
		if part.Bytes == nil {
			part.Bytes = make([]uint8, 0, len(batches)*len(pixels))
		}
		part.Bytes = append(part.Bytes, pixels...)
		part.Labels = append(part.Labels, labels...)
	}
	return part, nil
}

// records reads the binary version: records of so many label bytes, of which the last is
// the class, and the pixels.
func records(labelBytes int) func([]byte) ([]uint8, []int32, error) {
	record := labelBytes + cifarPixels
	return func(data []byte) (pixels []uint8, labels []int32, err error) {
		if len(data) == 0 || len(data)%record != 0 {
			return nil, nil, fmt.Errorf("%d bytes are not a whole number of records of %d: it is cut short or not a CIFAR file: fetch it again", len(data), record)
		}
		pixels = make([]uint8, 0, len(data)/record*cifarPixels)
		for r := range slices.Chunk(data, record) {
			labels = append(labels, int32(r[labelBytes-1]))
			pixels = append(pixels, r[labelBytes:]...)
		}
		return pixels, labels, nil
	}
}

// pickled reads the Python version: a pickled dict of data, N × 3072 bytes, and a list of
// N labels under the given name.
func pickled(labelsName string) func([]byte) ([]uint8, []int32, error) {
	return func(data []byte) ([]uint8, []int32, error) {
		dict, err := unpickle(data)
		if err != nil {
			return nil, nil, err
		}
		pixels, ok := dict["data"].(*ndarray)
		if !ok || pixels.array.Bytes == nil || len(pixels.array.Shape) != 2 || pixels.array.Shape[1] != cifarPixels {
			return nil, nil, fmt.Errorf("its entry data is not an N×%d array of uint8", cifarPixels)
		}
		labels, err := pickledLabels(dict[labelsName])
		if err != nil {
			return nil, nil, fmt.Errorf("its entry %s %w", labelsName, err)
		}
		if len(labels) != pixels.array.Shape[0] {
			return nil, nil, fmt.Errorf("it holds %d pictures, but %d %s", pixels.array.Shape[0], len(labels), labelsName)
		}
		return pixels.array.Bytes, labels, nil
	}
}
