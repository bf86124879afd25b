package train

import (
	"math"
	"slices"
	"testing"

	"lsrun/nn"
)

// cropped is the definition: the picture gets a border of four black pixels, of which a window is cut out and
// perhaps mirrored.
func cropped(in []float32, shape nn.Shape, black []float32, top, left int, mirrored bool) []float32 {
	channels, height, width := shape[0], shape[1], shape[2]
	var out []float32
	for c := range channels {
		padded := make([][]float32, height+8)
		for y := range padded {
			padded[y] = slices.Repeat([]float32{black[c]}, width+8)
			if y >= 4 && y < height+4 {
				copy(padded[y][4:], in[(c*height+y-4)*width:][:width])
			}
		}
		for y := range height {
			row := slices.Clone(padded[top+y][left : left+width])
			if mirrored {
				slices.Reverse(row)
			}
			out = append(out, row...)
		}
	}
	return out
}

func TestAugmentationCutsWindowsOutOfPaddedPictures(t *testing.T) {
	shape, black := nn.Shape{2, 5, 6}, []float32{-1, -2}
	in := make([]float32, shape.Size())
	for i := range in {
		in[i] = float32(i)
	}
	out := make([]float32, len(in))
	for top := range 9 {
		for left := range 9 {
			for _, mirrored := range []bool{false, true} {
				move{top - 4, left - 4, mirrored}.apply(out, in, shape, black)
				if want := cropped(in, shape, black, top, left, mirrored); !slices.Equal(out, want) {
					t.Fatalf("window (%d, %d), mirrored %v: %v, not %v", top, left, mirrored, out, want)
				}
			}
		}
	}
}

func TestEveryMoveIsAsLikely(t *testing.T) {
	const n = 162 * 200
	counts := map[move]int{}
	for _, m := range newEpoch(Recipe{Augment: true}, 1, n).moves {
		counts[m]++
	}
	square := 0.0 // χ² with 161 degrees of freedom
	for _, count := range counts {
		square += math.Pow(float64(count)-200, 2) / 200
	}
	if len(counts) != 162 || square > 161+4*math.Sqrt(2*161) {
		t.Errorf("%d different moves, χ² = %.0f", len(counts), square)
	}
}

func TestAnEpochSeesEveryImageOnceInAnOrderOfItsOwn(t *testing.T) {
	const n = 103
	images := &nn.Images{Shape: nn.Shape{1}, Pixels: make([]float32, n), Labels: make([]int32, n)}
	for i := range n {
		images.Pixels[i], images.Labels[i] = float32(i), int32(i)
	}
	r := Recipe{Batch: 10}
	room := &nn.Images{Pixels: make([]float32, r.Batch), Labels: make([]int32, r.Batch)}
	seen := func(r Recipe, number int) (labels []int32) {
		e := newEpoch(r, number, n)
		for step := range r.Steps(n) {
			b := e.batch(room, images, nil, r.Batch, step)
			for k, l := range b.Labels {
				if b.Pixels[k] != float32(l) {
					t.Fatalf("image %v has label %d", b.Pixels[k], l)
				}
			}
			labels = append(labels, b.Labels...)
		}
		return labels
	}
	first := seen(r, 1)
	if sorted := slices.Sorted(slices.Values(first)); !slices.Equal(sorted, images.Labels) {
		t.Errorf("an epoch has the images %v", sorted)
	}
	if !slices.Equal(first, seen(r, 1)) {
		t.Error("the same epoch has another order")
	}
	for name, other := range map[string][]int32{"the data": images.Labels, "the next epoch": seen(r, 2), "another seed": seen(Recipe{Batch: 10, Seed: 1}, 1)} {
		if slices.Equal(first, other) {
			t.Errorf("%s has the same order", name)
		}
	}
}

func TestCorruptedLabelsAreDrawnFromAllClasses(t *testing.T) {
	const n, classes, probability = 20000, 10, 0.3
	labels := make([]int32, n)
	corrupt := Corrupt(labels, classes, probability, 1)
	counts := make([]int, classes)
	for _, l := range corrupt {
		counts[l]++
	}
	for class, count := range counts {
		p := probability / classes
		if class == 0 {
			p += 1 - probability
		}
		if d := math.Abs(float64(count) - n*p); d > 4.5*math.Sqrt(n*p*(1-p)) {
			t.Errorf("class %d has %d of %d labels, expected %.0f", class, count, n, n*p)
		}
	}
	if slices.Equal(corrupt, Corrupt(labels, classes, probability, 2)) {
		t.Error("another seed corrupts the same labels")
	}
	if !slices.Equal(labels, Corrupt(labels, classes, 0, 1)) {
		t.Error("with probability 0 labels are corrupted")
	}
}
