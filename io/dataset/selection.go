package dataset

import (
	"fmt"
	"math/bits"
	"slices"

	"lsrun/nn"
)

// Selection says which images are taken. They keep the order of the data.
type Selection struct {
	// The training set is cut into Splits contiguous parts, of which only number
	// SplitIndex (from 0) is taken: images ⌊n·i/Splits⌋ to ⌊n·(i+1)/Splits⌋, like the paper's
	// --data_split and --split_idx, but without losing a remainder. 0 and 1 mean all.
	Splits, SplitIndex int
	// Subset is the number of images drawn from the part, and from the test set; 0, or more
	// than there are, means all.
	Subset int
	Seed   uint64 // of the drawing
	// Labels, if any, replace those of the training set, before anything is cut or drawn.
	Labels []int32
	// Room, if any, has the size of what is taken, which goes there.
	Room *nn.Images
}

// TrainImages selects and preprocesses the training set. Floats that are taken whole and
// unchanged are shared with s, not copied.
func (s *Set) TrainImages(sel Selection, pre Preprocess) (*nn.Images, error) {
	if s.Train == nil {
		return nil, fmt.Errorf("%s has no training images", s.Name)
	}
	part := *s.Train
	n := len(part.Labels)
	if sel.Labels != nil {
		if len(sel.Labels) != n {
			return nil, fmt.Errorf("%d labels are to replace those of %d training images", len(sel.Labels), n)
		}
		part.Labels = sel.Labels
	}
	from, to, err := sel.split(n)
	if err != nil {
		return nil, err
	}
	return part.images(s.Shape, sel.draw(from, to), pre, sel.Room)
}

// TestImages selects and preprocesses the test set, of which Splits and Labels say nothing.
func (s *Set) TestImages(sel Selection, pre Preprocess) (*nn.Images, error) {
	if s.Test == nil {
		return nil, fmt.Errorf("%s has no test images", s.Name)
	}
	if sel.Subset < 0 {
		return nil, errSubset(sel.Subset)
	}
	return s.Test.images(s.Shape, sel.draw(0, len(s.Test.Labels)), pre, sel.Room)
}

func errSubset(n int) error { return fmt.Errorf("a subset of %d images: ask for at least one", n) }

// split returns the range of images that the selection leaves of n.
func (sel Selection) split(n int) (from, to int, err error) {
	if sel.Subset < 0 {
		return 0, 0, errSubset(sel.Subset)
	}
	splits := max(sel.Splits, 1)
	switch {
	case sel.Splits < 0 || splits > n:
		return 0, 0, fmt.Errorf("%d images cannot be cut into %d parts", n, sel.Splits)
	case sel.SplitIndex < 0 || sel.SplitIndex >= splits:
		return 0, 0, fmt.Errorf("there is no part %d of %d: parts count from 0", sel.SplitIndex, splits)
	}
	return n * sel.SplitIndex / splits, n * (sel.SplitIndex + 1) / splits, nil
}

// draw returns Subset of the rows from…to−1 in rising order: the first ones after a shuffle.
func (sel Selection) draw(from, to int) []int {
	rows := make([]int, to-from)
	for i := range rows {
		rows[i] = from + i
	}
	if sel.Subset == 0 || sel.Subset >= len(rows) {
		return rows
	}
	shuffle(rows, sel.Subset, sel.Seed)
	rows = rows[:sel.Subset]
	slices.Sort(rows)
	return rows
}

// shuffle is the first so many steps of a Fisher–Yates shuffle of n rows: step k = 0, 1, … swaps row
// k with row k + ⌊z·(n−k)/2⁶⁴⌋, z the (k+1)-th output of SplitMix64 from seed.
func shuffle(rows []int, steps int, seed uint64) {
	for k := range steps {
		step, _ := bits.Mul64(splitMix64(seed, uint64(k+1)), uint64(len(rows)-k))
		j := k + int(step)
		rows[k], rows[j] = rows[j], rows[k]
	}
}

// splitMix64 is output i = 1, 2, … of the generator (Steele, Lea, Flood, "Fast splittable
// pseudorandom number generators", OOPSLA 2014).
func splitMix64(seed, i uint64) uint64 {
	z := seed + i*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// images preprocesses the given rows, in room unless that is nil. Rows are rising.
func (p *Part) images(shape nn.Shape, rows []int, pre Preprocess, room *nn.Images) (*nn.Images, error) {
	mean, std, err := pre.channels(shape[0])
	if err != nil {
		return nil, err
	}
	size := shape.Size()
	out := room
	if out == nil {
		out = &nn.Images{Shape: shape, Labels: make([]int32, len(rows))}
	} else if len(out.Labels) != len(rows) || len(out.Pixels) != len(rows)*size {
		return nil, fmt.Errorf("there is room for %d images of %v, not for %d of %v", len(out.Labels), out.Shape, len(rows), shape)
	}
	for k, r := range rows {
		out.Labels[k] = p.Labels[r]
	}
	if room == nil && len(rows) == len(p.Labels) && p.Floats != nil && pre.identity() {
		out.Pixels = p.Floats
		return out, nil
	}
	if room == nil {
		out.Pixels = nn.Room(len(rows) * size)
	}
	area := size / shape[0]
	for c := range shape[0] {
		table := normalizeBytes(mean[c], std[c])
		for k, r := range rows {
			dst := out.Pixels[k*size+c*area:][:area]
			for i := range dst {
				if at := r*size + c*area + i; p.Bytes != nil {
					dst[i] = table[p.Bytes[at]]
				} else {
					dst[i] = normalize(p.Floats[at], mean[c], std[c])
				}
			}
		}
	}
	return out, nil
}
