package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"

	"lsrun/nn"
	"lsrun/nn/zoo/formula"
)

const (
	compared  = 16   // images whose logits are compared
	tolerance = 1e-4 // of the logits' norm
	roughly   = 3e-2 // with factors of 11 bits

	productTolerance  = 1e-3 // of a product's norm: rounding switches a unit here and there
	gradientTolerance = 1e-2 // of a gradient's in train mode, where float32 decides about units
)

// agree is an error unless the contender's logits are those of PyTorch in float64.
func agree(ctx context.Context, c *contender, want []float64) error {
	if c.logits == nil {
		return nil
	}
	got, err := c.logits(ctx, compared)
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	if len(got) != len(want) {
		return fmt.Errorf("%s gives %d logits, not %d", c.name, len(got), len(want))
	}
	bound := tolerance
	if c.rough {
		bound = roughly
	}
	if d := distance(got, want); !(d <= bound) {
		return fmt.Errorf("%s does not evaluate the same network: its logits differ by %.2g of their norm", c.name, d)
	}
	return nil
}

// distance is that of got from want, by the norm of want.
func distance(got, want []float64) float64 {
	var d, norm float64
	for i, z := range want {
		d, norm = math.Hypot(d, got[i]-z), math.Hypot(norm, z)
	}
	return d / norm
}

// agreeOnAProduct is an error unless lsrun's product with a vector is that of PyTorch in float64.
func agreeOnAProduct(ctx context.Context, c *curved, child *child) error {
	images := min(compared, c.images.Len())
	own, err := newOwnHessian(c, c.first(images), 1)
	if err != nil {
		return err
	}
	if _, err := own.engine.Gradient(ctx, own.set, nn.Point{}, own.gradient); err != nil {
		return err
	}
	var v []float64
	for _, t := range formula.Vector(c.graph, 1) {
		for _, x := range t.Data {
			if len(t.Shape) > 1 {
				v = append(v, float64(x))
			}
		}
	}
	got := make([]float64, len(v))
	if err := own.operator.Apply(ctx, [][]float64{v}, [][]float64{got}); err != nil {
		return err
	}
	if err := writeRaw(filepath.Join(c.folder, "vector.f64"), v); err != nil {
		return err
	}
	if err := child.ask(map[string]any{"do": "product", "images": images}, &struct{}{}); err != nil {
		return err
	}
	want, err := readRaw[float64](filepath.Join(c.folder, "product.f64"))
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("PyTorch's product has %d elements, not %d", len(want), len(got))
	}
	if d := distance(got, want); !(d <= productTolerance) {
		return fmt.Errorf("lsrun's product with a vector differs from PyTorch's by %.2g of its norm", d)
	}
	return nil
}
