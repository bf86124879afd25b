package cpu

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"

	"lsrun/nn"
	"lsrun/nn/engine"
	"lsrun/nn/zoo/formula"
)

func TestTrainingTakesTheMemoryThatIsAnnounced(t *testing.T) {
	for _, name := range []string{"resnet20", "vgg9"} {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprint(name, " on ", threads), func(t *testing.T) {
				const images = 32
				g := network(t, name)
				e, err := New(g, nn.CrossEntropy, Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				said := e.TrainingMemory(images)
				states, batch := formula.States(g, 1, 1), formula.Images(1, images, g.Input)
				gradient, moments := make([]float32, g.Parameters()), engine.NewMoments(g)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range 3 { // the first alone takes any
					if _, err := e.Train(context.Background(), states, batch, 1, gradient, moments); err != nil {
						t.Fatal(err)
					}
				}
				runtime.ReadMemStats(&after)
				taken := int64(after.TotalAlloc - before.TotalAlloc)
				if math.Abs(float64(taken-said)) > 0.05*float64(said) {
					t.Errorf("%d MB were taken, %d announced", taken>>20, said>>20)
				}
			})
		}
	}
}
