package kernel

// PeakSums is how many sums Peak works on: 12 vectors.
func (k *Kernel) PeakSums() int { return 12 * k.Lanes }

func peakPlain(sums []float32, x float32, rounds int) {
	for range rounds {
		for i, sum := range sums {
			sums[i] = float32(x*sum) + x
		}
	}
}
