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
	e, err := cuda.New(n.graph, nn.CrossEntropy, cuda.Options{})
	if err != nil {
		return err
	}
	gradient, product, err := ownProduct(ctx, n, e)
	var pair ends
	if err == nil {
		pair, err = ownPair(ctx, n, e)
	}
	if err := errors.Join(err, e.Close()); err != nil { // PyTorch may want its memory
		return err
	}
	fmt.Printf("%s lsrun: gradient %.2f ms, product %.2f ms, ‖Hv‖ %.6g, v·Hv %.6g\n", name, 1e3*gradient.Seconds(), 1e3*product.Seconds, product.Norm, product.Along)
	fmt.Printf("%s lsrun: a pair to %g %.2f s, %d products, %.6g and %.6g\n", name, pairTolerance, pair.Seconds, pair.Products, pair.Largest, pair.Smallest)
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

func ownProduct(ctx context.Context, n *network, e *cuda.Engine) (gradient time.Duration, p productAnswer, err error) {
	if err := e.SetPlane(nn.Plane{Theta: n.states}); err != nil {
		return 0, p, err
	}
	var set engine.Set
	if set, err = e.Load(n.first(productImages)); err != nil {
		return 0, p, err
	}
	v, hv := make([]float64, n.graph.Parameters()), make([]float64, n.graph.Parameters())
	for i := range v {
		v[i] = 1
	}
	for range 2 { // the first compiles and makes room
		began := time.Now()
		if _, err := e.Gradient(ctx, set, nn.Point{}, hv); err != nil {
			return 0, p, err
		}
		gradient = time.Since(began)
		const times = 5
		for i := range times + 1 {
			if i == 1 {
				began = time.Now()
			}
			if err := e.Products(ctx, [][]float64{v}, [][]float64{hv}); err != nil {
				return 0, p, err
			}
		}
		p.Seconds = time.Since(began).Seconds() / times
	}
	for i := range v {
		p.Norm += float64(hv[i] * hv[i])
		p.Along += float64(v[i] * hv[i])
	}
	p.Norm = math.Sqrt(p.Norm)
	return gradient, p, nil
}
