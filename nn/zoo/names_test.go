package zoo_test

import (
	"slices"
	"strings"
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

func TestEveryListedNameBuildsWithAnyNumberOfClasses(t *testing.T) {
	names := zoo.Names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			t.Errorf("%s is listed twice", name)
		}
		if g := build(t, name, zoo.Options{Classes: 100}); g.Classes != 100 || g.Name != name {
			t.Errorf("%s: built %s of %d classes", name, g.Name, g.Classes)
		}
	}
	for name := range reference(t) {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not listed", name)
		}
	}
}

func TestMACsAreThoseCountedByHand(t *testing.T) {
	for name, want := range map[string]int64{
		// First convolution; stage 1: six convolutions; stages 2 and 3: one of half the
		// input channels and five more, and a 1×1 shortcut; the classifier.
		"resnet20": 1024*16*27 + 6*1024*16*144 +
			256*32*144 + 5*256*32*288 + 256*32*16 +
			64*64*288 + 5*64*64*576 + 64*64*32 + 640,
		"resnet20_a": 40551040, // the same without shortcuts: 40.55 M, as papers print it
		"lenet5":     784*6*25 + 100*16*150 + 400*120 + 120*84 + 84*10,
		"alexnet": 55*55*64*363 + 27*27*192*1600 + 169*384*1728 + 169*256*3456 + 169*256*2304 +
			9216*4096 + 4096*4096 + 4096*10,
		"mlp_300_100": 784*300 + 300*100 + 100*10,
	} {
		if got := build(t, name, zoo.Options{}).MACs(); got != want {
			t.Errorf("%s: %d multiply-adds, not %d", name, got, want)
		}
	}
}

func TestAnUnknownNameIsAnsweredWithTheNearest(t *testing.T) {
	for name, near := range map[string]string{
		"resnet21":          "resnet20",
		"ResNet-56":         "resnet56",
		"resnet56_noshorts": "resnet56_noshort",
		"alexnett":          "alexnet",
		"":                  "vgg9",
	} {
		_, err := zoo.New(name, zoo.Options{})
		if err == nil || !strings.Contains(err.Error(), near) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%q: error %v does not suggest %s", name, err, near)
		}
	}
}

func TestPerceptronsHaveTheWidthsOfTheirNames(t *testing.T) {
	g := build(t, "mlp_20_5_7", zoo.Options{Input: nn.Shape{12}, Classes: 3})
	want := []formula.Entry{
		{Name: "fc1.weight", Shape: nn.Shape{20, 12}}, {Name: "fc1.bias", Shape: nn.Shape{20}},
		{Name: "fc2.weight", Shape: nn.Shape{5, 20}}, {Name: "fc2.bias", Shape: nn.Shape{5}},
		{Name: "fc3.weight", Shape: nn.Shape{7, 5}}, {Name: "fc3.bias", Shape: nn.Shape{7}},
		{Name: "fc4.weight", Shape: nn.Shape{3, 7}}, {Name: "fc4.bias", Shape: nn.Shape{3}},
	}
	for i, e := range g.Entries {
		if e.Name != want[i].Name || !e.Shape.Equal(want[i].Shape) {
			t.Errorf("entry %d is %s %v, not %s %v", i, e.Name, e.Shape, want[i].Name, want[i].Shape)
		}
	}
	if g := build(t, "snn_30", zoo.Options{Input: cifar}); g.Parameters() != 3072*30+30+30*10+10 {
		t.Errorf("snn_30 on pictures of %v has %d parameters", cifar, g.Parameters())
	}
	for _, bad := range []string{"mlp", "mlp_", "mlp_0", "mlp_-3", "mlp_10_x", "mlp_010", "snn_10_", "mlp_99999999", "mlp_99999999999999999999"} {
		if _, err := zoo.New(bad, zoo.Options{}); err == nil || !strings.Contains(err.Error(), "_300_100") {
			t.Errorf("%s: error %v does not show how to write it", bad, err)
		}
	}
}

var cifar, mnist = nn.Shape{3, 32, 32}, nn.Shape{1, 28, 28}

func TestInputsMayDifferWhereTheArchitectureAllowsIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		input nn.Shape
	}{
		{"lenet5", mnist}, {"lenet5", cifar}, {"resnet20", mnist}, {"resnet18", nn.Shape{3, 64, 64}},
		{"scnn", mnist}, {"alexnet", nn.Shape{1, 64, 64}}, {"mlp_300_100", cifar},
	} {
		if g := build(t, c.name, zoo.Options{Input: c.input}); !g.Input.Equal(c.input) {
			t.Errorf("%s on %v takes %v", c.name, c.input, g.Input)
		}
	}
	// Both have 16×5×5 features, so the same checkpoint of a 1-channel LeNet-5 fits either.
	padded, plain := build(t, "lenet5", zoo.Options{}), build(t, "lenet5", zoo.Options{Input: nn.Shape{1, 32, 32}})
	for i, e := range padded.Entries {
		if !e.Shape.Equal(plain.Entries[i].Shape) {
			t.Errorf("lenet5: %s is %v on 28×28 and %v on 32×32", e.Name, e.Shape, plain.Entries[i].Shape)
		}
	}
}

func TestWhatAnArchitectureCannotTakeIsAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  zoo.Options
		says string
	}{
		{"alexnet", zoo.Options{Input: cifar}, "alexnet on 3×32×32"},
		{"densenet121", zoo.Options{Input: nn.Shape{3, 7, 7}}, "densenet121 on 3×7×7"},
		{"vgg16", zoo.Options{Input: nn.Shape{3, 16, 16}}, "vgg16 on 3×16×16"},
		{"resnet20", zoo.Options{Input: nn.Shape{3072}}, "resnet20 on 3072"},
		{"resnet20_a", zoo.Options{Input: nn.Shape{3072}}, "resnet20_a on 3072"},
		{"densenet_cifar", zoo.Options{Input: nn.Shape{3072}}, "densenet_cifar on 3072"},
		{"lenet5", zoo.Options{Input: nn.Shape{3072}}, "lenet5 on 3072"},
		{"resnet20", zoo.Options{Input: nn.Shape{3, 0, 32}}, "3×0×32"},
		{"resnet20", zoo.Options{Input: nn.Shape{}}, "scalar"},
		{"mlp_300_100", zoo.Options{Input: nn.Shape{32, 32}}, "32×32"},
		{"resnet20", zoo.Options{Classes: -1}, "-1 classes"},
	} {
		if _, err := zoo.New(c.name, c.opt); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s with %+v: error %v does not say %q", c.name, c.opt, err, c.says)
		}
	}
}

func TestParameterFreeShortcutsShareEntriesButNotResults(t *testing.T) {
	for _, depth := range []string{"20", "32", "44", "56", "110"} {
		a, none := build(t, "resnet"+depth+"_a", zoo.Options{}), build(t, "resnet"+depth+"_noshort", zoo.Options{})
		if !slices.EqualFunc(a.Entries, none.Entries, func(x, y nn.Entry) bool { return x.Name == y.Name && x.Shape.Equal(y.Shape) }) {
			t.Errorf("resnet%s_a and resnet%[1]s_noshort have different entries", depth)
		}
		if len(a.Nodes) <= len(none.Nodes) {
			t.Errorf("resnet%s_a adds nothing to resnet%[1]s_noshort", depth)
		}
	}
}

func TestFittingNamesEveryArchitectureOfACheckpoint(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  zoo.Options
		want string
	}{
		{"resnet20", zoo.Options{}, "resnet20"},
		{"resnet20_noshort", zoo.Options{Classes: 100}, "resnet20_noshort resnet20_a"},
		{"resnet110_a", zoo.Options{Input: mnist}, "resnet110_noshort resnet110_a"},
		{"wrn56_2", zoo.Options{}, "wrn56_2"},
		{"vgg16", zoo.Options{Classes: 7}, "vgg16"},
		{"densenet_cifar", zoo.Options{}, "densenet_cifar"},
		{"alexnet", zoo.Options{Classes: 1000}, "alexnet"},
		{"lenet5", zoo.Options{}, "lenet5"},
		{"lenet5", zoo.Options{Input: cifar}, "lenet5"},
		{"scnn", zoo.Options{Classes: 2}, "scnn"},
		{"mlp_300_100", zoo.Options{}, "mlp_300_100 snn_300_100"},
		{"snn_256_256_256", zoo.Options{}, "snn_256_256_256 mlp_256_256_256"},
		{"mlp_5", zoo.Options{Input: nn.Shape{2}, Classes: 3}, "mlp_5 snn_5"},
	} {
		g := build(t, c.name, c.opt)
		states := formula.States(g, 1, 1)
		if got := strings.Join(zoo.Fitting(states), " "); got != c.want {
			t.Errorf("%s with %+v: %q fit, not %q", c.name, c.opt, got, c.want)
		}
		states = slices.DeleteFunc(states, func(t nn.Tensor) bool { return strings.HasSuffix(t.Name, "num_batches_tracked") })
		slices.Reverse(states)
		if got := strings.Join(zoo.Fitting(states), " "); got != c.want {
			t.Errorf("%s without counters, backwards: %q fit, not %q", c.name, got, c.want)
		}
		if got := zoo.Fitting(states[1:]); got != nil {
			t.Errorf("%s without %s: %q fit", c.name, states[0].Name, got)
		}
		more := append(states, nn.Tensor{Name: "more.weight", Shape: nn.Shape{1}})
		if got := zoo.Fitting(more); got != nil {
			t.Errorf("%s with an entry more: %q fit", c.name, got)
		}
	}
}

func TestNothingFitsStrangeStates(t *testing.T) {
	for _, states := range []nn.Params{
		nil,
		{{Name: "fc1.weight", Shape: nn.Shape{3}}},
		{{Name: "fc1.weight", Shape: nn.Shape{0, 0}}, {Name: "fc2.weight", Shape: nn.Shape{0, 0}}, {Name: "fc2.bias", Shape: nn.Shape{0}}},
		{{Name: "conv1.weight", Shape: nn.Shape{16, 0, 3, 3}}, {Name: "linear.bias", Shape: nn.Shape{-1}}},
	} {
		if got := zoo.Fitting(states); got != nil {
			t.Errorf("%v: %q fit", states, got)
		}
	}
}

func FuzzNewBuildsANetworkOrSaysWhyNot(f *testing.F) {
	for _, name := range []string{"resnet20", "mlp_3_4", "snn_", "mlp_0", "vgg", "", "mlp_1_2_x", "\xff"} {
		f.Add(name, 10, 3, 32, 32)
	}
	f.Add("lenet5", 0, 1, 28, 28)
	f.Add("alexnet", -1, 0, -5, 7)
	f.Fuzz(func(t *testing.T, name string, classes, c, h, w int) {
		g, err := zoo.New(name, zoo.Options{Classes: classes, Input: nn.Shape{c, h, w}})
		if (g == nil) != (err != nil) {
			t.Fatalf("%v and error %v", g, err)
		}
		if g != nil && (g.Name != name || classes != 0 && g.Classes != classes) {
			t.Errorf("asked for %s of %d classes, got %s of %d", name, classes, g.Name, g.Classes)
		}
	})
}
