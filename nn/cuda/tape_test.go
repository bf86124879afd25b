package cuda

import (
	"strings"
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo"
)

// TestPartialSumsHaveRoom goes through the blocks of images that there can be, none larger than what room was made for.
func TestPartialSumsHaveRoom(t *testing.T) {
	for _, name := range zoo.Names() {
		g, err := zoo.New(name, zoo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tape := record(g, blockImages, FP16x3)
		for _, l := range tape.layers {
			c, ok := l.(*conv)
			if !ok {
				continue
			}
			for _, capacity := range []int{1, 2, 3, 17, 128, tape.block} {
				room := c.room(capacity)
				for images := 1; images <= capacity; images++ {
					if c.tiles != nil {
						splits, tiles := c.tileRuns(images)
						if need := int64(splits) * int64(c.size()); need > room {
							t.Fatalf("%s: %d images of %v take %d sums of tiles, there is room for %d", name, images, c.Conv, need, room)
						}
						if bytes := c.weighShared(); bytes > 99<<10 {
							t.Fatalf("%s: %v takes %d bytes of shared memory, more than cards of compute capability 8.6 have", name, c.Conv, bytes)
						}
						if all := blocks(images, c.tiles.pictures) * c.tiles.parts; splits*tiles < all || (splits-1)*tiles >= all {
							t.Fatalf("%s: %d runs of %d are not %d tiles", name, splits, tiles, all)
						}
						continue
					}
					pixels := images * c.out.height * c.out.width
					splits, chunk := c.runs(pixels)
					if need := int64(splits) * int64(c.size()); need > room {
						t.Fatalf("%s: %d images of %v take %d sums, there is room for %d", name, images, c.Conv, need, room)
					}
					if chunk > longestRun || splits*chunk < pixels || (splits-1)*chunk >= pixels {
						t.Fatalf("%s: %d runs of %d are not %d pixels", name, splits, chunk, pixels)
					}
					if k := contraction("weigh", c.places()*c.channels, c.columns, c.Groups*splits, 4); !launchable(k) {
						t.Fatalf("%s: %d runs are too many for a grid", name, splits)
					}
				}
			}
		}
		if size := tape.plane * int64(tape.block); size >= 1<<31 {
			t.Errorf("%s: a plane has %d elements", name, size)
		}
	}
}

// TestRunsOfManyGroupsFitAGrid goes through more groups than the zoo has, up to the most there can be.
func TestRunsOfManyGroupsFitAGrid(t *testing.T) {
	for _, groups := range []int{2, 40, 41, 1024, 4096, 40000, mostBlocks} {
		c := &conv{Conv: nn.Conv2d(groups, 3, 1, 1), out: &picture{pixel: padded(groups), height: 1, width: 1}, channels: 1, columns: 1}
		c.Groups = groups
		for images := 1; images < 1<<23; images = images*3/2 + 1 {
			splits, chunk := c.runs(images)
			if k := contraction("weigh", c.places(), 1, groups*splits, 4); !launchable(k) {
				t.Fatalf("%d groups: %d runs are too many for a grid", groups, splits)
			}
			if splits*chunk < images || (splits-1)*chunk >= images || chunk%contractTerms != 0 {
				t.Fatalf("%d groups: %d runs of %d are not %d pixels", groups, splits, chunk, images)
			}
			if need, room := int64(splits)*int64(c.size()), c.room(images); need > room {
				t.Fatalf("%d groups: %d pixels take %d sums, there is room for %d", groups, images, need, room)
			}
			if chunk > longestRun && groups*blocks(images, longestRun) <= mostBlocks {
				t.Errorf("%d groups: runs of %d pixels are longer than need be", groups, chunk)
			}
		}
	}
}

func TestTooManyGroupsAreAnError(t *testing.T) {
	const groups = mostBlocks + 1
	c := nn.Conv2d(groups, 1, 1, 0)
	c.Groups = groups
	b := nn.NewBuilder("wide", nn.Shape{groups, 1, 1})
	b.Add("flat", nn.Flatten{}, b.Add("conv", c, 0))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHost()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(g, nn.CrossEntropy, Float32, h)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.differentiate(1); err == nil || !strings.Contains(err.Error(), "65536 groups") {
		t.Errorf("error %v", err)
	}
}
