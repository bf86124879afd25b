package dataset

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestABalancedDrawIsNestedAndHasEveryClassAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.SliceOfN(rapid.Int32Range(0, 6), 1, 200).Draw(t, "labels")
		seed := rapid.Uint64().Draw(t, "seed")
		of := map[int32]int{}
		for _, l := range labels {
			of[l]++
		}
		var before []int
		for n := range len(labels) + 2 {
			drawn := Balanced(labels, n, seed)
			if len(drawn) != min(n, len(labels)) || !slices.IsSorted(drawn) || len(slices.Compact(slices.Clone(drawn))) != len(drawn) {
				t.Fatalf("%d of %d images: %v", n, len(labels), drawn)
			}
			for _, i := range before {
				if !slices.Contains(drawn, i) {
					t.Fatalf("image %d is among %d but not among %d", i, len(before), n)
				}
			}
			before = drawn
			counts := map[int32]int{}
			most := 0
			for _, i := range drawn {
				counts[labels[i]]++
				most = max(most, counts[labels[i]])
			}
			for l, all := range of {
				if counts[l] < min(all, most-1) {
					t.Fatalf("%d of %d images: class %d has %d of its %d, another has %d", n, len(labels), l, counts[l], all, most)
				}
			}
		}
	})
}

func TestAnotherSeedDrawsOtherImages(t *testing.T) {
	labels := make([]int32, 1000)
	for i := range labels {
		labels[i] = int32(i % 10)
	}
	if slices.Equal(Balanced(labels, 50, 1), Balanced(labels, 50, 2)) {
		t.Error("the same images")
	}
}
