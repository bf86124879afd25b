package cpu

// shorten finds the pictures that have room for a round's images alone, at places that follow each other, so that they stay in
// the caches. (All other planes of a block are needed later.)
func (t *tape) shorten() {
	if !t.live {
		t.shortenAdjoints(adjointTangents)
		return
	}
	t.shortenAdjoints(adjoints)
	t.shortenValues()
}

// shortenValues shortens the outputs of live batch norms that their group alone needs, and that it computes once more on the way
// back. A group has one live batch norm at most, its first layer.
func (t *tape) shortenValues() {
	home := map[*picture]int{} // the group
	for g, group := range t.groups {
		if l, ok := t.layers[group.first].(*batchNorm); ok && l.residual == nil && l.out != t.top.picture {
			home[l.out] = g
		}
	}
	for g, group := range t.groups {
		for _, l := range t.layers[group.first:group.end] {
			for _, e := range l.inputs() {
				if home[e.picture] != g || alike(l) {
					delete(home, e.picture)
				}
			}
		}
	}
	images := map[geometry]int{}
	for p, g := range home {
		images[p.geometry] = max(images[p.geometry], t.groups[g].images)
	}
	places := map[geometry]int{}
	for _, p := range t.pictures {
		if _, ok := home[p]; !ok {
			continue
		}
		at, ok := places[p.geometry]
		if !ok {
			at = t.brief[values]
			places[p.geometry] = at
			t.brief[values] += lined(images[p.geometry] * p.size())
		}
		p.brief[values], p.at[values] = true, at
	}
}

// shortenAdjoints shortens pictures in the plane of a pass backwards, where only one group of layers needs them.
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
