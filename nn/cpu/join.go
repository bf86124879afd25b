package cpu

import "lsrun/nn"

// load fills the input with the images of the given numbers.
func (w *worker) load(images *nn.Images, numbers []int32) {
	shape, in := w.program.input.shape, w.view(w.program.input)
	channels, height, width, stride := shape[0], shape[1], shape[2], in.stride
	for i, number := range numbers {
		pixels := images.Pixels[int(number)*shape.Size():]
		for c := range channels {
			for y := range height {
				row := in.at(i, y, 0)[c:]
				at := 0
				for _, v := range pixels[:width] {
					row[at] = v
					at += stride
				}
				pixels = pixels[width:]
			}
		}
	}
}

// flatten brings a picture into the order of channels, rows, columns.
type flatten struct {
	in, out *value
}

func (f *flatten) values() (*value, []*value) { return f.out, []*value{f.in} }

func (f *flatten) run(w *worker, n int) {
	channels, height, width := f.in.shape[0], f.in.shape[1], f.in.shape[2]
	for i := range n {
		dst := w.pixels(f.out, i, 0, 0)
		for y := range height {
			for x := range width {
				for c, v := range w.pixels(f.in, i, y, x)[:channels] {
					dst[(c*height+y)*width+x] = v
				}
			}
		}
	}
}

// subsample is nn.Subsample.
type subsample struct {
	in, out *value
	stride  int
}

func (s *subsample) values() (*value, []*value) { return s.out, []*value{s.in} }

func (s *subsample) run(w *worker, n int) {
	channels := s.in.shape[0]
	front := (s.out.shape[0] - channels) / 2
	for i := range n {
		for y := range s.out.shape[1] {
			for x := range s.out.shape[2] {
				dst := w.pixels(s.out, i, y, x)[:s.out.shape[0]]
				clear(dst[:front])
				copy(dst[front:], w.pixels(s.in, i, y*s.stride, x*s.stride)[:channels])
				clear(dst[front+channels:])
			}
		}
	}
}
