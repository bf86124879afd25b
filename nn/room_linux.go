package nn

import (
	"syscall"
	"unsafe"
)

const madvHugePage = 14

// Room is zeroed room for n numbers, on huge pages where the system has them: images and the buffers of a convolution lie on many more
// small pages than a processor remembers.
func Room(n int) []float32 {
	room := make([]float32, n+HugePage/4)
	skip := (HugePage - int(uintptr(unsafe.Pointer(&room[0]))%HugePage)) % HugePage / 4
	room = room[skip : skip+n : skip+n]
	if whole := 4 * n / HugePage * HugePage; whole > 0 {
		// Without huge pages everything works, slower.
		_ = syscall.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), whole), madvHugePage)
	}
	return room
}
