package cuda

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// results are the logits of seven images at five points.
func results(t *testing.T, change func(e *Engine, h *host)) (logits []float32, e *Engine) {
	t.Helper()
	e, h := lenet5(t, TF32x3)
	g := e.graph
	states := formula.States(g, 1, 1)
	if err := e.SetPlane(nn.Plane{Theta: states, X: states, Y: formula.States(g, 2, 1)}); err != nil {
		t.Fatal(err)
	}
	set, err := e.Load(formula.Images(1, 7, g.Input))
	if err != nil {
		t.Fatal(err)
	}
	change(e, h)
	points := []nn.Point{{}, {Alpha: 0.5}, {Beta: -1}, {Alpha: 1, Beta: 1}, {Alpha: -0.25, Beta: 0.125}}
	outs := make([]engine.Output, len(points))
	for i := range outs {
		outs[i] = engine.NewOutput(7, g.Classes)
	}
	if err := e.Evaluate(context.Background(), set, points, outs); err != nil {
		t.Fatal(err)
	}
	for _, out := range outs {
		logits = append(logits, out.Logits...)
	}
	return logits, e
}

func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func TestGroupsAndChunksDoNotChangeABit(t *testing.T) {
	want, e := results(t, func(*Engine, *host) {})
	if e.room.group != 5 || e.room.chunk != 7 {
		t.Fatalf("%d points × %d images are evaluated at a time, not all", e.room.group, e.room.chunk)
	}
	for _, most := range []int{1, 2, 3, 5, 7, 8, 14, 20, 21} {
		got, e := results(t, func(e *Engine, _ *host) { e.most = most })
		if e.room.group*e.room.chunk > most {
			t.Errorf("%d points × %d images are evaluated at a time, more than %d", e.room.group, e.room.chunk, most)
		}
		if !same(got, want) {
			t.Errorf("with %d images in flight there are other logits", most)
		}
	}
}

func TestShortMemoryMakesGroupsSmaller(t *testing.T) {
	want, e := results(t, func(*Engine, *host) {})
	all := e.device.(*host).taken
	for _, part := range []int64{2, 3, 4} { // a fifth has no room for a point and what evaluates it again
		got, e := results(t, func(_ *Engine, h *host) { h.limit = h.taken + (all-h.taken)/part })
		if e.room.group == 5 && e.room.chunk == 7 {
			t.Errorf("with 1/%d of the memory everything is evaluated at a time", part)
		}
		if !same(got, want) {
			t.Errorf("with 1/%d of the memory there are other logits", part)
		}
	}
}

// lenet5 is an engine of its own, at random weights, on a device that counts what is taken of it.
func lenet5(t *testing.T, p Precision) (*Engine, *host) {
	t.Helper()
	return onHost(t, "lenet5", p)
}

func onHost(t *testing.T, name string, p Precision) (*Engine, *host) {
	t.Helper()
	g, err := zoo.New(name, zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHost()
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(g, nn.CrossEntropy, p, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if err := e.SetPlane(nn.Plane{Theta: formula.States(g, 1, 1)}); err != nil {
		t.Fatal(err)
	}
	return e, h
}

func loaded(t *testing.T, e *Engine, n int) engine.Set {
	t.Helper()
	set, err := e.Load(formula.Images(1, n, e.graph.Input))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// evaluate gives the logits at as many equal points.
func evaluate(t *testing.T, e *Engine, set engine.Set, points int) (logits []float32) {
	t.Helper()
	outs := make([]engine.Output, points)
	for i := range outs {
		outs[i] = engine.NewOutput(set.Len(), e.graph.Classes)
	}
	if err := e.Evaluate(context.Background(), set, make([]nn.Point, points), outs); err != nil {
		t.Fatal(err)
	}
	for _, out := range outs {
		logits = append(logits, out.Logits...)
	}
	return logits
}

func TestSetsInTurnTakeMemoryOnce(t *testing.T) {
	e, h := lenet5(t, TF32x3)
	e.most = 12
	train, test := loaded(t, e, 10), loaded(t, e, 3)
	round := func() (logits []float32) {
		return append(append(evaluate(t, e, train, 1), evaluate(t, e, train, 2)...), evaluate(t, e, test, 8)...)
	}
	want, allocations := round(), h.allocations
	if !same(round(), want) {
		t.Error("in the second round there are other logits")
	}
	if h.allocations != allocations {
		t.Errorf("the second round takes memory %d times", h.allocations-allocations)
	}
	layers, err := e.Profile(test)
	if err != nil {
		t.Fatal(err)
	}
	if n := layers[1].Images; n != test.Len() {
		t.Errorf("a profile of %d images tells of %d", test.Len(), n)
	}
}

func TestDerivativesTakeTheMemoryOfEvaluations(t *testing.T) {
	gradient := func(e *Engine, set engine.Set) []float64 {
		v := make([]float64, e.graph.Parameters())
		if _, err := e.Gradient(context.Background(), set, nn.Point{}, v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	e, h := lenet5(t, TF32x3)
	set, before := loaded(t, e, 7), h.taken
	want := gradient(e, set)
	derivatives := h.taken - before
	evaluation := -h.taken
	logits := evaluate(t, e, set, 9)
	evaluation += h.taken

	e, h = lenet5(t, TF32x3)
	set = loaded(t, e, 7)
	evaluate(t, e, set, 9)
	h.limit = before + derivatives + evaluation/2
	if got := gradient(e, set); !slices.Equal(got, want) {
		t.Error("after an evaluation there is another gradient")
	}
	if e.room.states.floats != 0 {
		t.Error("there was memory for both")
	}
	if got := evaluate(t, e, set, 9); !same(got, logits) {
		t.Error("after a gradient there are other logits")
	}
}

// TestASetThatTheCardCannotHoldIsCopiedInParts has parts that are smaller than was wanted, the last one short, and an image in it that is
// evaluated again.
func TestASetThatTheCardCannotHoldIsCopiedInParts(t *testing.T) {
	const count = 43
	logits := func(limit func(ofImage int64) (loading, evaluating int64)) ([]float32, *Engine, *images) {
		e, h := lenet5(t, TF32x3)
		e.most = 8
		loading, evaluating := limit(4 * int64(e.program.input.buffer.size))
		given := formula.Images(1, count, e.graph.Input)
		given.Pixels[41*e.graph.Input.Size()+5] = float32(math.Inf(1))
		h.limit = h.taken + loading
		set, err := e.Load(given)
		if err != nil {
			t.Fatal(err)
		}
		h.limit = h.taken + evaluating
		return evaluate(t, e, set, 2), e, set.(*images)
	}
	const plenty = 1 << 30
	want, e, whole := logits(func(int64) (int64, int64) { return plenty, plenty })
	var room int64
	for _, s := range []span{e.room.points, e.room.states, e.room.packed, e.room.factors, e.room.logits, e.room.arena, e.room.exact} {
		room += 4 * s.floats
	}
	got, short, parts := logits(func(ofImage int64) (int64, int64) { return count*ofImage - 1, room + 8*ofImage - 1 })
	if whole.at == 0 || parts.at != 0 {
		t.Fatal("not one set lies on the card, and one does not")
	}
	if e.room.chunk != 8 || short.room.chunk != 4 || short.exactLogits == nil {
		t.Errorf("parts of %d and %d images, not 8 and 4, or none was evaluated again", e.room.chunk, short.room.chunk)
	}
	if !same(got, want) {
		t.Error("in parts there are other logits")
	}
}

// TestDerivativesOutliveFailedAllocations differentiates over a set that is copied in parts, and has every allocation fail once: where memory is
// short the call goes on, and after another error the next call does.
func TestDerivativesOutliveFailedAllocations(t *testing.T) {
	const count = 5
	e, h := lenet5(t, Float32)
	e.blockImages = 2
	whole := loaded(t, e, count)
	h.limit = h.taken + 1
	parts := loaded(t, e, count)
	h.limit = 0
	derivatives := func(set engine.Set) (v [2][]float64, err error) {
		for i := range v {
			v[i] = make([]float64, e.graph.Parameters())
		}
		if _, err := e.Gradient(context.Background(), set, nn.Point{}, v[0]); err != nil {
			return v, err
		}
		return v, e.Products(context.Background(), v[:1], v[1:])
	}
	want, err := derivatives(whole)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("a card that is lost")
	for n, last := 1, 1; n <= last; n++ {
		for _, failure := range []error{errMemory, broken} {
			if err := errors.Join(e.forgetDerivatives(), e.forgetRoom()); err != nil {
				t.Fatal(err)
			}
			before := h.allocations
			h.failing = map[int]error{before + n: failure}
			got, err := derivatives(parts)
			if failure == broken {
				if !errors.Is(err, broken) {
					t.Errorf("allocation %d fails, but the error is %v", n, err)
				}
				got, err = derivatives(parts)
			}
			if err != nil {
				t.Fatalf("after allocation %d failed: %v", n, err)
			}
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("after allocation %d failed there are other derivatives of order %d", n, i+1)
				}
			}
			if n == 1 {
				last = h.allocations - before - 1
			}
		}
	}
}

// TestStatesLeaveRoomForImages differentiates over a set that is copied in parts, where there is memory for a state, or for the images of a
// block, but not for both.
func TestStatesLeaveRoomForImages(t *testing.T) {
	const count = 5
	gradient := func(limited bool) (v []float64, e *Engine) {
		e, h := lenet5(t, Float32)
		e.blockImages = 2
		h.limit = h.taken + 1
		set := loaded(t, e, count)
		h.limit = 0
		d, err := e.differentiate(count)
		if err != nil {
			t.Fatal(err)
		}
		if limited {
			h.limit = h.taken + 2*4*d.tape.plane*int64(d.hand.capacity) + 1000
		}
		v = make([]float64, e.graph.Parameters())
		if _, err := e.Gradient(context.Background(), set, nn.Point{}, v); err != nil {
			t.Fatal(err)
		}
		return v, e
	}
	want, e := gradient(false)
	if len(e.derived.kept) != 3 || e.derived.kept[2] == nil {
		t.Fatal("not all states are kept where there is memory for them")
	}
	if got, _ := gradient(true); !slices.Equal(got, want) {
		t.Error("with little memory there is another gradient")
	}
}

// oversized is a set of n images that takes the memory of 1000.
func oversized(t *testing.T, e *Engine, n int) *images {
	set := loaded(t, e, 1000).(*images)
	set.Images = formula.Images(1, n, e.graph.Input)
	return set
}

// TestASetThatLeavesNoRoomIsGivenUp leaves beside a set next to nothing, room for the values of one image, and for those of half of them.
func TestASetThatLeavesNoRoomIsGivenUp(t *testing.T) {
	const count = 16
	e, h := lenet5(t, TF32x3)
	set := oversized(t, e, count)
	before := h.taken
	want := evaluate(t, e, set, 1)
	room := h.taken - before
	for left, given := range map[int64]bool{100: true, room - e.ofImage()*(count-1): true, room - e.ofImage()*count/2: false} {
		e, h := lenet5(t, TF32x3)
		set := oversized(t, e, count)
		h.limit = h.taken + left
		got := evaluate(t, e, set, 1)
		if (set.at == 0) != given {
			t.Errorf("where it leaves %d of %d bytes, the set is given up: %v", left, room, !given)
		}
		if 8*e.room.chunk < count {
			t.Errorf("where the set leaves %d of %d bytes, only %d images are worked on at a time", left, room, e.room.chunk)
		}
		if !same(got, want) {
			t.Errorf("where the set leaves %d of %d bytes there are other logits", left, room)
		}
	}
}

func TestDerivativesNeedMoreThanASetLeaves(t *testing.T) {
	gradient := func(left int64) (v []float64, set *images) {
		e, h := lenet5(t, TF32x3)
		e.blockImages = 2
		set = oversized(t, e, 5)
		if left > 0 {
			h.limit = h.taken + left
		}
		v = make([]float64, e.graph.Parameters())
		if _, err := e.Gradient(context.Background(), set, nn.Point{}, v); err != nil {
			t.Fatal(err)
		}
		return v, set
	}
	want, whole := gradient(0)
	got, parts := gradient(1000)
	if whole.at == 0 || parts.at != 0 {
		t.Error("not only the set that leaves no room is given up")
	}
	if !slices.Equal(got, want) {
		t.Error("after a set was given up there is another gradient")
	}
}

func TestPointsAreSeveralGroups(t *testing.T) {
	e, _ := lenet5(t, TF32x3)
	e.most = 12
	for n, want := range map[int]int{1: 24, 3: 8, 5: 4, 7: 4, 12: 4, 20: 4} {
		set := loaded(t, e, n)
		if got := e.Points(set); got != want {
			t.Errorf("%d images ask for %d points, not %d", n, got, want)
		}
		evaluate(t, e, set, want)
		if 2*e.room.group > want {
			t.Errorf("%d points of %d images are evaluated %d at a time", want, n, e.room.group)
		}
	}
}

func TestWeightsBoundGroups(t *testing.T) {
	e, _ := lenet5(t, TF32x3)
	set := loaded(t, e, 2)
	want := evaluate(t, e, set, 7)
	if e.room.group != 7 {
		t.Fatalf("%d points are evaluated at a time, not all", e.room.group)
	}
	e.bytes = 3 * e.ofPoint(2)
	if got := evaluate(t, e, set, 7); e.room.group != 3 || !same(got, want) {
		t.Errorf("%d points are evaluated at a time where there is room for the weights of 3, or there are other logits", e.room.group)
	}
}

func TestWhatIsNotFiniteIsTheSameInEveryGroup(t *testing.T) {
	lenet5, err := zoo.New("lenet5", zoo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("tf32x3", func(t *testing.T) { whatIsNotFinite(t, lenet5, TF32x3) })
	b := nn.NewBuilder("patches", nn.Shape{8, 8, 8})
	first := b.Add("relu1", nn.ReLU{}, b.Add("conv1", nn.Conv2d(16, 3, 1, 1), 0))
	second := b.Add("relu2", nn.ReLU{}, b.Add("conv2", nn.Conv2d(8, 3, 1, 1), first))
	b.Add("fc", nn.Linear{Out: 10}, b.Add("flatten", nn.Flatten{}, second))
	patches, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("fp16x3", func(t *testing.T) { whatIsNotFinite(t, patches, FP16x3) })
}

func whatIsNotFinite(t *testing.T, g *nn.Graph, precision Precision) {
	run := func(precision Precision, most int) []engine.Output {
		h, err := newHost()
		if err != nil {
			t.Fatal(err)
		}
		e, err := newEngine(g, nn.CrossEntropy, precision, h)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.most = most
		states := formula.States(g, 1, 1)
		if err := e.SetPlane(nn.Plane{Theta: states, X: states}); err != nil {
			t.Fatal(err)
		}
		images := formula.Images(1, 3, g.Input)
		images.Pixels[g.Input.Size()+5] = float32(math.Inf(1))
		set, err := e.Load(images)
		if err != nil {
			t.Fatal(err)
		}
		points := []nn.Point{{}, {Alpha: 1e30}, {Alpha: 0.5}, {Alpha: 1e36}, {Alpha: -0.5}, {Alpha: 2}, {Alpha: 1e33}}
		outs := make([]engine.Output, len(points))
		for i := range outs {
			outs[i] = engine.NewOutput(3, g.Classes)
		}
		if err := e.Evaluate(context.Background(), set, points, outs); err != nil {
			t.Fatal(err)
		}
		return outs
	}
	exact, want := run(Float32, 100), run(precision, 100)
	again := 0
	for p := range want {
		for k, z := range want[p].Logits {
			if z := float64(z); math.IsNaN(z) || math.IsInf(z, 0) {
				again++
				if !same(want[p].Logits[k:k+1], exact[p].Logits[k:k+1]) {
					t.Errorf("point %d: logit %d is %v, in float32 %v", p, k, z, exact[p].Logits[k])
				}
			}
		}
	}
	if again == 0 {
		t.Error("all logits are finite")
	}
	for _, most := range []int{1, 3, 6, 9} {
		for p, out := range run(precision, most) {
			if !same(out.Logits, want[p].Logits) {
				t.Errorf("with %d images in flight, point %d has logits %v, not %v", most, p, out.Logits, want[p].Logits)
			}
		}
	}
}
