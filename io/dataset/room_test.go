package dataset

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
)

func TestImagesInARoomArePixelsThenLabels(t *testing.T) {
	shape, n := nn.Shape{2, 1, 3}, 2
	var room []byte
	for _, v := range []float32{1, -2, 0.5, float32(math.Inf(1)), 1e-40, 6, 7, 8, 9, 10, 11, 12} {
		room = binary.NativeEndian.AppendUint32(room, math.Float32bits(v))
	}
	room = binary.NativeEndian.AppendUint32(room, 3)
	room = binary.NativeEndian.AppendUint32(room, 0x01020304)
	if got := RoomFor(shape, n); got != len(room) {
		t.Fatalf("room for %d bytes, want %d", got, len(room))
	}
	images := InRoom(room, shape, n)
	if !slices.Equal(images.Pixels, []float32{1, -2, 0.5, float32(math.Inf(1)), 1e-40, 6, 7, 8, 9, 10, 11, 12}) ||
		!slices.Equal(images.Labels, []int32{3, 0x01020304}) || !images.Shape.Equal(shape) {
		t.Errorf("%+v", images)
	}
	images.Pixels[11], images.Labels[0] = 0, -1
	if binary.NativeEndian.Uint32(room[4*11:]) != 0 || binary.NativeEndian.Uint32(room[4*12:]) != math.MaxUint32 {
		t.Error("the images are a copy of the room")
	}
}

func TestImagesThatGoIntoARoomAreTheSame(t *testing.T) {
	pre := Preprocess{Mean: []float64{0.3, 0.5}, Std: []float64{0.2, 0.7}}
	set := &Set{Shape: nn.Shape{2, 1, 2}, Train: &Part{Labels: []int32{4, 5, 6}, Bytes: []uint8{0, 1, 2, 3, 40, 50, 60, 70, 252, 253, 254, 255}},
		Test: &Part{Labels: []int32{1, 2}, Floats: []float32{-1, 0, 0.1, 1e-40, 3, 4, 5, 6}}}
	for name, c := range map[string]struct {
		choose func(Selection, Preprocess) (*nn.Images, error)
		sel    Selection
		pre    Preprocess
		n      int
	}{
		"all training images":     {set.TrainImages, Selection{}, pre, 3},
		"a part of them":          {set.TrainImages, Selection{Subset: 2, Seed: 1, Labels: []int32{7, 8, 9}}, pre, 2},
		"test images":             {set.TestImages, Selection{}, pre, 2},
		"test images as they are": {set.TestImages, Selection{}, Preprocess{}, 2},
	} {
		want, err := c.choose(c.sel, c.pre)
		if err != nil {
			t.Fatal(err)
		}
		room := make([]byte, RoomFor(set.Shape, c.n))
		c.sel.Room = InRoom(room, set.Shape, c.n)
		if _, err := c.choose(c.sel, c.pre); err != nil {
			t.Fatal(err)
		}
		got := InRoom(room, set.Shape, c.n)
		if !slices.Equal(got.Pixels, want.Pixels) || !slices.Equal(got.Labels, want.Labels) {
			t.Errorf("%s: %v in a room, %v without", name, got, want)
		}
		for _, n := range []int{c.n - 1, c.n + 1} {
			c.sel.Room = InRoom(make([]byte, RoomFor(set.Shape, n)), set.Shape, n)
			if _, err := c.choose(c.sel, c.pre); err == nil {
				t.Errorf("%s: they fit in room for %d", name, n)
			}
		}
	}
}
