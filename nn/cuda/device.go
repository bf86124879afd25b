package cuda

import "unsafe"

// device is what the engine asks of a card. Work is done in the order of the calls; launch and download return
// before it is done, sync waits for it.
type device interface {
	// name tells the model, which card it is, and the driver.
	name() string
	// alloc returns a pointer aligned to 256 bytes; errMemory if there is not enough.
	alloc(bytes int64) (address, error)
	free(at address) error
	// available is how many bytes of memory nobody has taken.
	available() (int64, error)
	// pinned returns memory of the host that is copied to and from the card faster, until close.
	pinned(bytes int64) ([]byte, error)
	// upload returns when src may change again.
	upload(dst address, src []byte) error
	// download fills dst by the time that sync returns.
	download(dst []byte, src address) error
	// launch runs a kernel; arguments points to its only parameter, a structure.
	launch(k launch, arguments unsafe.Pointer) error
	sync() error
	close() error
}

// address is a place in a device's memory.
type address uint64

// at is the address of float i behind a.
func (a address) at(i int64) address { return a + address(4*i) }

// launch is a kernel with its grid.
type launch struct {
	kernel string
	grid   [3]int // blocks
	block  int    // threads
	shared int    // bytes of shared memory
}

// bytes is the memory of values.
func bytes[T any](values []T) []byte {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), len(values)*int(unsafe.Sizeof(values[0])))
}
