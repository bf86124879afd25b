package shard

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// testdata/linspace.txt: an axis and the bits of numpy.linspace(min, max, points) a line.
func TestCoordinatesAreNumPysLinspaceBitForBit(t *testing.T) {
	data, err := os.ReadFile("testdata/linspace.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		axis, err := ParseAxis(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		got := axis.Coordinates()
		if len(got) != len(fields)-1 {
			t.Fatalf("%v: %d coordinates, want %d", axis, len(got), len(fields)-1)
		}
		for i, word := range fields[1:] {
			if bits, _ := strconv.ParseUint(word, 16, 64); math.Float64bits(got[i]) != bits {
				t.Errorf("%v: coordinate %d is %v, NumPy says %v", axis, i, got[i], math.Float64frombits(bits))
			}
		}
	}
}

func TestAxesThatMakeNoSenseAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "is not min:max:points",
		"-1:1":                            "is not min:max:points",
		"-1:1:51:2":                       "is not min:max:points",
		"a:1:51":                          "not a finite number",
		"-1:inf:51":                       "not a finite number",
		"nan:1:51":                        "not a finite number",
		"-1:1:5.5":                        "not a whole number",
		"-1:1:0":                          "no points",
		"-1:1:-3":                         "no points",
		"1:-1:0":                          "no points",
		"1:-1:5":                          "its minimum must be under",
		"1:1:5":                           "its minimum must be under",
		"-1:1:1":                          "one point cannot be both ends",
		"-1e308:1e308:5":                  "too far apart",
		"-1:1:99999999999":                "more than 268435456 points: ask for fewer",
		"-1:1:" + strings.Repeat("9", 30): "ask for fewer",
	} {
		if _, err := ParseAxis(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}

func TestAGridTooLargeToCountIsRefused(t *testing.T) {
	g := Grid{X: Axis{0, 1, 1 << 20}, Y: &Axis{0, 1, 1 << 20}}
	if err := g.Check(); err == nil || !strings.Contains(err.Error(), "ask for fewer") {
		t.Errorf("2⁴⁰ points: %v", err)
	}
}

func TestPointsRunAlongXFirst(t *testing.T) {
	g := Grid{X: Axis{-1, 1, 3}, Y: &Axis{5, 6, 2}}
	want := [][2]float64{{-1, 5}, {0, 5}, {1, 5}, {-1, 6}, {0, 6}, {1, 6}}
	if g.Points() != len(want) {
		t.Fatalf("%d points, want %d", g.Points(), len(want))
	}
	for k, p := range want {
		if x, y := g.At(k); x != p[0] || y != p[1] {
			t.Errorf("point %d is at (%g, %g), want %v", k, x, y, p)
		}
	}
	if _, ok := g.Origin(); ok {
		t.Error("a grid with y from 5 has an origin")
	}
	if k, ok := (Grid{X: Axis{-1, 1, 3}}).Origin(); !ok || k != 1 {
		t.Errorf("the origin of the line is %d, %v; want 1, true", k, ok)
	}
}
