package direction

import (
	"errors"
	"fmt"

	"lsrun/nn"
)

// Misfit is the error of a direction that another network has.
type Misfit struct{ text string }

func (e Misfit) Error() string { return e.text }

// Fit arranges the tensors of a direction file to g's entries. The paper's files number
// their tensors: those of weights hold the learnable entries, those of states all
// entries, or all but num_batches_tracked (PyTorch before 0.4.1). How many there are
// tells which it is; a network without batch norm has only weights. Names in file are not
// looked at.
//
// Tensors of zeros alone become nil Data; the others share file's memory. The error lists
// every tensor that does not fit (a Misfit), and of each the first value that is not finite.
func Fit(g *nn.Graph, file nn.Params) (d nn.Params, states bool, err error) {
	roles := map[nn.Role]int{}
	for _, e := range g.Entries {
		roles[e.Role]++
	}
	weights, all := roles[nn.Learnable], len(g.Entries)
	uncounted := all - roles[nn.BatchCounter]
	if len(file) != weights && len(file) != uncounted && len(file) != all {
		return nil, false, Misfit{fmt.Sprintf("the direction has %d tensors, but %s has %d parameters (weights) and %d states (%d without num_batches_tracked): is it of another network?",
			len(file), g.Name, weights, all, uncounted)}
	}
	states = len(file) != weights
	d = still(g)
	var wrong []error
	position := 0
	for i, e := range g.Entries {
		if e.Role == nn.BatchCounter {
			if len(file) == all {
				position++
			}
			continue
		}
		if !moves(e.Role, states) {
			continue
		}
		t := file[position]
		switch {
		case !t.Shape.Equal(e.Shape) || len(t.Data) != e.Shape.Size():
			wrong = append(wrong, Misfit{fmt.Sprintf("tensor %d should be %s %v, but is %v", position, e.Name, e.Shape, t.Shape)})
		case !zero(t.Data):
			d[i].Data = t.Data
			if err := finite(t.Data); err != nil {
				wrong = append(wrong, fmt.Errorf("tensor %d, %s: %w", position, e.Name, err))
			}
		}
		position++
	}
	if wrong != nil {
		return nil, false, fmt.Errorf("the direction does not fit %s: %w", g.Name, errors.Join(wrong...))
	}
	return d, states, nil
}

// FileOrder is the inverse of Fit: the tensors of a direction file of weights or of
// states, zeros where d is not perturbed. The others share d's memory.
func FileOrder(g *nn.Graph, d nn.Params, states bool) nn.Params {
	var file nn.Params
	for i, e := range g.Entries {
		if !states && e.Role != nn.Learnable {
			continue
		}
		t := nn.Tensor{Name: e.Name, Shape: e.Shape, Data: d[i].Data}
		if t.Data == nil {
			t.Data = make([]float32, e.Shape.Size())
		}
		file = append(file, t)
	}
	return file
}

func zero(data []float32) bool {
	for _, v := range data {
		if v != 0 {
			return false
		}
	}
	return true
}
