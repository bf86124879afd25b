package cuda

import (
	"unsafe"

	"lsrun/nn"
)

// parameters take vectors of parameters to effective ones, φ, and derivatives by φ to those by the parameters, on a device (kernels/parameters.h).
type parameters struct {
	places []int32   // by parameter
	norms  []norming // by channel of the batch norms

	device         device
	threads        threads
	at, normsAt    address // the same on the device
	slopes, means  address // of the norms, at the point in hand
	vector, result address
	vectorHere     []float32 // what goes there and comes from there
	resultHere     []float64
}

// parametersOf lists where those of a tape are.
func parametersOf(t *tape, g *nn.Graph) *parameters {
	p := &parameters{places: make([]int32, g.Parameters())}
	for i := range p.places {
		p.places[i] = -1
	}
	for _, l := range t.layers {
		if l, ok := l.(weighted); ok {
			l.effective(p)
		}
	}
	return p
}

// reside takes what p needs of a device; here is pinned memory of so many bytes for it.
func (p *parameters) reside(d device, t threads, here []byte) (err error) {
	p.device, p.threads = d, t
	channels, count := make([]float64, len(p.norms)), int64(len(p.places))
	if count > 0 {
		p.resultHere = unsafe.Slice((*float64)(unsafe.Pointer(&here[0])), count)
		p.vectorHere = unsafe.Slice((*float32)(unsafe.Pointer(&here[8*count])), count)
	}
	for _, take := range []func() error{
		func() error { p.at, err = resident(d, p.places); return err },
		func() error { p.normsAt, err = resident(d, p.norms); return err },
		func() error { p.slopes, err = resident(d, channels); return err },
		func() error { p.means, err = resident(d, channels); return err },
		func() error { p.vector, err = d.alloc(4 * max(1, count)); return err },
		func() error { p.result, err = d.alloc(8 * max(1, count)); return err },
	} {
		if err := take(); err != nil {
			return err
		}
	}
	return nil
}

// here is how many bytes of the host's memory p needs.
func (p *parameters) here() int64 { return 12 * int64(len(p.places)) }

// addresses are what p holds of the device's memory.
func (p *parameters) addresses() []*address {
	return []*address{&p.at, &p.normsAt, &p.slopes, &p.means, &p.vector, &p.result}
}

// eachPart calls f for parts of the parameters, by all threads.
func (p *parameters) eachPart(f func(first, end int)) { p.threads.eachPart(len(p.places), f) }

// round takes up a vector, rounded to float32.
func (p *parameters) round(vector []float64) {
	p.eachPart(func(first, end int) {
		for i, v := range vector[first:end] {
			p.vectorHere[first+i] = float32(v)
		}
	})
}

// fill computes φ, or its derivative along a vector, in float64, of what is in vectorHere.
func (p *parameters) fill(phi address) error {
	if err := p.device.upload(p.vector, bytes(p.vectorHere)); err != nil {
		return err
	}
	return p.run("fill", phi, 1)
}

// pull writes derivatives by the parameters, means over images of sums, given those by φ.
func (p *parameters) pull(out []float64, phi address, images int) error {
	if err := p.run("pull", phi, images); err != nil {
		return err
	}
	if err := p.device.download(bytes(p.resultHere), p.result); err != nil {
		return err
	}
	if err := p.device.sync(); err != nil {
		return err
	}
	p.eachPart(func(first, end int) { copy(out[first:end], p.resultHere[first:end]) })
	return nil
}

// run launches a kernel over the parameters, and its like for batch norms.
func (p *parameters) run(kernel string, phi address, images int) error {
	a := &parametersArguments{vector: p.vector, phi: phi, derivatives: p.result, places: p.at, norms: p.normsAt, slopes: p.slopes, means: p.means,
		count: int64(len(p.places)), channels: int64(len(p.norms)), images: float64(images)}
	for _, l := range []launch{{kernel: kernel, grid: [3]int{blocks(len(p.places), 256), 1, 1}}, {kernel: kernel + "Norms", grid: [3]int{blocks(len(p.norms), 256), 1, 1}}} {
		if l.block = 256; l.grid[0] == 0 {
			continue
		}
		if err := p.device.launch(l, unsafe.Pointer(a)); err != nil {
			return err
		}
	}
	return nil
}
