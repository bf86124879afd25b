package dataset

import (
	"unsafe"

	"lsrun/nn"
)

// RoomFor is how many bytes n images of a shape take in a room.
func RoomFor(shape nn.Shape, n int) int { return 4 * n * (shape.Size() + 1) }

// InRoom are n images that lie in room, RoomFor bytes at an address that 4 divides: N × shape float32 pixels, then N int32 labels, in
// this machine's order of bytes. They are room itself, not a copy.
func InRoom(room []byte, shape nn.Shape, n int) *nn.Images {
	pixels := n * shape.Size()
	return &nn.Images{
		Shape:  shape,
		Pixels: unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(room))), pixels),
		Labels: unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(room[4*pixels:]))), n),
	}
}
