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
		for height := 1; height < 300; height++ {
			for width := 1; width < 300; width++ {
				shape := nn.Shape{16, height, width}
				if !patches(nn.Conv2d(channels, 3, 1, 1), shape) {
					continue
				}
				accepted++
				of := patchOf(shape, tile)
				if of.pictures > 1 && of.parts > 1 || of.height*of.parts != height || of.pixels > most {
					t.Fatalf("%v are divided into %+v", shape, of)
				}
				copied := (most*4 + patchThreads - 1) / patchThreads * patchThreads / 4
				divides("pixels of a patch by its width", copied, width+2)
				divides("rows of a patch by a picture's", copied/(width+2)+1, of.height+2)
				divides("rows of the product by a picture's width", tile+16, width)
				divides("rows by a picture's height", tile/width+1, of.height)
			}
		}
	}
	if accepted < 1000 {
		t.Errorf("only %d pictures are accepted", accepted)
	}
}

func TestTilesOfABlockDoNotChangeABit(t *testing.T) {
	defer func(tiles, blocks int) { patchTiles, patchBlocks = tiles, blocks }(patchTiles, patchBlocks)
	logits := func(precision Precision) []float32 {
		e, _ := onHost(t, "resnet20", precision)
		return evaluate(t, e, loaded(t, e, 3), 1) // so many images that pictures and tiles do not end together
	}
	for _, precision := range []Precision{TF32x3, FP16x3} {
		patchTiles, patchBlocks = 1, 1
		want := logits(precision)
		patchTiles = 5
		if !same(logits(precision), want) {
			t.Errorf("%s: with several tiles a block there are other logits", precision)
		}
	}
}
