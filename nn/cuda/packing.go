package cuda

import "unsafe"

// packing is how weights are brought into the order of the products, and what sums are multiplied by and shifted.
type packing struct {
	panels  []panel   // the weights of the products
	packed  int64     // floats of a point's packed weights
	layers  []factors // the scales and shifts
	factors int64     // floats of a point's factors
}

// states are numbers of so many points, length apart, in which weights, biases and batch norms lie.
type states struct {
	at     address
	length int64
	points int
}

// tables tell the kernels that prepare weights what to do.
type tables struct {
	panels, layers address
	packs, peaks   panelBlocks
}

// panelBlocks tell every block of a launch which panel it works on, and which is the panel's first block.
type panelBlocks struct {
	panel, first address
	blocks       int
}

// addresses are what tables hold of the device's memory.
func (t *tables) addresses() []*address {
	return []*address{&t.panels, &t.layers, &t.packs.panel, &t.packs.first, &t.peaks.panel, &t.peaks.first}
}

// announce copies p's tables to a device.
func (p *packing) announce(d device) (t tables, err error) {
	if t.panels, err = resident(d, p.panels); err == nil {
		t.layers, err = resident(d, p.layers)
	}
	if err == nil {
		t.packs, err = p.divide(d, func(w *panel) int { return blocks(int(w.terms)*int(w.columns), 256) })
	}
	if err == nil {
		t.peaks, err = p.divide(d, func(w *panel) int {
			if w.units < 0 {
				return 0
			}
			return int(w.outputs)
		})
	}
	return t, err
}

// divide gives every panel its number of blocks.
func (p *packing) divide(d device, number func(*panel) int) (b panelBlocks, err error) {
	var panel, first []int32
	for i := range p.panels {
		start := int32(len(panel))
		for range number(&p.panels[i]) {
			panel, first = append(panel, int32(i)), append(first, start)
		}
	}
	b.blocks = len(panel)
	if b.panel, err = resident(d, panel); err == nil {
		b.first, err = resident(d, first)
	}
	return b, err
}

// pack makes factors and packed weights of states.
func (t *tables) pack(p *packing, do func(launch, unsafe.Pointer) error, s states, factors, packed address) error {
	for _, work := range []struct {
		launch
		arguments unsafe.Pointer
	}{
		{launch{kernel: "peak", grid: [3]int{t.peaks.blocks, s.points, 1}, block: 128, shared: 4 * 128},
			unsafe.Pointer(&peakArguments{t.panels, t.peaks.panel, t.peaks.first, s.at, factors, s.length, p.factors})},
		{launch{kernel: "pack", grid: [3]int{t.packs.blocks, s.points, 1}, block: 256},
			unsafe.Pointer(&packArguments{t.panels, t.packs.panel, t.packs.first, s.at, factors, packed, s.length, p.factors, p.packed})},
		{launch{kernel: "fold", grid: [3]int{len(p.layers), s.points, 1}, block: 128},
			unsafe.Pointer(&foldArguments{t.layers, s.at, factors, s.length, p.factors})},
	} {
		if work.grid[0] == 0 {
			continue
		}
		if err := do(work.launch, work.arguments); err != nil {
			return err
		}
	}
	return nil
}

// addLayer appends a layer without batch norms; bias is its place in the states, or −1.
func (p *packing) addLayer(channels int, bias int64) int {
	p.layers = append(p.layers, factors{bias: bias, units: -1, channels: int32(channels), scale: p.factors, shift: p.factors + int64(channels)})
	p.factors += roundUp(2*int64(channels), 64)
	return len(p.layers) - 1
}

// addPatch appends a panel for patch.h, whose sums the layer scales.
func (p *packing) addPatch(w panel, precision Precision, layer *factors) {
	w.order, w.block, w.planes = precision.mode(), int32(tileColumns(int(w.outputs))), 1
	w.columns = int32(roundUp(int64(w.outputs), int64(w.block)))
	w.terms = int32(roundUp(int64(w.channels), patchChannels)) * w.places
	if precision == FP16x3 {
		w.units = p.factors
		layer.units = w.units
		p.factors += roundUp(int64(w.outputs), 64)
	}
	p.add(w, precision.floats())
}

// addLines appends a panel for the other products.
func (p *packing) addLines(w panel, groups int, precision Precision) {
	w.order, w.planes, w.stride, w.columns = lines, 1, w.channels, w.outputs
	w.terms = w.places * w.stride
	if groups == 1 {
		w.planes, w.rounded = precision.planes()
		w.stride = int32(roundUp(int64(w.channels), 4))
		w.terms = int32(roundUp(int64(w.places*w.stride), productTerms))
		w.columns = int32(roundUp(int64(w.outputs), int64(tileColumns(int(w.outputs)))))
	}
	p.add(w, int(w.planes))
}

// add appends a panel of numbers of so many floats.
func (p *packing) add(w panel, floats int) {
	w.packed = p.packed
	p.packed += roundUp(int64(floats)*int64(w.columns)*int64(w.terms), 64)
	p.panels = append(p.panels, w)
}
