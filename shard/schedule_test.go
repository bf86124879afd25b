package shard

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
