package direction

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"lsrun/nn"
)

// draw is the entry called name of the random direction of key, n values long.
func draw(key Key, name string, n int) []float32 {
	return Random(graph("one", []nn.Entry{{Name: name, Shape: nn.Shape{n}}}), true, key)[0].Data
}

func TestRandomDrawsTheDocumentedValues(t *testing.T) {
	first := []float32{1.1584277153015137, 0.47971343994140625, 1.4205106496810913, 0.5107907652854919, 1.0441925525665283, 1.681758999824524, -1.482715129852295}
	if got := draw(Key{Seed: 7, Axis: "x"}, "conv1.weight", 7); !slices.Equal(got, first) {
		t.Errorf("seed 7 begins with %v, not %v: the generator must never change", got, first)
	}
	for _, c := range []struct {
		key  Key
		name string
	}{
		{Key{Seed: 0, Index: 0, Axis: "x"}, "conv1.weight"},
		{Key{Seed: math.MaxUint64, Index: 3, Axis: "y"}, "layer3.2.conv2.weight"},
		{Key{Seed: 1, Index: -1, Axis: "x"}, "größe"},
	} {
		const n = 20001
		want := floats(python(t, "testdata/normals.py", strconv.FormatUint(c.key.Seed, 10), strconv.Itoa(c.key.Index), c.key.Axis, c.name, strconv.Itoa(n)))
		if got := draw(c.key, c.name, n); !slices.Equal(got, want) {
			t.Errorf("%v %s differs from the Python version of the definition", c.key, c.name)
		}
	}
}

func TestRandomValuesAreNormal(t *testing.T) {
	const n = 200000
	v := draw(Key{Seed: 1, Axis: "x"}, "w", n)
	for power, want := range []float64{1, 0, 1, 0, 3, 0, 15} { // E zᵖ
		sum, squares := 0.0, 0.0
		for _, z := range v {
			p := math.Pow(float64(z), float64(power))
			sum += p
			squares += p * p
		}
		mean := sum / n
		if e := math.Sqrt(squares/n-mean*mean) / math.Sqrt(n); math.Abs(mean-want) > 4*e {
			t.Errorf("moment %d is %v ± %v, want %v", power, mean, e, want)
		}
	}
	// Kolmogorov–Smirnov: the largest distance of the empirical distribution function.
	slices.Sort(v)
	distance := 0.0
	for i, z := range v {
		p := math.Erfc(-float64(z)/math.Sqrt2) / 2
		distance = max(distance, p-float64(i)/n, float64(i+1)/n-p)
	}
	if limit := 1.63 / math.Sqrt(n); distance > limit { // 1 % level
		t.Errorf("Kolmogorov–Smirnov distance %v > %v", distance, limit)
	}
}

func TestEveryPartOfTheKeyGivesAnIndependentDirection(t *testing.T) {
	const n = 100000
	base := draw(Key{Seed: 1, Index: 2, Axis: "x"}, "conv1.weight", n)
	for what, other := range map[string][]float32{
		"another seed":            draw(Key{Seed: 2, Index: 2, Axis: "x"}, "conv1.weight", n),
		"another idx":             draw(Key{Seed: 1, Index: 3, Axis: "x"}, "conv1.weight", n),
		"seed and idx exchanged":  draw(Key{Seed: 2, Index: 1, Axis: "x"}, "conv1.weight", n),
		"another axis":            draw(Key{Seed: 1, Index: 2, Axis: "y"}, "conv1.weight", n),
		"another entry":           draw(Key{Seed: 1, Index: 2, Axis: "x"}, "conv2.weight", n),
		"itself, one value later": append(base[1:n:n], 0),
		"itself, two later":       append(base[2:n:n], 0, 0),
	} {
		cosine := Cosine(nn.Params{{Data: base}}, nn.Params{{Data: other}})
		if math.Abs(cosine) > 4/math.Sqrt(n) {
			t.Errorf("%s: correlation %v", what, cosine)
		}
	}
}

func TestRandomDependsOnKeyAndNameAlone(t *testing.T) {
	key := Key{Seed: 5, Index: 1, Axis: "y"}
	g := network()
	d := Random(g, true, key)
	for i, e := range g.Entries {
		if e.Role == nn.BatchCounter {
			continue
		}
		if want := draw(key, e.Name, 1000)[:e.Shape.Size()]; !slices.Equal(d[i].Data, want) {
			t.Errorf("%s depends on its place or its size", e.Name)
		}
	}
}

func TestRandomMovesParametersOrStates(t *testing.T) {
	g := network()
	for _, states := range []bool{false, true} {
		d := Random(g, states, Key{Axis: "x"})
		if err := (nn.Plane{Theta: checkpoint(g), X: d}).Check(g); err != nil {
			t.Error(err)
		}
		for i, e := range g.Entries {
			want := e.Role == nn.Learnable || states && e.Role != nn.BatchCounter
			if got := d[i].Data != nil; got != want || d[i].Name != e.Name || !d[i].Shape.Equal(e.Shape) {
				t.Errorf("states %v: %s is moved: %v, as %s %v", states, e.Name, got, d[i].Name, d[i].Shape)
			}
		}
	}
}

func TestRandomFillsScalarsAndEmptyEntries(t *testing.T) {
	d := Random(graph("odd", []nn.Entry{{Name: "scale"}, {Name: "empty", Shape: nn.Shape{0, 3}}}), false, Key{})
	if len(d[0].Data) != 1 || d[0].Data[0] == 0 {
		t.Errorf("the scalar is %v", d[0].Data)
	}
	if d[1].Data == nil || len(d[1].Data) != 0 {
		t.Errorf("the empty entry is %v", d[1].Data)
	}
}

func TestLogarithmIsExactToAFewUnits(t *testing.T) {
	s := newStream(Key{}, "logarithm")
	for range 100000 {
		u := s.uniform()
		// Magnitudes down to the smallest q of the polar method, and both sides of 1.
		for _, q := range []float64{math.Exp2(-104 * math.Abs(u)), 1 + u*0x1p-20, 1 + u/3} {
			if got, want := logarithm(q), math.Log(q); math.Abs(got-want) > 8e-16*math.Abs(want) {
				t.Fatalf("ln %v = %v, want %v", q, got, want)
			}
		}
	}
}
