//go:build !linux

package cpu

func allocate(n int) []float32 { return make([]float32, n) }
