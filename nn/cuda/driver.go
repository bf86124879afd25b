package cuda

import (
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

//go:generate sh -c "./kernels/compile > kernels/kernels.ptx"

//go:embed kernels/kernels.ptx
var ptx string

// errMemory says that a card has not enough memory left.
var errMemory = errors.New("out of memory")

// result is a CUresult.
type result int32

const (
	success     result = 0
	outOfMemory result = 2
	noDevice    result = 100
)

// driver is what of the CUDA driver API is used: functions of libcuda.so.1, by their names there.
type driver struct {
	init              func(flags uint32) result
	driverGetVersion  func(version *int32) result
	getErrorName      func(r result, name **byte) result
	getErrorString    func(r result, text **byte) result
	deviceGet         func(device *int32, ordinal int32) result
	deviceGetCount    func(n *int32) result
	deviceGetName     func(name *byte, length int32, device int32) result
	primaryCtxRetain  func(context *uintptr, device int32) result
	primaryCtxRelease func(device int32) result
	ctxSetCurrent     func(context uintptr) result
	moduleLoadDataEx  func(module *uintptr, image unsafe.Pointer, options uint32, names *int32, values *uintptr) result
	moduleUnload      func(module uintptr) result
	moduleGetFunction func(function *uintptr, module uintptr, name string) result
	funcSetAttribute  func(function uintptr, attribute, value int32) result
	memGetInfo        func(free, total *uint64) result
	memAlloc          func(at *address, bytes uint64) result
	memFree           func(at address) result
	memcpyHtoDAsync   func(dst address, src unsafe.Pointer, bytes uint64, stream uintptr) result
	memcpyDtoHAsync   func(dst unsafe.Pointer, src address, bytes uint64, stream uintptr) result
	streamCreate      func(stream *uintptr, flags uint32) result
	streamDestroy     func(stream uintptr) result
	streamSynchronize func(stream uintptr) result
	launchKernel      func(function uintptr, gridX, gridY, gridZ, blockX, blockY, blockZ, shared uint32, stream uintptr, parameters *unsafe.Pointer, extra *unsafe.Pointer) result
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
		"cuDevicePrimaryCtxRetain": &d.primaryCtxRetain, "cuDevicePrimaryCtxRelease_v2": &d.primaryCtxRelease, "cuCtxSetCurrent": &d.ctxSetCurrent,
		"cuModuleLoadDataEx": &d.moduleLoadDataEx, "cuModuleUnload": &d.moduleUnload, "cuModuleGetFunction": &d.moduleGetFunction,
		"cuFuncSetAttribute": &d.funcSetAttribute, "cuMemGetInfo_v2": &d.memGetInfo, "cuMemAlloc_v2": &d.memAlloc, "cuMemFree_v2": &d.memFree,
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

// card is a device behind the driver.
type card struct {
	*driver
	number    int32
	handle    int32
	title     string
	retained  bool
	context   uintptr
	module    uintptr
	stream    uintptr
	functions map[string]function
	held      map[address]bool
}

type function struct {
	handle uintptr
	shared int // bytes of shared memory that it may have
}

// open starts work on the card of the given number.
func open(number int) (device, error) {
	d, err := load()
	if err != nil {
		return nil, err
	}
	return d.open(number)
}

func (d *driver) open(number int) (device, error) {
	c := &card{driver: d, number: int32(number), functions: map[string]function{}, held: map[address]bool{}}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.start(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *card) start() error {
	if err := c.check(c.init(0), "start the NVIDIA driver"); err != nil {
		return err
	}
	var count int32
	if err := c.check(c.deviceGetCount(&count), "count the NVIDIA cards"); err != nil {
		return err
	}
	if c.number < 0 || c.number >= count {
		return fmt.Errorf("there is no NVIDIA card %d: this machine has %d, counted from 0", c.number, count)
	}
	var version int32
	var name [256]byte
	for _, step := range []struct {
		what string
		do   func() result
	}{
		{"find the card", func() result { return c.deviceGet(&c.handle, c.number) }},
		{"ask its name", func() result { return c.deviceGetName(&name[0], int32(len(name)), c.handle) }},
		{"ask the driver's version", func() result { return c.driverGetVersion(&version) }},
		{"open its context", func() result { return c.primaryCtxRetain(&c.context, c.handle) }},
		{"enter its context", func() result { c.retained = true; return c.ctxSetCurrent(c.context) }},
		{"make a stream", func() result { return c.streamCreate(&c.stream, 1) }},
	} {
		if err := c.check(step.do(), "%s", step.what); err != nil {
			return err
		}
	}
	c.title = fmt.Sprintf("%s, driver for CUDA %d.%d", text(&name[0]), version/1000, version%1000/10)
	return c.compile()
}

// compile has the driver translate the kernels for the card.
func (c *card) compile() error {
	const errorBuffer, errorBufferSize = 5, 6 // CU_JIT_ERROR_LOG_BUFFER, …_SIZE_BYTES
	log := make([]byte, 4096)                 // on the heap, where it stays in place
	names := [2]int32{errorBuffer, errorBufferSize}
	values := [2]uintptr{uintptr(unsafe.Pointer(&log[0])), uintptr(len(log))} // a size travels as a pointer
	defer runtime.KeepAlive(log)
	image := append([]byte(ptx), 0)
	r := c.moduleLoadDataEx(&c.module, unsafe.Pointer(&image[0]), uint32(len(names)), &names[0], &values[0])
	if err := c.check(r, "compile the kernels"); err != nil {
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

func (c *card) check(r result, what string, arguments ...any) error {
	if r == success {
		return nil
	}
	var name, said *byte
	c.getErrorName(r, &name)
	c.getErrorString(r, &said)
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

func (c *card) memory() (int64, error) {
	var free, total uint64
	err := c.do(func() error { return c.check(c.memGetInfo(&free, &total), "ask for the card's free memory") })
	return int64(free), err
}

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

func (c *card) upload(dst address, src []byte) error {
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
	return c.do(func() error {
		return c.check(c.memcpyDtoHAsync(unsafe.Pointer(&dst[0]), src, uint64(len(dst)), c.stream), "copy %d bytes from the card", len(dst))
	})
}

func (c *card) sync() error {
	return c.do(func() error { return c.check(c.streamSynchronize(c.stream), "wait for the card") })
}

// ordinaryShared is the shared memory that a kernel may have without being granted more.
const ordinaryShared = 48 << 10

func (c *card) launch(l launch, arguments unsafe.Pointer) error {
	return c.do(func() error {
		f, known := c.functions[l.kernel]
		if !known {
			if err := c.check(c.moduleGetFunction(&f.handle, c.module, l.kernel), "find kernel %s", l.kernel); err != nil {
				return err
			}
			f.shared = ordinaryShared
		}
		if l.shared > f.shared {
			const maxDynamicShared = 8 // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
			if err := c.check(c.funcSetAttribute(f.handle, maxDynamicShared, int32(l.shared)), "give kernel %s %d bytes of shared memory", l.kernel, l.shared); err != nil {
				return err
			}
			f.shared = l.shared
		}
		c.functions[l.kernel] = f
		r := c.launchKernel(f.handle, uint32(l.grid[0]), uint32(l.grid[1]), uint32(l.grid[2]), uint32(l.block), 1, 1, uint32(l.shared), c.stream, &arguments, nil)
		return c.check(r, "launch kernel %s", l.kernel)
	})
}

// close gives everything back; of several errors it returns the first.
func (c *card) close() error {
	if !c.retained {
		return nil
	}
	return c.do(func() error {
		var first error
		note := func(err error) {
			if first == nil {
				first = err
			}
		}
		for at := range c.held {
			note(c.check(c.memFree(at), "give back the card's memory"))
		}
		if c.module != 0 {
			note(c.check(c.moduleUnload(c.module), "unload the kernels"))
		}
		if c.stream != 0 {
			note(c.check(c.streamDestroy(c.stream), "give back the stream"))
		}
		note(c.check(c.primaryCtxRelease(c.handle), "leave the card"))
		c.retained = false
		return first
	})
}
