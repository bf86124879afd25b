package direction

import (
	"math"
	"slices"
	"testing"

	"lsrun/nn"

	"pgregory.net/rapid"
)

// distorted is d with every one of n parts of each tensor stretched by another factor.
func distorted(g *nn.Graph, d nn.Params, filters bool) nn.Params {
	d = clone(d)
	for i, e := range g.Entries {
		n := 1
		if filters && len(e.Shape) > 1 {
			n = e.Shape[0]
		}
		for k := range d[i].Data {
			d[i].Data[k] *= float32(math.Exp(3 * math.Sin(float64(i+k*n/len(d[i].Data)))))
		}
	}
	return d
}

func mustNormalize(t rapid.TB, g *nn.Graph, d, theta nn.Params, norm Norm, ignore Ignore) Report {
	t.Helper()
	report, err := Normalize(g, d, theta, norm, ignore)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// The paper's files hold normalised directions, so normalising a stretched copy must give
// them back.
func TestFilterNormGivesThePapersDirections(t *testing.T) {
	g, theta, groups := reference(t, "resnet20/model_8.t7", "resnet20_filter.h5")
	for name, file := range groups {
		want := fits(t, g, file, false)
		got := distorted(g, want, true)
		report := mustNormalize(t, g, got, theta, NormFilter, IgnoreBiasBN)
		near(t, got, want, 1e-6)
		if report != (Report{Filters: 794}) { // 16·7 + 32·7 + 64·7 + 10 outputs
			t.Errorf("%s: %+v", name, report)
		}
	}
}

func TestLayerNormGivesThePapersDirection(t *testing.T) {
	g, theta, groups := reference(t, "resnet20_noshort/model_4.t7", "resnet20_noshort_layer.h5")
	want := fits(t, g, groups["xdirection"], false)
	got := distorted(g, want, false)
	mustNormalize(t, g, got, theta, NormLayer, IgnoreBiasBN)
	near(t, got, want, 1e-6)
}

// Under the weight norm the file holds z·θ with Gaussian z, and copies of θ in the
// entries of one dimension.
func TestWeightNormGivesThePapersDirection(t *testing.T) {
	g, theta, groups := reference(t, "resnet20_noshort/model_4.t7", "resnet20_noshort_layer.h5")
	want := fits(t, g, groups["ydirection"], false)
	got := clone(want)
	squares, n := 0.0, 0
	for i, e := range g.Entries {
		for k := range got[i].Data {
			z := float64(want[i].Data[k]) / float64(theta[i].Data[k])
			got[i].Data[k] = float32(z)
			if len(e.Shape) > 1 {
				squares += z * z
				n++
			}
		}
	}
	if variance := squares / float64(n); math.Abs(variance-1) > 4*math.Sqrt(2/float64(n)) {
		t.Errorf("the variance of the file's direction over θ is %v", variance)
	}
	mustNormalize(t, g, got, theta, NormWeight, IgnoreNone)
	near(t, got, want, 3e-7)
}

// The definitions of all norms, on networks of any shape with zero filters among others.
func TestNormalizedDirectionsSatisfyTheirDefinitions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := nn.Shape(rapid.SliceOfN(rapid.IntRange(0, 4), 2, 4).Draw(t, "shape"))
		g := graph("drawn", []nn.Entry{{Name: "weight", Shape: shape}, {Name: "bias", Shape: shape[:1]}})
		value := rapid.OneOf(rapid.Just[float32](0), rapid.Float32Range(-1, 1), rapid.Float32Range(-1e18, 1e18))
		theta, before := still(g), still(g)
		for i, e := range g.Entries {
			theta[i].Data = rapid.SliceOfN(value, e.Shape.Size(), e.Shape.Size()).Draw(t, "θ")
			before[i].Data = rapid.SliceOfN(value, e.Shape.Size(), e.Shape.Size()).Draw(t, "δ")
			for k := range theta[i].Data { // keep clear of the subnormal numbers
				flush(&theta[i].Data[k])
				flush(&before[i].Data[k])
			}
		}
		if shape[0] > 0 && rapid.Bool().Draw(t, "zero filter") {
			clear(part(theta[0].Data, 0, shape[0]))
		}
		norm, ignore := rapid.SampledFrom(Norms).Draw(t, "norm"), rapid.SampledFrom(Ignores).Draw(t, "ignore")
		after := clone(before)
		report := mustNormalize(t, g, after, theta, norm, ignore)

		if ignore == IgnoreBiasBN && after[1].Data != nil || ignore == IgnoreNone && !slices.Equal(after[1].Data, theta[1].Data) {
			t.Fatalf("%s makes %v of the bias", ignore, after[1].Data)
		}
		blocks := map[Norm]int{NormFilter: shape[0], NormDFilter: shape[0]}[norm]
		if blocks == 0 {
			blocks = 1
		}
		for p := range blocks {
			d, was, w := part(after[0].Data, p, blocks), part(before[0].Data, p, blocks), part(theta[0].Data, p, blocks)
			target := map[Norm]float64{NormFilter: euclid(w), NormLayer: euclid(w), NormDFilter: 1, NormDLayer: 1}
			if want, ok := target[norm]; ok {
				if euclid(was) == 0 {
					want = 0
				}
				if got := euclid(d); math.Abs(got-want) > 1e-6*want {
					t.Fatalf("part %d has norm %v, want %v", p, got, want)
				}
			}
			for k := range d {
				want := float64(was[k])
				switch {
				case norm == NormWeight:
					want *= float64(w[k])
				case norm != NormNone && euclid(was) > 0:
					want *= target[norm] / euclid(was)
				}
				if math.Abs(float64(d[k])-want) > 1e-6*math.Abs(want)+1e-44 {
					t.Fatalf("value %d of part %d is %v, want %v", k, p, d[k], want)
				}
			}
		}
		zero := 0
		for f := range shape[0] {
			if euclid(part(after[0].Data, f, shape[0])) == 0 {
				zero++
			}
		}
		if report != (Report{Filters: shape[0], ZeroFilters: zero}) {
			t.Fatalf("%d of %d filters are zero, but it reports %+v", zero, shape[0], report)
		}
	})
}

func flush(v *float32) {
	if math.Abs(float64(*v)) < 1e-15 {
		*v = 0
	}
}

// euclid is the norm, by another road than the package's: scaled, term by term.
func euclid(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum = math.Hypot(sum, float64(x))
	}
	return sum
}

func TestFiltersOfZeroNormAreCountedAndStayWhereTheyAre(t *testing.T) {
	g := graph("rows", []nn.Entry{{Name: "fc.weight", Shape: nn.Shape{3, 2}}})
	theta := nn.Params{{Name: "fc.weight", Shape: nn.Shape{3, 2}, Data: []float32{3, 4, 0, 0, 6, 8}}}
	for norm, want := range map[Norm][]float32{
		NormFilter:  {0, 5, 0, 0, 10, 0},
		NormDFilter: {0, 1, 0.6, 0.8, 1, 0},
		NormWeight:  {0, 8, 0, 0, 12, 0},
		NormNone:    {0, 2, 3, 4, 2, 0},
	} {
		d := nn.Params{{Name: "fc.weight", Shape: nn.Shape{3, 2}, Data: []float32{0, 2, 3, 4, 2, 0}}}
		report := mustNormalize(t, g, d, theta, norm, IgnoreBiasBN)
		near(t, d, nn.Params{{Data: want}}, 1e-7)
		if zero := map[Norm]int{NormFilter: 1, NormWeight: 1}[norm]; report != (Report{Filters: 3, ZeroFilters: zero}) {
			t.Errorf("%s: %+v", norm, report)
		}
	}
}

// The paper's 1e-10 beside ‖d‖ would leave these norms 1 % short.
func TestTinyDirectionsAreNormalisedExactly(t *testing.T) {
	g := network()
	theta := checkpoint(g)
	d := Random(g, false, Key{Axis: "x"})
	for i := range d {
		for k := range d[i].Data {
			d[i].Data[k] *= 1e-9
		}
	}
	mustNormalize(t, g, d, theta, NormFilter, IgnoreBiasBN)
	for f := range 4 {
		if got, want := euclid(part(d[0].Data, f, 4)), euclid(part(theta[0].Data, f, 4)); math.Abs(got/want-1) > 1e-6 {
			t.Errorf("filter %d has norm %v, want %v", f, got, want)
		}
	}
}

func TestIgnoreNoneCopiesRunningStatisticsOfStatesOnly(t *testing.T) {
	g := network()
	theta := checkpoint(g)
	for _, states := range []bool{false, true} {
		d := Random(g, states, Key{Axis: "x"})
		mustNormalize(t, g, d, theta, NormFilter, IgnoreNone)
		for i, e := range g.Entries {
			switch {
			case len(e.Shape) > 1:
			case e.Role == nn.Learnable || states && e.Role != nn.BatchCounter:
				if !slices.Equal(d[i].Data, theta[i].Data) || &d[i].Data[0] == &theta[i].Data[0] {
					t.Errorf("%s is not a copy of θ: %v", e.Name, d[i].Data)
				}
			case d[i].Data != nil:
				t.Errorf("states %v: %s is moved", states, e.Name)
			}
		}
	}
}

func TestNormalizeRefusesWhatIsNotFinite(t *testing.T) {
	g := network()
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		theta, d := checkpoint(g), Random(g, false, Key{})
		d[6].Data[17] = bad
		_, err := Normalize(g, d, theta, NormFilter, IgnoreBiasBN)
		mustFail(t, err, "fc.weight", "value 17 of 80")

		theta, d = checkpoint(g), Random(g, false, Key{})
		theta[0].Data[3] = bad
		_, err = Normalize(g, d, theta, NormDLayer, IgnoreBiasBN)
		mustFail(t, err, "the network's entry conv.weight", "value 3 of 108")

		theta, d = checkpoint(g), Random(g, false, Key{})
		theta[1].Data[0] = bad
		_, err = Normalize(g, d, theta, NormFilter, IgnoreNone)
		mustFail(t, err, "the network's entry bn.weight")
	}
	theta, d := checkpoint(g), Random(g, false, Key{})
	theta[0].Data[0], d[0].Data[0] = 1e30, 1e30
	_, err := Normalize(g, d, theta, NormWeight, IgnoreBiasBN)
	mustFail(t, err, "conv.weight", "too large", "weight")
}

func TestNormalizeRefusesOtherNetworks(t *testing.T) {
	g := network()
	_, err := Normalize(g, Random(g, false, Key{}), checkpoint(g)[1:], NormFilter, IgnoreBiasBN)
	mustFail(t, err, "7 entries", "small has 8")
	d := Random(g, false, Key{})
	d[6].Data = d[6].Data[1:]
	_, err = Normalize(g, d, checkpoint(g), NormFilter, IgnoreBiasBN)
	mustFail(t, err, "fc.weight", "79 values", "5×16")
}

func TestNamesAreParsedOrListed(t *testing.T) {
	for _, n := range []string{"filter", "layer", "weight", "dfilter", "dlayer", "none"} {
		if got, err := ParseNorm(n); err != nil || string(got) != n {
			t.Errorf("ParseNorm(%q) = %q, %v", n, got, err)
		}
	}
	for _, n := range []string{"biasbn", "none"} {
		if got, err := ParseIgnore(n); err != nil || string(got) != n {
			t.Errorf("ParseIgnore(%q) = %q, %v", n, got, err)
		}
	}
	_, err := ParseNorm("Filter")
	mustFail(t, err, `"Filter"`, "filter layer weight dfilter dlayer none")
	_, err = ParseIgnore("")
	mustFail(t, err, `""`, "biasbn none")
}
