package cpu

// briefPlane is the plane of which some pictures are short-lived.
func (t *tape) briefPlane() plane {
	if t.live {
		return adjoints
	}
	return adjointTangents
}

// shorten finds the pictures whose adjoint tangents, or on a live tape adjoints, only one group of layers needs: they have room for a round's images,
// and places that follow each other, so that they stay in the caches. (All other planes of a block are needed later.)
func (t *tape) shorten() {
	born, dies, group := map[*picture]int{}, map[*picture]int{}, map[*picture]int{} // in the order backwards: layers from the last
	lasting := map[*picture]bool{t.top.picture: true, t.pictures[0]: true}
	touch := func(p *picture, layer, g int) {
		if _, ok := born[p]; !ok {
			born[p], group[p] = layer, g
		}
		dies[p] = layer
		lasting[p] = lasting[p] || group[p] != g
	}
	for g := len(t.groups) - 1; g >= 0; g-- {
		for i := t.groups[g].end - 1; i >= t.groups[g].first; i-- {
			l := t.layers[i]
			touch(l.output(), i, g)
			indexes := true // planes by itself, and takes all of them for alike
			switch l.(type) {
			case *conv, *normalisation, *addition, *concatenation, *batchSums, *batchNorm:
				indexes = false
			}
			lasting[l.output()] = lasting[l.output()] || indexes
			for _, e := range l.inputs() {
				touch(e.picture, i, g)
				lasting[e.picture] = lasting[e.picture] || indexes
				if e.lender != nil {
					touch(e.lender, i, g)
				}
			}
		}
	}
	t.places(born, dies, lasting, group)
}

// places gives brief pictures their places. Only pictures of one geometry follow each other, so that borders stay zero.
func (t *tape) places(born, dies map[*picture]int, lasting map[*picture]bool, group map[*picture]int) {
	type place struct {
		at   int
		last *picture
	}
	free := map[geometry][]*place{}
	for i := len(t.layers) - 1; i >= 0; i-- { // what is born at layer i
		for _, p := range t.pictures {
			if first, ok := born[p]; !ok || first != i || lasting[p] {
				continue
			}
			var found *place
			for _, q := range free[p.geometry] {
				if dies[q.last] > i && t.groups[group[q.last]].images >= t.groups[group[p]].images {
					found = q
					break
				}
			}
			if found == nil {
				found = &place{at: t.brief}
				free[p.geometry] = append(free[p.geometry], found)
				t.brief += lined(t.groups[group[p]].images * p.size())
			}
			found.last = p
			p.brief, p.at = true, found.at
		}
	}
}
