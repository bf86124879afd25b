package cpu_test

import (
	"fmt"
	"testing"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
	"lsrun/nn/engine/conformance"
)

func TestTrainingConforms(t *testing.T) {
	tested := map[string]bool{}
	for _, k := range kernel.Available() {
		if tested[k.Arithmetic] && !long() {
			continue // the same bits
		}
		first := len(tested) == 0
		tested[k.Arithmetic] = true
		for _, exact := range []bool{false, true} {
			if exact && !first && !long() {
				continue // kernels of their own, but the same way through the network
			}
			t.Run(fmt.Sprintf("%s/exact=%v", k.Name, exact), func(t *testing.T) {
				t.Setenv("LSRUN_KERNEL", k.Name)
				conformance.RunTraining(t, 1e-4, func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error) {
					return cpu.New(g, loss, cpu.Options{Threads: threads, Exact: exact})
				})
			})
		}
	}
}
