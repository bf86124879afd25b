package shard

import (
	"errors"
	"strings"
	"testing"
)

func TestPlanningTheSameAgainSucceedsAndAnotherPlanIsRefused(t *testing.T) {
	files := newMemFiles()
	first := mustCreate(t, files)
	if again := mustCreate(t, files); again.ID != first.ID {
		t.Error("the same plan has another id")
	}
	other := fakePlan()
	other.Grid.X.N = 31
	_, err := Create(files, "run", other, nil)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "grid.x.points: 31 here, 5 there") {
		t.Errorf("another plan: %v", err)
	}
}

func TestAFolderOfSomethingElseIsNotTouched(t *testing.T) {
	files := newMemFiles()
	files.files["run/thesis.tex"] = []byte("x")
	_, err := Create(files, "run", fakePlan(), nil)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("%v", err)
	}
	if len(files.files) != 1 {
		t.Errorf("it holds now %v", files.in("run"))
	}
	if _, err := Open(files, "run"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "lsrun plan") {
		t.Errorf("opening it: %v", err)
	}
}

func TestAHalfMadeRunIsNoRunAndIsMendedByPlanningAgain(t *testing.T) {
	extra := map[string][]byte{"theta.safetensors": []byte("theta"), "directions.h5": []byte("d")}
	for crash := 0; ; crash++ {
		files := newMemFiles()
		files.crashAt = crash
		_, err := Create(files, "run", fakePlan(), extra)
		whole := files.calls <= crash
		files.crashAt = -1
		if whole {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if _, err := Open(files, "run"); err == nil && len(files.in("run")) != 3 {
			t.Errorf("crash %d: a run without its files", crash)
		}
		if _, err := Create(files, "run", fakePlan(), extra); err != nil {
			t.Fatal(err)
		}
		if string(files.files["run/theta.safetensors"]) != "theta" {
			t.Errorf("crash %d: theta is not there", crash)
		}
	}
}

func TestAnEditedPlanIsCorrupt(t *testing.T) {
	files := newMemFiles()
	mustCreate(t, files)
	files.files["run/plan.json"] = append(files.files["run/plan.json"], ' ')
	if _, err := Open(files, "run"); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "run/plan.json") {
		t.Errorf("%v", err)
	}
}
