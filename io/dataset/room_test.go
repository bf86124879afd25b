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
