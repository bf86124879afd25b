package shard

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
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

// meanwhile is files in which something happens before one of the calls.
type meanwhile struct {
	*memFiles
	calls *int
	at    int
	do    func()
}

func (m meanwhile) step() {
	if *m.calls++; *m.calls == m.at {
		m.do()
	}
}

func (m meanwhile) ReadDir(path string) ([]string, error) { m.step(); return m.memFiles.ReadDir(path) }
func (m meanwhile) ReadFile(path string) ([]byte, error)  { m.step(); return m.memFiles.ReadFile(path) }
func (m meanwhile) Publish(path string, data []byte) error {
	m.step()
	return m.memFiles.Publish(path, data)
}
func (m meanwhile) PublishNew(path string, data []byte) error {
	m.step()
	return m.memFiles.PublishNew(path, data)
}

func TestOfTwoPlansAtTheSameTimeOneSucceedsWhole(t *testing.T) {
	plans := [2]*Plan{fakePlan(), fakePlan()}
	plans[1].Directions.Seed = 7
	extras := [2]map[string][]byte{
		{"directions.h5": []byte("seed 0"), "theta.safetensors": []byte("theta")},
		{"directions.h5": []byte("seed 7"), "theta.safetensors": []byte("theta")},
	}
	for at := 1; ; at++ {
		var errs [2]error
		calls := 0
		files := meanwhile{newMemFiles(), &calls, at, nil}
		files.do = func() { _, errs[1] = Create(files.memFiles, "run", plans[1], extras[1]) }
		_, errs[0] = Create(files, "run", plans[0], extras[0])
		if calls < at {
			return
		}
		winner, loser := 0, 1
		if errs[0] != nil {
			winner, loser = 1, 0
		}
		if errs[winner] != nil || !errors.Is(errs[loser], ErrRefused) {
			t.Fatalf("before call %d: %v; %v", at, errs[0], errs[1])
		}
		run, err := Open(files.memFiles, "run")
		if err != nil || run.Plan.Directions.Seed != plans[winner].Directions.Seed {
			t.Fatalf("before call %d: the plan is %+v, %v", at, run.Plan.Directions, err)
		}
		for name, want := range extras[winner] {
			if got := files.files["run/"+name]; string(got) != string(want) {
				t.Errorf("before call %d: %s is %q, and the plan wants %q", at, name, got, want)
			}
		}
	}
}

func TestWhatABrokenOffPlanLeftIsNotMixedWithAnother(t *testing.T) {
	files := newMemFiles()
	files.files["run/theta.safetensors"] = []byte("another theta")
	_, err := Create(files, "run", fakePlan(), map[string][]byte{"theta.safetensors": []byte("theta")})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "run/theta.safetensors") {
		t.Errorf("%v", err)
	}
	if got := string(files.files["run/theta.safetensors"]); got != "another theta" {
		t.Errorf("it is now %q", got)
	}
}

func TestPlanningAgainMendsDamagedFiles(t *testing.T) {
	files := newMemFiles()
	mustCreate(t, files)
	files.files["run/theta.safetensors"] = []byte("thetb")
	mustCreate(t, files)
	if got := string(files.files["run/theta.safetensors"]); got != "theta" {
		t.Errorf("it is %q", got)
	}
}

// unreadable is files in which one name stands for a folder, or leads nowhere.
type unreadable struct {
	*memFiles
	path string
	err  error
}

func (u unreadable) ReadFile(path string) ([]byte, error) {
	if data, err := u.memFiles.ReadFile(path); path != u.path || err != nil {
		return data, err
	}
	return nil, pathError("read", path, u.err)
}

func TestWhatIsNoFileAmongTheFilesOfARunStopsNobody(t *testing.T) {
	for _, name := range []string{"claims/u00002.g1", "journal/u00002.x", "log/u00002.x.log", "shards/u00002." + strings.Repeat("0", 64) + ".h5"} {
		for _, cause := range []error{syscall.EISDIR, syscall.ELOOP, ErrIrregular} {
			synctest.Test(t, func(t *testing.T) {
				files := newMemFiles()
				mustCreate(t, files)
				files.files["run/"+name] = nil
				run, err := Open(unreadable{files, "run/" + name, cause}, "run")
				if err != nil {
					t.Fatal(err)
				}
				mustWork(t, worker(run, newEvaluator()))
				if _, err := run.Status(nil); err != nil {
					t.Errorf("%s, %v: %v", name, cause, err)
				}
				if strings.HasPrefix(name, "shards") {
					if _, _, err := Merge(run, fakeCodec{}, MergeOptions{}); !errors.Is(err, ErrIncomplete) {
						t.Fatalf("%s, %v: %v", name, cause, err)
					}
					mustWork(t, worker(run, newEvaluator()))
				}
				mustBeTrue(t, mustMerge(t, run))
			})
		}
	}
}

func TestAWorkerMakesTheFoldersThatACopyLost(t *testing.T) {
	files := newMemFiles()
	run := mustCreate(t, files)
	files.made = nil
	mustWork(t, worker(run, newEvaluator()))
	if want := []string{"run/claims", "run/journal", "run/shards", "run/log"}; !slices.Equal(files.made, want) {
		t.Errorf("it made %q, want %q", files.made, want)
	}
}
