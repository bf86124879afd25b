package cpu

import (
	"syscall"
	"unsafe"
)

const madvHugePage = 14

// allocate makes room for n numbers on huge pages where the system has them: the buffers of a
// convolution lie on many more small pages than a processor remembers.
func allocate(n int) []float32 {
	room := make([]float32, n+hugePage/4)
	skip := (hugePage - int(uintptr(unsafe.Pointer(&room[0]))%hugePage)) % hugePage / 4
	room = room[skip : skip+n : skip+n]
	if whole := 4 * n / hugePage * hugePage; whole > 0 {
		// Without huge pages everything works, slower.
		_ = syscall.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), whole), madvHugePage)
	}
	return room
}
