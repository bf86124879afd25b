package cpu

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

func TestZZ(t *testing.T) {
	nets, _ := formula.Zoo("../../testdata/reference/zoo.json")
	for _, name := range slices.Sorted(maps.Keys(nets)) {
		g, _ := zoo.New(name, zoo.Options{})
		e, _ := New(g, nn.CrossEntropy, Options{Threads: 2})
		tp := record(g, &e.kernel, false)
		a, b, c, d := e.DerivativeMemory()
		fmt.Println(name, "MACs", g.MACs()/1e6, "params", g.Parameters(), "MB", a>>20, b>>20, c>>20, d, "packed", tp.packed, "phi", tp.phi, fmt.Sprintf("%+v", tp.tapeRooms))
	}
}
