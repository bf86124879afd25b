package shard

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// pace is how long points have taken here, those without a Hessian and those with one: at most, one alone or a batch of them.
type pace struct {
	plan *Plan
	most [2]time.Duration
}

func (p *Plan) class(k int) int {
	if p.costly(k) {
		return 1
	}
	return 0
}

// curved reports whether a point of the unit has a Hessian.
func (p *Plan) curved(u Unit) bool {
	for k := u.First; k < u.First+u.Count; k++ {
		if p.costly(k) {
			return true
		}
	}
	return false
}

func (p *pace) add(k int, took time.Duration) {
	class := p.plan.class(k)
	p.most[class] = max(p.most[class], took)
}

// longest is how long points may take, judged by the longest time so far; 0 where nothing is known.
func (p *pace) longest(points []int) time.Duration {
	class := 0
	for _, k := range points {
		class = max(class, p.plan.class(k))
	}
	if most := p.most[class]; most > 0 || class == 0 {
		return most
	}
	return time.Duration(float64(p.most[0]) * float64(p.plan.Cost(points[0])) / float64(max(p.plan.Work.Point, 1)))
}

// forecast foretells what points cost: as the plan says but, where they have Hessians, in proportion to what their neighbours
// took, on whatever machine. It puts units in an order and decides nothing else.
type forecast struct {
	plan    *Plan
	read    map[string]bool // journals
	samples []sample
}

// sample is a point with a Hessian that has been computed.
type sample struct {
	x, y    int // its place in the grid
	seconds float64
}

const (
	readAtOnce    = 32  // journals at a look
	enoughSamples = 512 // points to remember
	neighbours    = 4   // of the nearest known points that are asked
)

func newForecast(plan *Plan) *forecast { return &forecast{plan: plan, read: map[string]bool{}} }

// learn reads journals that are new, spread over the grid, of published units with Hessians: they do not change any more.
func (f *forecast) learn(v *view) error {
	if f.plan.Hessian == nil {
		return nil
	}
	journals := namesByUnit(v.journals)
	var units []int
	for _, u := range v.run.units {
		if names := journals[u.Index]; v.published[u.Index] && len(names) > 0 && !f.read[names[0]] && f.plan.curved(u) {
			units = append(units, u.Index)
		}
	}
	for i, n := 0, min(len(units), readAtOnce); i < n && len(f.samples) < enoughSamples; i++ {
		unit := v.run.units[units[i*len(units)/n]]
		names := journals[unit.Index][:1]
		f.read[names[0]] = true
		points, _, err := v.run.journaled(unit, names)
		if err != nil {
			return err
		}
		for k, e := range points {
			if width := f.plan.Grid.X.N; f.plan.costly(k) {
				f.samples = append(f.samples, sample{k % width, k / width, e.took.Seconds()})
			}
		}
	}
	return nil
}

// cost of point k.
func (f *forecast) cost(k int) float64 {
	cost := float64(max(f.plan.Cost(k), 1))
	if len(f.samples) < neighbours || !f.plan.costly(k) {
		return cost
	}
	x, y := k%f.plan.Grid.X.N, k/f.plan.Grid.X.N
	distance := func(s sample) int { return (s.x-x)*(s.x-x) + (s.y-y)*(s.y-y) }
	var nearest []sample // sorted
	all := 0.0
	for _, s := range f.samples {
		all += s.seconds
		if len(nearest) == neighbours && distance(s) >= distance(nearest[neighbours-1]) {
			continue
		}
		at, _ := slices.BinarySearchFunc(nearest, distance(s), func(s sample, d int) int { return cmp.Compare(distance(s), d) })
		nearest = slices.Insert(nearest, at, s)
		nearest = nearest[:min(len(nearest), neighbours)]
	}
	near := 0.0
	for _, s := range nearest {
		near += s.seconds
	}
	return cost * near / neighbours / (all / float64(len(f.samples)))
}

// costliestFirst orders those of the units that are to do, so that the last ones to be begun are short. Equal ones are spread over
// the grid, the coarse picture first: neighbours tell what the points between them cost.
func (f *forecast) costliestFirst(units []Unit, todo []int) []int {
	costs := make([]float64, len(units)) // 0 for those that are not to do
	for _, u := range todo {
		for k := units[u].First; k < units[u].First+units[u].Count; k++ {
			costs[u] += f.cost(k)
		}
	}
	order := make([]int, 0, len(todo))
	digits := bits.Len(uint(len(units) - 1))
	for i := range uint64(1) << digits {
		if u := bits.Reverse64(i) >> (64 - digits); u < uint64(len(units)) && costs[u] > 0 {
			order = append(order, int(u))
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(costs[b], costs[a]) })
	return order
}

// roundRobin orders units so that rank r begins with r, r + ranks, …, then helps with
// the units of rank r + 1, and so on: many workers do not race for one unit. Where there are more ranks than units, or r is
// larger, they begin anew at the first unit.
func roundRobin(units []int, rank, ranks int) []int {
	order := make([]int, 0, len(units))
	ranks = max(min(ranks, len(units)), 1)
	rank %= ranks
	for k := range ranks {
		for i := (rank + k) % ranks; i < len(units); i += ranks {
			order = append(order, units[i])
		}
	}
	return order
}
