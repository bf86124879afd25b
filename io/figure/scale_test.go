package figure

import (
	"math"
	"slices"
	"testing"
)

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		scale scale
		most  int
		want  []float64
	}{
		{scale{lo: -1, hi: 1}, 6, []float64{-1, -0.5, 0, 0.5, 1}},
		{scale{lo: 0, hi: 0.35}, 4, []float64{0, 0.1, 0.2, 0.3}},
		{scale{lo: 17, hi: 112}, 5, []float64{20, 40, 60, 80, 100}},
		{scale{lo: 0.15, hi: 60, log: true}, 10, []float64{0.2, 0.5, 1, 2, 5, 10, 20, 50}},
		{scale{lo: 1e-3, hi: 1e4, log: true}, 10, []float64{1e-3, 1e-2, 0.1, 1, 10, 100, 1e3, 1e4}},
		{scale{lo: 1e-3, hi: 1e12, log: true}, 8, []float64{1e-2, 1, 100, 1e4, 1e6, 1e8, 1e10, 1e12}},
		{scale{lo: 2.1, hi: 2.9, log: true}, 4, []float64{2.2, 2.4, 2.6, 2.8}},
	} {
		if got := c.scale.ticks(c.most); !slices.Equal(got, c.want) {
			t.Errorf("ticks of %v: %v, want %v", c.scale, got, c.want)
		}
	}
}

func TestLevelsFollowThePapersFlags(t *testing.T) {
	step := 0.5
	s, err := newScale("loss", 0.01, 80, false, ptr(0.1), ptr(2.2))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.levels(&step)
	if want := []float64{0.1, 0.6, 1.1, 1.6, 2.1}; err != nil || !slices.EqualFunc(got, want, near) {
		t.Errorf("levels from 0.1 to 2.2 in steps of 0.5: %v, %v", got, err)
	}
	for _, bad := range []float64{0, -1, 1e-9, math.NaN()} {
		if _, err := s.levels(&bad); err == nil {
			t.Errorf("steps of %g are accepted", bad)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-12 }

func ptr[T any](v T) *T { return &v }

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.1 + 0.2: "0.3", -0.25: "−0.25", 1000: "1000", 0.001: "0.001",
		1e5: "10^5", 2e-7: "2×10^−7", -1e12: "−10^12", -5e4: "−5×10^4", 2.302585: "2.302585",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%g) = %q, want %q", v, got, want)
		}
	}
}

func TestColoursAreViridis(t *testing.T) {
	// The published values at 0, 1/4, 1/2, 3/4 and 1 (matplotlib's viridis of 256 entries).
	for at, want := range map[float64][3]int{
		0: {0x44, 0x01, 0x54}, 0.25: {0x3b, 0x52, 0x8b}, 0.5: {0x21, 0x91, 0x8c}, 0.75: {0x5e, 0xc9, 0x62}, 1: {0xfd, 0xe7, 0x25},
	} {
		r, g, b, _ := viridis(at).RGBA()
		for k, v := range []uint32{r, g, b} {
			if d := int(v>>8) - want[k]; d < -6 || d > 6 {
				t.Errorf("viridis(%g) is %x %x %x, want %x", at, r>>8, g>>8, b>>8, want)
			}
		}
	}
}
