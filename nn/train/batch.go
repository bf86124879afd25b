package train

import (
	"lsrun/nn"
)

// shift is how far augmentation moves a picture at most, in pixels, up, down, left or right.
const shift = 4

// epoch is the order of the images in one epoch, and what becomes of each.
type epoch struct {
	order []int
	moves []move // by place in the order
}

// move is what augmentation does to a picture: the output's pixel (y, x) is the input's (y+down, x+right), and
// then left and right are exchanged.
type move struct {
	down, right int
	mirrored    bool
}

// newEpoch shuffles n images, and where they are augmented draws a move for each.
func newEpoch(r Recipe, number, n int) epoch {
	e := epoch{order: draws(r.Seed, "order", number).Perm(n)}
	if !r.Augment {
		return e
	}
	d := draws(r.Seed, "augmentation", number)
	e.moves = make([]move, n)
	for i := range e.moves {
		e.moves[i] = move{d.IntN(2*shift+1) - shift, d.IntN(2*shift+1) - shift, d.IntN(2) == 1}
	}
	return e
}

// batch copies the images of a step into room. Pixels that come from beyond a picture's border have the
// value black[c].
func (e epoch) batch(room, images *nn.Images, black []float32, size, step int) *nn.Images {
	from, to := step*size, min((step+1)*size, len(e.order))
	pixels := images.Shape.Size()
	batch := &nn.Images{Shape: images.Shape, Pixels: room.Pixels[:(to-from)*pixels], Labels: room.Labels[:to-from]}
	for k := range batch.Labels {
		i := e.order[from+k]
		batch.Labels[k] = images.Labels[i]
		in, out := images.Pixels[i*pixels:(i+1)*pixels], batch.Pixels[k*pixels:(k+1)*pixels]
		if e.moves == nil {
			copy(out, in)
		} else {
			e.moves[from+k].apply(out, in, images.Shape, black)
		}
	}
	return batch
}

func (m move) apply(out, in []float32, shape nn.Shape, black []float32) {
	height, width := shape[1], shape[2]
	for c := range shape[0] {
		for y := range height {
			row := out[(c*height+y)*width:][:width]
			for x := range row {
				from := x + m.right
				if m.mirrored {
					from = width - 1 - x + m.right
				}
				row[x] = black[c]
				if at := y + m.down; at >= 0 && at < height && from >= 0 && from < width {
					row[x] = in[(c*height+at)*width+from]
				}
			}
		}
	}
}
