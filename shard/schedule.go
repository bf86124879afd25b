package shard

import (
	"cmp"
	"slices"
	"time"
)

// pace is what points have taken: those without a Hessian and those with one.
type pace struct {
	plan   *Plan
	points [2]int
	took   [2]time.Duration // together
	most   [2]time.Duration // one alone, or a batch of them
}

func (p *Plan) class(k int) int {
	if p.costly(k) {
		return 1
	}
	return 0
}

func (p *pace) add(k int, took time.Duration) {
	class := p.plan.class(k)
	p.points[class]++
	p.took[class] += took
	p.most[class] = max(p.most[class], took)
}

// estimate is the mean time of point k; what no point has taken is in proportion to the plan's costs.
func (p *pace) estimate(k int) float64 {
	class := p.plan.class(k)
	if n := p.points[class]; n > 0 {
		return p.took[class].Seconds() / float64(n)
	}
	cost := float64(max(p.plan.Cost(k), 1))
	if other := 1 - class; p.points[other] > 0 {
		costs := [2]float64{float64(max(p.plan.Work.Point, 1)), float64(max(p.plan.Work.Point+p.plan.Work.Hessian, 1))}
		return p.took[other].Seconds() / float64(p.points[other]) * cost / costs[other]
	}
	return cost
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

// sampledJournals is how many journals a worker reads to learn what points take.
const sampledJournals = 32

// learn adds what some of the run's journals, spread over the units, tell.
func (p *pace) learn(v *view) error {
	var units []int
	for unit, names := range v.journals {
		if len(names) > 0 {
			units = append(units, unit)
		}
	}
	for i := range min(len(units), sampledJournals) {
		unit := units[i*len(units)/min(len(units), sampledJournals)]
		points, _, err := v.run.journaled(v.run.units[unit], v.journals[unit][:1])
		if err != nil {
			return err
		}
		for k, e := range points {
			p.add(k, e.took)
		}
	}
	return nil
}

// costliestFirst orders units by what they take, so that the last ones to be begun are short.
func (p *pace) costliestFirst(units []Unit) []int {
	costs := make([]float64, len(units))
	order := make([]int, len(units))
	for i, u := range units {
		order[i] = u.Index
		for k := u.First; k < u.First+u.Count; k++ {
			costs[u.Index] += p.estimate(k)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(costs[b], costs[a]) })
	return order
}

// roundRobin orders units so that rank r begins with r, r + ranks, …, then helps with
// the units of rank r + 1, and so on: many workers do not race for one unit.
func roundRobin(units []int, rank, ranks int) []int {
	var order []int
	for k := range ranks {
		for i := (rank + k) % ranks; i < len(units); i += ranks {
			order = append(order, units[i])
		}
	}
	return order
}
