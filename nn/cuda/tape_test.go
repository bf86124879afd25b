package cuda

import (
	"testing"

	"lsrun/nn/zoo"
)

// TestPartialSumsHaveRoom goes through the blocks of images that there can be, none larger than what room was made for.
func TestPartialSumsHaveRoom(t *testing.T) {
	for _, name := range zoo.Names() {
		g, err := zoo.New(name, zoo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tape := record(g, blockImages)
		for _, l := range tape.layers {
			c, ok := l.(*conv)
			if !ok {
				continue
			}
			for _, capacity := range []int{1, 2, 3, 17, 128, tape.block} {
				room := c.room(capacity)
				for images := 1; images <= capacity; images++ {
					pixels := images * c.out.height * c.out.width
					splits, chunk := c.runs(pixels)
					if need := int64(splits) * int64(c.size()); need > room {
						t.Fatalf("%s: %d images of %v take %d sums, there is room for %d", name, images, c.Conv, need, room)
					}
					if chunk > longestRun || splits*chunk < pixels || (splits-1)*chunk >= pixels {
						t.Fatalf("%s: %d runs of %d are not %d pixels", name, splits, chunk, pixels)
					}
					if c.Groups*splits > 65535 {
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
