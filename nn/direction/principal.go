package direction

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"lsrun/nn"
)

// Components are the first two principal components of a path.
type Components struct {
	X, Y nn.Params // of length 1 and orthogonal
	// Of each:
	Singular []float64 // σ, the singular value of the centred differences
	Variance []float64 // σ²/(N − 1)
	Ratio    []float64 // σ²/Σσ²: its share of the path's variance
}

// held is how many differences are in memory while products are summed.
const held = 8

// Reads is how often PrincipalComponents calls Read: about N + N²/(2·held) times for N networks.
func (p *Path) Reads() int {
	n := len(p.Names)
	reads := n
	for first := 0; first < n; first += held {
		reads += n - first
	}
	return reads
}

// PrincipalComponents are those of the differences dᵢ of the path's N networks from θ, the origin among
// them where it is one of the path, as in the paper's code (PCA of scikit-learn, which centres them).
//
// With d̄ their mean, the N×N matrix Gᵢⱼ = (dᵢ − d̄)·(dⱼ − d̄) has eigenvalues σ² and eigenvectors u, and the
// components are v = Σ uᵢ·dᵢ/σ, since Σ uᵢ = 0. Their sign makes the uᵢ of largest magnitude positive, as scikit-learn does.
//
// Differences are float32; their products are summed in float64 (they are exact there), each v in float64, and rounded once.
// Memory: held+1 differences, what Read takes, and a few matrices of N×N: no more for longer paths.
//
// It is an error if N < 3, if a network does not fit, or if all lie on a line.
func (p *Path) PrincipalComponents() (*Components, error) {
	n := len(p.Names)
	if n < 3 {
		return nil, fmt.Errorf("a path of %d networks has no two principal components: give at least 3", n)
	}
	l := p.layout()
	if l.counted == 0 {
		return nil, fmt.Errorf("%s has nothing but biases and batch norm: do not ignore them", p.Graph.Name)
	}
	gram, err := p.products(l)
	if err != nil {
		return nil, err
	}
	centre(gram)
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, true) {
		return nil, errors.New("the eigenvalues of the path's matrix of products did not converge")
	}
	values, total := eigen.Values(nil), mat.Trace(gram) // rising
	if !(values[n-2] > 1e-12*total) {
		return nil, errors.New("the networks of the path lie on a line, or are all the same: they have no second principal component")
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	c := &Components{}
	var weights [2][]float64
	for k := range weights {
		square := values[n-1-k]
		c.Singular, c.Variance, c.Ratio = append(c.Singular, math.Sqrt(square)), append(c.Variance, square/float64(n-1)), append(c.Ratio, square/total)
		weights[k] = mat.Col(nil, n-1-k, &vectors)
		scale := 1 / c.Singular[k]
		if largest(weights[k]) < 0 {
			scale = -scale
		}
		for i := range weights[k] {
			weights[k][i] *= scale
		}
	}
	directions, err := p.combine(l, weights)
	c.X, c.Y = directions[0], directions[1]
	return c, err
}

// products are dᵢ·dⱼ over the values that count.
func (p *Path) products(l layout) (*mat.SymDense, error) {
	n := len(p.Names)
	gram := mat.NewSymDense(n, nil)
	room := make([][]float32, min(held, n)+1)
	for i := range room {
		room[i] = make([]float32, l.all)
	}
	sums := make([]float64, held)
	for first := 0; first < n; first += held {
		for j := first; j < n; j++ {
			block := room[:min(j-first+1, held)]
			d := room[min(j-first, held)] // the last of the block, or beyond it
			if err := p.difference(j, l, d); err != nil {
				return nil, err
			}
			dots(sums, block, d[:l.counted])
			for i := range block {
				gram.SetSym(first+i, j, sums[i])
			}
		}
	}
	return gram, nil
}

// dots is dot(d, a) for every a, each sum in the same order as there.
func dots(sums []float64, block [][]float32, d []float32) {
	for len(block) >= 4 { // four sums at a time, so that additions need not wait for one another
		a, b, c, e := block[0][:len(d)], block[1][:len(d)], block[2][:len(d)], block[3][:len(d)]
		var sa, sb, sc, se float64
		for k, v := range d {
			w := float64(v)
			sa += w * float64(a[k])
			sb += w * float64(b[k])
			sc += w * float64(c[k])
			se += w * float64(e[k])
		}
		sums[0], sums[1], sums[2], sums[3] = sa, sb, sc, se
		block, sums = block[4:], sums[4:]
	}
	for i, a := range block {
		sums[i] = dot(d, a)
	}
}

// centre makes products of vectors those of their distances from the mean.
func centre(gram *mat.SymDense) {
	n := gram.SymmetricDim()
	means, mean := make([]float64, n), 0.0
	for i := range n {
		for j := range n {
			means[i] += gram.At(i, j) / float64(n)
		}
		mean += means[i] / float64(n)
	}
	for i := range n {
		for j := i; j < n; j++ {
			gram.SetSym(i, j, gram.At(i, j)-means[i]-means[j]+mean)
		}
	}
}

// largest is the element of largest magnitude.
func largest(v []float64) float64 {
	most := 0.0
	for _, x := range v {
		if math.Abs(x) > math.Abs(most) {
			most = x
		}
	}
	return most
}

// combine is Σ weights[k][i]·dᵢ for both k, over the values that count.
func (p *Path) combine(l layout, weights [2][]float64) (directions [2]nn.Params, err error) {
	d := make([]float32, l.all)
	sums := [2][]float64{make([]float64, l.counted), make([]float64, l.counted)}
	for i := range p.Names {
		if err := p.difference(i, l, d); err != nil {
			return directions, err
		}
		for k, sum := range sums {
			weight := weights[k][i]
			for j := range sum {
				sum[j] += weight * float64(d[j])
			}
		}
	}
	for k, sum := range sums {
		directions[k] = still(p.Graph)
		for _, e := range l.entries {
			if len(sum) == 0 {
				break // the rest does not count
			}
			data := make([]float32, p.Graph.Entries[e].Shape.Size())
			for j := range data {
				data[j] = float32(sum[j])
			}
			directions[k][e].Data, sum = data, sum[len(data):]
		}
	}
	return directions, nil
}

// WalkShare is the share of its variance that the first two principal components of a random walk of n points
// hold in the limit of many dimensions, where all steps are orthogonal and of one length: three quarters of a long walk's.
//
// The centred matrix of products is the pseudo-inverse of the Laplacian of a chain of n nodes. Its eigenvalues are
//
//	1/(4·sin²(π·k/(2·n))), k = 1, …, n−1, and their sum is (n² − 1)/6
//
// (Antognini, Sohl-Dickstein, "PCA of high dimensional random walks with comparison to neural network training",
// NeurIPS 2018). It is 1 for n = 2 and 3, and NaN for less.
func WalkShare(n int) float64 {
	sum := 0.0
	for k := 1; k <= min(2, n-1); k++ {
		s := math.Sin(math.Pi * float64(k) / float64(2*n))
		sum += 1 / (4 * s * s)
	}
	return sum * 6 / float64(n*n-1)
}
