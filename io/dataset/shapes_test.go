package dataset

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

// TestTheDrawnPicturesAreThoseOfEveryMachine: plans name the data set by its digest.
func TestTheDrawnPicturesAreThoseOfEveryMachine(t *testing.T) {
	set := load(t, ShapesKind, "train=200,test=100,seed=1")
	if want := "d74415b04a40075721a2dcb73216f967e5c447dcb4041ecd8f606e63ab520d68"; set.SHA256 != want {
		t.Errorf("the digest is %s, not %s: what is planned with shapes can no longer be run", set.SHA256, want)
	}
}

func TestASmallerDrawnSetIsTheBeginningOfALargerOne(t *testing.T) {
	small, large := load(t, ShapesKind, "train=20,test=10"), load(t, ShapesKind, "test=30,train=50,seed=0")
	for _, p := range [][2]*Part{{small.Train, large.Train}, {small.Test, large.Test}} {
		if !bytes.HasPrefix(p[1].Bytes, p[0].Bytes) || !slices.Equal(p[1].Labels[:len(p[0].Labels)], p[0].Labels) {
			t.Error("the pictures differ")
		}
	}
	other := load(t, ShapesKind, "train=20,test=0,seed=1")
	if bytes.Equal(other.Train.Bytes, small.Train.Bytes) || bytes.HasPrefix(small.Train.Bytes, small.Test.Bytes) {
		t.Error("other seeds or parts have the same pictures")
	}
	if other.Test != nil || len(other.Train.Labels) != 20 || other.Classes != 10 {
		t.Errorf("a set of %d training pictures of %d classes", len(other.Train.Labels), other.Classes)
	}
}

func TestDrawnClassesAreAsLikely(t *testing.T) {
	const n = 3000
	counts := make([]int, 10)
	for _, l := range load(t, ShapesKind, "train=3000,test=0").Train.Labels {
		counts[l]++
	}
	for class, count := range counts {
		if math.Abs(float64(count)-n/10) > 4.5*math.Sqrt(n*0.09) {
			t.Errorf("%d of %d pictures show a %s", count, n, ShapeNames[class])
		}
	}
}

// TestTheOutlinesHaveTheAreasOfTheirShapes integrates over the square around the unit disc.
func TestTheOutlinesHaveTheAreasOfTheirShapes(t *testing.T) {
	sine := func(degrees float64) float64 { return math.Sin(degrees * math.Pi / 180) }
	cap := math.Acos(0.15) - 0.15*math.Sqrt(1-0.15*0.15) // what the half disc lacks
	// Two circles of radii 1 and r whose centres are d apart share a lens.
	lens := func(r, d float64) float64 {
		a, b := (d*d+r*r-1)/(2*d*r), (d*d+1-r*r)/(2*d)
		return r*r*math.Acos(a) + math.Acos(b) - math.Sqrt((1+r-d)*(1+r+d)*(d+r-1)*(d-r+1))/2
	}
	for class, want := range map[string]float64{
		"disc": math.Pi, "ring": math.Pi * 0.75, "half disc": math.Pi - cap, "crescent": math.Pi - lens(0.8, 0.5),
		"triangle": 3 * math.Sqrt(3) / 4, "square": 2.25, "pentagon": 2.5 * sine(72),
		// ten triangles between centre, tip and notch, whose radii are a/sin 18° and a/cos 36° for the apothem a
		"star":  10 * 0.5 * 0.31 / sine(18) * 0.31 / sine(54) * sine(36),
		"cross": 2*1.9*0.6 - 0.36, "bar": 1.9 * 0.6,
	} {
		inside, n := 0, 0
		outline := outlines[slices.Index(ShapeNames, class)]
		for x := -1.2; x < 1.2; x += 0.004 {
			for y := -1.2; y < 1.2; y += 0.004 {
				if n++; outline(vec{x, y}) < 0 {
					inside++
				}
			}
		}
		if got := 2.4 * 2.4 * float64(inside) / float64(n); math.Abs(got-want) > 0.01 {
			t.Errorf("the %s has the area %.4f, not %.4f", class, got, want)
		}
	}
}

func TestTheNoiseIsNearlyNormal(t *testing.T) {
	d := &dice{seed: 1}
	const n = 100000
	var sum, square, beyond float64
	for range n {
		v := d.bell()
		sum += v
		square += v * v
		if math.Abs(v) > 2 {
			beyond++
		}
	}
	if math.Abs(sum/n) > 0.015 || math.Abs(square/n-1) > 0.02 || math.Abs(beyond/n-0.0455) > 0.01 {
		t.Errorf("mean %.3f, variance %.3f, %.3f beyond two deviations", sum/n, square/n, beyond/n)
	}
}

func TestWhatCannotBeDrawnIsSaid(t *testing.T) {
	for _, text := range []string{"train", "train=0", "train=-1", "train=1e3", "test=1000001", "seed=x", "pictures=3", ",", "train=5 ,test=3"} {
		if s, err := ParseShapes(text); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
	for _, text := range []string{"", "seed=18446744073709551615", "test=0,train=1"} {
		s, err := ParseShapes(text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseShapes(s.String()); err != nil || again != s {
			t.Errorf("%v is written %q and read %v: %v", s, s, again, err)
		}
	}
}
