package shard

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAPlanSurvivesItsFile(t *testing.T) {
	data, err := MarshalPlan(fakePlan())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("{\n  \"format\": 2,\n  \"evaluator\": 1,\n")) || !bytes.HasSuffix(data, []byte("}\n")) {
		t.Errorf("not the canonical form:\n%s", data)
	}
	plan, err := ParsePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plan, fakePlan()) {
		t.Errorf("read back as %+v", plan)
	}
}

// $ printf ” | sha256sum
func TestThePlanIDIsTheSHA256(t *testing.T) {
	if got := PlanID(nil); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Error(got)
	}
}

func TestPlansThatAreNotCanonicalAreCorrupt(t *testing.T) {
	good, _ := MarshalPlan(fakePlan())
	edit := func(old, new string) []byte {
		changed := bytes.Replace(good, []byte(old), []byte(new), 1)
		if bytes.Equal(changed, good) {
			t.Fatalf("%q is not in the plan", old)
		}
		return changed
	}
	for name, c := range map[string]struct {
		data []byte
		kind error
		text string
	}{
		"empty":             {nil, ErrCorrupt, "not JSON"},
		"garbage":           {[]byte("\x80\x02}"), ErrCorrupt, "not JSON"},
		"cut":               {good[:len(good)/2], ErrCorrupt, "not JSON"},
		"more behind it":    {append(slices.Clone(good), "{}"...), ErrCorrupt, "not JSON"},
		"no last newline":   {bytes.TrimSpace(good), ErrCorrupt, "not what was written"},
		"unknown field":     {edit(`"format": 2,`, `"format": 2, "extra": 2,`), ErrCorrupt, "extra"},
		"field twice":       {edit(`"format": 2,`, `"format": 2, "format": 2,`), ErrCorrupt, "not what was written"},
		"newer":             {edit(`"format": 2,`, `"format": 3, "extra": 2,`), ErrRefused, "newer lsrun"},
		"older":             {edit(`"format": 2,`, `"format": 1, "extra": 2,`), ErrRefused, "older lsrun"},
		"no points":         {edit(`"points": 5`, `"points": 0`), ErrCorrupt, "no points"},
		"empty units":       {edit(`"unit": 3`, `"unit": 0`), ErrCorrupt, "work"},
		"metric twice":      {edit(`"max_eig"`, `"train_loss"`), ErrCorrupt, "twice"},
		"metric for a path": {edit(`"max_eig"`, `"../max_eig"`), ErrCorrupt, "name of a dataset"},
	} {
		if _, err := ParsePlan(c.data); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.kind, c.text)
		}
	}
}

func TestAFlippedBitMakesNoOtherPlan(t *testing.T) {
	good, _ := MarshalPlan(fakePlan())
	for i := range 8 * len(good) {
		bad := slices.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if plan, err := ParsePlan(bad); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrRefused) {
			t.Errorf("bit %d of byte %d: %+v, %v", i%8, i/8, plan, err)
		}
	}
}

func TestPlansWithoutMeaningAreNotWritten(t *testing.T) {
	p := fakePlan()
	p.Metrics = nil
	if _, err := MarshalPlan(p); err == nil {
		t.Error("a plan without metrics was written")
	}
	p = fakePlan()
	p.Metrics[0].Beside = []string{"a", "b", "a"}
	if _, err := MarshalPlan(p); err == nil {
		t.Error("a plan with the same column twice was written")
	}
}

func FuzzAPlanIsReadExactlyOrNotAtAll(f *testing.F) {
	good, _ := MarshalPlan(fakePlan())
	f.Add(good)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, err := ParsePlan(data)
		if err != nil {
			return
		}
		if again, err := MarshalPlan(plan); err != nil || !bytes.Equal(again, data) {
			t.Errorf("read %q, wrote %q, %v", data, again, err)
		}
	})
}

func TestColumnsAreValuesEachWithWhatIsBesideIt(t *testing.T) {
	p := &Plan{Metrics: []Metric{{Name: "a", Beside: []string{"x", "y"}}, {Name: "b"}, {Name: "c", Beside: []string{"x"}}}}
	want := []Column{{0, ""}, {0, "x"}, {0, "y"}, {1, ""}, {2, ""}, {2, "x"}}
	if got := p.Columns(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestDifferencesNameTheFields(t *testing.T) {
	here, there := fakePlan(), fakePlan()
	there.Grid.X.N = 31
	there.Grid.Y = nil
	there.Directions.Seed-- // beyond the precision of a float64
	there.Network.Input = []int{3, 32, 32}
	a, _ := MarshalPlan(here)
	b, _ := MarshalPlan(there)
	want := []string{
		"directions.seed: 18446744073709551615 here, 18446744073709551614 there",
		"grid.x.points: 5 here, 31 there",
		"grid.y.max: 1 here, absent there",
		"grid.y.min: 0 here, absent there",
		"grid.y.points: 4 here, absent there",
		"network.input[0]: 2 here, 3 there",
		"network.input[1]: absent here, 32 there",
		"network.input[2]: absent here, 32 there",
	}
	if got := Differences(a, b); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, other := range []string{"x", string(a) + " "} {
		if got := Differences(a, []byte(other)); len(got) != 1 {
			t.Errorf("%q", got)
		}
	}
	if got := Differences(a, a); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestUnitsCoverTheGridOnceInOrderAndHaveEqualWork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Plan{Grid: Grid{X: Axis{0, 1, rapid.IntRange(1, 40).Draw(t, "x")}, Y: &Axis{0, 1, rapid.IntRange(1, 10).Draw(t, "y")}},
			Hessian: &Hessian{StepX: rapid.IntRange(1, 5).Draw(t, "step"), StepY: 2},
			Work:    Work{Point: rapid.Int64Range(0, 9).Draw(t, "point"), Hessian: rapid.Int64Range(0, 100).Draw(t, "hessian")}}
		p.Work.Workers = rapid.IntRange(1, 20).Draw(t, "workers")
		p.ShareOut()
		next := 0
		for i, u := range p.Units() {
			if u.Index != i || u.First != next || u.Count < 1 {
				t.Fatalf("unit %d is %+v after %d points", i, u, next)
			}
			next += u.Count
			work := int64(0)
			for k := u.First; k < next; k++ {
				work += max(p.Cost(k), 1)
			}
			if work > p.Work.Unit && u.Count > 1 || next < p.Grid.Points() && work+max(p.Cost(next), 1) <= p.Work.Unit {
				t.Fatalf("unit %d has work %d, where units have %d, and the next point %d", i, work, p.Work.Unit, p.Cost(next))
			}
		}
		if n := UnitsAWorker * p.Work.Workers; p.Work.Hessian == 0 && len(p.Units()) < min(n, p.Grid.Points()) {
			t.Fatalf("%d units for %d workers", len(p.Units()), p.Work.Workers)
		}
		if next != p.Grid.Points() {
			t.Fatalf("units cover %d of %d points", next, p.Grid.Points())
		}
	})
}

func TestUnitsAreSmallEnoughToShare(t *testing.T) {
	for _, c := range []struct {
		points  int
		macs    int64
		workers int
		want    int // points of the first unit
	}{
		{2601, 1, 8, 40},         // 2601/64 = 40.6
		{2601, 1, 64, 5},         // 2601/512 = 5.1
		{2601, 1, 10000, 1},      //
		{64, 1, 8, 1},            //
		{65, 1, 8, 1},            //
		{1, 1 << 60, 8, 1},       //
		{40401, 1 << 40, 8, 4},   // 2⁴² / 2⁴⁰
		{40401, 1<<40 + 1, 8, 3}, // the fourth would exceed it
		{40401, 1 << 60, 8, 1},   // more than an int64 altogether
		{40401, 0, 8, 631},       // unknown: 40401/64 = 631.3
	} {
		p := &Plan{Grid: Grid{X: Axis{0, 1, c.points}}, Work: Work{Point: c.macs, Workers: c.workers}}
		p.ShareOut()
		if got := p.Units()[0].Count; got != c.want {
			t.Errorf("%+v: %d points a unit", c, got)
		}
	}
}

func TestPointsWithHessiansStartFromOneAnother(t *testing.T) {
	p := &Plan{Grid: Grid{X: Axis{0, 1, 500}}, Work: Work{Point: 1 << 40, Hessian: 1 << 43, Workers: 8}, Hessian: &Hessian{StepX: 1, StepY: 1}}
	p.ShareOut()
	if got := p.Units()[0].Count; got != 4 {
		t.Errorf("%d points a unit, want 4", got)
	}
}

func TestRangesReadBack(t *testing.T) {
	if got := FormatRanges([]int{3, 7, 8, 9, 11, 12}); got != "3,7-9,11-12" {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 1, 60, rapid.ID).Draw(t, "numbers")
		slices.Sort(numbers)
		if got, err := ParseRanges(FormatRanges(numbers), 61); err != nil || !slices.Equal(got, numbers) {
			t.Fatalf("%v became %v, %v", numbers, got, err)
		}
	})
	for _, bad := range []string{"", "x", "3-", "-3", "9-7", "3,3", "7,3", "100", "1-100", "1.5", "3,,4"} {
		if got, err := ParseRanges(bad, 100); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}
