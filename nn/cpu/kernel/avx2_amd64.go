package kernel

import "golang.org/x/sys/cpu"

func native() []Kernel {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		return []Kernel{{Name: "avx2", Gemm: gemm6x16AVX2, Affine: affineAVX2}}
	}
	return nil
}

//go:generate go run -C gen . -out ../avx2_amd64.s

//go:noescape
func gemm6x16AVX2(acc, a []float32, rows, taps []int, run int, b []float32, accumulate bool)

//go:noescape
func affineAVX2(dst []float32, dstStride int, x []float32, xStride int, pixels int,
	scale, shift, residual []float32, residualStride int, relu bool)
