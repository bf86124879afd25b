package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"
)

// contender is one row of the comparison: an engine, ready to be asked again and again.
type contender struct {
	name   string
	group  group
	sizes  []int // batches to choose from; none where the engine has no batch to choose
	run    func(context.Context, turn) (time.Duration, error)
	logits func(ctx context.Context, images int) ([]float64, error) // nil: it has weights of its own
	rough  bool                                                     // it rounds factors to TF32
	pool   int                                                      // images there are for it; 0: the network's

	turn  turn      // what it does each time, of the fastest batch
	rates []float64 // images/s, one a round
}

// group is what the summary tells apart.
type group int

const (
	ours group = iota
	exact
	eager // as the paper's code runs PyTorch
	tuned // PyTorch in any other way
	onnx
	pacer
)

// turn is a measurement: so many passes over the first images.
type turn struct {
	Batch  int `json:"batch"`
	Images int `json:"images"`
	Passes int `json:"passes"`
}

// unit is what an engine without a batch is given a multiple of.
const unit = 128

func (c *contender) title() string {
	if len(c.sizes) == 0 {
		return c.name
	}
	return fmt.Sprintf("%s batch %d", c.name, c.turn.Batch)
}

// prepare warms the engine up and chooses its batch and how much makes a turn of the given length.
// All batches are run before one is measured: each leaves its mark on the heap. One that takes more
// than two turns is left out.
func (c *contender) prepare(ctx context.Context, pool int, length time.Duration) error {
	if c.pool > 0 {
		pool = c.pool
	}
	sizes := c.sizes
	if len(sizes) == 0 {
		sizes = []int{unit}
	}
	var first []float64
	for _, size := range sizes {
		if n := len(first); n > 0 && (size > pool || float64(size) > 2*first[n-1]*length.Seconds()) {
			break
		}
		rate, err := c.measure(ctx, turn{size, size, 1})
		if err != nil {
			return err
		}
		first = append(first, rate)
	}
	best := 0.0
	for i, rate := range first {
		rate, err := c.measure(ctx, turnOf(rate, sizes[i], pool, length/4))
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  %s batch %d: %s\n", c.name, sizes[i], digits(rate))
		if rate > best {
			best, c.turn = rate, turnOf(rate, sizes[i], pool, length)
		}
	}
	return nil
}

func turnOf(rate float64, batch, pool int, length time.Duration) turn {
	images := max(1, int(math.Round(rate*length.Seconds()/float64(batch)))) * batch
	whole := pool / batch * batch
	if images <= whole {
		return turn{batch, images, 1}
	}
	return turn{batch, whole, int(math.Round(float64(images) / float64(whole)))}
}

// measure gives images a second.
func (c *contender) measure(ctx context.Context, t turn) (float64, error) {
	took, err := c.run(ctx, t)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.name, err)
	}
	return float64(t.Images*t.Passes) / took.Seconds(), nil
}

// alternate lets the contenders run one after another, again and again. Each takes an unmeasured batch
// first: what the others did to caches and free pages is not its fault. It returns how busy the
// processors were in the pauses, when all contenders should sleep.
func alternate(ctx context.Context, contenders []*contender, rounds int) (pauses []float64, err error) {
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "  round %d:", round+1)
		for _, c := range contenders {
			pauses = append(pauses, pause())
			if _, err := c.measure(ctx, turn{c.turn.Batch, c.turn.Batch, 1}); err != nil {
				return nil, err
			}
			rate, err := c.measure(ctx, c.turn)
			if err != nil {
				return nil, err
			}
			c.rates = append(c.rates, rate)
			fmt.Fprintf(os.Stderr, " %s", digits(rate))
		}
		fmt.Fprintln(os.Stderr)
	}
	return pauses, nil
}
