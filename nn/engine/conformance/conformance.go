// Package conformance is the suite that every engine passes against nn/ref: operation by
// operation, network by network, and the contract of engine.Engine.
package conformance

import (
	"context"
	"fmt"
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/ref"
)

// maker makes the engine under test.
type maker func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error)

// Run tests the engines that new makes. Logits may differ from nn/ref's by tolerance,
// relative in norm, image by image.
func Run(t *testing.T, tolerance float64, new func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error)) {
	t.Run("operations", func(t *testing.T) {
		for _, op := range operations() {
			t.Run(op.name(), func(t *testing.T) { compare(t, tolerance, new, op.alone().graph(t), nn.CrossEntropy) })
		}
	})
	t.Run("networks", func(t *testing.T) {
		for _, net := range networks() {
			t.Run(net.name, func(t *testing.T) {
				compare(t, tolerance, new, net.graph(t), nn.CrossEntropy)
				compare(t, tolerance, new, net.graph(t), nn.MSE)
			})
		}
	})
	t.Run("random networks", func(t *testing.T) {
		for seed := range uint64(60) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				compare(t, tolerance, new, randomNetwork(t, seed), nn.Loss(seed%2))
			})
		}
	})
	t.Run("contract", func(t *testing.T) { contract(t, new) })
	t.Run("numbers that are not finite", func(t *testing.T) { notFinite(t, new) })
}

// compare evaluates g at three points with the engine under test and with nn/ref.
func compare(t *testing.T, tolerance float64, new maker, g *nn.Graph, loss nn.Loss) {
	t.Helper()
	images, plane := randomImages(g, 5, 1), randomPlane(g, 2)
	points := []nn.Point{{}, {Alpha: 0.7, Beta: -0.4}, {Alpha: -1, Beta: 0.25}}
	got := evaluate(t, new, g, loss, 2, plane, images, points)
	want := evaluate(t, ref.New, g, loss, 2, plane, images, points)
	for p := range points {
		for i := range images.Len() {
			closeTo(t, tolerance, g, got[p], want[p], i)
		}
		if t.Failed() {
			t.Fatalf("at point %v", points[p])
		}
	}
}

// closeTo compares image i's results. A cross entropy moves by at most twice what a logit
// does, the other loss by less.
func closeTo(t *testing.T, tolerance float64, g *nn.Graph, got, want engine.Output, i int) {
	t.Helper()
	z, r := got.Logits[i*g.Classes:(i+1)*g.Classes], want.Logits[i*g.Classes:(i+1)*g.Classes]
	var norm, distance float64
	for k := range r {
		norm = math.Hypot(norm, float64(r[k]))
		distance = math.Hypot(distance, float64(z[k])-float64(r[k]))
	}
	if !(distance <= tolerance*norm) {
		t.Errorf("image %d: logits differ by %.3g of their norm %.3g, more than %.3g", i, distance/norm, norm, tolerance)
	}
	bound := 2*tolerance*norm + 1e-9
	if d := math.Abs(got.Loss[i] - want.Loss[i]); !(d <= bound) {
		t.Errorf("image %d: loss %v, but the reference has %v", i, got.Loss[i], want.Loss[i])
	}
	best := r[want.Predicted[i]]
	if k := got.Predicted[i]; k < 0 || int(k) >= g.Classes || float64(best-r[k]) > bound {
		t.Errorf("image %d: class %d is predicted, but the reference has %d", i, k, want.Predicted[i])
	}
}

// evaluate makes an engine and runs it once.
func evaluate(t *testing.T, new maker, g *nn.Graph, loss nn.Loss, threads int, plane nn.Plane, images *nn.Images, points []nn.Point) []engine.Output {
	t.Helper()
	e := ready(t, new, g, loss, threads, plane)
	set, err := e.Load(images)
	if err != nil {
		t.Fatal(err)
	}
	return results(t, e, set, g.Classes, points...)
}

// ready makes an engine with its plane and closes it at the end of the test.
func ready(t *testing.T, new maker, g *nn.Graph, loss nn.Loss, threads int, plane nn.Plane) engine.Engine {
	t.Helper()
	e, err := new(g, loss, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := e.SetPlane(plane); err != nil {
		t.Fatal(err)
	}
	return e
}

func results(t *testing.T, e engine.Engine, set engine.Set, classes int, points ...nn.Point) []engine.Output {
	t.Helper()
	outs := make([]engine.Output, len(points))
	for i := range outs {
		outs[i] = engine.NewOutput(set.Len(), classes)
	}
	if err := e.Evaluate(context.Background(), set, points, outs); err != nil {
		t.Fatal(err)
	}
	return outs
}
