package cuda

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// host is a device without a card: the kernels' source, compiled for this machine, run thread by
// thread (kernels/host.h). Its memory begins as NaN, and what is read or written beyond the end of an allocation is a crash.
type host struct {
	held        map[address][]byte
	kernels     map[string]func(x, y, z, threads int32, arguments unsafe.Pointer)
	limit       int64 // bytes; 0: none
	taken       int64
	allocations int           // that were tried
	failing     map[int]error // by the number of the allocation, what it gives
}

var library = sync.OnceValues(func() (uintptr, error) {
	folder, err := os.MkdirTemp("", "lsrun-cuda")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "kernels.so")
	cmd := exec.Command("clang-19", "-x", "c++", "-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-Wall", "-Werror", "-fPIC", "-shared",
		"-fno-math-errno", "-nostdlib++", "kernels/host.cc", "-o", path, "-lm")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	return purego.Dlopen(path, purego.RTLD_NOW)
})

func newHost() (*host, error) {
	if _, err := library(); err != nil {
		return nil, fmt.Errorf("compile the kernels for this machine (make setup installs clang-19): %w", err)
	}
	return &host{held: map[address][]byte{}, kernels: map[string]func(x, y, z, threads int32, arguments unsafe.Pointer){}}, nil
}

func (h *host) name() string { return "host" }
func (h *host) sync() error  { return nil }

const page = 4096

func (h *host) alloc(size int64) (address, error) {
	h.allocations++
	if err := h.failing[h.allocations]; err != nil {
		return 0, err
	}
	if h.limit > 0 && h.taken+size > h.limit {
		return 0, errMemory
	}
	whole := int(roundUp(size, page)) + page
	m, err := syscall.Mmap(-1, 0, whole, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return 0, err
	}
	for i := range m {
		m[i] = 0xff
	}
	if err := syscall.Mprotect(m[whole-page:], syscall.PROT_NONE); err != nil {
		return 0, err
	}
	at := address(uintptr(unsafe.Pointer(&m[0]))) + address((int64(whole-page)-size)&^15)
	h.held[at] = m
	h.taken += roundUp(size, 16)
	return at, nil
}

func (h *host) free(at address) error {
	m := h.held[at]
	delete(h.held, at)
	h.taken -= int64(uintptr(unsafe.Pointer(&m[0]))) + int64(len(m)) - page - int64(at)
	return syscall.Munmap(m)
}

func (h *host) pinned(bytes int64) ([]byte, error) { return make([]byte, bytes), nil }

func (h *host) available() (int64, error) {
	if h.limit == 0 {
		return 1 << 40, nil
	}
	return h.limit - h.taken, nil
}

func (h *host) memoryAt(at address, n int) []byte {
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), n)
}

func (h *host) upload(dst address, src []byte) error {
	copy(h.memoryAt(dst, len(src)), src)
	return nil
}

func (h *host) download(dst []byte, src address) error {
	copy(dst, h.memoryAt(src, len(dst)))
	return nil
}

func (h *host) launch(l launch, arguments unsafe.Pointer) error {
	if !launchable(l) {
		return fmt.Errorf("a card cannot launch kernel %s in a grid of %v blocks of %d threads", l.kernel, l.grid, l.block)
	}
	f := h.kernels[l.kernel]
	if f == nil {
		lib, _ := library()
		symbol, err := purego.Dlsym(lib, "host_"+l.kernel)
		if err != nil {
			return err
		}
		purego.RegisterFunc(&f, symbol)
		h.kernels[l.kernel] = f
	}
	f(int32(l.grid[0]), int32(l.grid[1]), int32(l.grid[2]), int32(l.block), arguments)
	return nil
}

// launchable reports whether cards of any compute capability take the grid, by the CUDA programming guide's table of technical specifications.
func launchable(l launch) bool {
	x, y, z := l.grid[0], l.grid[1], l.grid[2]
	return 0 < x && x < 1<<31 && 0 < y && y < 1<<16 && 0 < z && z < 1<<16 && 0 < l.block && l.block <= 1024
}

func (h *host) close() error {
	for at := range h.held {
		if err := h.free(at); err != nil {
			return err
		}
	}
	return nil
}
