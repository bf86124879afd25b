package dataset

import "slices"

// Balanced draws n of the images that have the given labels and returns their numbers in rising order. Classes
// are represented alike as far as they have images, and the draws of one seed are nested: a smaller one is part
// of a larger one.
//
// Images are shuffled, and then taken by turns: the first of every class in the order of the classes, the
// second of every class, and so on.
func Balanced(labels []int32, n int, seed uint64) []int {
	order := make([]int, len(labels))
	for i := range order {
		order[i] = i
	}
	shuffle(order, len(order), seed)
	turn := make([]int, len(labels)) // of an image: how many of its class come before it
	seen := map[int32]int{}
	for _, i := range order {
		turn[i] = seen[labels[i]]
		seen[labels[i]]++
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if turn[a] != turn[b] {
			return turn[a] - turn[b]
		}
		return int(labels[a]) - int(labels[b])
	})
	drawn := order[:min(n, len(order))]
	slices.Sort(drawn)
	return drawn
}
