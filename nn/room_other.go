//go:build !linux

package nn

// Room is zeroed room for n numbers.
func Room(n int) []float32 { return make([]float32, n) }
