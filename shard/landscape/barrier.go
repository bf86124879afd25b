package landscape

import (
	"cmp"
	"math"
	"slices"
)

// LineBarrier is how far L rises on the straight way from a to b above the higher of its ends:
//
//	max over t in [0, 1] of L(a + t·(b − a)) − max(L(a), L(b))
//
// NaN if L does not exist somewhere on the way.
func (l *Landscape) LineBarrier(a, b Point) float64 {
	if !l.Has(a) || !l.Has(b) {
		return math.NaN()
	}
	ends := math.Max(l.At(a), l.At(b))
	top := ends
	for _, t := range l.crossings(a, b) {
		p := Point{a.X + t*(b.X-a.X), a.Y + t*(b.Y-a.Y)}
		if !l.Line() {
			p = l.inside(p)
		}
		top = math.Max(top, l.At(p))
	}
	return rise(top, ends)
}

// rise is top − ends, 0 where both are infinite.
func rise(top, ends float64) float64 {
	if top == ends {
		return 0
	}
	return top - ends
}

// crossings are the t at which a + t·(b − a) passes from one triangle into another, where alone L can have a maximum.
func (l *Landscape) crossings(a, b Point) []float64 {
	var ts []float64
	add := func(t float64) {
		if 0 <= t && t <= 1 {
			ts = append(ts, t)
		}
	}
	for _, x := range l.x {
		add((x - a.X) / (b.X - a.X))
	}
	for _, y := range l.y {
		add((y - a.Y) / (b.Y - a.Y))
	}
	slices.Sort(ts)
	if len(l.y) < 2 || len(l.x) < 2 {
		return ts
	}
	// Within a cell of unit sides the diagonals are u = v and u + v = 1.
	bounds := slices.Concat([]float64{0}, ts, []float64{1})
	for n := 1; n < len(bounds); n++ {
		t0, t1 := bounds[n-1], bounds[n]
		middle := l.inside(Point{a.X + (t0+t1)/2*(b.X-a.X), a.Y + (t0+t1)/2*(b.Y-a.Y)})
		i, _ := interval(l.x, middle.X)
		j, _ := interval(l.y, middle.Y)
		w, h := l.x[i+1]-l.x[i], l.y[j+1]-l.y[j]
		u0, du := (a.X-l.x[i])/w, (b.X-a.X)/w
		v0, dv := (a.Y-l.y[j])/h, (b.Y-a.Y)/h
		for _, t := range []float64{(v0 - u0) / (du - dv), (1 - u0 - v0) / (du + dv)} {
			if t0 < t && t < t1 {
				add(t)
			}
		}
	}
	return ts
}

// PathBarrier is how far L must rise above the higher end on any way from a to b over the plane:
//
//	min over paths of max of L on the path − max(L(a), L(b))
//
// It is found by flooding: vertices are joined to their neighbours in the order of their values until a and b are joined.
// As L is linear in every triangle, sets {L ≤ c} are connected as their vertices are, so that the level reached is that of
// the best path. +∞ if only a way through infinite values is left, NaN if none.
func (l *Landscape) PathBarrier(a, b Point) float64 {
	if l.Line() || len(l.x) < 2 || len(l.y) < 2 {
		return l.LineBarrier(a, b)
	}
	if !l.Has(a) || !l.Has(b) {
		return math.NaN()
	}
	g := &flood{values: make([]float64, 2*len(l.z)+2), joined: make([]int, 2*len(l.z)+2), sides: make([][]int, 2*len(l.z)+2)}
	from, to := 2*len(l.z), 2*len(l.z)+1
	nx := len(l.x)
	for k := range l.z {
		g.values[k], g.values[len(l.z)+k] = l.z[k], math.NaN()
		right, above := k%nx+1 < nx, k/nx+1 < len(l.y)
		if right {
			g.side(k, k+1)
		}
		if above {
			g.side(k, k+nx)
		}
		if right && above {
			centre := len(l.z) + k
			g.values[centre] = l.vertex(centre)
			for _, corner := range []int{k, k + 1, k + nx, k + nx + 1} {
				g.side(centre, corner)
			}
		}
	}
	// The ends are vertices of the triangles that they cut theirs into.
	for _, end := range []struct {
		vertex int
		at     Point
	}{{from, a}, {to, b}} {
		g.values[end.vertex] = l.At(end.at)
		for _, w := range l.shares(end.at) {
			g.side(end.vertex, w.vertex)
		}
	}
	if l.together(a, b) {
		g.side(from, to)
	}
	return rise(g.level(from, to), math.Max(g.values[from], g.values[to]))
}

// together reports whether a and b lie in one triangle.
func (l *Landscape) together(a, b Point) bool {
	has := func(w weight) bool {
		return slices.ContainsFunc(l.shares(b), func(o weight) bool { return o.vertex == w.vertex })
	}
	return !slices.ContainsFunc(l.shares(a), func(w weight) bool { return !has(w) })
}

// flood is a graph whose vertices rise out of the dark in the order of their values.
type flood struct {
	values []float64
	sides  [][]int
	joined []int // a vertex of the same set, itself if it stands for the set; −1 before its value is reached
}

func (g *flood) side(a, b int) { g.sides[a], g.sides[b] = append(g.sides[a], b), append(g.sides[b], a) }

func (g *flood) find(v int) int {
	for g.joined[v] != v {
		g.joined[v] = g.joined[g.joined[v]]
		v = g.joined[v]
	}
	return v
}

// level is the lowest value up to which a and b are joined, NaN if they never are.
func (g *flood) level(a, b int) float64 {
	var order []int
	for v, value := range g.values {
		g.joined[v] = -1
		if !math.IsNaN(value) {
			order = append(order, v)
		}
	}
	slices.SortFunc(order, func(v, w int) int { return cmp.Compare(g.values[v], g.values[w]) })
	for _, v := range order {
		g.joined[v] = v
		for _, w := range g.sides[v] {
			if g.joined[w] >= 0 {
				g.joined[g.find(w)] = g.find(v)
			}
		}
		if g.joined[a] >= 0 && g.joined[b] >= 0 && g.find(a) == g.find(b) {
			return g.values[v]
		}
	}
	return math.NaN()
}
