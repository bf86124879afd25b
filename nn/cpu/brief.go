package cpu

// shorten finds the pictures that have room for a round's images alone, at places that follow each other, so that they stay in
// the caches. (All other planes of a block are needed later.)
func (t *tape) shorten() {
	if !t.live {
		t.shortenTangents()
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

// lives says when a pass, layer by layer, needs which pictures.
type lives struct {
	born, dies, group map[*picture]int
	lasting           map[*picture]bool
}

// newLives are those of nothing but the ends, which last.
func (t *tape) newLives() lives {
	return lives{map[*picture]int{}, map[*picture]int{}, map[*picture]int{}, map[*picture]bool{t.top.picture: true, t.pictures[0]: true}}
}

// touch notes that p is needed at a time, by a layer of group g, and whether it must outlast that.
func (l lives) touch(p *picture, time, g int, lasts bool) {
	if _, ok := l.born[p]; !ok {
		l.born[p], l.group[p] = time, g
	}
	l.dies[p] = time
	l.lasting[p] = l.lasting[p] || lasts || l.group[p] != g
}

// shortenAdjoints shortens pictures in the plane of a pass backwards, where only one group of layers needs them.
func (t *tape) shortenAdjoints(plane plane) {
	lives, time := t.newLives(), 0
	for g := len(t.groups) - 1; g >= 0; g-- {
		for i := t.groups[g].end - 1; i >= t.groups[g].first; i-- {
			l := t.layers[i]
			lives.touch(l.output(), time, g, alike(l))
			for _, e := range l.inputs() {
				lives.touch(e.picture, time, g, alike(l))
				if e.lender != nil {
					lives.touch(e.lender, time, g, false)
				}
			}
			time++
		}
	}
	t.places(plane, lives)
}

// shortenTangents shortens pictures in the plane of tangents that only one group of layers needs, and only on the way forwards.
func (t *tape) shortenTangents() {
	lives := t.newLives()
	for g, group := range t.groups {
		for i, l := range t.layers[group.first:group.end] {
			for _, e := range l.inputs() {
				lives.touch(e.picture, group.first+i, g, alike(l) || remembers(l, e))
			}
			lives.touch(l.output(), group.first+i, g, alike(l))
		}
	}
	t.places(tangents, lives)
}

// remembers reports whether l needs the tangents of its input e on the way backwards.
func remembers(l layer, e *edge) bool {
	switch l := l.(type) {
	case *conv:
		return e == l.in && !l.early
	case *normalisation:
		return !l.early
	}
	return false
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
func (t *tape) places(plane plane, l lives) {
	type place struct {
		at   int
		last *picture
	}
	free := map[geometry][]*place{}
	for time := range t.layers {
		for _, p := range t.pictures {
			if born, ok := l.born[p]; !ok || born != time || l.lasting[p] {
				continue
			}
			var found *place
			for _, q := range free[p.geometry] {
				if l.dies[q.last] < time && t.groups[l.group[q.last]].images >= t.groups[l.group[p]].images {
					found = q
					break
				}
			}
			if found == nil {
				found = &place{at: t.brief[plane]}
				free[p.geometry] = append(free[p.geometry], found)
				t.brief[plane] += lined(t.groups[l.group[p]].images * p.size())
			}
			found.last = p
			p.brief[plane], p.at[plane] = true, found.at
		}
	}
}
