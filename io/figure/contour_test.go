package figure

import (
	"math"
	"math/rand/v2"
	"testing"

	"lsrun/shard"
)

func fieldOf(s *shard.Surface) field { return field{s.X, s.Y, s.Layers[0].Values} }

// square is the field over [−1, 1]² with n points a side.
func square(n int, f func(x, y float64) float64) field {
	a := shard.Axis{Min: -1, Max: 1, N: n}
	return fieldOf(sample(a, a, f))
}

func bowl(x, y float64) float64 { return x*x + y*y }

// area is the signed area of closed rings, positive where they run counterclockwise.
func area(rings [][]point) (sum float64) {
	for _, r := range rings {
		for k := range r {
			a, b := r[k], r[(k+1)%len(r)]
			sum += (a.x*b.y - b.x*a.y) / 2
		}
	}
	return sum
}

func TestContourOfABowlIsOneCircle(t *testing.T) {
	f := square(41, bowl)
	const h = 2. / 40
	for _, level := range []float64{0.01, 0.25, 0.5, 0.81} {
		lines := f.lines(level)
		if len(lines) != 1 {
			t.Fatalf("level %g has %d lines, want one circle", level, len(lines))
		}
		line, r := lines[0], math.Sqrt(level)
		if line[0] != line[len(line)-1] {
			t.Errorf("the circle of level %g is open", level)
		}
		// Interpolating z linearly between points h apart errs by at most h²/8 · max|z''| = h²/4;
		// as dz/dr = 2r, the radius by h²/8r.
		for _, p := range line {
			if d := math.Abs(math.Hypot(p.x, p.y) - r); d > 1.01*h*h/8/r {
				t.Errorf("level %g passes (%g, %g), %g off the circle", level, p.x, p.y, d)
			}
		}
		// Larger values, the outside, on the left: clockwise.
		if a := area(lines); math.Abs(a+math.Pi*level) > 2*h*h {
			t.Errorf("the circle of level %g has area %g, want %g", level, a, -math.Pi*level)
		}
	}
}

func TestContourAcrossTheBorderIsOpen(t *testing.T) {
	lines := square(41, bowl).lines(1.5) // four arcs in the corners
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 4 arcs", len(lines))
	}
	for _, l := range lines {
		for _, p := range []point{l[0], l[len(l)-1]} {
			if math.Max(math.Abs(p.x), math.Abs(p.y)) != 1 {
				t.Errorf("an arc ends at (%g, %g), not on the border", p.x, p.y)
			}
		}
	}
}

func TestContourStopsAtSquaresWithoutValue(t *testing.T) {
	f := square(41, func(x, y float64) float64 {
		if x == 0.5 && y == 0 {
			return math.NaN()
		}
		return bowl(x, y)
	})
	lines := f.lines(0.25)
	if len(lines) != 1 || lines[0][0] == lines[0][len(lines[0])-1] {
		t.Fatalf("want one open line, got %d", len(lines))
	}
	for _, p := range lines[0] {
		if math.Abs(p.x-0.5) < 0.05 && math.Abs(p.y) < 0.05-1e-12 {
			t.Errorf("the line passes (%g, %g), beside the NaN at (0.5, 0)", p.x, p.y)
		}
	}
}

func TestSaddleIsResolvedByItsCentre(t *testing.T) {
	// High corners lower left and upper right; their mean is 0.5.
	f := field{[]float64{0, 1}, []float64{0, 1}, []float64{1, 0, 0, 1}}
	for _, c := range []struct{ level, area float64 }{
		// Above the mean the high corners are apart, two triangles with legs 0.4;
		// under it they are joined and the low corners are cut off.
		{0.6, 2 * 0.4 * 0.4 / 2},
		{0.4, 1 - 2*0.4*0.4/2},
	} {
		if n := len(f.lines(c.level)); n != 2 {
			t.Errorf("level %g has %d lines, want 2", c.level, n)
		}
		if a := area(f.region(c.level)); math.Abs(a-c.area) > 1e-12 {
			t.Errorf("level %g encloses %g, want %g", c.level, a, c.area)
		}
	}
}

func TestRegionsFillWhatHasValues(t *testing.T) {
	holes := square(21, func(x, y float64) float64 {
		if math.Hypot(x-0.3, y) < 0.25 || x < -0.8 && y < -0.8 {
			return math.NaN()
		}
		return bowl(x, y)
	})
	var squares float64
	for j := range 20 {
		for i := range 20 {
			if holes.complete(i, j) {
				squares += 0.01
			}
		}
	}
	if a := area(holes.region(math.Inf(-1))); math.Abs(a-squares) > 1e-12 {
		t.Errorf("the region of all values has area %g, its squares %g", a, squares)
	}
	disc := square(81, bowl)
	if a := area(disc.region(0.25)); math.Abs(a-(4-math.Pi/4)) > 1e-3 {
		t.Errorf("outside the circle there is %g, want %g", a, 4-math.Pi/4)
	}
	if r := disc.region(3); len(r) != 0 {
		t.Errorf("a region above all values has %d rings", len(r))
	}
}

// A square's part above a level is bounded by straight cuts, so that the part above and the
// part below (above −level of −z) must make up the square, whatever the values.
func TestRegionsAboveAndBelowMakeUpTheWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		f := field{x: []float64{0, 1, 3, 4}, y: []float64{0, 2, 3, 5, 6}}
		minus := field{x: f.x, y: f.y}
		for range len(f.x) * len(f.y) {
			z := float64(rnd.IntN(7)) + 0.01*rnd.Float64()
			if rnd.IntN(8) == 0 {
				z = math.NaN()
			}
			f.z, minus.z = append(f.z, z), append(minus.z, -z)
		}
		whole := area(f.region(math.Inf(-1)))
		above, below := area(f.region(3.5)), area(minus.region(-3.5))
		if math.Abs(above+below-whole) > 1e-9 || above < 0 || below < 0 {
			t.Fatalf("above %g, below %g, together %g\n%v", above, below, whole, f.z)
		}
	}
}

func TestPlateauAtALevelHasABoundary(t *testing.T) {
	f := square(5, func(x, y float64) float64 {
		if math.Abs(x) <= 0.5 && math.Abs(y) <= 0.5 {
			return 1
		}
		return 0
	})
	if a := area(f.region(1)); math.Abs(a-1) > 1e-12 {
		t.Errorf("the plateau has area %g, want 1", a)
	}
}
