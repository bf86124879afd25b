package cpu_test

import (
	"context"
	"fmt"
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

func BenchmarkTrain(b *testing.B) {
	for _, name := range []string{"resnet20", "vgg9", "scnn"} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				g, err := zoo.New(name, zoo.Options{})
				if err != nil {
					b.Fatal(err)
				}
				e, err := cpu.New(g, nn.CrossEntropy, cpu.Options{Threads: threads})
				if err != nil {
					b.Fatal(err)
				}
				const images = 128
				states, batch := formula.States(g, 1, 1), formula.Images(1, images, g.Input)
				gradient, moments := make([]float32, g.Parameters()), engine.NewMoments(g)
				for b.Loop() {
					if _, err := e.Train(context.Background(), states, batch, 1, gradient, moments); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(images*b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}
