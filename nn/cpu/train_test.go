package cpu_test

import (
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/engine"
	"lsrun/nn/engine/conformance"
)

func TestTrainingIsThatOfPyTorch(t *testing.T) {
	conformance.TrainingOfPyTorch(t, 1e-4, "../../testdata/training/training.json", func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error) {
		return cpu.New(g, loss, cpu.Options{Threads: threads})
	})
}
