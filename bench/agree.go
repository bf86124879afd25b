package main

import (
	"context"
	"fmt"
	"math"
)

const (
	compared  = 16   // images whose logits are compared
	tolerance = 1e-4 // of the logits' norm
	roughly   = 3e-2 // with factors of 11 bits
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
	var distance, norm float64
	for i, z := range want {
		distance, norm = math.Hypot(distance, got[i]-z), math.Hypot(norm, z)
	}
	bound := tolerance
	if c.rough {
		bound = roughly
	}
	if !(distance <= bound*norm) {
		return fmt.Errorf("%s does not evaluate the same network: its logits differ by %.2g of their norm", c.name, distance/norm)
	}
	return nil
}
