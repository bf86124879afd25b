package shard

import (
	"cmp"
	"math/bits"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// watched notes which journals are read.
type watched struct {
	*memFiles
	read *[]string
}

func (w watched) ReadFile(path string) ([]byte, error) {
	if filepath.Dir(path) == "run/"+journalDir {
		unit, _, _ := strings.Cut(filepath.Base(path), ".")
		*w.read = append(*w.read, unit)
	}
	return w.memFiles.ReadFile(path)
}

// TestWorkersLearnOnlyFromUnitsWithHessians: reading the journals of the others would tell nothing, and cost every worker
// as many reads as there are units.
func TestWorkersLearnOnlyFromUnitsWithHessians(t *testing.T) {
	for _, c := range []struct {
		hessian *Hessian
		want    []string
	}{
		{nil, nil},
		{&Hessian{StepX: 10, StepY: 2}, []string{"u00000", "u00003"}}, // at points 0 and 10
	} {
		files := newMemFiles()
		plan := fakePlan()
		plan.Hessian = c.hessian
		run, err := Create(files, "run", plan, nil)
		if err != nil {
			t.Fatal(err)
		}
		first := worker(run, newEvaluator())
		first.Units = []int{0, 1, 2, 3, 4}
		mustWork(t, first)
		var read []string
		if run, err = Open(watched{files, &read}, "run"); err != nil {
			t.Fatal(err)
		}
		mustWork(t, worker(run, newEvaluator()))
		if slices.Sort(read); !slices.Equal(read, c.want) {
			t.Errorf("%+v: the journals of %v were read, want %v", c.hessian, read, c.want)
		}
	}
}

// TestTheOrderIsCostliestFirstAndThenCoarse holds the order against its definition: by cost, and by the reversed bits of the number
// among equal costs.
func TestTheOrderIsCostliestFirstAndThenCoarse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := fakePlan()
		plan.Grid = Grid{X: Axis{-1, 1, rapid.IntRange(1, 40).Draw(t, "points")}}
		plan.Work = Work{Point: 10, Hessian: 90, Unit: rapid.Int64Range(1, 200).Draw(t, "work")}
		if step := rapid.IntRange(0, 5).Draw(t, "step"); step > 0 {
			plan.Hessian = &Hessian{StepX: step, StepY: 1}
		}
		units := plan.Units()
		costs := make([]int64, len(units))
		var todo []int
		for _, u := range units {
			for k := u.First; k < u.First+u.Count; k++ {
				costs[u.Index] += plan.Cost(k)
			}
			if rapid.Bool().Draw(t, "to do") {
				todo = append(todo, u.Index)
			}
		}
		want := slices.Clone(todo)
		slices.SortFunc(want, func(a, b int) int {
			return cmp.Or(cmp.Compare(costs[b], costs[a]), cmp.Compare(bits.Reverse32(uint32(a)), bits.Reverse32(uint32(b))))
		})
		if got := newForecast(plan).costliestFirst(units, todo); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
