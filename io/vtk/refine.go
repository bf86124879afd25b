package vtk

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/interp"
)

// mostRefined bounds a side of what Interp can ask for, so that the points can be held in memory.
const mostRefined = 10_000

// refine interpolates z, on the grid of x and y, at n equidistant coordinates a side: the tensor product of cubic splines
// whose third derivative is continuous at the first and last inner knot, which is what SciPy's interp2d(kind="cubic") of h52vtp.py gives.
func refine(x, y, z []float64, n int) (fineX, fineY, fine []float64, err error) {
	const least = 4 // points that determine a cubic polynomial
	switch {
	case n < 2 || n > mostRefined:
		return nil, nil, nil, fmt.Errorf("%d points a side: ask for 2 to %d", n, mostRefined)
	case len(x) < least || len(y) < least:
		return nil, nil, nil, fmt.Errorf("cubic splines need %d points a side, and there are %d × %d", least, len(x), len(y))
	}
	for k, v := range z {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil, nil, fmt.Errorf("the value at (%g, %g) is %g, and splines need finite ones: write the grid's own points", x[k%len(x)], y[k/len(x)], v)
		}
	}
	fineX, fineY = equidistant(x, n), equidistant(y, n)
	rows := make([]float64, 0, len(y)*n) // interpolated along x
	for j := range y {
		row, err := spline(x, z[j*len(x):(j+1)*len(x)], fineX)
		if err != nil {
			return nil, nil, nil, err
		}
		rows = append(rows, row...)
	}
	fine = make([]float64, n*n)
	column := make([]float64, len(y))
	for i := range n {
		for j := range y {
			column[j] = rows[j*n+i]
		}
		values, err := spline(y, column, fineY)
		if err != nil {
			return nil, nil, nil, err
		}
		for j, v := range values {
			fine[j*n+i] = v
		}
	}
	return fineX, fineY, fine, nil
}

func spline(x, z, at []float64) ([]float64, error) {
	var s interp.NotAKnotCubic
	if err := s.Fit(x, z); err != nil {
		return nil, fmt.Errorf("cubic spline: %w", err)
	}
	out := make([]float64, len(at))
	for k, v := range at {
		out[k] = s.Predict(v)
	}
	return out, nil
}

// equidistant are n coordinates over the range of c.
func equidistant(c []float64, n int) []float64 {
	out := make([]float64, n)
	first, last := c[0], c[len(c)-1]
	for i := range out {
		out[i] = first + float64((last-first)*float64(i))/float64(n-1)
	}
	out[n-1] = last
	return out
}
