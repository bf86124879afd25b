package shard

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// simulated takes its time at each point.
type simulated struct {
	seconds func(k int) float64
}

func (simulated) Kernel() string { return "plain" }
func (simulated) Batch() int     { return 1 }

func (e simulated) Evaluate(ctx context.Context, points []int, _ []byte, done func(Record) error) error {
	for _, k := range points {
		time.Sleep(time.Duration(e.seconds(k) * float64(time.Second)))
		if err := done(Record{Point: k, Status: []Status{Done}, Values: []float64{float64(k)}}); err != nil {
			return err
		}
	}
	return nil
}

// simulatedRun has n × n points and, where step is not 0, Hessians in every step-th column, 40 times as costly.
func simulatedRun(t *testing.T, files Files, n, step, workers int) *Run {
	t.Helper()
	plan := &Plan{Format: planFormat, Evaluator: 1, Kernel: "plain", Metrics: []Metric{{Name: "train_loss"}},
		Grid: Grid{X: Axis{-1, 1, n}, Y: &Axis{-1, 1, n}}, Work: Work{Point: 1 << 40, Hessian: 39 << 40, Workers: workers}}
	if step > 0 {
		plan.Hessian = &Hessian{StepX: step, StepY: 1}
	}
	plan.ShareOut()
	run, err := Create(files, "run", plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// makespan is how long the workers take, which start one after another within stagger, until all are done.
func makespan(t *testing.T, run *Run, e Evaluator, workers int, stagger time.Duration, r *rand.Rand) time.Duration {
	t.Helper()
	began := time.Now()
	var group sync.WaitGroup
	for rank := range workers {
		start := time.Duration(r.Float64() * float64(stagger))
		group.Go(func() {
			time.Sleep(start)
			w := &Worker{Run: run, Evaluator: e, Codec: fakeCodec{}, System: process(new(sync.Map), "here", rank+1), Rank: rank, Ranks: workers}
			if _, err := w.Work(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	return time.Since(began)
}

// TestWorkersEndTogether lets 64 workers, which start within half a minute, compute a plane of 51 × 51 points in simulated time. A
// loss takes a second, a Hessian, at 16 % of the points, 40 times a lognormal number (σ = 0.5) of seconds. No schedule can take
// less than the mean of the workers or than the longest unit.
func TestWorkersEndTogether(t *testing.T) {
	const workers, seeds = 64, 20
	worst, blocks := 0.0, 0.0
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			run := simulatedRun(t, newMemFiles(), 51, 7, workers)
			seconds := make([]float64, 51*51)
			total := 0.0
			for k := range seconds {
				if seconds[k] = 1; run.Plan.costly(k) {
					seconds[k] = 40 * math.Exp(0.5*r.NormFloat64())
				}
				total += seconds[k]
			}
			bound := total / workers
			for _, u := range run.units {
				unit := 0.0
				for k := u.First; k < u.First+u.Count; k++ {
					unit += seconds[k]
				}
				bound = max(bound, unit)
			}
			took := makespan(t, run, simulated{func(k int) float64 { return seconds[k] }}, workers, 30*time.Second, r).Seconds()
			worst = max(worst, took/bound)
			blocks += inBlocks(seconds, workers) / bound / seeds
		})
	}
	t.Logf("at worst %.2f times the least possible; in blocks with a barrier after each point %.1f times", worst, blocks)
	if worst > 1.3 {
		t.Errorf("the last worker ends at %.2f times the least possible time, want at most 1.3", worst)
	}
}

// inBlocks is the time of workers that each have a block of points and wait for one another after each, as in the paper's code.
func inBlocks(seconds []float64, workers int) float64 {
	block := (len(seconds) + workers - 1) / workers
	total := 0.0
	for i := range block {
		longest := 0.0
		for k := i; k < len(seconds); k += block {
			longest = max(longest, seconds[k])
		}
		total += longest
	}
	return total
}
