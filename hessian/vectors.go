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
		for i, v := range vectors {
			partial[block*k+i] = dot(v[first:end], w[first:end])
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

// subtract takes Σ cᵢ·vectorsᵢ from w.
func subtract(w []float64, vectors [][]float64, c []float64) {
	each(len(w), func(_, first, end int) {
		for i, v := range vectors {
			add(w[first:end], v[first:end], -c[i])
		}
	})
}

// scale multiplies w by f.
func scale(w []float64, f float64) {
	each(len(w), func(_, first, end int) {
		for i := first; i < end; i++ {
			w[i] *= f
		}
	})
}

// rotate replaces vectorⱼ by Σᵢ vectorsᵢ·s(i, j) for j < k; the others stay as they are.
func rotate(vectors [][]float64, k int, s func(i, j int) float64) {
	if k == 0 {
		return
	}
	each(len(vectors[0]), func(_, first, end int) {
		sums := make([]float64, k*blockSize)
		for j := range k {
			sum := sums[j*blockSize:][:end-first]
			for i, v := range vectors {
				add(sum, v[first:end], s(i, j))
			}
		}
		for j := range k {
			copy(vectors[j][first:end], sums[j*blockSize:])
		}
	})
}

// combine is Σᵢ vectorsᵢ·s(i).
func combine(vectors [][]float64, s func(i int) float64) []float64 {
	sum := make([]float64, len(vectors[0]))
	each(len(sum), func(_, first, end int) {
		for i, v := range vectors {
			add(sum[first:end], v[first:end], s(i))
		}
	})
	return sum
}

// dot keeps four sums, for the latency of an addition. The conversions here and in add forbid the compiler
// to fuse.
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

// add adds f·x to y.
func add(y, x []float64, f float64) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float64(f * x[i])
	}
}
