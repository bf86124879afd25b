package cpu

import (
	"cmp"
	"slices"

	"lsrun/nn"
)

// buffer is a piece of the arena that holds a picture of every image of the micro-batch,
// (height + 2·pad[0]) × (width + 2·pad[1]) × channels each, the channels innermost.
type buffer struct {
	channels, height, width int
	pad                     [2]int // the border of zeros
	first, last             int    // the steps that write it first and read it last
	offset                  int    // in the arena
}

func (b *buffer) row() int  { return (b.width + 2*b.pad[1]) * b.channels }
func (b *buffer) size() int { return (b.height + 2*b.pad[0]) * b.row() } // of one image

// require widens b's border to at least pad.
func (b *buffer) require(pad [2]int) {
	b.pad = [2]int{max(b.pad[0], pad[0]), max(b.pad[1], pad[1])}
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
	return &value{shape: shape, buffer: &buffer{channels: shape[0], height: shape[1], width: shape[2]}}
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

// stride is the distance of neighbouring pixels.
func (v *value) stride() int { return v.place().channels }

// pixels is the arena from channel 0 of v's pixel (y, x) of image n on. y and x may point
// into the border.
func (w *worker) pixels(v *value, n, y, x int) []float32 {
	return w.arena[v.index(n, y, x):]
}

func (v *value) index(n, y, x int) int {
	root, from := v.root()
	b := root.buffer
	return b.offset + n*b.size() + (y+b.pad[0])*b.row() + (x+b.pad[1])*b.channels + from
}

// clearBorder makes b's border zero around n images.
func (w *worker) clearBorder(b *buffer, n int) {
	if b.pad == [2]int{} {
		return
	}
	row, side := b.row(), b.pad[1]*b.channels
	for i := range n {
		picture := w.arena[b.offset+i*b.size():][:b.size()]
		clear(picture[:b.pad[0]*row])
		clear(picture[(b.pad[0]+b.height)*row:])
		for y := b.pad[0]; y < b.pad[0]+b.height; y++ {
			clear(picture[y*row:][:side])
			clear(picture[(y+1)*row-side:][:side])
		}
	}
}

// layout gives every buffer its place for batch images, no two at one while both are
// needed, and returns the arena's size.
func layout(buffers []*buffer, batch int) (size int) {
	buffers = slices.Clone(buffers)
	slices.SortStableFunc(buffers, func(a, b *buffer) int { return cmp.Compare(a.first, b.first) })
	var placed []*buffer // by offset
	for _, b := range buffers {
		placed = slices.DeleteFunc(placed, func(o *buffer) bool { return o.last < b.first })
		end, at := 0, len(placed)
		for i, o := range placed {
			if o.offset-end >= batch*b.size() {
				at = i
				break
			}
			end = o.offset + batch*o.size()
		}
		b.offset = end
		placed = slices.Insert(placed, at, b)
		size = max(size, end+batch*b.size())
	}
	return size
}
