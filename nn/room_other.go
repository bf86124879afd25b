//go:build !linux

package nn

// Room is zeroed room for n numbers.
func Room(n int) []float32 { return make([]float32, n) }

// RoomBytes is what Room takes.
func RoomBytes(n int) int64 { return 4 * int64(n) }
