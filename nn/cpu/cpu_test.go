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

// tolerance is so wide for sums that cancel: a single logit of 100 terms may be a thousandth of
// them. The networks of the zoo are held to much closer bounds below.
const tolerance = 1e-4

func TestEveryKernelConforms(t *testing.T) {
	for _, k := range kernel.Available() {
		for _, exact := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/exact=%v", k.Name, exact), func(t *testing.T) {
				t.Setenv("LSRUN_KERNEL", k.Name)
				conformance.Run(t, tolerance, func(g *nn.Graph, loss nn.Loss, threads int) (engine.Engine, error) {
					return cpu.New(g, loss, cpu.Options{Threads: threads, Exact: exact})
				})
			})
		}
	}
}
