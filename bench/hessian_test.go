package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lsrun/nn"
	"lsrun/nn/zoo"
)

// The ends at the reference's θ are those of resnet20_hessian.h5, by PyTorch.
func TestBothEndsOfTheReferencesHessianAreFound(t *testing.T) {
	t.Chdir("..")
	c, err := newCurved(trained, paperBatch)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(c.folder)
	own, err := newOwnHessian(c, c.images, 2)
	if err != nil {
		t.Fatal(err)
	}
	f := &finder{name: "lsrun", tolerance: 1e-2, find: own.to(1e-2)}
	if err := f.measure(t.Context(), nn.Point{}, 1, ends{Largest: 168.08245195, Smallest: -2.99188287}); err != nil {
		t.Error(err)
	}
	if e := f.found[0]; e.Products < 10 || !(0 < e.InProducts && e.InProducts < e.Seconds) || !(e.Processor > 0) {
		t.Errorf("it is said to have cost %+v", e)
	}
	if took, err := own.forward(t.Context(), 1); took <= 0 || err != nil {
		t.Errorf("a forward pass: %v, %v", took, err)
	}
}

func TestABrokenPromiseIsAnError(t *testing.T) {
	truth := ends{Largest: 10, Smallest: -100}
	for _, c := range []struct {
		found     ends
		tolerance float64
		kept      bool
	}{
		{ends{Largest: 10.9, Smallest: -100}, 1e-2, true},
		{ends{Largest: 11.1, Smallest: -100}, 1e-2, false},
		{ends{Largest: 10, Smallest: -98.9}, 1e-2, false},
		{ends{Largest: math.NaN(), Smallest: -100}, 1e-2, false},
		{ends{Largest: 0, Smallest: 0}, 0, true},
	} {
		f := &finder{name: "one", tolerance: c.tolerance, find: func(context.Context, nn.Point, uint64) (ends, error) { return c.found, nil }}
		if err := f.measure(t.Context(), nn.Point{}, 0, truth); (err == nil) != c.kept {
			t.Errorf("%+v to %g: %v", c.found, c.tolerance, err)
		}
	}
}

func TestEveryFinderIsWarmBeforeItIsMeasured(t *testing.T) {
	var calls []string
	f := &finder{
		forward: func(_ context.Context, passes int) (time.Duration, error) {
			calls = append(calls, fmt.Sprint(passes))
			return 6 * time.Second, nil
		},
		find: func(context.Context, nn.Point, uint64) (ends, error) {
			calls = append(calls, "find")
			return ends{Largest: 1}, nil
		},
	}
	c := &curved{grid: []nn.Point{{Alpha: 1}, {}}, known: []ends{{}, {Largest: 1}}}
	if _, err := race(t.Context(), c, nil, []*finder{f}, 2); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(calls, " "); got != "1 3 find 1 3 find" || f.forwards[1] != 2 || f.errors[0] != [2]float64{} {
		t.Errorf("%s, %v s a pass, errors %v", got, f.forwards, f.errors)
	}
}

// The child wants the product with a vector of zeros.
func TestAChildIsGivenTheProductsThatItWants(t *testing.T) {
	t.Chdir("..")
	c, err := newCurved("lenet5", 4)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(c.folder)
	own, err := newOwnHessian(c, c.images, 1)
	if err != nil {
		t.Fatal(err)
	}
	bytes := 8 * own.operator.Dim()
	script := fmt.Sprintf(`cd %s; read line; head -c %d /dev/zero >vector.f64; echo '{"wants": true}'
		read line; echo '{"largest": 3, "products": '$(wc -c <product.f64)'}'`, c.folder, bytes)
	child, err := start(t.Context(), nil, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	defer child.close()
	if e, err := own.forEigsh(child, c.folder)(t.Context(), nn.Point{}, 0); err != nil || e.Largest != 3 || e.Products != bytes {
		t.Errorf("%+v, %v", e, err)
	}
	product, err := readRaw[float64](filepath.Join(c.folder, "product.f64"))
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range product {
		if x != 0 {
			t.Fatalf("the product with zeros has %g at %d", x, i)
		}
	}
}

func TestADirectionIsCutIntoTheParametersTensors(t *testing.T) {
	g, err := zoo.New("lenet5", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, g.Parameters())
	for i := range values {
		values[i] = float32(i + 1)
	}
	d, err := toDirection(g, values)
	if err != nil {
		t.Fatal(err)
	}
	next := float32(1)
	for i, tensor := range d {
		for _, x := range tensor.Data {
			if x != next {
				t.Fatalf("%s has %g where %g should be", g.Entries[i].Name, x, next)
			}
			next++
		}
	}
	for _, wrong := range [][]float32{values[1:], append(values, 1), nil} {
		if _, err := toDirection(g, wrong); err == nil {
			t.Errorf("%d values are taken for a direction over %d parameters", len(wrong), len(values))
		}
	}
}

func TestTheReportOfHessiansComparesTimesAndProducts(t *testing.T) {
	made := func(name string, seconds float64, products ...int) *finder {
		f := &finder{name: name, forwards: []float64{0.25}}
		for _, n := range products {
			f.found = append(f.found, ends{Products: n, InProducts: float64(n), Seconds: seconds, Processor: 2 * seconds})
			f.errors = append(f.errors, [2]float64{float64(n) / 1000, 0.5})
		}
		return f
	}
	text := hessianMarkdown([]string{"a machine"}, []hessianResult{
		{network: "net", threads: 2, images: 128, pauses: []float64{0.02},
			finders: []*finder{made("own", 10, 20), made("finer", 20, 30), made("paper", 300, 40, 44)},
			counts:  []*finder{made("own", 1, 15, 25), made("paper", 1, 60, 40)}},
		{network: "other", threads: 2, images: 128, pauses: []float64{0}, finders: []*finder{made("own", 1, 1), made("finer", 1, 1)}, counts: []*finder{made("own", 1)}},
	})
	for _, line := range []string{
		"- a machine\n",
		"| net | 128 | 2 | paper | 300 | 30.00 | 15.00 | 600 | 42.0 | 1 | 4.0 | 0.04 | 0.5 | 2 % |\n",
		"of net over the grid of 2 points",
		"| own | 20.0 | 15 | 25 | 40 % | 0.03 | 0.5 |\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
	if strings.Contains(text, "of other over the grid") {
		t.Errorf("products over no grid are counted:\n%s", text)
	}
}
