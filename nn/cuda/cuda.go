// Package cuda is the engine for NVIDIA's graphics cards: float32, on their tensor cores.
//
// The graph is lowered once to a list of steps (lower.go), each a launch of one kernel for many images at several
// points at once (step.go). The kernels (kernels/*.h) are compiled ahead of time to PTX, which the driver compiles for its card; the
// driver is loaded at run time (driver.go). θ, δ, η and, where they fit, the images stay on the card, where the weights are moved to a point as
// nn.Plane.Entry says, batch norms folded to scales and shifts, and weights brought into the order of the products.
//
// Derivatives go over another lowering of the graph (tape.go, kernels/derive.h), whose layers also run backwards; values are float64
// there, the rest has float32's precision: what tensor cores compute of it (tensor.go) as the engine's precision says, all else without them.
//
// Every output is one chain of operations whose order is a function of the layer's shape and the precision alone:
// results depend neither on what shares a launch nor on the card's size.
package cuda

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// Precision says how products are computed.
type Precision uint8

const (
	// FP16x3 is TF32x3, but the 3×3 convolutions that patch.h computes split factors into two of half precision, scaled so that it suffices:
	// half as many instructions of tensor cores as TF32x3's.
	FP16x3 Precision = iota
	// TF32x3 splits every factor into two of 11 bits and adds three of the four products, on tensor cores, in sums so short that
	// their cutting off does not matter: float32. What is not finite is evaluated again in Float32.
	TF32x3
	// Float32 does without tensor cores.
	Float32
	// TF32 rounds factors to 11 bits: a relative error of 1e-3.
	TF32
)

// precisions are named as kernels are.
var precisions = []Precision{FP16x3, TF32x3, Float32, TF32}

// ParseKernel is the precision of the kernel of the given name, with or without "cuda-"; the empty name is the default.
func ParseKernel(name string) (Precision, error) {
	for _, p := range precisions {
		if s := strings.TrimPrefix(name, kernelPrefix); s == p.String() || s == "" {
			return p, nil
		}
	}
	return 0, fmt.Errorf("unknown kernel %q for cards: there are %v", name, precisions)
}

// kernelPrefix begins the names of kernels.
const kernelPrefix = "cuda-"

// Kernel names the arithmetic of a precision.
func (p Precision) Kernel() string { return kernelPrefix + p.String() }

func (p Precision) String() string { return [...]string{"fp16x3", "tf32x3", "fp32", "tf32"}[p] }

// planes is how many parts weights are split into, and whether they are rounded.
func (p Precision) planes() (planes, rounded int32) {
	switch p {
	case TF32x3, FP16x3:
		return 2, 1
	case TF32:
		return 1, 1
	}
	return 1, 0
}

// products is the precision of all layers but those that patch.h computes.
func (p Precision) products() Precision {
	if p == FP16x3 {
		return TF32x3
	}
	return p
}

// ofDerivatives is the precision of derivatives, never less than float32's, on cards that have shared memory for p.
func (p Precision) ofDerivatives() Precision {
	if p == TF32 {
		return FP16x3
	}
	return p
}

// Options say how an engine works. Precision alone can change results.
type Options struct {
	Device    int // number of the card, counted round those that there are
	Precision Precision
	InFlight  int // images that a launch works on at most; 0: chosen
	Threads   int // for the host's share of the work; 0: GOMAXPROCS
}

// Engine evaluates a network on a card.
type Engine struct {
	graph       *nn.Graph
	loss        nn.Loss
	precision   Precision
	device      device
	threads     threads
	program     *program
	exact       *program // in Float32, or nil
	tables      tables
	again       tables // of exact
	sets        map[*images]bool
	plane       residentPlane
	room        room
	most        int          // images in flight at most
	bytes       int64        // of their values at most, and of their points' weights: less once memory was short
	logits      [2][]float32 // of the group in hand and of the one before
	exactLogits []float32
	given       *nn.Plane    // the plane in the host's memory
	derived     *derivatives // nil until they are first asked for
	pinned      []byte       // memory for vectors that come and go
	blockImages int          // of derivatives, at most
	stateBytes  int64        // of base states that are kept, at most
	mostVectors int          // on the card at a time
}

// images is a set, on the card pixel by pixel, channels padded to a multiple of four.
type images struct {
	*nn.Images
	at address // 0: the card has no room for all at once, and they are copied in parts
}

// residentPlane are the states and directions, entry by entry; x and y are 0 where they are not given.
type residentPlane struct {
	theta, x, y, sparse address
}

// room is the memory of evaluations: of a group of points and a chunk of images at each. It stays what the largest took.
type room struct {
	group, chunk                            int // of the evaluation in hand
	points, states, packed, factors, logits span
	arena, exact                            span // exact are packed weights of one point in Float32
	images                                  span // of a set that is copied in parts, those in hand
}

// span is memory of so many floats.
type span struct {
	address
	floats int64
}

// inFlight bounds the images that a launch works on, roomBytes what their values take, and what the weights of their points do.
const (
	inFlight  = 16384
	roomBytes = 8 << 30
)

// mostBlocks is how many blocks of threads a grid has at most, up and deep.
const mostBlocks = 65535

// New compiles g for evaluation with loss on a card.
func New(g *nn.Graph, loss nn.Loss, o Options) (*Engine, error) {
	d, err := open(o.Device)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(g, loss, o.Precision, d)
	if err != nil {
		return nil, err
	}
	if o.InFlight > 0 {
		e.most = o.InFlight
	}
	if o.Threads > 0 {
		e.threads = threads(o.Threads)
	}
	return e, nil
}

func newEngine(g *nn.Graph, loss nn.Loss, precision Precision, d device) (e *Engine, err error) {
	e = &Engine{graph: g, loss: loss, precision: precision, device: d, threads: threads(runtime.GOMAXPROCS(0)), program: lower(g, precision),
		sets: map[*images]bool{}, blockImages: blockImages, mostVectors: mostVectors, most: inFlight, bytes: roomBytes}
	if e.tables, err = e.program.announce(e.device); err == nil && (precision == TF32x3 || precision == FP16x3) {
		e.exact = lower(g, Float32)
		e.again, err = e.exact.announce(e.device)
	}
	var free int64
	if err == nil {
		free, err = d.available()
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	e.stateBytes = free / 100 * keptStates
	return e, nil
}

// Kernel names the arithmetic. It gives the same bits on all cards of one compute capability; which that is, Device tells, for a plan
// names its kernel where there need be no card.
func (e *Engine) Kernel() string { return e.precision.Kernel() }

// Device is the card's model, UUID and compute capability, and the driver's version: on one line, for records of what computed.
func (e *Engine) Device() string { return e.device.name() }

// FreeMemory is how many bytes of the card's memory nobody has taken.
func (e *Engine) FreeMemory() (int64, error) { return e.device.available() }

// Points are several groups, so that the host can reduce the logits of one while the card computes those of the next.
func (e *Engine) Points(s engine.Set) int {
	group, _ := e.fit(s.Len())
	return max(4, 2*group)
}

// InFlight is how many images a launch works on at most.
func (e *Engine) InFlight() int {
	_, chunk := e.fit(e.most)
	return chunk
}

// Close gives the card's memory back.
func (e *Engine) Close() error { return e.device.close() }

// resident copies values to new memory on the device.
func resident[T any](d device, values []T) (address, error) {
	if len(values) == 0 {
		return 0, nil
	}
	at, err := d.alloc(int64(len(bytes(values))))
	if err != nil {
		return 0, err
	}
	return at, d.upload(at, bytes(values))
}

// Load copies the images to the card. Where there is not enough memory, or later not enough beside them, they are copied in parts whenever they
// are needed.
func (e *Engine) Load(set *nn.Images) (engine.Set, error) {
	if err := set.Check(e.graph); err != nil {
		return nil, err
	}
	s := &images{Images: set}
	err := e.makingRoom(func() (err error) {
		s.at, err = e.device.alloc(4 * int64(e.program.input.buffer.size) * int64(set.Len()))
		return err
	})
	switch {
	case errors.Is(err, errMemory):
		err = nil
	case err == nil:
		if err = e.copyTo(s.at, set); err != nil {
			err = errors.Join(err, e.device.free(s.at))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load %d images: %w", set.Len(), err)
	}
	e.sets[s] = true
	return s, nil
}

// holdImages makes room for so many images of s at a time, if the card does not have them all.
func (e *Engine) holdImages(s *images, count int) error {
	if s.at != 0 {
		return nil
	}
	return e.hold(&e.room.images, int64(e.program.input.buffer.size)*int64(count))
}

// imagesAt is where so many images of s, from first on, lie on the card until the next call. Of evaluations, which hold room for a chunk, it
// takes no memory.
func (e *Engine) imagesAt(s *images, first, count int) (address, error) {
	if s.at != 0 {
		return s.at.at(int64(first) * int64(e.program.input.buffer.size)), nil
	}
	if err := e.makingAllRoom(func() error { return e.holdImages(s, count) }); err != nil {
		return 0, fmt.Errorf("copy %d images to the card: %w", count, err)
	}
	part, pixels := *s.Images, s.Shape.Size()
	part.Pixels, part.Labels = s.Pixels[first*pixels:(first+count)*pixels], s.Labels[first:first+count]
	return e.room.images.address, e.copyTo(e.room.images.address, &part)
}

// copyTo copies images to the card.
func (e *Engine) copyTo(at address, set *nn.Images) error {
	b := e.program.input.buffer
	const most = 1024 // images at a time
	part := make([]float32, min(most, set.Len())*b.size)
	size := set.Shape.Size()
	for first := 0; first < set.Len(); first += most {
		n := min(most, set.Len()-first)
		e.threads.each(n, func(i int) {
			pixelByPixel(part[i*b.size:][:b.size], set.Pixels[(first+i)*size:][:size], e.program.input)
		})
		if err := e.device.upload(at.at(int64(first)*int64(b.size)), bytes(part[:n*b.size])); err != nil {
			return err
		}
	}
	return nil
}

// pixelByPixel brings an image into the order of the device.
func pixelByPixel(dst, src []float32, v *value) {
	pixels := v.shape[1] * v.shape[2]
	for c := range v.shape[0] {
		for i, x := range src[c*pixels:][:pixels] {
			dst[i*v.buffer.pixel+c] = x
		}
	}
}

// threads is how many goroutines share the host's work.
type threads int

// each calls f for 0 … n−1.
func (t threads) each(n int, f func(i int)) {
	var running sync.WaitGroup
	workers := min(n, int(t))
	for w := range workers {
		running.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				f(i)
			}
		})
	}
	running.Wait()
}

// eachPart calls f for parts of n elements.
func (t threads) eachPart(n int, f func(first, end int)) {
	const part = 1 << 12
	t.each(blocks(n, part), func(i int) { f(i*part, min((i+1)*part, n)) })
}

// SetPlane copies θ, δ and η to the card.
func (e *Engine) SetPlane(plane nn.Plane) error {
	if err := plane.Check(e.graph); err != nil {
		return err
	}
	e.given = &plane
	for _, at := range []*address{&e.plane.theta, &e.plane.x, &e.plane.y, &e.plane.sparse} {
		if err := e.release(at); err != nil {
			return err
		}
	}
	sparse := make([]byte, e.program.length/entryBlock)
	for i := range e.graph.Entries {
		var given byte
		if plane.X != nil && plane.X[i].Data != nil {
			given |= 1
		}
		if plane.Y != nil && plane.Y[i].Data != nil {
			given |= 2
		}
		for b := e.program.states[i] / entryBlock; b < int64(len(sparse)) && (i+1 == len(e.graph.Entries) || b < e.program.states[i+1]/entryBlock); b++ {
			sparse[b] = given
		}
	}
	for _, part := range []struct {
		at     *address
		params nn.Params
	}{{&e.plane.x, plane.X}, {&e.plane.y, plane.Y}, {&e.plane.theta, plane.Theta}} {
		if part.params == nil || e.program.length == 0 {
			continue
		}
		flat := make([]float32, e.program.length)
		for i, t := range part.params {
			copy(flat[e.program.states[i]:], t.Data)
		}
		var err error
		if *part.at, err = resident(e.device, flat); err != nil {
			return fmt.Errorf("copy the network to the card: %w", err)
		}
	}
	if e.program.length == 0 { // a network without entries
		sparse, e.plane.theta = []byte{0}, 0
	}
	var err error
	e.plane.sparse, err = resident(e.device, sparse)
	return err
}

func (e *Engine) release(at *address) error {
	if *at == 0 {
		return nil
	}
	err := e.device.free(*at)
	*at = 0
	return err
}

// accept checks the arguments of Evaluate.
func (e *Engine) accept(s engine.Set, points []nn.Point, outs []engine.Output) (*images, error) {
	set, ok := s.(*images)
	if !ok || !e.sets[set] {
		return nil, errors.New("evaluate: the images were not loaded by this engine")
	}
	if e.plane.sparse == 0 {
		return nil, errors.New("evaluate: no plane was set")
	}
	if len(points) != len(outs) {
		return nil, fmt.Errorf("evaluate: %d points, but room for the results of %d", len(points), len(outs))
	}
	for _, out := range outs {
		n, classes := set.Len(), e.graph.Classes
		if len(out.Loss) != n || len(out.Predicted) != n || out.Logits != nil && len(out.Logits) != n*classes {
			return nil, fmt.Errorf("evaluate: room for %d losses, %d predictions and %d logits, but there are %d images of %d classes",
				len(out.Loss), len(out.Predicted), len(out.Logits), n, classes)
		}
	}
	return set, nil
}

// Evaluate runs the network at the points, a group of them at a time.
func (e *Engine) Evaluate(ctx context.Context, s engine.Set, points []nn.Point, outs []engine.Output) error {
	set, err := e.accept(s, points, outs)
	if err != nil {
		return err
	}
	if len(points) == 0 {
		return ctx.Err()
	}
	if err := e.reserve(len(points), set); err != nil {
		return fmt.Errorf("evaluate %d images: %w", set.Len(), err)
	}
	var last *group
	for len(points) > 0 {
		n := min(e.room.group, len(points))
		g := &group{points: points[:n], outs: outs[:n]}
		points, outs = points[n:], outs[n:]
		if err := e.launch(ctx, e.program, &e.tables, e.room.packed.address, set, g.points); err != nil {
			return err
		}
		e.reduce(set, last) // while the card works
		if g.logits, err = e.fetch(&e.logits[0], set, n); err != nil {
			return err
		}
		if err := e.evaluateAgain(ctx, set, last); err != nil {
			return err
		}
		e.logits[0], e.logits[1] = e.logits[1], e.logits[0]
		last = g
	}
	e.reduce(set, last)
	return e.evaluateAgain(ctx, set, last)
}

// group are points that are evaluated together.
type group struct {
	points []nn.Point
	outs   []engine.Output
	logits []float32
	wanted [][]bool // by point and image: whether it has yet to be evaluated
}

// reduce turns the logits of g, which may be nil, into losses and predictions.
func (e *Engine) reduce(set *images, g *group) {
	if g == nil {
		return
	}
	size := set.Len() * e.program.output.buffer.size
	g.wanted = make([][]bool, len(g.points))
	for p, out := range g.outs {
		g.wanted[p] = make([]bool, set.Len())
		for i := range g.wanted[p] {
			g.wanted[p][i] = true
		}
		e.report(out, set, g.logits[p*size:][:size], g.wanted[p])
	}
}

// evaluateAgain evaluates in float32 what of g, which may be nil, was not finite.
func (e *Engine) evaluateAgain(ctx context.Context, set *images, g *group) error {
	if g == nil || e.exact == nil {
		return nil
	}
	for p, out := range g.outs {
		if !slices.Contains(g.wanted[p], true) {
			continue
		}
		if err := e.launch(ctx, e.exact, &e.again, e.room.exact.address, set, g.points[p:p+1]); err != nil {
			return err
		}
		logits, err := e.fetch(&e.exactLogits, set, 1)
		if err != nil {
			return err
		}
		e.report(out, set, logits, g.wanted[p])
	}
	return nil
}

// fit is how many points make a group, and how many images of each, of n, are worked on at a time.
func (e *Engine) fit(n int) (group, chunk int) {
	chunk = int(max(1, min(int64(n), int64(e.most), e.bytes/e.ofImage())))
	group = int(max(1, min(int64(e.most/chunk), e.bytes/(e.ofImage()*int64(chunk)), e.bytes/e.ofPoint(n), mostBlocks)))
	return group, chunk
}

// ofImage is how many bytes the values of an image take; ofPoint those of a point's states, weights and factors, and its logits of n images.
func (e *Engine) ofImage() int64 { return 4 * max(1, e.program.arena) }

func (e *Engine) ofPoint(n int) int64 {
	p := e.program
	return 4 * (p.length + p.packed + p.factors + int64(p.output.buffer.size)*int64(n))
}

// reserve makes room for evaluations of a set at so many points: for fewer of both at a time, from now on, where memory is short. Before
// they fall below an eighth, where launches would cost more than copying images in parts does, a set is given up.
func (e *Engine) reserve(points int, set *images) error {
	n, bytes, most := set.Len(), e.bytes, 0
	for {
		group, chunk := e.fit(n)
		group = min(group, points)
		err := e.makingRoom(func() error { return e.allocate(group, chunk, set) })
		if !errors.Is(err, errMemory) {
			return err
		}
		most = max(most, group*chunk)
		one := group*chunk == 1
		if one || 4*group*chunk < most {
			switch given, failed := e.giveUpSet(); {
			case failed != nil:
				return failed
			case given:
				e.bytes = bytes
				continue
			}
		}
		if one {
			return err
		}
		e.bytes = e.ofImage() * int64(group*chunk) / 2
		if group > 1 {
			e.bytes = max(e.bytes, e.ofPoint(n)*int64(group)/2)
		}
	}
}

// allocate takes what the room lacks for a group of points, a chunk of a set's images at each.
func (e *Engine) allocate(group, chunk int, set *images) error {
	r, p, n := &e.room, e.program, set.Len()
	exact, copied := int64(0), int64(0)
	if set.at == 0 {
		copied = int64(p.input.buffer.size) * int64(chunk)
	}
	if e.exact != nil {
		exact = e.exact.packed
	}
	for _, part := range []struct {
		*span
		floats int64
	}{
		{&r.points, 4 * int64(group)}, {&r.states, p.length * int64(group)}, {&r.packed, p.packed * int64(group)},
		{&r.factors, p.factors * int64(group)}, {&r.logits, int64(p.output.buffer.size) * int64(n) * int64(group)},
		{&r.arena, p.arena * int64(group) * int64(chunk)}, {&r.exact, exact}, {&r.images, copied},
	} {
		if err := e.hold(part.span, part.floats); err != nil {
			return err
		}
	}
	r.group, r.chunk = group, chunk
	return nil
}

// hold makes s at least so long.
func (e *Engine) hold(s *span, floats int64) error {
	if floats <= s.floats {
		return nil
	}
	if err := e.vacate(s); err != nil {
		return err
	}
	at, err := e.device.alloc(4 * floats)
	if err == nil {
		*s = span{at, floats}
	}
	return err
}

// forgetRoom frees the memory of evaluations.
func (e *Engine) forgetRoom() error {
	r := &e.room
	for _, s := range []*span{&r.points, &r.states, &r.packed, &r.factors, &r.logits, &r.arena, &r.exact, &r.images} {
		if err := e.vacate(s); err != nil {
			return err
		}
	}
	return nil
}

// makingRoom takes memory and, where there is not enough, once more without that of evaluations, which they take anew.
func (e *Engine) makingRoom(take func() error) error {
	err := take()
	if errors.Is(err, errMemory) {
		if err = e.forgetRoom(); err == nil {
			err = take()
		}
	}
	return err
}

// makingAllRoom is makingRoom for what must be: sets are given up too.
func (e *Engine) makingAllRoom(take func() error) error {
	for {
		err := e.makingRoom(take)
		if !errors.Is(err, errMemory) {
			return err
		}
		if given, failed := e.giveUpSet(); !given {
			return cmp.Or(failed, err)
		}
	}
}

// giveUpSet frees the memory of the largest set that lies on the card, if one does: it is copied in parts from then on, with the same bits.
func (e *Engine) giveUpSet() (given bool, err error) {
	var largest *images
	for s := range e.sets {
		if s.at != 0 && (largest == nil || s.Len() > largest.Len()) {
			largest = s
		}
	}
	if largest == nil {
		return false, nil
	}
	err = e.release(&largest.at)
	return err == nil, err
}

func (e *Engine) vacate(s *span) error {
	s.floats = 0
	return e.release(&s.address)
}

// launch has the card run p at the points, as many as there is room for, over all images.
func (e *Engine) launch(ctx context.Context, p *program, t *tables, packed address, set *images, points []nn.Point) error {
	if err := e.prepare(p, t, packed, points); err != nil {
		return err
	}
	r, n := &e.room, set.Len()
	for first := 0; first < n; first += r.chunk {
		count := min(r.chunk, n-first)
		input, err := e.imagesAt(set, first, count)
		if err != nil {
			return err
		}
		pass := pass{program: p, points: len(points), images: count, imagesOfAPoint: n, input: input,
			logits: r.logits.at(int64(first) * int64(p.output.buffer.size)),
			arena:  r.arena.address, slots: int64(r.group) * int64(r.chunk), weights: packed, factor: r.factors.address}
		for _, s := range p.steps {
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), e.device.sync())
			}
			if err := e.device.launch(s.launch(&pass)); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch waits for what was launched and returns the logits, [point][image][class], in rows of a buffer's size. They lie in room, which grows
// as needed.
func (e *Engine) fetch(room *[]float32, set *images, points int) ([]float32, error) {
	size := points * set.Len() * e.program.output.buffer.size
	if cap(*room) < size {
		*room = make([]float32, size)
	}
	logits := (*room)[:size]
	if err := e.device.download(bytes(logits), e.room.logits.address); err != nil {
		return nil, err
	}
	return logits, e.device.sync()
}

// prepare moves p's weights to the points.
func (e *Engine) prepare(p *program, t *tables, packed address, points []nn.Point) error {
	r := &e.room
	if err := e.device.upload(r.points.address, bytes(points)); err != nil {
		return err
	}
	perturb := launch{kernel: "perturb", grid: [3]int{int(p.length / entryBlock), len(points), 1}, block: entryBlock}
	if p.length > 0 {
		err := e.device.launch(perturb, unsafe.Pointer(&perturbArguments{e.plane.theta, e.plane.x, e.plane.y, e.plane.sparse, r.points.address, r.states.address, p.length}))
		if err != nil {
			return err
		}
	}
	return t.pack(&p.packing, e.device.launch, states{r.states.address, p.length, len(points)}, r.factors.address, packed)
}

// report reduces the logits of the wanted images to losses and predictions. Images whose logits are not all finite
// stay wanted.
func (e *Engine) report(out engine.Output, set *images, logits []float32, wanted []bool) {
	row, classes := e.program.output.buffer.size, e.graph.Classes
	e.threads.each(set.Len(), func(i int) {
		if !wanted[i] {
			return
		}
		own := logits[i*row:][:classes]
		z := make([]float64, classes)
		wanted[i] = false
		for k, v := range own {
			z[k] = float64(v)
			wanted[i] = wanted[i] || math.IsNaN(z[k]) || math.IsInf(z[k], 0)
		}
		out.Loss[i] = e.loss.Image(z, int(set.Labels[i]))
		out.Predicted[i] = int32(nn.Predict(z))
		if out.Logits != nil {
			copy(out.Logits[i*classes:], own)
		}
	})
}
