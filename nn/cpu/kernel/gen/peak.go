package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peakVectors is more than two units with a latency of five cycles keep in flight.
const peakVectors = 12

// peak writes Kernel.Peak.
func (s isa) peak() {
	TEXT("peak"+s.name, NOSPLIT, "func(sums []float32, x float32, rounds int)")
	base, rounds := Load(Param("sums").Base(), GP64()), Load(Param("rounds"), GP64())
	x := s.vec()
	VBROADCASTSS(slot(Param("x")), x)
	sums := make([]VecVirtual, peakVectors)
	for i := range sums {
		sums[i] = s.vec()
		VMOVUPS(at(base, i*s.bytes()), sums[i])
	}
	Label("round")
	for _, sum := range sums {
		VFMADD213PS(x, x, sum)
	}
	DECQ(rounds)
	JNZ(LabelRef("round"))
	for i, sum := range sums {
		VMOVUPS(sum, at(base, i*s.bytes()))
	}
	VZEROUPPER()
	RET()
}
