package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"lsrun/nn"
	"lsrun/nn/cuda"
	"lsrun/nn/engine"
)

// productImages are those of a Hessian's mean loss.
const productImages = 1024

// productVariants are the ways to run PyTorch's double backward on a card, and the batches.
var productVariants = []struct {
	name, variant string
	batch         int
}{
	{"eager", "eager_tf32", 128},
	{"eager", "eager_tf32", productImages},
	{"float32 eager", "eager_fp32", 128},
	{"float32 eager", "eager_fp32", productImages},
}

// raceProducts prints what products take on a card, of each network.
func raceProducts(ctx context.Context, nets []string) error {
	for _, name := range nets {
		if err := raceProduct(ctx, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// raceProduct prints what a product of the Hessian over productImages and a vector of ones takes: lsrun's, with the
// gradient that it needs first at a point, and PyTorch's double backward. The reader sees whether they agree.
func raceProduct(ctx context.Context, name string) error {
	n, err := newNetwork(name, 0)
	if err != nil {
		return err
	}
	defer os.RemoveAll(n.folder)
	l := &lineup{network: n, threads: 1}
	defer l.close()
	var product productAnswer
	var pair ends
	for _, p := range []cuda.Precision{cuda.Float32, cuda.TF32x3, cuda.FP16x3} { // the last is what PyTorch is compared with
		if product, pair, err = ownOnCard(ctx, n, p); err != nil {
			return err
		}
	}
	child, _, err := l.start(ctx, nil, "python3", filepath.Join(n.folder, "torch_gpu.py"), n.folder)
	if err != nil {
		return err
	}
	for _, v := range productVariants {
		var theirs productAnswer
		t := turn{Batch: v.batch, Images: productImages, Passes: 5}
		if err := child.ask(request{"product", v.variant, t}, &theirs); err != nil {
			return err
		}
		fmt.Printf("%s PyTorch %s, batch %d: product %.2f ms (%.1f×), ‖Hv‖ %.6g, v·Hv %.6g\n", name, v.name, v.batch,
			1e3*theirs.Seconds, theirs.Seconds/product.Seconds, theirs.Norm, theirs.Along)
	}
	for _, v := range productVariants[:1] { // the paper's way
		var theirs ends
		if err := child.ask(request{"pair", v.variant, turn{Batch: v.batch, Images: productImages}}, &theirs); err != nil {
			return err
		}
		fmt.Printf("%s PyTorch %s, batch %d, eigsh: a pair %.2f s (%.1f×), %d products, %.6g and %.6g\n", name, v.name, v.batch,
			theirs.Seconds, theirs.Seconds/pair.Seconds, theirs.Products, theirs.Largest, theirs.Smallest)
	}
	return nil
}

// ownOnCard prints what lsrun takes in a precision. It leaves the card's memory to others.
func ownOnCard(ctx context.Context, n *network, p cuda.Precision) (product productAnswer, pair ends, err error) {
	e, err := cuda.New(n.graph, nn.CrossEntropy, cuda.Options{Precision: p})
	if err != nil {
		return product, pair, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	gradient, product, shares, err := ownProduct(ctx, n, e)
	if err == nil {
		pair, err = ownPair(ctx, n, e)
	}
	if err != nil {
		return product, pair, err
	}
	who := n.graph.Name + " lsrun " + e.Kernel()
	fmt.Printf("%s: gradient %.2f ms, product %.2f ms, ‖Hv‖ %.6g, v·Hv %.6g\n", who, 1e3*gradient.Seconds(), 1e3*product.Seconds, product.Norm, product.Along)
	fmt.Printf("%s: a pair to %g %.2f s, %d products, %.6g and %.6g\n", who, pairTolerance, pair.Seconds, pair.Products, pair.Largest, pair.Smallest)
	fmt.Printf("%s: ms of a product, one kernel after another:", who)
	for _, s := range shares {
		fmt.Printf(" %s %d× %.2f", s.Kernel, s.Count, 1e3*s.Time.Seconds())
	}
	fmt.Println()
	return product, pair, nil
}

// pairTolerance is the paper's.
const pairTolerance = 1e-2

// ownPair finds both ends; what compiles and makes room has been done before.
func ownPair(ctx context.Context, n *network, e *cuda.Engine) (ends, error) {
	o, err := hessianBy(e, n.graph, nn.Plane{Theta: n.states}, n.first(productImages))
	if err != nil {
		return ends{}, err
	}
	return o.to(pairTolerance)(ctx, nn.Point{}, 1)
}

// productAnswer is a product's time, norm and inner product with its vector.
type productAnswer struct{ Seconds, Norm, Along float64 }

func ownProduct(ctx context.Context, n *network, e *cuda.Engine) (gradient time.Duration, p productAnswer, shares []cuda.Share, err error) {
	if err := e.SetPlane(nn.Plane{Theta: n.states}); err != nil {
		return 0, p, nil, err
	}
	var set engine.Set
	if set, err = e.Load(n.first(productImages)); err != nil {
		return 0, p, nil, err
	}
	v, hv := make([]float64, n.graph.Parameters()), make([]float64, n.graph.Parameters())
	for i := range v {
		v[i] = 1
	}
	for range 2 { // the first compiles and makes room
		began := time.Now()
		if _, err := e.Gradient(ctx, set, nn.Point{}, hv); err != nil {
			return 0, p, nil, err
		}
		gradient = time.Since(began)
		const times = 5
		for i := range times + 1 {
			if i == 1 {
				began = time.Now()
			}
			if err := e.Products(ctx, [][]float64{v}, [][]float64{hv}); err != nil {
				return 0, p, nil, err
			}
		}
		p.Seconds = time.Since(began).Seconds() / times
	}
	for i := range v {
		p.Norm += float64(hv[i] * hv[i])
		p.Along += float64(v[i] * hv[i])
	}
	p.Norm = math.Sqrt(p.Norm)
	shares, err = e.ProfileProduct(ctx, v, hv)
	return gradient, p, shares, err
}
