package cpu

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lsrun/nn"
)

func TestSumsTakePartsInOrderAndLoseNoBuffer(t *testing.T) {
	const threads, parts, along = 4, 200, 3 // sums that every hand adds to
	for _, cancelled := range []bool{false, true} {
		d := &derivatives{spares: newSpares(threads-1, 1)}
		hands := make([][]float32, threads)
		for i := range hands {
			hands[i] = nn.Room(1)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var sums [along]*sum
		var taken [along][]int
		for k := range sums {
			sums[k] = d.newSum(ctx)
		}
		var next atomic.Int64
		var running sync.WaitGroup
		for i := range hands {
			running.Go(func() {
				for n := int(next.Add(1)) - 1; n < parts && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
					time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
					if n == parts/2 && cancelled {
						cancel() // whose part never comes
						return
					}
					for k, s := range sums {
						hands[i][0] = float32(n)
						hands[i] = s.add(n, hands[i], func(part []float32) { taken[k] = append(taken[k], int(part[0])) })
					}
				}
			})
		}
		running.Wait()
		cancel()
		for k, s := range sums {
			s.close()
			want := make([]int, parts)
			for i := range want {
				want[i] = i
			}
			if cancelled {
				want = want[:len(taken[k])]
			}
			if !slices.Equal(taken[k], want) || cancelled && len(want) > parts/2 {
				t.Errorf("cancelled %t: parts were taken in the order %v", cancelled, taken[k])
			}
		}
		owners := map[*float32]bool{}
		for _, buffer := range append(hands, d.spares.free...) {
			owners[&buffer[0]] = true
		}
		if len(d.spares.free) != threads-1 || len(owners) != 2*threads-1 {
			t.Errorf("cancelled %t: there are %d spares and %d buffers", cancelled, len(d.spares.free), len(owners))
		}
	}
}
