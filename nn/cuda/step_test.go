package cuda

import (
	"testing"

	"lsrun/nn"
)

// TestPatchesDivideExactly goes through all pictures that patch.h accepts and all numbers that it divides.
func TestPatchesDivideExactly(t *testing.T) {
	divides := func(what string, most, by int) {
		for i := range most {
			if got := int(uint32(i) * reciprocal(by) >> 16); got != i/by {
				t.Fatalf("%s: %d/%d is %d", what, i, by, got)
			}
		}
	}
	accepted := 0
	for _, channels := range []int{16, 64} {
		tile, most := patchTile(channels)
		l := lowering{precision: TF32}
		for height := 1; height < 300; height++ {
			for width := 1; width < 300; width++ {
				shape := nn.Shape{16, height, width}
				if !l.patch(nn.Conv2d(channels, 3, 1, 1), &value{shape: shape}) {
					continue
				}
				accepted++
				rows := tile / width
				read := patchRows(shape, rows)
				if height%16 == 0 || width%16 == 0 || height < 20 {
					copied := (most*4 + patchThreads - 1) / patchThreads * patchThreads / 4
					divides("pixels of a patch by its width", copied, width+2)
					divides("rows of a patch by a picture's", height+copied/(width+2)+1, height+2)
					divides("rows of the product by a picture's width", tile, width)
					divides("rows by a picture's height", height+rows, height)
				}
				for block := range height { // every way to lie across pictures
					first := block * rows % height
					last := first + rows - 1
					if need := last + 2*(last/height) + 2 - first + 1; need > read {
						t.Fatalf("%v: from row %d on, %d rows are read, not %d", shape, first, need, read)
					}
				}
			}
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d pictures are accepted", accepted)
	}
}
