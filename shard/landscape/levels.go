package landscape

import "slices"

// Sublevel is the size of the level set {L ≤ level}: its area, on a line its length. What has no finite value is not in it.
// open tells whether the set reaches the border of the grid: then the whole set is larger.
func (l *Landscape) Sublevel(level float64) (size float64, open bool) {
	nx := len(l.x)
	if l.Line() {
		for i := range nx - 1 {
			size += (l.x[i+1] - l.x[i]) * under(level, l.z[i], l.z[i+1])
		}
		return size, l.z[0] <= level || l.z[nx-1] <= level
	}
	for j := range l.y {
		for i := range nx {
			k := j*nx + i
			if edge := i == 0 || j == 0 || i == nx-1 || j == len(l.y)-1; edge && l.z[k] <= level {
				open = true
			}
			if i == nx-1 || j == len(l.y)-1 {
				continue
			}
			quarter := (l.x[i+1] - l.x[i]) * (l.y[j+1] - l.y[j]) / 4
			corners, centre := [4]int{k, k + 1, k + nx + 1, k + nx}, l.vertex(len(l.z)+k)
			for n, c := range corners {
				size += quarter * under(level, l.z[c], l.z[corners[(n+1)%4]], centre)
			}
		}
	}
	return size, open
}

// under is the part of a segment or triangle on which the linear function with these values at its corners is at most
// level; nothing of it where one is not finite.
func under(level float64, values ...float64) float64 {
	if slices.ContainsFunc(values, func(v float64) bool { return !finite(v) }) {
		return 0
	}
	slices.Sort(values)
	lo, mid, hi := values[0], values[1], values[len(values)-1]
	switch {
	case level >= hi:
		return 1
	case level < lo:
		return 0
	case len(values) == 2:
		return (level - lo) / (hi - lo)
	case level < mid: // a corner is cut off
		return (level - lo) / (mid - lo) * ((level - lo) / (hi - lo))
	}
	return 1 - (hi-level)/(hi-lo)*((hi-level)/(hi-mid))
}
