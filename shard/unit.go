package shard

import (
	"fmt"
	"strconv"
	"strings"
)

// Unit is a run of points that one worker computes together.
type Unit struct {
	Index int
	First int // its first point
	Count int
}

// Units cuts the grid: a pure function of the plan.
func (p *Plan) Units() []Unit {
	points := p.Grid.Points()
	var units []Unit
	for first := 0; first < points; first += p.UnitPoints {
		units = append(units, Unit{Index: len(units), First: first, Count: min(p.UnitPoints, points-first)})
	}
	return units
}

const (
	unitMACs = 1 << 42 // multiply-adds: some minutes of one core
	minUnits = 64      // so that a small grid still feeds many workers
)

// UnitPoints is how many points a unit should have: at most about 2⁴² multiply-adds and
// at most a 64th of the grid, but at least one point.
func UnitPoints(points int, macsPerPoint int64) int {
	n := int64((points + minUnits - 1) / minUnits)
	if macsPerPoint > 0 {
		n = min(n, unitMACs/macsPerPoint)
	}
	return int(max(n, 1))
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
