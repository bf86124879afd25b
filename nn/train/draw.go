package train

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// draws is the generator for one kind of draw in one place: where a training is broken off and by how many
// threads it runs says nothing to what is drawn.
func draws(seed uint64, kind string, place ...int) *rand.Rand {
	key := sha256.Sum256(fmt.Appendf(nil, "lsrun training 1 seed=%d %s %v", seed, kind, place))
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(key[:]), binary.LittleEndian.Uint64(key[8:])))
}

// Corrupt returns labels of which each, with the given probability, was replaced by one drawn from all classes alike,
// its own included (Zhang et al., "Understanding deep learning requires rethinking generalization", ICLR 2017).
func Corrupt(labels []int32, classes int, probability float64, seed uint64) []int32 {
	r := draws(seed, "labels")
	corrupt := make([]int32, len(labels))
	for i, label := range labels {
		replaced, by := r.Float64() < probability, int32(r.IntN(classes))
		if corrupt[i] = label; replaced {
			corrupt[i] = by
		}
	}
	return corrupt
}
