package direction

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	vec "gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"

	"lsrun/nn"
)

// pathOf is a path through these networks around the last one.
func pathOf(g *nn.Graph, networks []nn.Params) *Path {
	p := &Path{Graph: g, Theta: networks[len(networks)-1], Ignore: IgnoreBiasBN,
		Read: func(i int) (nn.Params, error) { return networks[i], nil }}
	for i := range networks {
		p.Names = append(p.Names, fmt.Sprint("network ", i))
	}
	return p
}

// descent is a curved and noisy way of n networks to checkpoint(g).
func descent(g *nn.Graph, n int) []nn.Params {
	networks := make([]nn.Params, n)
	for t := range networks {
		networks[t] = checkpoint(g)
		left := float64(n-1-t) / float64(n)
		for i := range networks[t] {
			for k := range networks[t][i].Data {
				at := float64(1 + i + 13*k)
				networks[t][i].Data[k] += float32(left*math.Sin(at) + left*left*math.Cos(3*at) + 0.05*math.Sin(float64(7*t)*at))
			}
		}
	}
	return networks
}

// matrix has the differences of the networks from the last one as rows, all values or those that count.
func matrix(p *Path, networks []nn.Params, all bool) *mat.Dense {
	var values []float64
	for _, w := range networks {
		for _, counted := range []bool{true, false} {
			for i, e := range p.Graph.Entries {
				if !moves(e.Role, p.States) || (p.Ignore == IgnoreNone || len(e.Shape) > 1) != counted || !counted && !all {
					continue
				}
				for k, v := range w[i].Data {
					values = append(values, float64(v)-float64(p.Theta[i].Data[k]))
				}
			}
		}
	}
	return mat.NewDense(len(networks), len(values)/len(networks), values)
}

// flat is a direction's values in the order of matrix's columns.
func flat(p *Path, d nn.Params) []float64 {
	one := *p
	one.Theta = still(p.Graph)
	for i, e := range p.Graph.Entries {
		one.Theta[i].Data = make([]float32, e.Shape.Size())
	}
	filled := clone(one.Theta)
	for i := range d {
		copy(filled[i].Data, d[i].Data)
	}
	return matrix(&one, []nn.Params{filled}, true).RawRowView(0)
}

func TestPrincipalComponentsAndProjectionsAreThoseOfTheWholeMatrix(t *testing.T) {
	g := network()
	for _, n := range []int{3, 4, 8, 9, 17, 40} {
		for _, states := range []bool{false, true} {
			for _, ignore := range Ignores {
				networks := descent(g, n)
				p := pathOf(g, networks)
				p.States, p.Ignore = states, ignore
				got, err := p.PrincipalComponents()
				if err != nil {
					t.Fatal(err)
				}
				var want stat.PC
				counted := matrix(p, networks, false)
				if !want.PrincipalComponents(counted, nil) {
					t.Fatal("gonum finds no components")
				}
				vars := want.VarsTo(nil)
				var vectors mat.Dense
				want.VectorsTo(&vectors)
				all := matrix(p, networks, true)
				place, err := p.Project(got.X, got.Y)
				if err != nil {
					t.Fatal(err)
				}
				for k, d := range []nn.Params{got.X, got.Y} {
					for what, pair := range map[string][2]float64{
						"variance": {got.Variance[k], vars[k]},
						"ratio":    {got.Ratio[k], vars[k] / vec.Sum(vars)},
						"singular": {got.Singular[k], math.Sqrt(vars[k] * float64(n-1))},
					} {
						if math.Abs(pair[0]-pair[1]) > 1e-6*pair[1] {
							t.Errorf("%d networks: %s of component %d is %v, want %v", n, what, k, pair[0], pair[1])
						}
					}
					if err := (nn.Plane{Theta: p.Theta, X: d}).Check(g); err != nil {
						t.Error(err)
					}
					v := flat(p, d)
					column := make([]float64, len(v)) // zero where it does not count
					mat.Col(column[:p.Counted()], k, &vectors)
					if vec.Dot(v, column) < 0 {
						vec.Scale(-1, column)
					}
					if gap := vec.Distance(v, column, 2); gap > 1e-6 {
						t.Errorf("%d networks, states %v, ignore %s: component %d is off by %v", n, states, ignore, k, gap)
					}
					coordinates := mat.NewVecDense(n, nil)
					coordinates.MulVec(all, mat.NewVecDense(len(v), v))
					if gap := vec.Distance(coordinates.RawVector().Data, [][]float64{place.X, place.Y}[k], math.Inf(1)); gap > 1e-5 {
						t.Errorf("%d networks: coordinates are off by %v", n, gap)
					}
					most := 0.0 // the sign that scikit-learn gives
					mean := stat.Mean(coordinates.RawVector().Data, nil)
					for _, c := range coordinates.RawVector().Data {
						if math.Abs(c-mean) > math.Abs(most) {
							most = c - mean
						}
					}
					if most < 0 {
						t.Errorf("%d networks: component %d has the other sign", n, k)
					}
				}
				for i := range n {
					rest := all.RawRowView(i)
					vec.AddScaled(rest, -place.X[i], flat(p, got.X))
					vec.AddScaled(rest, -place.Y[i], flat(p, got.Y))
					if want := vec.Norm(rest, 2); math.Abs(place.Distance[i]-want) > 1e-6 {
						t.Errorf("network %d of %d is %v off the plane, want %v", i, n, place.Distance[i], want)
					}
				}
				if want := got.Ratio[0] + got.Ratio[1]; math.Abs(place.Held-want) > 1e-6 {
					t.Errorf("%d networks: the plane holds %v, its components %v", n, place.Held, want)
				}
			}
		}
	}
}

// Networks of a plane are found in it whatever its directions, and others at the foot of their perpendicular.
func TestProjectionsAreByLeastSquares(t *testing.T) {
	g := network()
	theta := checkpoint(g)
	rapid.Check(t, func(t *rapid.T) {
		x := Random(g, false, Key{Seed: rapid.Uint64().Draw(t, "seed"), Axis: "x"})
		y := Random(g, false, Key{Axis: "y"})
		lean, length := rapid.Float64Range(-2, 2).Draw(t, "lean"), rapid.Float64Range(0.1, 10).Draw(t, "length")
		for i := range y {
			for k := range y[i].Data {
				y[i].Data[k] = float32(length * (float64(y[i].Data[k]) + lean*float64(x[i].Data[k])))
			}
		}
		at := nn.Point{Alpha: rapid.Float64Range(-1, 1).Draw(t, "α"), Beta: rapid.Float64Range(-1, 1).Draw(t, "β")}
		inside := clone(theta)
		for i := range inside {
			(nn.Plane{Theta: theta, X: x, Y: y}).Entry(inside[i].Data, i, at)
		}
		p := pathOf(g, []nn.Params{inside, theta})
		p.Ignore = IgnoredBy(x, y)
		if p.Ignore != IgnoreNone {
			t.Fatalf("the directions move biases, but ignore is %s", p.Ignore)
		}
		got, err := p.Project(x, y)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.X[0]-at.Alpha) > 1e-5*(1+length) || math.Abs(got.Y[0]-at.Beta) > 1e-4 || got.Distance[0] > 1e-4 {
			t.Fatalf("%v is found at (%v, %v), %v off the plane", at, got.X[0], got.Y[0], got.Distance[0])
		}
		if got.X[1] != 0 || got.Y[1] != 0 || got.Distance[1] != 0 {
			t.Fatalf("the origin is found at (%v, %v), %v off the plane", got.X[1], got.Y[1], got.Distance[1])
		}
		if moved := math.Abs(at.Alpha) + math.Abs(at.Beta); moved > 0.1 && math.Abs(got.Held-1) > 1e-6 {
			t.Fatalf("a plane with the whole path holds %v of it", got.Held)
		}
	})
}

// The distance counts what the components ignore, their share of the variance does not.
func TestDistancesCountWhatIsIgnored(t *testing.T) {
	g := network()
	networks := descent(g, 5)
	p := pathOf(g, networks)
	c, err := p.PrincipalComponents()
	if err != nil {
		t.Fatal(err)
	}
	before, err := p.Project(c.X, c.Y)
	if err != nil {
		t.Fatal(err)
	}
	networks[1][2].Data[0] += 100 // bn.bias
	after, err := p.Project(c.X, c.Y)
	if err != nil {
		t.Fatal(err)
	}
	if after.Distance[1] < 90 || after.Held != before.Held || after.X[1] != before.X[1] {
		t.Errorf("%v became %v", before, after)
	}
	again, err := p.PrincipalComponents()
	if err != nil || !slices.Equal(again.Ratio, c.Ratio) {
		t.Errorf("%v, %v", again, err)
	}
	if c.X[2].Data != nil || c.X[0].Data == nil || IgnoredBy(c.X, c.Y) != IgnoreBiasBN {
		t.Error("a component moves the wrong entries")
	}
}

func TestAPathOf300NetworksTakesTheMemoryOfAFew(t *testing.T) {
	const values, n = 30_000, 300
	g := graph("wide", []nn.Entry{{Name: "fc.weight", Shape: nn.Shape{100, values / 100}}})
	noise := Random(g, false, Key{})[0].Data
	draw := func(i int) nn.Params {
		p := still(g)
		p[0].Data = make([]float32, values)
		a, b := float32(i)/n, float32(i*i)/n/n
		for k := range p[0].Data {
			p[0].Data[k] = a*noise[k&1023] + b*noise[k&511+2000] + noise[(k+67*i)&8191]/10
		}
		return p
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	reads, most := 0, uint64(0)
	p := &Path{Graph: g, Theta: draw(n - 1), Ignore: IgnoreBiasBN, Names: make([]string, n), Read: func(i int) (nn.Params, error) {
		if reads++; reads%59 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc-before.HeapAlloc)
		}
		return draw(i), nil
	}}
	c, err := p.PrincipalComponents()
	if err != nil {
		t.Fatal(err)
	}
	if reads != p.Reads() {
		t.Errorf("%d reads, not %d", reads, p.Reads())
	}
	if _, err := p.Project(c.X, c.Y); err != nil {
		t.Fatal(err)
	}
	networks := float64(most) / (4 * values)
	t.Logf("%d reads, memory of %.1f networks", reads, networks)
	if matrices := 4 * 8 * n * n / (4 * values); networks > held+4+float64(matrices) {
		t.Errorf("it took the memory of %.1f networks", networks)
	}
	if c.Ratio[0]+c.Ratio[1] < 0.9 { // the two ramps are nearly all
		t.Errorf("explained: %v", c.Ratio)
	}
}

func TestPathsThatHaveNoPlaneAreRefused(t *testing.T) {
	g := network()
	networks := descent(g, 4)
	components := func(networks []nn.Params, change func(p *Path)) error {
		p := pathOf(g, networks)
		change(p)
		_, err := p.PrincipalComponents()
		return err
	}
	none := func(*Path) {}
	mustFail(t, components(networks[:2], none), "2 networks", "at least 3")
	mustFail(t, components([]nn.Params{networks[0], networks[0], networks[1]}, none), "line", "second principal component")
	mustFail(t, components([]nn.Params{networks[0], networks[0], networks[0]}, none), "all the same")
	mustFail(t, components([]nn.Params{networks[0], networks[1][1:], networks[2]}, none), "network 1", "7 entries")
	mustFail(t, components(networks, func(p *Path) { p.Read = func(int) (nn.Params, error) { return nil, errors.New("no disk") } }), "no disk")
	far := clone(networks[1])
	far[6].Data[3] = float32(math.Inf(1))
	mustFail(t, components([]nn.Params{networks[0], far, networks[2]}, none), "network 1", "fc.weight", "value 3 of 80", "leave it out")
	biases := graph("biases", []nn.Entry{{Name: "bias", Shape: nn.Shape{3}}})
	p := pathOf(biases, []nn.Params{checkpoint(biases), checkpoint(biases), checkpoint(biases)})
	_, err := p.PrincipalComponents()
	mustFail(t, err, "biases has nothing but biases", "do not ignore")

	p = pathOf(g, networks)
	x := Random(g, false, Key{Axis: "x"})
	for _, y := range []nn.Params{x, still(g)} {
		_, err := p.Project(x, y)
		mustFail(t, err, "parallel", "no plane")
	}
	one, err := pathOf(g, networks[:1]).Project(x, Random(g, false, Key{Axis: "y"}))
	if err != nil || !math.IsNaN(one.Held) {
		t.Errorf("one network has a variance: %v, %v", one, err)
	}
}

func TestWalkShareIsThatOfTheWalksMatrix(t *testing.T) {
	for _, n := range []int{2, 3, 4, 9, 50, 300} {
		gram := mat.NewSymDense(n, nil) // xᵢ·xⱼ after i and j orthogonal steps
		for i := range n {
			for j := i; j < n; j++ {
				gram.SetSym(i, j, float64(i))
			}
		}
		centre(gram)
		var eigen mat.EigenSym
		if !eigen.Factorize(gram, false) {
			t.Fatal("no eigenvalues")
		}
		values := eigen.Values(nil)
		if got, want := WalkShare(n), (values[n-1]+values[n-2])/vec.Sum(values); math.Abs(got-want) > 1e-12 {
			t.Errorf("%d points: %v, want %v", n, got, want)
		}
	}
	if long := 7.5 / (math.Pi * math.Pi); math.Abs(WalkShare(1_000_000)-long) > 1e-9 { // (1 + 1/4)/ζ(2)
		t.Errorf("a long walk: %v, want %v", WalkShare(1_000_000), long)
	}
}

// A walk through many dimensions has the components that are expected, whatever it is a walk of.
func TestARandomWalkHoldsTheShareOfAWalk(t *testing.T) {
	const n = 60
	g := graph("wide", []nn.Entry{{Name: "fc.weight", Shape: nn.Shape{100, 200}}})
	at := checkpoint(g)
	var networks []nn.Params
	for i := range n {
		networks = append(networks, clone(at))
		for k, v := range Random(g, false, Key{Index: i, Axis: "x"})[0].Data {
			at[0].Data[k] += v
		}
	}
	c, err := pathOf(g, networks).PrincipalComponents()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Ratio[0]+c.Ratio[1], WalkShare(n); math.Abs(got-want) > 0.02 {
		t.Errorf("a walk of %d steps holds %v, want %v", n, got, want)
	}
}
