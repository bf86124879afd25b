package cpu

// affine finishes its input as it is: a batch norm, a sum or an activation that no product takes
// along, or a copy.
type affine struct {
	finish
	in *value
}

func (a *affine) values() (*value, []*value) { return a.finish.values(a.in) }

func (a *affine) run(w *worker, n int) {
	for i := range n {
		for y := range a.out.shape[1] {
			a.row(w, i, y, 0, a.out.shape[0], w.pixels(a.in, i, y, 0), a.in.stride())
		}
	}
}
