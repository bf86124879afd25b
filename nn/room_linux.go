package nn

import (
	"syscall"
	"unsafe"
)

const madvHugePage = 14

// Room is zeroed room for n numbers, on huge pages where it fills one and the system has them: images and the buffers of a convolution lie
// on many more small pages than a processor remembers. It begins with a cache line.
func Room(n int) []float32 {
	const line = 64
	align := line
	if 4*n >= HugePage {
		align = HugePage
	}
	room := make([]float32, n+align/4)
	skip := (align - int(uintptr(unsafe.Pointer(&room[0]))%uintptr(align))) % align / 4
	room = room[skip : skip+n : skip+n]
	if whole := 4 * n / HugePage * HugePage; whole > 0 {
		// Without huge pages everything works, slower.
		_ = syscall.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), whole), madvHugePage)
	}
	return room
}
