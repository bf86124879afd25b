package nn

import (
	"syscall"
	"unsafe"
)

const (
	madvHugePage = 14
	hugePage     = 2 << 20 // bytes
	cacheLine    = 64
)

// alignment is that of a Room, in bytes.
func alignment(n int) int {
	if 4*n < hugePage {
		return cacheLine
	}
	return hugePage
}

// RoomBytes is what Room takes.
func RoomBytes(n int) int64 { return 4*int64(n) + int64(alignment(n)) }

// Room is zeroed room for n numbers, on huge pages where it fills one and the system has them: images and the buffers of a convolution lie
// on many more small pages than a processor remembers. It begins with a cache line.
func Room(n int) []float32 {
	align := alignment(n)
	room := make([]float32, n+align/4)
	skip := (align - int(uintptr(unsafe.Pointer(&room[0]))%uintptr(align))) % align / 4
	room = room[skip : skip+n : skip+n]
	if whole := 4 * n / hugePage * hugePage; whole > 0 {
		// Without huge pages everything works, slower.
		_ = syscall.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), whole), madvHugePage)
	}
	return room
}
