package figure

import "math"

// field is a function on a grid: z[j·nx+i] at (x[i], y[j]), NaN where it has no value.
//
// Contours are traced by marching squares: linear interpolation on the sides of each
// square of four values, a saddle resolved by the mean of its corners. Squares that lack a value have no contour.
// (gonum/plot's Contour offers no regions, links lines through maps, so that equal input
// gives unequal files, and knows no NaN inside a triangle.)
type field struct{ x, y, z []float64 }

type point struct{ x, y float64 }

// lines are the polylines where the field equals level, with larger values on their left. A closed line ends where it starts.
func (f field) lines(level float64) [][]point { return f.trace(level, false) }

// region is the boundary of where the field is at least level: closed rings, counterclockwise
// around the region and clockwise around its holes.
func (f field) region(level float64) [][]point { return f.trace(level, true) }

// complete tells whether the square with lower left corner (i, j) exists and has all its values.
func (f field) complete(i, j int) bool {
	nx := len(f.x)
	if i < 0 || j < 0 || i+1 >= nx || j+1 >= len(f.y) {
		return false
	}
	k := j*nx + i
	return !math.IsNaN(f.z[k] + f.z[k+1] + f.z[k+nx] + f.z[k+nx+1])
}

// tracer collects directed segments between nodes. Node 3v is grid point v; 3v+1 and 3v+2
// are the crossings on the sides that leave it to the right and upwards.
type tracer struct {
	next  map[int][]int
	from  []int       // the segments' starts, in the order they were found
	ahead map[int]int // segments that end here less those that start here
}

func (t *tracer) add(a, b int) {
	t.next[a] = append(t.next[a], b)
	t.from = append(t.from, a)
	t.ahead[a]--
	t.ahead[b]++
}

func (f field) trace(level float64, border bool) [][]point {
	t := tracer{next: map[int][]int{}, ahead: map[int]int{}}
	for j := range f.y {
		for i := range f.x {
			if f.complete(i, j) {
				f.square(&t, i, j, level, border)
			}
		}
	}
	var out [][]point
	for _, open := range []bool{true, false} { // open lines from their starts first, then closed ones from anywhere
		for _, a := range t.from {
			if len(t.next[a]) > 0 && (!open || t.ahead[a] < 0) {
				out = append(out, f.follow(&t, a, level))
			}
		}
	}
	return out
}

// follow takes segments from node a on for as long as they lead.
func (f field) follow(t *tracer, a int, level float64) []point {
	line := []point{f.at(a, level)}
	for len(t.next[a]) > 0 {
		b := t.next[a][0]
		t.next[a] = t.next[a][1:]
		t.ahead[a]++
		t.ahead[b]--
		if p := f.at(b, level); p != line[len(line)-1] {
			line = append(line, p)
		}
		a = b
	}
	return line
}

// square adds the segments of one square. Its corners and sides are numbered counterclockwise
// from the lower left; side k runs from corner k to corner k+1.
func (f field) square(t *tracer, i, j int, level float64, border bool) {
	nx := len(f.x)
	v := j*nx + i
	corner := [4]int{v, v + 1, v + nx + 1, v + nx}
	side := [4]int{3*v + 1, 3*(v+1) + 2, 3*(v+nx) + 1, 3*v + 2}
	var in [4]bool
	var mean float64
	for k, c := range corner {
		in[k] = f.z[c] >= level
		mean += f.z[c] / 4
	}
	leaves := func(k int) bool { return in[k%4] && !in[(k+1)%4] }
	enters := func(k int) bool { return !in[k%4] && in[(k+1)%4] }
	for k := range 4 {
		if !leaves(k) {
			continue
		}
		// Along the boundary of what is inside: out through side k, back in through side m.
		m := k + 1
		for !enters(m) {
			m++
		}
		saddle := in[k] == in[(k+2)%4] && in[k] != in[(k+3)%4]
		if saddle && mean < level {
			m = k + 3
		}
		t.add(side[k], side[m%4])
	}
	if !border {
		return
	}
	beside := [4]bool{f.complete(i, j-1), f.complete(i+1, j), f.complete(i, j+1), f.complete(i-1, j)}
	for k := range 4 {
		a, b := 3*corner[k], 3*corner[(k+1)%4]
		switch {
		case beside[k]:
		case in[k] && in[(k+1)%4]:
			t.add(a, b)
		case leaves(k):
			t.add(a, side[k])
		case enters(k):
			t.add(side[k], b)
		}
	}
}

// at is the place of a node.
func (f field) at(node int, level float64) point {
	nx := len(f.x)
	v := node / 3
	i, j := v%nx, v/nx
	p := point{f.x[i], f.y[j]}
	switch node % 3 {
	case 1:
		p.x += crossing(f.z[v], f.z[v+1], level) * (f.x[i+1] - f.x[i])
	case 2:
		p.y += crossing(f.z[v], f.z[v+nx], level) * (f.y[j+1] - f.y[j])
	}
	return p
}

// crossing is how far level lies on the way from a to b.
func crossing(a, b, level float64) float64 { return (level - a) / (b - a) }
