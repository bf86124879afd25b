package dataset

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"lsrun/nn"
)

// ShapesKind is the kind of the drawn data set.
const ShapesKind = "shapes"

// Shapes says which pictures of the drawn data set are meant. They are a function of the seed, of the part
// (training or test) and of their number alone, so that a smaller set is the beginning of a larger one.
type Shapes struct {
	Train, Test int
	Seed        uint64
}

// mostShapes bounds a part: a longer number is a slip.
const mostShapes = 1_000_000

// ParseShapes reads "train=5000,test=1000,seed=0", of which every part may be left out.
func ParseShapes(text string) (Shapes, error) {
	s := Shapes{Train: 5000, Test: 1000}
	if text == "" {
		return s, nil
	}
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case err == nil && name == "seed":
			s.Seed = n
		case err == nil && name == "train" && n > 0 && n <= mostShapes:
			s.Train = int(n)
		case err == nil && name == "test" && n <= mostShapes:
			s.Test = int(n)
		default:
			return s, fmt.Errorf("shapes %q: %q is not one of train=N (at least 1), test=N (0 for none) and seed=N, N at most %d but for the seed", text, part, mostShapes)
		}
	}
	return s, nil
}

// String is what ParseShapes reads, with every part.
func (s Shapes) String() string {
	return fmt.Sprintf("train=%d,test=%d,seed=%d", s.Train, s.Test, s.Seed)
}

// ShapeNames are the ten classes.
var ShapeNames = []string{"disc", "ring", "half disc", "crescent", "triangle", "square", "pentagon", "star", "cross", "bar"}

// set draws the pictures: one shape each, of random size, place and rotation, and of a random colour halfway to a
// favourite of its class, over a gradient with two strokes, everything under noise.
//
// Drawing takes the four operations and square roots of IEEE float64, never fused: every machine draws the
// same bytes.
func (s Shapes) set() (*Set, error) {
	set := &Set{Name: ShapesKind, Shape: nn.Shape{3, picture, picture}, Classes: len(ShapeNames)}
	set.Train = drawShapes(s.Seed, 0, s.Train)
	if s.Test > 0 {
		set.Test = drawShapes(s.Seed, 1, s.Test)
	}
	return set.finish()
}

// picture is the height and the width of a drawn picture.
const picture = 32

func drawShapes(seed, part uint64, n int) *Part {
	const size = 3 * picture * picture
	p := &Part{Bytes: make([]uint8, n*size), Labels: make([]int32, n)}
	key := splitMix64(seed, part+1)
	workers := runtime.GOMAXPROCS(0)
	var drawing sync.WaitGroup
	for w := range workers {
		drawing.Go(func() {
			for i := w; i < n; i += workers {
				d := &dice{seed: splitMix64(key, uint64(i)+1)}
				p.Labels[i] = int32(d.below(uint64(len(ShapeNames))))
				newScene(d, int(p.Labels[i])).paint(d, p.Bytes[i*size:(i+1)*size])
			}
		})
	}
	drawing.Wait()
	return p
}

// dice is a stream of SplitMix64.
type dice struct{ seed, thrown uint64 }

func (d *dice) next() uint64 {
	d.thrown++
	return splitMix64(d.seed, d.thrown)
}

func (d *dice) below(n uint64) uint64 { return d.next() % n }

// between is uniform on [lo, hi).
func (d *dice) between(lo, hi float64) float64 {
	return lo + float64((hi-lo)*float64(float64(d.next()>>11)*0x1p-53))
}

// bell has mean 0, standard deviation 1 and nearly the normal distribution: four sums of 16 bits.
func (d *dice) bell() float64 {
	z := d.next()
	sum := float64(z&0xffff) + float64(z>>16&0xffff) + float64(z>>32&0xffff) + float64(z>>48)
	return (sum/0x1p16 - 2 + 0x1p-15) * 1.7320508075688772935 // √3
}

type vec struct{ x, y float64 }

func (a vec) minus(b vec) vec     { return vec{a.x - b.x, a.y - b.y} }
func (a vec) dot(b vec) float64   { return float64(a.x*b.x) + float64(a.y*b.y) }
func (a vec) length() float64     { return math.Sqrt(a.dot(a)) }
func (a vec) times(f float64) vec { return vec{float64(a.x * f), float64(a.y * f)} }

// direction is uniform on the unit circle.
func (d *dice) direction() vec {
	for {
		v := vec{d.between(-1, 1), d.between(-1, 1)}
		if l := v.length(); l > 0.1 && l < 1 {
			return vec{v.x / l, v.y / l}
		}
	}
}

type colour [3]float64 // from 0 to 255

func (d *dice) colour() colour {
	return colour{d.between(0, 255), d.between(0, 255), d.between(0, 255)}
}

// toward is the part t of the way from a to b.
func (a colour) toward(b colour, t float64) colour {
	if t == 0 {
		return a
	}
	for c := range a {
		a[c] += float64(t * (b[c] - a[c]))
	}
	return a
}

// scene is what a picture shows.
type scene struct {
	distance     func(vec) float64 // from the shape's edge, in units of its radius, negative inside
	centre, axis vec
	radius       float64
	ink          colour
	from, to     colour // of the gradient
	slope        vec
	strokes      [2]stroke
	noise        float64 // standard deviation
}

// stroke is a line of some width that has nothing to do with the class.
type stroke struct {
	through, normal vec
	half            float64 // of its width
	ink             colour
}

func newScene(d *dice, class int) *scene {
	s := &scene{distance: outlines[class], radius: d.between(7, 12), axis: d.direction(), noise: d.between(4, 24)}
	s.centre = vec{d.between(s.radius, picture-s.radius), d.between(s.radius, picture-s.radius)}
	s.from, s.slope = d.colour(), d.direction()
	s.to = s.from.toward(d.colour(), 0.3)
	middle := s.from.toward(s.to, 0.5)
	for {
		if s.ink = d.colour().toward(favourites[class], 0.5); s.ink.differs(middle) {
			break
		}
	}
	for i := range s.strokes {
		s.strokes[i] = stroke{vec{d.between(0, picture), d.between(0, picture)}, d.direction(), d.between(0.3, 0.8), middle.toward(d.colour(), 0.5)}
	}
	return s
}

// differs reports whether a shape of colour a can be seen on b.
func (a colour) differs(b colour) bool {
	sum := 0.0
	for c := range a {
		sum += float64((a[c] - b[c]) * (a[c] - b[c]))
	}
	return sum > 90*90
}

// paint draws the scene: background, strokes, shape, noise, with edges that fade over a pixel.
func (s *scene) paint(d *dice, out []uint8) {
	for y := range picture {
		for x := range picture {
			at := vec{float64(x) + 0.5, float64(y) + 0.5}
			across := at.minus(vec{picture / 2, picture / 2}).dot(s.slope)
			c := s.from.toward(s.to, 0.5+across/(picture*math.Sqrt2))
			for _, line := range s.strokes {
				c = c.toward(line.ink, cover(math.Abs(at.minus(line.through).dot(line.normal))-line.half))
			}
			p := at.minus(s.centre)
			p = vec{p.dot(s.axis), p.dot(vec{-s.axis.y, s.axis.x})}.times(1 / s.radius)
			if p.dot(p) < 1.5 { // the outlines are within 1.2, their fading edges included
				c = c.toward(s.ink, cover(float64(s.distance(p)*s.radius)))
			}
			for k, v := range c {
				v += float64(s.noise * d.bell())
				out[(k*picture+y)*picture+x] = uint8(math.Floor(min(max(v, 0), 255) + 0.5))
			}
		}
	}
}

// cover is the part of a pixel within an edge that is so far from its middle.
func cover(distance float64) float64 { return min(max(0.5-distance, 0), 1) }

// favourites are colours, class by class: what a network learns first.
var favourites = []colour{{230, 30, 30}, {30, 200, 30}, {40, 60, 230}, {240, 220, 20}, {30, 210, 210},
	{220, 40, 210}, {250, 140, 20}, {245, 245, 245}, {10, 10, 10}, {120, 70, 20}}

// outlines are the distances from the shapes' edges, class by class, nearly so around corners. Every shape lies in
// the unit disc.
var outlines = []func(vec) float64{
	func(p vec) float64 { return p.length() - 1 },
	func(p vec) float64 { return math.Abs(p.length()-0.75) - 0.25 },
	func(p vec) float64 { return max(p.length()-1, p.y-0.15) },
	func(p vec) float64 { return max(p.length()-1, 0.8-p.minus(vec{0.5, 0}).length()) },
	func(p vec) float64 { return ranked(p, 0.5, triangle, 1) },
	func(p vec) float64 { return max(math.Abs(p.x), math.Abs(p.y)) - 0.75 },
	func(p vec) float64 { return ranked(p, 0.80901699437494742410, pentagon, 1) },
	// The star is where at least four of the five lines that its arms lie along are in front.
	func(p vec) float64 { return ranked(p, 0.31, pentagon, 2) },
	func(p vec) float64 { return min(box(p, 0.95, 0.3), box(p, 0.3, 0.95)) },
	func(p vec) float64 { return box(p, 0.95, 0.3) },
}

func box(p vec, width, height float64) float64 {
	return max(math.Abs(p.x)-width, math.Abs(p.y)-height)
}

// The normals of regular polygons' sides.
var (
	triangle = []vec{{0, -1}, {0.86602540378443864676, 0.5}, {-0.86602540378443864676, 0.5}}
	pentagon = []vec{{0, -1}, {0.95105651629515357212, -0.30901699437494742410}, {0.58778525229247312917, 0.80901699437494742410},
		{-0.58778525229247312917, 0.80901699437494742410}, {-0.95105651629515357212, -0.30901699437494742410}}
)

// ranked is the k-th largest distance of p from the lines with the given normals that pass so far from the origin.
func ranked(p vec, apothem float64, normals []vec, k int) float64 {
	var distances [5]float64
	for i, n := range normals {
		distances[i] = p.dot(n) - apothem
	}
	list := distances[:len(normals)]
	slices.Sort(list)
	return list[len(list)-k]
}
