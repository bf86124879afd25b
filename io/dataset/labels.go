package dataset

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"lsrun/shard"
)

// ReadLabels reads labels, in the order of the images, from an .npy array or from text
// with one integer a line.
func ReadLabels(path string) ([]int32, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	labels, err := parseLabels(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, path, err)
	}
	return labels, nil
}

func parseLabels(data []byte) ([]int32, error) {
	if bytes.HasPrefix(data, npyMagic) {
		array, err := readNPY(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, err
		}
		return labelsOf(array)
	}
	var values []int64
	for line := range strings.Lines(strings.TrimRight(string(data), " \r\n")) {
		v, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d is %.40q, not an integer", len(values)+1, strings.TrimSpace(line))
		}
		values = append(values, v)
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("it holds no labels")
	}
	return toLabels(values)
}
