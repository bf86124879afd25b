package cuda

import (
	"cmp"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

//go:generate sh -c "./kernels/compile | gzip -9n > kernels/kernels.ptx.gz"

//go:embed kernels/kernels.ptx.gz
var packedPTX string

// ptx is the compiled kernels.
func ptx() []byte {
	r, err := gzip.NewReader(strings.NewReader(packedPTX))
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return text
}

// errMemory says that a card has not enough memory left.
var errMemory = errors.New("out of memory")

// result is a CUresult.
type result int32

const (
	success     result = 0
	outOfMemory result = 2
)

// driver is what of the CUDA driver API is used: functions of libcuda.so.1, by their names there.
type driver struct {
	init               func(flags uint32) result
	driverGetVersion   func(version *int32) result
	getErrorName       func(r result, name **byte) result
	getErrorString     func(r result, text **byte) result
	deviceGet          func(device *int32, ordinal int32) result
	deviceGetCount     func(n *int32) result
	deviceGetName      func(name *byte, length int32, device int32) result
	deviceGetUuid      func(uuid *byte, device int32) result
	deviceGetAttribute func(value *int32, attribute int32, device int32) result
	primaryCtxRetain   func(context *uintptr, device int32) result
	primaryCtxRelease  func(device int32) result
	ctxSetCurrent      func(context uintptr) result
	moduleLoadDataEx   func(module *uintptr, image unsafe.Pointer, options uint32, names *int32, values *uintptr) result
	moduleGetFunction  func(function *uintptr, module uintptr, name string) result
	funcSetAttribute   func(function uintptr, attribute, value int32) result
	memAlloc           func(at *address, bytes uint64) result
	memFree            func(at address) result
	memGetInfo         func(free, total *uint64) result
	memHostAlloc       func(at *unsafe.Pointer, bytes uint64, flags uint32) result
	memFreeHost        func(at unsafe.Pointer) result
	memcpyHtoDAsync    func(dst address, src unsafe.Pointer, bytes uint64, stream uintptr) result
	memcpyDtoHAsync    func(dst unsafe.Pointer, src address, bytes uint64, stream uintptr) result
	streamCreate       func(stream *uintptr, flags uint32) result
	streamDestroy      func(stream uintptr) result
	streamSynchronize  func(stream uintptr) result
	launchKernel       func(function uintptr, gridX, gridY, gridZ, blockX, blockY, blockZ, shared uint32, stream uintptr, parameters *unsafe.Pointer, extra *unsafe.Pointer) result
}

// load finds the driver's functions.
func load() (*driver, error) {
	library, err := purego.Dlopen("libcuda.so.1", purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("no NVIDIA driver on this machine: %w", err)
	}
	d := &driver{}
	for name, f := range map[string]any{
		"cuInit": &d.init, "cuDriverGetVersion": &d.driverGetVersion, "cuGetErrorName": &d.getErrorName, "cuGetErrorString": &d.getErrorString,
		"cuDeviceGet": &d.deviceGet, "cuDeviceGetCount": &d.deviceGetCount, "cuDeviceGetName": &d.deviceGetName,
		"cuDeviceGetUuid": &d.deviceGetUuid, "cuDeviceGetAttribute": &d.deviceGetAttribute,
		"cuDevicePrimaryCtxRetain": &d.primaryCtxRetain, "cuDevicePrimaryCtxRelease_v2": &d.primaryCtxRelease, "cuCtxSetCurrent": &d.ctxSetCurrent,
		"cuModuleLoadDataEx": &d.moduleLoadDataEx, "cuModuleGetFunction": &d.moduleGetFunction,
		"cuFuncSetAttribute": &d.funcSetAttribute, "cuMemAlloc_v2": &d.memAlloc, "cuMemFree_v2": &d.memFree, "cuMemGetInfo_v2": &d.memGetInfo,
		"cuMemHostAlloc": &d.memHostAlloc, "cuMemFreeHost": &d.memFreeHost,
		"cuMemcpyHtoDAsync_v2": &d.memcpyHtoDAsync, "cuMemcpyDtoHAsync_v2": &d.memcpyDtoHAsync,
		"cuStreamCreate": &d.streamCreate, "cuStreamDestroy_v2": &d.streamDestroy, "cuStreamSynchronize": &d.streamSynchronize,
		"cuLaunchKernel": &d.launchKernel,
	} {
		symbol, err := purego.Dlsym(library, name)
		if err != nil {
			return nil, fmt.Errorf("the NVIDIA driver is too old: %w", err)
		}
		purego.RegisterFunc(f, symbol)
	}
	return d, nil
}

// processor is a card that the process has opened. It stays so to the process's end: opening takes a second.
type processor struct {
	*driver
	title   string
	context uintptr
	module  uintptr

	lock      sync.Mutex
	functions map[string]function
}

type function struct {
	handle uintptr
	shared int // bytes of shared memory that it may have
}

// opened are the process's cards, by number.
var (
	opened = map[int]*processor{}
	opens  sync.Mutex
)

// open starts work on the card of the given number.
func open(number int) (device, error) {
	opens.Lock()
	defer opens.Unlock()
	if opened[number] == nil {
		d, err := load()
		if err != nil {
			return nil, err
		}
		p, err := d.processor(number)
		if err != nil {
			return nil, err
		}
		opened[number] = p
	}
	return opened[number].open()
}

// processor opens the card of the given number, counted round those that there are: several processes may share one, or each
// be shown its own.
func (d *driver) processor(number int) (*processor, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := d.check(d.init(0), "start the NVIDIA driver"); err != nil {
		return nil, err
	}
	var count int32
	if err := d.check(d.deviceGetCount(&count), "count the NVIDIA cards"); err != nil {
		return nil, err
	}
	if number < 0 || count == 0 {
		return nil, fmt.Errorf("there is no NVIDIA card %d: this process may use %d", number, count)
	}
	number %= int(count)
	p := &processor{driver: d, functions: map[string]function{}}
	const capabilityMajor, capabilityMinor = 75, 76 // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…
	var handle, major, minor, version int32
	var name [256]byte
	var uuid [16]byte
	for _, step := range []struct {
		what string
		do   func() result
	}{
		{"find the card", func() result { return d.deviceGet(&handle, int32(number)) }},
		{"ask the card's name", func() result { return d.deviceGetName(&name[0], int32(len(name)), handle) }},
		{"ask the card's UUID", func() result { return d.deviceGetUuid(&uuid[0], handle) }},
		{"ask the card's compute capability", func() result { return d.deviceGetAttribute(&major, capabilityMajor, handle) }},
		{"ask the card's compute capability", func() result { return d.deviceGetAttribute(&minor, capabilityMinor, handle) }},
		{"ask the driver's version", func() result { return d.driverGetVersion(&version) }},
		{"open the card", func() result { return d.primaryCtxRetain(&p.context, handle) }},
	} {
		if err := d.check(step.do(), "%s", step.what); err != nil {
			return nil, err
		}
	}
	p.title = fmt.Sprintf("%s, GPU-%x-%x-%x-%x-%x, compute capability %d.%d, driver for CUDA %d.%d", text(&name[0]),
		uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:], major, minor, version/1000, version%1000/10)
	err := d.check(d.ctxSetCurrent(p.context), "enter the card's context")
	if err == nil {
		err = p.compile()
	}
	if err != nil {
		return nil, errors.Join(err, d.check(d.primaryCtxRelease(handle), "leave the card"))
	}
	return p, nil
}

// card is a device behind the driver: a stream of work, and memory.
type card struct {
	*processor
	stream uintptr
	held   map[address]bool
	pins   []unsafe.Pointer
}

func (p *processor) open() (device, error) {
	c := &card{processor: p, held: map[address]bool{}}
	const nonBlocking = 1
	err := c.do(func() error { return c.check(c.streamCreate(&c.stream, nonBlocking), "make a stream") })
	if err != nil {
		return nil, err
	}
	return c, nil
}

// compile has the driver translate the kernels for the card.
func (p *processor) compile() error {
	const errorBuffer, errorBufferSize = 5, 6 // CU_JIT_ERROR_LOG_BUFFER, …_SIZE_BYTES
	log := make([]byte, 4096)                 // on the heap, where it stays in place
	names := [2]int32{errorBuffer, errorBufferSize}
	values := [2]uintptr{uintptr(unsafe.Pointer(&log[0])), uintptr(len(log))} // a size travels as a pointer
	defer runtime.KeepAlive(log)
	image := append(ptx(), 0)
	r := p.moduleLoadDataEx(&p.module, unsafe.Pointer(&image[0]), uint32(len(names)), &names[0], &values[0])
	if err := p.check(r, "compile the kernels"); err != nil {
		if said := text(&log[0]); said != "" {
			return fmt.Errorf("%w: %s", err, said)
		}
		return err
	}
	return nil
}

// text is a C string.
func text(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// driverError is a call that failed.
type driverError struct {
	what       string
	code       result
	name, text string
}

func (e *driverError) Error() string {
	return fmt.Sprintf("%s: %s (%s, error %d)", e.what, e.text, e.name, e.code)
}

// Is makes out of memory errMemory.
func (e *driverError) Is(target error) bool { return target == errMemory && e.code == outOfMemory }

func (d *driver) check(r result, what string, arguments ...any) error {
	if r == success {
		return nil
	}
	var name, said *byte
	d.getErrorName(r, &name)
	d.getErrorString(r, &said)
	return &driverError{fmt.Sprintf(what, arguments...), r, text(name), text(said)}
}

// do calls f on a thread that is in the card's context.
func (c *card) do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.check(c.ctxSetCurrent(c.context), "enter the card's context"); err != nil {
		return err
	}
	return f()
}

func (c *card) name() string { return c.title }

func (c *card) alloc(bytes int64) (at address, err error) {
	err = c.do(func() error {
		return c.check(c.memAlloc(&at, uint64(bytes)), "take %d MB of the card's memory", bytes>>20)
	})
	if err == nil {
		c.held[at] = true
	}
	return at, err
}

func (c *card) free(at address) error {
	delete(c.held, at)
	return c.do(func() error { return c.check(c.memFree(at), "give back the card's memory") })
}

func (c *card) pinned(bytes int64) ([]byte, error) {
	if bytes == 0 {
		return nil, nil
	}
	at := new(unsafe.Pointer)
	err := c.do(func() error {
		return c.check(c.memHostAlloc(at, uint64(bytes), 0), "pin %d MB of memory", bytes>>20)
	})
	if err != nil {
		return nil, err
	}
	c.pins = append(c.pins, *at)
	return unsafe.Slice((*byte)(*at), bytes), nil
}

func (c *card) available() (int64, error) {
	var free, total uint64
	err := c.do(func() error { return c.check(c.memGetInfo(&free, &total), "ask for the card's free memory") })
	return int64(free), err
}

func (c *card) upload(dst address, src []byte) error {
	if len(src) == 0 {
		return nil
	}
	err := c.do(func() error {
		return c.check(c.memcpyHtoDAsync(dst, unsafe.Pointer(&src[0]), uint64(len(src)), c.stream), "copy %d bytes to the card", len(src))
	})
	if err == nil {
		err = c.sync()
	}
	runtime.KeepAlive(src)
	return err
}

func (c *card) download(dst []byte, src address) error {
	if len(dst) == 0 {
		return nil
	}
	return c.do(func() error {
		return c.check(c.memcpyDtoHAsync(unsafe.Pointer(&dst[0]), src, uint64(len(dst)), c.stream), "copy %d bytes from the card", len(dst))
	})
}

func (c *card) sync() error {
	return c.do(func() error { return c.check(c.streamSynchronize(c.stream), "wait for the card") })
}

func (c *card) launch(l launch, arguments unsafe.Pointer) error {
	return c.do(func() error {
		f, err := c.function(l.kernel, l.shared)
		if err != nil {
			return err
		}
		r := c.launchKernel(f, uint32(l.grid[0]), uint32(l.grid[1]), uint32(l.grid[2]), uint32(l.block), 1, 1, uint32(l.shared), c.stream, &arguments, nil)
		return c.check(r, "launch kernel %s", l.kernel)
	})
}

// ordinaryShared is the shared memory that a kernel may have without being granted more.
const ordinaryShared = 48 << 10

// function is the kernel of the given name, granted the given shared memory.
func (p *processor) function(kernel string, shared int) (uintptr, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	f, known := p.functions[kernel]
	if !known {
		if err := p.check(p.moduleGetFunction(&f.handle, p.module, kernel), "find kernel %s", kernel); err != nil {
			return 0, err
		}
		f.shared = ordinaryShared
	}
	if shared > f.shared {
		// Such kernels read memory once: what is left of the first cache is of little use to them.
		const maxDynamicShared, preferredCarveout, all = 8, 9, 100
		for attribute, value := range map[int32]int32{maxDynamicShared: int32(shared), preferredCarveout: all} {
			if err := p.check(p.funcSetAttribute(f.handle, attribute, value), "give kernel %s %d bytes of shared memory", kernel, shared); err != nil {
				return 0, fmt.Errorf("%w: not every card has as much as tf32x3 needs: use --kernel fp16x3", err)
			}
		}
		f.shared = shared
	}
	p.functions[kernel] = f
	return f.handle, nil
}

// close gives memory and stream back; of several errors it returns the first.
func (c *card) close() error {
	return c.do(func() error {
		var first error
		for at := range c.held {
			first = cmp.Or(first, c.check(c.memFree(at), "give back the card's memory"))
		}
		clear(c.held)
		for _, at := range c.pins {
			first = cmp.Or(first, c.check(c.memFreeHost(at), "give back pinned memory"))
		}
		c.pins = nil
		if c.stream != 0 {
			first = cmp.Or(first, c.check(c.streamDestroy(c.stream), "give back the stream"))
			c.stream = 0
		}
		return first
	})
}
