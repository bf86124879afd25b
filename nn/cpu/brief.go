package cpu

// shorten finds the pictures that have room for a round's images alone, and places that follow each other, so that they stay in the caches: those
// whose adjoint tangents, or on a live tape adjoints, only one group of layers needs, and those whose values a live batch norm computes once more on the way back.
// (All other planes of a block are needed later.)
func (t *tape) shorten() {
	if !t.live {
		t.shortenAdjoints(adjointTangents)
		return
	}
	t.shortenAdjoints(adjoints)
	t.shortenValues()
}

func (t *tape) shortenAdjoints(plane plane) {
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
			lasting[l.output()] = lasting[l.output()] || alike(l)
			for _, e := range l.inputs() {
				touch(e.picture, i, g)
				lasting[e.picture] = lasting[e.picture] || alike(l)
				if e.lender != nil {
					touch(e.lender, i, g)
				}
			}
		}
	}
	t.places(plane, born, dies, lasting, group)
}

// alike reports whether l takes all planes for alike, and its pictures must be at one place in them.
func alike(l layer) bool {
	switch l.(type) {
	case *conv, *normalisation, *addition, *concatenation, *batchSums, *batchNorm:
		return false
	}
	return true
}

// shortenValues finds the outputs of live batch norms that only their group needs.
func (t *tape) shortenValues() {
	born, dies, group := map[*picture]int{}, map[*picture]int{}, map[*picture]int{}
	lasting := map[*picture]bool{t.top.picture: true}
	for g := len(t.groups) - 1; g >= 0; g-- {
		for i := t.groups[g].end - 1; i >= t.groups[g].first; i-- {
			for _, e := range t.layers[i].inputs() {
				if _, ok := group[e.picture]; !ok {
					group[e.picture], born[e.picture] = g, t.groups[g].end-1 // a group computes its pictures on the way back before all else
				}
				lasting[e.picture] = lasting[e.picture] || group[e.picture] != g || alike(t.layers[i])
			}
			if l, ok := t.layers[i].(*batchNorm); ok {
				lasting[l.out] = lasting[l.out] || l.residual != nil || group[l.out] != g
				dies[l.out] = t.groups[g].first
			}
		}
	}
	for p := range born {
		if _, ok := dies[p]; !ok {
			delete(born, p) // no batch norm's
		}
	}
	t.places(values, born, dies, lasting, group)
}

// places gives brief pictures their places in a plane. Only pictures of one geometry follow each other, so that borders stay zero.
func (t *tape) places(plane plane, born, dies map[*picture]int, lasting map[*picture]bool, group map[*picture]int) {
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
				found = &place{at: t.brief[plane]}
				free[p.geometry] = append(free[p.geometry], found)
				t.brief[plane] += lined(t.groups[group[p]].images * p.size())
			}
			found.last = p
			p.brief[plane], p.at[plane] = true, found.at
		}
	}
}
