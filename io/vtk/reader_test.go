//go:build vtk

package vtk

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lsrun/shard"
)

// TestVTKReadsWhatWeWrite asks VTK's own reader, which make check-long installs.
func TestVTKReadsWhatWeWrite(t *testing.T) {
	zmax := 3.0
	s := plane(func(x, y float64) float64 { return x*x + y }, shard.Axis{Min: -1, Max: 1, N: 7}, shard.Axis{Min: 0, Max: 5, N: 4})
	s.Layers[0].Values[0] = math.NaN()
	for _, c := range []struct {
		opt                  Options
		nan                  bool
		points, quads, holes int
	}{
		{Options{}, true, 27, 17, 1},
		{Options{Log: true, ZMax: &zmax}, false, 28, 18, 0},
		{Options{Interp: 30}, false, 900, 841, 0},
	} {
		if s.Layers[0].Values[0] = math.NaN(); !c.nan {
			s.Layers[0].Values[0] = 1
		}
		c.opt.Metric = "train_loss"
		m, err := Build(s, c.opt)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "surface.vtp")
		if err := os.WriteFile(file, m.Encode(), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("/usr/bin/python3", "testdata/read.py", file).CombinedOutput()
		if err != nil {
			t.Fatalf("VTK does not read it: %v\n%s", err, out)
		}
		lowest, highest, sum := math.Inf(1), math.Inf(-1), 0.0
		for _, p := range m.Points {
			lowest, highest, sum = min(lowest, p[2]), max(highest, p[2]), sum+p[2]
		}
		var points, quads, sides int
		var lo, hi, total float64
		if _, err := fmt.Sscan(string(out), &points, &quads, &sides, &lo, &hi, &total); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if points != c.points || quads != c.quads || sides != 4 || m.Left != c.holes {
			t.Errorf("%+v: VTK finds %d points and %d polygons of %d sides, %d left out; want %d, %d, 4, %d", c.opt, points, quads, sides, m.Left, c.points, c.quads, c.holes)
		}
		if math.Abs(lo-lowest) > 1e-12 || math.Abs(hi-highest) > 1e-12 || math.Abs(total-sum) > 1e-9 {
			t.Errorf("%+v: heights from %g to %g with the sum %g, want %g, %g and %g", c.opt, lo, hi, total, lowest, highest, sum)
		}
	}
}
