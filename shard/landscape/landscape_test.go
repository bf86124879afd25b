package landscape

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lsrun/shard"
)

// plane is the landscape of f over [−2, 2]² with n points a side.
func plane(t *testing.T, n int, f func(x, y float64) float64) *Landscape {
	t.Helper()
	axis := shard.Axis{Min: -2, Max: 2, N: n}
	s := &shard.Surface{X: axis.Coordinates(), Y: axis.Coordinates(), Layers: []shard.Layer{{Name: "train_loss"}}}
	for _, y := range s.Y {
		for _, x := range s.X {
			s.Layers[0].Values = append(s.Layers[0].Values, f(x, y))
		}
	}
	return landscape(t, s)
}

// line is the landscape of f over [−2, 2].
func line(t *testing.T, n int, f func(x float64) float64) *Landscape {
	t.Helper()
	s := &shard.Surface{X: shard.Axis{Min: -2, Max: 2, N: n}.Coordinates(), Layers: []shard.Layer{{Name: "train_loss"}}}
	for _, x := range s.X {
		s.Layers[0].Values = append(s.Layers[0].Values, f(x))
	}
	return landscape(t, s)
}

func landscape(t *testing.T, s *shard.Surface) *Landscape {
	t.Helper()
	l, err := New(s, "train_loss")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// random is a plane of 6 × 5 random values on uneven coordinates.
func random(t *testing.T, r *rand.Rand) *Landscape {
	t.Helper()
	s := &shard.Surface{X: []float64{0, 1, 1.5, 3, 4, 5}, Y: []float64{0, 0.5, 2, 3, 4}, Layers: []shard.Layer{{Name: "train_loss"}}}
	for range 30 {
		s.Layers[0].Values = append(s.Layers[0].Values, r.Float64())
	}
	return landscape(t, s)
}

func check(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

func bowl(x, y float64) float64 { return 3*x*x + y*y + 0.25 }

func TestALinearFunctionIsItsOwnLandscape(t *testing.T) {
	f := func(x, y float64) float64 { return 2 + 3*x - y }
	l := plane(t, 8, f)
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		p := Point{4*r.Float64() - 2, 4*r.Float64() - 2}
		check(t, "L", l.At(p), f(p.X, p.Y), 1e-12)
	}
	check(t, "L at a corner", l.At(Point{2, -2}), 10, 1e-12)
	if v := l.At(Point{2.1, 0}); !math.IsNaN(v) {
		t.Errorf("off the grid L is %g", v)
	}
}

func TestInTheMiddleOfACellIsTheMeanOfItsCorners(t *testing.T) {
	l := plane(t, 2, func(x, y float64) float64 { return x * y }) // 4, −4, −4, 4
	for p, want := range map[Point]float64{{0, 0}: 0, {-2, -2}: 4, {2, -2}: -4, {-1, -1}: 2, {1, 1}: 2, {1, -1}: -2, {0, -2}: 0, {0, -1}: 0} {
		check(t, "L", l.At(p), want, 1e-12)
	}
}

func TestSharpnessOfABowl(t *testing.T) {
	l := plane(t, 401, bowl)
	for _, r := range []float64{0.3, 1, 1.7} {
		sharpness, rise := l.Sharpness(Point{}, r)
		// On the circle 3x² + y² has the maximum 3r² and the mean 2r².
		check(t, "the sharpness", sharpness, 100*3*r*r/1.25, 100*1e-3)
		check(t, "the rise", rise, 2*r*r, 1e-4)
	}
	valley := line(t, 401, func(x float64) float64 { return x*x + math.Max(x, 0) })
	sharpness, rise := valley.Sharpness(Point{}, 1.5)
	check(t, "the sharpness on a line", sharpness, 100*(2.25+1.5), 1e-9)
	check(t, "the rise on a line", rise, (2.25+2.25+1.5)/2, 1e-9)
	if s, _ := l.Sharpness(Point{1, 0}, 1.1); !math.IsNaN(s) {
		t.Errorf("the sharpness beyond the grid is %g", s)
	}
	if s, _ := l.Sharpness(Point{}, 2); math.IsNaN(s) {
		t.Error("there is no sharpness at the radius of the grid")
	}
	hole := plane(t, 41, func(x, y float64) float64 {
		if x > 0.55 && x < 0.65 && math.Abs(y) < 0.05 {
			return math.NaN()
		}
		return bowl(x, y)
	})
	if s, _ := hole.Sharpness(Point{}, 1); !math.IsNaN(s) {
		t.Errorf("over a hole the sharpness is %g", s)
	}
	if s, _ := hole.Sharpness(Point{}, 0.3); math.IsNaN(s) {
		t.Error("beside a hole there is no sharpness")
	}
}

func TestAreaOfLevelSetsOfABowl(t *testing.T) {
	l := plane(t, 401, bowl)
	for _, c := range []float64{0.1, 1, 3} { // {3x² + y² ≤ c} is an ellipse of area πc/√3
		area, open := l.Sublevel(c + 0.25)
		check(t, "the area", area, math.Pi*c/math.Sqrt(3), 1e-3)
		if open != (math.Sqrt(c) > 2) {
			t.Errorf("the ellipse at %g is open: %t", c, open)
		}
	}
	if area, open := l.Sublevel(100); math.Abs(area-16) > 1e-9 || !open {
		t.Errorf("above all values there is %g, open %t", area, open)
	}
	if area, open := l.Sublevel(0.2); area != 0 || open {
		t.Errorf("under all values there is %g, open %t", area, open)
	}
	length, open := line(t, 5, math.Abs).Sublevel(0.75)
	check(t, "the length", length, 1.5, 1e-12)
	if open {
		t.Error("the interval is open")
	}
}

// The share of many places at which L is at most the level is an estimate of the area.
func TestAreasAreThoseOfTheInterpolation(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	for range 20 {
		l := random(t, r)
		level := 0.2 + 0.6*r.Float64()
		area, _ := l.Sublevel(level)
		const n = 200_000
		within := 0
		for range n {
			if l.At(Point{5 * r.Float64(), 4 * r.Float64()}) <= level {
				within++
			}
		}
		check(t, "the area", area, 20*float64(within)/n, 20*5*0.5/math.Sqrt(n)) // five standard errors
	}
}

func TestMinimaAreLowerThanAllAround(t *testing.T) {
	l := plane(t, 41, func(x, y float64) float64 { return (x*x-1)*(x*x-1) + y*y + 0.1*x })
	got := l.Minima()
	if len(got) != 2 || math.Abs(got[0].X+1) > 0.1 || math.Abs(got[1].X-1) > 0.1 || got[0].Y != 0 {
		t.Errorf("the minima are %v, want those near −1 and 1, the lower first", got)
	}
	if p, v := l.Lowest(); p != got[0] || v != l.At(p) {
		t.Errorf("the lowest point is %v with %g", p, v)
	}
	if got := plane(t, 9, func(x, y float64) float64 { return x }).Minima(); got != nil {
		t.Errorf("a slope has the minima %v", got)
	}
	if got := line(t, 41, func(x float64) float64 { return math.Cos(math.Pi * x) }).Minima(); len(got) != 2 {
		t.Errorf("a cosine has the minima %v", got)
	}
}

func TestBarrierOfADoubleWell(t *testing.T) {
	l := plane(t, 41, func(x, y float64) float64 { return (x*x-1)*(x*x-1) + y*y }) // the saddle is at 0, and 1 high
	a, b := Point{-1, 0}, Point{1, 0}
	check(t, "the barrier along the line", l.LineBarrier(a, b), 1, 1e-12)
	check(t, "the barrier along the best path", l.PathBarrier(a, b), 1, 1e-12)
	well := line(t, 41, func(x float64) float64 { return (x*x-1)*(x*x-1) + 0.3*x })
	check(t, "the barrier on a line", well.LineBarrier(a, b), 1-0.3, 0.02)
	if got := well.PathBarrier(a, b); got != well.LineBarrier(a, b) {
		t.Errorf("on a line the best path has %g", got)
	}
}

// A circular valley whose floor is 0.3 high half way: across it is 10, along it 0.3.
func TestBarrierAroundAHill(t *testing.T) {
	ring := func(x, y float64) float64 {
		r := math.Hypot(x, y)
		if r == 0 {
			return 10
		}
		return 10*(r-1)*(r-1) + 0.3*y*y/r/r
	}
	a, b := Point{-1, 0}, Point{1, 0}
	for _, n := range []int{81, 161} {
		l := plane(t, n, ring)
		check(t, "the barrier along the line", l.LineBarrier(a, b), 10, 1e-12)
		check(t, "the barrier along the best path", l.PathBarrier(a, b), 0.3, 0.02*81*81/float64(n*n))
	}
}

func TestBarriersBetweenPlacesThatAreNoGridPoints(t *testing.T) {
	l := plane(t, 41, func(x, y float64) float64 { return x + 3 })
	for _, c := range [][2]Point{{{-1.03, 0.2}, {0.77, 0.31}}, {{0.01, 0.02}, {0.02, 0.01}}, {{0.5, 0.5}, {0.5, 0.5}}, {{-2, -2}, {2, 2}}} {
		check(t, "the barrier on a slope", l.LineBarrier(c[0], c[1]), 0, 1e-12)
		check(t, "the best path's", l.PathBarrier(c[0], c[1]), 0, 1e-12)
	}
}

// At the level of the barrier a fine raster of L joins both ends; a little lower it does not.
func TestBestPathsAreThoseOfTheInterpolation(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 8))
	const margin = 0.08
	for range 40 {
		l := random(t, r)
		a, b := Point{5 * r.Float64(), 4 * r.Float64()}, Point{5 * r.Float64(), 4 * r.Float64()}
		a.X, a.Y, b.X, b.Y = onRaster(a.X), onRaster(a.Y), onRaster(b.X), onRaster(b.Y)
		path, straight := l.PathBarrier(a, b), l.LineBarrier(a, b)
		if path > straight+1e-12 || path < 0 {
			t.Fatalf("the best path rises by %g, the straight one by %g", path, straight)
		}
		level := max(l.At(a), l.At(b)) + path
		if !joined(l, a, b, level+margin) {
			t.Errorf("at %g + %g there is no way from %v to %v", level, margin, a, b)
		}
		if path > margin && joined(l, a, b, level-margin) {
			t.Errorf("at %g − %g there is a way from %v to %v", level, margin, a, b)
		}
	}
}

const raster = 64 // places a unit

func onRaster(v float64) float64 { return math.Round(raster*v) / raster }

// joined walks over the raster through places of at most the level.
func joined(l *Landscape, a, b Point, level float64) bool {
	seen := map[Point]bool{a: true}
	for todo := []Point{a}; len(todo) > 0; {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if p == b {
			return true
		}
		for _, d := range [4]Point{{1. / raster, 0}, {-1. / raster, 0}, {0, 1. / raster}, {0, -1. / raster}} {
			q := Point{p.X + d.X, p.Y + d.Y}
			if !seen[q] && l.At(q) <= level {
				seen[q] = true
				todo = append(todo, q)
			}
		}
	}
	return false
}

func TestWallsWithoutValuesStopEveryPath(t *testing.T) {
	wall := func(at float64) *Landscape {
		return plane(t, 21, func(x, y float64) float64 {
			if math.Abs(x) < 0.05 {
				return at
			}
			return 1
		})
	}
	a, b := Point{-1, 0}, Point{1, 0}
	for at, is := range map[float64]func(float64) bool{
		math.Inf(1): func(v float64) bool { return math.IsInf(v, 1) },
		5:           func(v float64) bool { return v == 4 },
	} {
		l := wall(at)
		if line, path := l.LineBarrier(a, b), l.PathBarrier(a, b); !is(line) || !is(path) {
			t.Errorf("a wall of %g is %g along the line, %g along the best path", at, line, path)
		}
	}
	l := wall(math.NaN())
	if line, path := l.LineBarrier(a, b), l.PathBarrier(a, b); !math.IsNaN(line) || !math.IsNaN(path) {
		t.Errorf("a wall of NaN is %g along the line, %g along the best path", line, path)
	}
	if v := l.PathBarrier(Point{-1, 0}, Point{-0.5, 1}); v != 0 {
		t.Errorf("on one side of the wall the barrier is %g", v)
	}
}

func TestNoLandscapeIsMadeOfNothing(t *testing.T) {
	nan := math.NaN()
	for want, s := range map[string]*shard.Surface{
		"no point has a finite train_loss": {X: []float64{0, 1}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{nan, math.Inf(1)}}}},
		"there is no train_loss":           {X: []float64{0, 1}, Layers: []shard.Layer{{Name: "test_loss", Values: []float64{1, 2}}}},
		"no metrics at all":                {X: []float64{0, 1}},
		"no x coordinates":                 {},
	} {
		if _, err := New(s, "train_loss"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestOnePointIsALandscape(t *testing.T) {
	for _, s := range []*shard.Surface{
		{X: []float64{0}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{2}}}},
		{X: []float64{0}, Y: []float64{0}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{2}}}},
	} {
		l := landscape(t, s)
		size, open := l.Sublevel(3)
		sharpness, rise := l.Sharpness(Point{}, 0)
		got := []float64{l.At(Point{}), l.Radius(Point{}), size, sharpness, rise, l.LineBarrier(Point{}, Point{}), l.PathBarrier(Point{}, Point{})}
		if want := []float64{2, 0, 0, 0, 0, 0, 0}; !slices.Equal(got, want) || !open {
			t.Errorf("got %v, want %v", got, want)
		}
		if m := l.Minima(); m != nil {
			t.Errorf("one point has the minima %v", m)
		}
	}
	row := landscape(t, &shard.Surface{X: []float64{0, 1, 2}, Y: []float64{0}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{1, 3, 0}}}})
	check(t, "the barrier on a row", row.PathBarrier(Point{}, Point{X: 2}), 2, 0)
	column := landscape(t, &shard.Surface{X: []float64{0}, Y: []float64{0, 1, 2}, Layers: []shard.Layer{{Name: "train_loss", Values: []float64{1, 3, 0}}}})
	check(t, "the barrier on a column", column.PathBarrier(Point{}, Point{Y: 2}), 2, 0)
}
