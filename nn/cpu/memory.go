package cpu

import (
	"cmp"
	"slices"

	"lsrun/nn"
)

// buffer is a piece of the arena that holds a picture of every image of a micro-batch,
// (before[0] + height + after[0]) × (before[1] + width + after[1]) × channels each, the channels
// innermost. Nobody writes its border, which therefore stays zero.
type buffer struct {
	geometry
	first, last int     // the steps that use it first and last; −1 comes before all rounds of the stages
	over        *buffer // what its only writer may overwrite while it reads it, or nil
	offset      int     // in the arena
}

// geometry is what buffers must have in common to follow each other at one place.
type geometry struct {
	channels, height, width int
	before, after           [2]int // rows and columns of zeros around the picture
	stage                   int    // the last that reads it: there is room for its micro-batch
}

func (g *geometry) row() int  { return (g.before[1] + g.width + g.after[1]) * g.channels }
func (g *geometry) size() int { return (g.before[0] + g.height + g.after[0]) * g.row() } // of one image

// require widens the border to at least the given one.
func (g *geometry) require(before, after [2]int) {
	for a := range 2 {
		g.before[a], g.after[a] = max(g.before[a], before[a]), max(g.after[a], after[a])
	}
}

// value is the output of a step for one image: all of a buffer, or consecutive
// channels of one that is the concatenation of several values.
type value struct {
	shape  nn.Shape // channels, height, width; 1×1 for vectors
	inside *value   // the concatenation that it is part of, or nil
	from   int      // its first channel there
	buffer *buffer  // nil if inside is not
}

func newValue(shape nn.Shape) *value {
	if len(shape) == 1 {
		shape = nn.Shape{shape[0], 1, 1}
	}
	return &value{shape: shape, buffer: &buffer{geometry: geometry{channels: shape[0], height: shape[1], width: shape[2]}}}
}

// root is the outermost value that v is part of, and from v's first channel there.
func (v *value) root() (root *value, from int) {
	for v.inside != nil {
		from += v.from
		v = v.inside
	}
	return v, from
}

// place is the buffer that v lies in.
func (v *value) place() *buffer {
	root, _ := v.root()
	return root.buffer
}

// stride is the distance of neighbouring pixels, row that of neighbouring rows.
func (v *value) stride() int { return v.place().channels }
func (v *value) row() int    { return v.place().row() }

// view is where the pictures of a value are that a worker has in hand.
type view struct {
	arena              []float32
	first              int // where channel 0 of pixel (0, 0) of the first image is
	image, row, stride int // the distances from an image, a row and a pixel to the next
}

func (w *worker) view(v *value) view {
	root, from := v.root()
	b := root.buffer
	image, row := b.size(), b.row()
	first := b.offset + w.base[b.stage]*image + b.before[0]*row + b.before[1]*b.channels + from
	return view{w.arena, first, image, row, b.channels}
}

// index is where in the arena channel 0 of pixel (y, x) of image n of the micro-batch is. y and x may point into the border.
func (v *view) index(n, y, x int) int { return v.first + n*v.image + y*v.row + x*v.stride }

// at is the arena from there on.
func (v *view) at(n, y, x int) []float32 { return v.arena[v.index(n, y, x):] }

// pixels is a view's at where only one place is asked for.
func (w *worker) pixels(v *value, n, y, x int) []float32 {
	at := w.view(v)
	return at.at(n, y, x)
}

// layout gives every buffer its place, room for the micro-batch of its stage, and returns the
// arena's size. Only buffers of one geometry follow each other at a place, so that borders last.
func layout(buffers []*buffer, batch []int) (size int) {
	buffers = slices.Clone(buffers)
	slices.SortStableFunc(buffers, func(a, b *buffer) int { return cmp.Compare(a.first, b.first) })
	last := map[geometry][]*buffer{} // the latest at every place
	for _, b := range buffers {
		places := last[b.geometry]
		at := slices.IndexFunc(places, func(o *buffer) bool { return o.last < b.first || o == b.over && o.last == b.first })
		if at < 0 {
			b.offset = size
			size += batch[b.stage] * b.size()
			last[b.geometry] = append(places, b)
			continue
		}
		b.offset = places[at].offset
		places[at] = b
	}
	return size
}
