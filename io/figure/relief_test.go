package figure

import (
	"image/color"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"

	"lsrun/shard"
)

// painted is the samples of a relief, and where its points are among them.
func painted(t *testing.T, f func(x, y float64) float64, opt Options) (*canvas, func(x, y, part float64) color.NRGBA) {
	t.Helper()
	opt.Kind = Relief
	grid := shard.Axis{Min: -1, Max: 1, N: 41}
	v := newView(chartOf(t, sample(grid, grid, f), opt), opt)
	s := v.stage(vg.Rectangle{Max: vg.Point{X: 200, Y: 200}})
	c := &canvas{w: 600, h: 600, perUnit: 200, perDot: 3, depth: make([]float32, 600*600), color: make([]color.NRGBA, 600*600)}
	for k := range c.depth {
		c.depth[k] = float32(math.Inf(-1))
	}
	s.paint(c)
	return c, func(x, y, part float64) color.NRGBA {
		place := s.ground(x, y)
		place[2] = boxHeight * part
		px, py, _ := s.sample(c, place)
		return c.color[int(py)*c.w+int(px)]
	}
}

// shows tells whether c is the colour of a height, as bright as the light makes it.
func shows(c color.NRGBA, part float64) bool {
	want := color.NRGBAModel.Convert(viridis(part)).(color.NRGBA)
	a, b := vector{float64(c.R), float64(c.G), float64(c.B)}, vector{float64(want.R), float64(want.G), float64(want.B)}
	return c.A == 255 && a.dot(b) > 0.985*math.Sqrt(a.dot(a)*b.dot(b))
}

func TestAReliefHidesWhatIsBehind(t *testing.T) {
	wall := func(x, y float64) float64 { // as high as all, in front
		if y < -0.5 {
			return 1
		}
		return 0
	}
	low, front := 20., -90.
	_, at := painted(t, wall, Options{Azimuth: &front, Elevation: &low})
	if !shows(at(0.03, -0.77, 1), 1) {
		t.Errorf("the wall's top has the colour %v", at(0.03, -0.77, 1))
	}
	if shows(at(0.03, 0.22, 0), 0) {
		t.Error("the floor shows through the wall")
	}
	high := 80.
	_, at = painted(t, wall, Options{Azimuth: &front, Elevation: &high})
	if !shows(at(0.03, 0.22, 0), 0) {
		t.Errorf("from above, the floor behind the wall has the colour %v", at(0.03, 0.22, 0))
	}
}

func TestAReliefHasTheHeightsAndColoursOfItsValues(t *testing.T) {
	slope := func(x, y float64) float64 { return x + y + 2 } // 0 … 4, one plane
	_, at := painted(t, slope, Options{VLevel: ptr(4.)})
	for _, p := range [][2]float64{{-0.72, -0.6}, {0.12, 0.31}, {0.62, 0.53}, {-0.71, 0.82}} {
		if part := slope(p[0], p[1]) / 4; !shows(at(p[0], p[1], part), part) {
			t.Errorf("at %v there is %v, not the colour of %g", p, at(p[0], p[1], part), part)
		}
	}
	_, at = painted(t, slope, Options{VLevel: ptr(4.), VMax: ptr(2.), VMin: ptr(0.)})
	if !shows(at(-0.5, -0.2, 1.3/2), 1.3/2) {
		t.Error("what is under vmax is not drawn on the new scale")
	}
	if c := at(0.9, 0.9, 0.98); c.A != 0 {
		t.Errorf("what is above vmax is drawn, in %v", c)
	}
}

func TestAReliefHasHolesWithoutValues(t *testing.T) {
	_, at := painted(t, func(x, y float64) float64 {
		if math.Hypot(x-0.4, y-0.4) < 0.3 {
			return math.NaN()
		}
		return 1 + 0.1*x
	}, Options{Elevation: ptr(90.)})
	if c := at(0.4, 0.4, 0.5); c.A != 0 {
		t.Errorf("the hole has the colour %v", c)
	}
	if c := at(-0.4, -0.43, 0.3); c.A == 0 {
		t.Error("there is nothing beside the hole")
	}
}

func TestContourLinesOnAReliefAreWhereTheLevelsAre(t *testing.T) {
	ramp := func(x, y float64) float64 { return x }
	_, at := painted(t, ramp, Options{VMin: ptr(-1.), VMax: ptr(1.), VLevel: ptr(0.5)})
	bright := func(x float64) float64 {
		c := at(x, 0.111, (x+1)/2)
		return float64(c.R) + float64(c.G) + float64(c.B)
	}
	for _, level := range []float64{-0.5, 0, 0.5} {
		if on, beside := bright(level), bright(level+0.06); on > 0.8*beside {
			t.Errorf("level %g is no darker than beside it: %g and %g", level, on, beside)
		}
	}
}

func TestAReliefIsSeenFromAbove(t *testing.T) {
	grid := shard.Axis{Min: -1, Max: 1, N: 5}
	for want, opt := range map[string]Options{
		"elevation of -5 degrees":  {Kind: Relief, Elevation: ptr(-5.)},
		"elevation of NaN degrees": {Kind: Relief, Elevation: ptr(math.NaN())},
		"azimuth of 900 degrees":   {Kind: Relief, Azimuth: ptr(900.)},
	} {
		if _, err := Draw(sample(grid, grid, bowl), opt, "png"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for _, azimuth := range []float64{-360, -135, 0, 90, 163} {
		for _, elevation := range []float64{0, 30, 90} {
			opt := Options{Kind: Relief, Azimuth: &azimuth, Elevation: &elevation, Width: 50}
			data, err := Draw(sample(grid, grid, bowl), opt, "svg")
			if err != nil {
				t.Fatal(err)
			}
			checkSVG(t, data)
		}
	}
}
