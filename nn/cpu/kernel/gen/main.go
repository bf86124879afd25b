// Command gen writes the kernels of lsrun/nn/cpu/kernel for one instruction set. Run it in
// its own folder:
//
//	go run . -isa avx2 -out ../avx2_amd64.s
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	which := flag.String("isa", "", "avx2 or avx512")
	flag.Parse()
	ConstraintExpr("amd64")
	s := isas[*which]
	s.gemm()
	s.gemmTo()
	s.gemm64()
	s.rectify64()
	s.batched()
	s.outer()
	for _, f := range forms {
		s.winogradInput(f)
		s.winogradOutput(f)
		if f.taps == 3 {
			s.winogradAdjoint(f.tile)
			s.winogradWeights(f.tile)
		}
		s.winogradFilter(f)
	}
	s.affine()
	s.mask()
	s.rectify()
	s.moments()
	s.blend()
	s.maxRow()
	s.argmaxPixel()
	s.meanRow()
	s.depthwise()
	s.elu()
	s.peak()
	Generate()
}
