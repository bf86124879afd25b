package ref

// number is what operations compute with: float64 for values or, for values and their
// derivatives along a vector, dual numbers value + tangent·ε with ε² = 0. Go's complex
// numbers serve as those: they are added as such, but multiplied by mul.
//
// Run on dual numbers, the code that computes a gradient gives at θ + v·ε the exact product
// ∇²L·v as its tangent. So an operation is written as value and adjoint alone, and the
// tangents of both follow.
type number interface{ float64 | complex128 }

// parts are the value and the tangent of x.
func parts[N number](x N) (value, tangent float64) {
	switch x := any(x).(type) {
	case float64:
		return x, 0
	case complex128:
		return real(x), imag(x)
	}
	panic("ref: not a number")
}

// join is value + tangent·ε, or value alone for float64.
func join[N number](value, tangent float64) N {
	var x N
	switch x := any(&x).(type) {
	case *float64:
		*x = value
	case *complex128:
		*x = complex(value, tangent)
	}
	return x
}

// value is x without its tangent.
func value[N number](x N) float64 { v, _ := parts(x); return v }

// lift is f(x) for a function whose value and slope at x's value are f and df.
func lift[N number](x N, f, df float64) N {
	_, t := parts(x)
	return join[N](f, df*t)
}

func mul[N number](a, b N) N {
	av, at := parts(a)
	bv, bt := parts(b)
	return join[N](float64(av*bv), float64(av*bt)+float64(at*bv))
}

// over is x/d.
func over[N number](x N, d float64) N {
	v, t := parts(x)
	return join[N](v/d, t/d)
}

// axpy adds a·x to y: the loop that takes the time.
func axpy[N number](y []N, a N, x []N) {
	switch y := any(y).(type) {
	case []float64:
		a, x := any(a).(float64), any(x).([]float64)
		y = y[:len(x)]
		for k, v := range x {
			y[k] += float64(a * v)
		}
	case []complex128:
		a, x := any(a).(complex128), any(x).([]complex128)
		y = y[:len(x)]
		for k, v := range x {
			y[k] += complex(float64(real(a)*real(v)), float64(real(a)*imag(v))+float64(imag(a)*real(v)))
		}
	}
}

// dot is Σₖ x[k]·y[k], the other such loop.
func dot[N number](x, y []N) N {
	var sum N
	switch sum := any(&sum).(type) {
	case *float64:
		x, y := any(x).([]float64), any(y).([]float64)
		y = y[:len(x)]
		for k, v := range x {
			*sum += float64(v * y[k])
		}
	case *complex128:
		x, y := any(x).([]complex128), any(y).([]complex128)
		y = y[:len(x)]
		for k, v := range x {
			w := y[k]
			*sum += complex(float64(real(v)*real(w)), float64(real(v)*imag(w))+float64(imag(v)*real(w)))
		}
	}
	return sum
}

// plus adds x to y.
func plus[N number](y, x []N) {
	y = y[:len(x)]
	for k, v := range x {
		y[k] += v
	}
}

func sum[N number](x []N) N {
	var sum N
	for _, v := range x {
		sum += v
	}
	return sum
}

// gather writes src[places[k]] into dst[k], zero where the place is −1.
func gather[N number](dst, src []N, places []int) {
	for k, p := range places {
		if p < 0 {
			dst[k] = 0
		} else {
			dst[k] = src[p]
		}
	}
}

// scatter, the transpose of gather, adds src[k] to dst[places[k]].
func scatter[N number](dst, src []N, places []int) {
	for k, p := range places {
		if p >= 0 {
			dst[p] += src[k]
		}
	}
}
