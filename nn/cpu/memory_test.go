package cpu

import (
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo"
)

// TestTheCIFARNetworksStayWithinTheirMemory: 64 MiB a thread, and 8 values a parameter for the plane (θ, δ, η) and the
// prepared weights together.
func TestTheCIFARNetworksStayWithinTheirMemory(t *testing.T) {
	// Beside what the parameters need: a large page for the alignment of each program's weights, and
	// what panels are rounded up by, which only small networks notice.
	const slack = 3 * hugePage
	for _, name := range zoo.Names() {
		g := network(t, name)
		if !g.Input.Equal(nn.Shape{3, 32, 32}) {
			continue
		}
		e, err := New(g, nn.CrossEntropy, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		perThread, shared := e.Memory()
		plane := 3 * 4 * int64(g.Parameters())
		if perThread > 64<<20 {
			t.Errorf("%s: a thread takes %.1f MiB", name, float64(perThread)/(1<<20))
		}
		if bound := 8*4*int64(g.Parameters()) + slack; shared+plane > bound {
			t.Errorf("%s: weights and plane take %.1f MiB, more than %.1f", name, float64(shared+plane)/(1<<20), float64(bound)/(1<<20))
		}
		t.Logf("%s: %.1f MiB a thread; weights and plane %.2f values a parameter", name, float64(perThread)/(1<<20),
			float64(shared+plane)/4/float64(g.Parameters()))
	}
}
