package hessian

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// A vector is worked on in blocks of this many elements, whatever the number of threads: a
// block of one vector fits the first cache.
const blockSize = 2048

func blocks(n int) int { return (n + blockSize - 1) / blockSize }

// each calls work for every block of n elements, on all processors.
func each(n int, work func(block, first, end int)) {
	count := blocks(n)
	workers := min(runtime.GOMAXPROCS(0), count/8)
	var taken atomic.Int64
	run := func() {
		for b := int(taken.Add(1)) - 1; b < count; b = int(taken.Add(1)) - 1 {
			work(b, b*blockSize, min(n, (b+1)*blockSize))
		}
	}
	if workers < 2 {
		run()
		return
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(run)
	}
	all.Wait()
}

// dots is vectorsᵢ·w for every i.
func dots(vectors [][]float64, w []float64) []float64 {
	k := len(vectors)
	partial := make([]float64, blocks(len(w))*k)
	each(len(w), func(block, first, end int) {
		sums := partial[block*k:][:k]
		i := 0
		for ; i+4 <= k; i += 4 {
			v := vectors[i:][:4]
			sums[i], sums[i+1], sums[i+2], sums[i+3] = dot4(v[0][first:end], v[1][first:end], v[2][first:end], v[3][first:end], w[first:end])
		}
		for ; i < k; i++ {
			sums[i] = dot(vectors[i][first:end], w[first:end])
		}
	})
	sums := make([]float64, k)
	for b := range blocks(len(w)) {
		for i := range sums {
			sums[i] += partial[b*k+i]
		}
	}
	return sums
}

func norm(w []float64) float64 { return math.Sqrt(dots([][]float64{w}, w)[0]) }

// accumulate adds Σᵢ c(i)·vectorsᵢ to w.
func accumulate(w []float64, vectors [][]float64, c func(i int) float64) {
	each(len(w), func(_, first, end int) { accumulateBlock(w[first:end], vectors, first, c) })
}

// accumulateBlock adds Σᵢ c(i)·vectorsᵢ[first:] to y, as far as y goes.
func accumulateBlock(y []float64, vectors [][]float64, first int, c func(i int) float64) {
	i := 0
	for ; i+4 <= len(vectors); i += 4 {
		v := vectors[i:][:4]
		add4(y, v[0][first:], v[1][first:], v[2][first:], v[3][first:], c(i), c(i+1), c(i+2), c(i+3))
	}
	for ; i < len(vectors); i++ {
		add(y, vectors[i][first:], c(i))
	}
}

// subtract takes Σᵢ cᵢ·vectorsᵢ from w.
func subtract(w []float64, vectors [][]float64, c []float64) {
	accumulate(w, vectors, func(i int) float64 { return -c[i] })
}

// scale multiplies w by f.
func scale(w []float64, f float64) {
	each(len(w), func(_, first, end int) {
		for i := first; i < end; i++ {
			w[i] *= f
		}
	})
}

// rotate replaces vectorⱼ by Σᵢ s(i, j)·vectorsᵢ for j < k; the others stay as they are.
func rotate(vectors [][]float64, k int, s func(i, j int) float64) {
	each(len(vectors[0]), func(_, first, end int) {
		sums := make([]float64, k*(end-first))
		for j := range k {
			accumulateBlock(sums[j*(end-first):][:end-first], vectors, first, func(i int) float64 { return s(i, j) })
		}
		for j := range k {
			copy(vectors[j][first:end], sums[j*(end-first):])
		}
	})
}

// The loops over elements take four vectors at a time, to load and store w less often, or have
// four sums, for an addition's latency. The conversions forbid the compiler to fuse.

func dot4(v0, v1, v2, v3, w []float64) (a, b, c, d float64) {
	v0, v1, v2, v3 = v0[:len(w)], v1[:len(w)], v2[:len(w)], v3[:len(w)]
	for i, x := range w {
		a += float64(v0[i] * x)
		b += float64(v1[i] * x)
		c += float64(v2[i] * x)
		d += float64(v3[i] * x)
	}
	return a, b, c, d
}

func dot(x, y []float64) float64 {
	var a, b, c, d float64
	for len(x) >= 4 && len(y) >= 4 {
		a += float64(x[0] * y[0])
		b += float64(x[1] * y[1])
		c += float64(x[2] * y[2])
		d += float64(x[3] * y[3])
		x, y = x[4:], y[4:]
	}
	for i := range x {
		a += float64(x[i] * y[i])
	}
	return (a + b) + (c + d)
}

// add4 adds a·v0 + b·v1 + c·v2 + d·v3 to y.
func add4(y, v0, v1, v2, v3 []float64, a, b, c, d float64) {
	v0, v1, v2, v3 = v0[:len(y)], v1[:len(y)], v2[:len(y)], v3[:len(y)]
	for i := range y {
		y[i] += (float64(a*v0[i]) + float64(b*v1[i])) + (float64(c*v2[i]) + float64(d*v3[i]))
	}
}

// add adds f·x to y.
func add(y, x []float64, f float64) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float64(f * x[i])
	}
}
