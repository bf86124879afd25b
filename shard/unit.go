package shard

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Unit is a run of points that one worker computes together.
type Unit struct {
	Index int
	First int // its first point
	Count int
}

// Work says what points cost and how much of that a unit has, in multiply-adds.
type Work struct {
	Point   int64 `json:"point"`   // the losses and accuracies of a point
	Hessian int64 `json:"hessian"` // an estimate of what its curvature adds, where the plan asks for it
	Workers int   `json:"workers"` // that the units were cut for
	Unit    int64 `json:"unit"`    // a unit ends before the point that would exceed this, but has at least one
}

// Cost is what the plan says of point k, in multiply-adds.
func (p *Plan) Cost(k int) int64 {
	if p.costly(k) {
		return p.Work.Point + p.Work.Hessian
	}
	return p.Work.Point
}

// costly reports whether point k has a Hessian.
func (p *Plan) costly(k int) bool { return p.Hessian != nil && p.Hessian.At(p.Grid, k) }

// Units cuts the grid: a pure function of the plan.
func (p *Plan) Units() []Unit {
	points := p.Grid.Points()
	var units []Unit
	for k := 0; k < points; {
		unit := Unit{Index: len(units), First: k}
		for work := int64(0); k < points; k++ {
			if work += max(p.Cost(k), 1); work > p.Work.Unit && unit.Count > 0 {
				break
			}
			unit.Count++
		}
		units = append(units, unit)
	}
	return units
}

// UnitsAWorker is how many units a worker should find, so that all end at about the same time.
const UnitsAWorker = 8

const (
	unitWork = 1 << 42 // some minutes of one core
	maxWork  = 1 << 61 // so that a unit's can be added
)

// ShareOut sets how much work a unit has: about 2⁴² multiply-adds, but four points where they have Hessians, which start
// from one another; and less so that each of Work.Workers finds at least eight units, where there are as many points.
func (p *Plan) ShareOut() {
	total := 0.0
	for k := range p.Grid.Points() {
		total += float64(max(p.Cost(k), 1))
	}
	share := max(math.Floor(total/UnitsAWorker/float64(p.Work.Workers)), 1)
	most := float64(unitWork)
	if p.Hessian != nil {
		most = max(most, 4*float64(p.Work.Point+p.Work.Hessian))
	}
	p.Work.Unit = int64(min(share, most))
}

// FormatRanges writes rising numbers compactly: "3,7-9".
func FormatRanges(numbers []int) string {
	var b strings.Builder
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(numbers[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(numbers[j]))
		}
		i = j + 1
	}
	return b.String()
}

// ParseRanges reads what FormatRanges writes, spaces after commas allowed; every number
// must be under limit and larger than the one before it.
func ParseRanges(text string, limit int) ([]int, error) {
	var numbers []int
	for _, part := range strings.Split(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		a, err := strconv.Atoi(low)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(high)
		}
		if err != nil || a < 0 || b < a {
			return nil, fmt.Errorf("%q is not a list like 3,7-9", text)
		}
		if b >= limit {
			return nil, fmt.Errorf("%q: %d is too large: the numbers go from 0 to %d", text, b, limit-1)
		}
		if len(numbers) > 0 && a <= numbers[len(numbers)-1] {
			return nil, fmt.Errorf("%q: the numbers must rise", text)
		}
		for k := a; k <= b; k++ {
			numbers = append(numbers, k)
		}
	}
	return numbers, nil
}
