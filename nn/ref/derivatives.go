package ref

import (
	"context"
	"errors"
	"fmt"

	"lsrun/nn"
	"lsrun/nn/engine"
)

// place is where products are taken.
type place struct {
	images *nn.Images
	states [][]float64
}

func (e *reference) Gradient(ctx context.Context, s engine.Set, at nn.Point, gradient []float64) (loss float64, err error) {
	e.last = nil
	images, err := e.Accept(s, nil, nil)
	if err != nil {
		return 0, fmt.Errorf("gradient: %w", err)
	}
	if len(gradient) != e.Graph.Parameters() {
		return 0, fmt.Errorf("gradient: room for %d values, but %s has %d parameters", len(gradient), e.Graph.Name, e.Graph.Parameters())
	}
	states := e.states(at)
	adjoint, loss, err := meanAdjoint(ctx, e, images, states)
	if err != nil {
		return 0, err
	}
	copy(gradient, adjoint)
	e.last = &place{images, states}
	return loss, nil
}

func (e *reference) Products(ctx context.Context, vectors, products [][]float64) error {
	if e.last == nil {
		return errors.New("products: there is no point: take its gradient first")
	}
	if len(vectors) != len(products) {
		return fmt.Errorf("products: %d vectors, but room for %d products", len(vectors), len(products))
	}
	for k := range vectors {
		if n := e.Graph.Parameters(); len(vectors[k]) != n || len(products[k]) != n {
			return fmt.Errorf("products: a vector of %d values and room for %d, but %s has %d parameters",
				len(vectors[k]), len(products[k]), e.Graph.Name, n)
		}
	}
	for k, v := range vectors {
		adjoint, _, err := meanAdjoint(ctx, e, e.last.images, e.along(v))
		if err != nil {
			return err
		}
		for i, a := range adjoint {
			products[k][i] = imag(a)
		}
	}
	return nil
}

// along are the states at the place, with vector as the parameters' tangents.
func (e *reference) along(vector []float64) [][]complex128 {
	states := make([][]complex128, len(e.last.states))
	for i, values := range e.last.states {
		states[i] = make([]complex128, len(values))
		tangents := make([]float64, len(values)) // statistics are constants
		if e.Graph.Entries[i].Role == nn.Learnable {
			tangents, vector = vector[:len(values)], vector[len(values):]
		}
		for k, v := range values {
			states[i][k] = complex(v, tangents[k])
		}
	}
	return states
}

// meanAdjoint is the mean loss over the images and its derivative by the parameters.
func meanAdjoint[N number](ctx context.Context, e *reference, images *nn.Images, states [][]N) (adjoint []N, loss float64, err error) {
	adjoint = make([]N, e.Graph.Parameters())
	err = eachImage(ctx, passes(e, images, states), images,
		func(p *pass[N], i int) {
			p.forward(images, i)
			p.backward(e.loss, int(images.Labels[i]))
		},
		func(p *pass[N], i int) {
			loss += p.loss
			rest := adjoint
			for k, entry := range p.entries {
				if e.Graph.Entries[k].Role == nn.Learnable {
					plus(rest, entry.adjoint)
					rest = rest[len(entry.adjoint):]
				}
			}
		})
	n := float64(images.Len())
	for k := range adjoint {
		adjoint[k] = over(adjoint[k], n)
	}
	return adjoint, loss / n, err
}
