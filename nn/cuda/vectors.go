package cuda

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"lsrun/nn/engine"
)

var _ engine.Residence = (*Engine)(nil)

// vectors are engine.Vectors on a card (kernels/vectors.h).
type vectors struct {
	engine      *Engine
	count       int   // elements
	stride      int64 // from a vector to the next
	blocks      int   // of vectorDots
	all         address
	places      address // of elements among all parameters
	which       address
	factors     address
	parts, sums address
}

const (
	togetherVectors = 8   // TOGETHER in vectors.h
	rotatedElements = 32  // ROTATED in vectors.h
	mostDotBlocks   = 256 // so that the order of sums is the same on all cards
	// mostVectors are on a card at a time: what a rotation makes of them must fit a block's shared memory on any card.
	mostVectors = 48 << 10 / (8 * rotatedElements)
)

// dotBlocks is how many blocks sum products of vectors of n elements.
func dotBlocks(n int) int { return min(mostDotBlocks, max(1, blocks(n, 16*256))) }

// Vectors is that of engine.Residence. Where there is no room on the card, vectors are in the host's memory; that does not change a bit.
func (e *Engine) Vectors(ranges [][2]int, count int) (engine.Vectors, error) {
	if _, err := e.point(); err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	var places []int32
	end := 0
	for _, r := range ranges {
		if r[0] < end || r[1] < r[0] || r[1] > e.graph.Parameters() {
			return nil, fmt.Errorf("vectors of %s: the range [%d, %d) is out of order or out of its %d parameters", e.graph.Name, r[0], r[1], e.graph.Parameters())
		}
		for end = r[0]; end < r[1]; end++ {
			places = append(places, int32(end))
		}
	}
	if count > e.mostVectors {
		return newVectorsHere(e, places, count), nil
	}
	v, err := e.vectorsThere(places, count)
	if errors.Is(err, errMemory) {
		return newVectorsHere(e, places, count), nil
	}
	if err != nil {
		return nil, fmt.Errorf("make room for %d vectors: %w", count, err)
	}
	return v, nil
}

// vectorsThere are vectors on the card.
func (e *Engine) vectorsThere(places []int32, count int) (*vectors, error) {
	v := &vectors{engine: e, count: len(places), stride: roundUp(int64(max(1, len(places))), 32),
		blocks: dotBlocks(len(places))}
	d := e.device
	take := func(at *address, bytes int64) func() error {
		return func() (err error) { *at, err = d.alloc(bytes); return err }
	}
	set, capacity := e.derived.set, e.derived.hand.capacity
	for _, take := range []func() error{
		take(&v.all, 8*v.stride*int64(count)), take(&v.which, 4*int64(count)), take(&v.factors, 8*int64(count)*int64(count)),
		take(&v.parts, 8*256*int64(v.blocks)*int64(count)), take(&v.sums, 8*int64(count)),
		func() (err error) { v.places, err = resident(d, places); return err },
		func() error { return e.holdImages(set, capacity) }, // which making room may have given up
	} {
		if err := e.makingRoom(take); err != nil {
			if failed := v.Close(); failed != nil {
				return nil, failed
			}
			return nil, err
		}
	}
	return v, nil
}

// Close gives the card's memory back.
func (v *vectors) Close() error {
	var all []error
	for _, at := range []*address{&v.all, &v.places, &v.which, &v.factors, &v.parts, &v.sums} {
		all = append(all, v.engine.release(at))
	}
	return errors.Join(all...)
}

func (v *vectors) at(k int) address { return v.all + address(8*v.stride*int64(k)) }

// Write copies by way of pinned memory, as does Read.
func (v *vectors) Write(k int, x []float64) error {
	here := v.here()
	v.engine.threads.eachPart(v.count, func(first, end int) { copy(here[first:end], x[first:end]) })
	return v.engine.device.upload(v.at(k), bytes(here))
}

func (v *vectors) Read(x []float64, k int) error {
	here, d := v.here(), v.engine.device
	if err := d.download(bytes(here), v.at(k)); err != nil {
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	v.engine.threads.eachPart(v.count, func(first, end int) { copy(x[first:end], here[first:end]) })
	return nil
}

// here is pinned memory for a vector.
func (v *vectors) here() []float64 {
	if v.count == 0 {
		return nil
	}
	return unsafe.Slice((*float64)(unsafe.Pointer(&v.engine.pinned[0])), v.count)
}

// Apply computes as Products does.
func (v *vectors) Apply(ctx context.Context, from, to int) error {
	e := v.engine
	d, err := e.point()
	if err != nil {
		return fmt.Errorf("products: %w", err)
	}
	p := d.parameters
	if err := d.clear(p.vector, int64(len(p.places))); err != nil {
		return err
	}
	if err := v.run("vectorGive", v.at(from), vectorsArguments{whole: p.vector}); err != nil {
		return err
	}
	if err := d.turn(func(phi address) error { return p.run("fill", phi, 1) }); err != nil {
		return err
	}
	if _, err := d.sweep(ctx, e, d.set, true); err != nil {
		return err
	}
	if err := p.run("pull", d.hand.gradient, d.set.Len()); err != nil {
		return err
	}
	if err := v.run("vectorTake", v.at(to), vectorsArguments{derivatives: p.result}); err != nil {
		return err
	}
	return ctx.Err()
}

func (v *vectors) Dots(which []int, w int) ([]float64, error) {
	if len(which) == 0 {
		return nil, nil
	}
	if err := v.choose(which, nil); err != nil {
		return nil, err
	}
	a := v.arguments(v.at(w), vectorsArguments{many: int32(len(which))})
	for _, l := range []launch{
		{kernel: "vectorDots", grid: [3]int{v.blocks, blocks(len(which), togetherVectors), 1}, block: 256},
		{kernel: "vectorSums", grid: [3]int{len(which), 1, 1}, block: 256, shared: 8 * 256},
	} {
		if err := v.engine.device.launch(l, unsafe.Pointer(a)); err != nil {
			return nil, err
		}
	}
	sums := make([]float64, len(which))
	if err := v.engine.device.download(bytes(sums), v.sums); err != nil {
		return nil, err
	}
	return sums, v.engine.device.sync()
}

func (v *vectors) Add(w int, which []int, c []float64) error {
	if err := v.choose(which, c); err != nil {
		return err
	}
	return v.run("vectorAdd", v.at(w), vectorsArguments{many: int32(len(which))})
}

func (v *vectors) Scale(w int, f float64) error {
	return v.run("vectorScale", v.at(w), vectorsArguments{factor: f})
}

func (v *vectors) Rotate(which []int, s [][]float64) error {
	var factors []float64
	for _, row := range s {
		factors = append(factors, row...)
	}
	if err := v.choose(which, factors); err != nil {
		return err
	}
	made := len(s[0])
	l := launch{kernel: "vectorRotate", grid: [3]int{blocks(v.count, rotatedElements), 1, 1}, block: rotatedElements, shared: 8 * rotatedElements * made}
	return v.launch(l, v.arguments(0, vectorsArguments{many: int32(len(which)), made: int32(made)}))
}

// choose copies the numbers of vectors to the card, and factors for them.
func (v *vectors) choose(which []int, factors []float64) error {
	numbers := make([]int32, len(which))
	for i, k := range which {
		numbers[i] = int32(k)
	}
	if err := v.engine.device.upload(v.which, bytes(numbers)); err != nil {
		return err
	}
	return v.engine.device.upload(v.factors, bytes(factors))
}

// run launches a kernel with a thread for every element of the vector in hand.
func (v *vectors) run(kernel string, hand address, a vectorsArguments) error {
	return v.launch(launch{kernel: kernel, grid: [3]int{blocks(v.count, 256), 1, 1}, block: 256}, v.arguments(hand, a))
}

func (v *vectors) launch(l launch, a *vectorsArguments) error {
	if v.count == 0 {
		return nil
	}
	return v.engine.device.launch(l, unsafe.Pointer(a))
}

// arguments fills in what all kernels have in common.
func (v *vectors) arguments(hand address, a vectorsArguments) *vectorsArguments {
	a.vectors, a.stride, a.count, a.hand = v.all, v.stride, int64(v.count), hand
	a.which, a.factors, a.parts, a.sums, a.places, a.blocks = v.which, v.factors, v.parts, v.sums, v.places, int32(v.blocks)
	return &a
}
