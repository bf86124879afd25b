package cpu

import (
	"math"

	"lsrun/nn"
)

// folding is the map from the parameters of a convolution, a linear map or a batch norm, with the batch norms
// after it, to the effective parameters of a layer. Frozen batch norm is affine, so that for output channel k
//
//	Ŵ_k = σ·W_k,  τ_k = (…(b_k − m₁)·s₁ + β₁ …),  σ = s₁·s₂·…,  sⱼ = γⱼ/√(vⱼ + ε)
//
// and derivatives by parameters follow from those by Ŵ and τ without any activation. A batch norm by
// itself has W_k = 1. All of it is float64, with dual numbers for the second order.
type folding struct {
	weight, bias    int   // entries, or −1
	norms           []int // nodes
	channels, terms int   // of the weights
	at              int   // in φ: the weights [channel][term], then the shifts
	// Sums over images of derivatives by φ have an order of their own.
	by      int                         // where those by the weights begin
	byShift int                         // and those by the shifts
	index   func(channel, term int) int // of one by a weight: a sum of what each of both adds
}

// own is the folding itself, of a layer that has one.
func (f *folding) own() *folding { return f }

// shifts is where the layer's shifts are in φ.
func (f *folding) shifts() int { return f.at + f.channels*f.terms }

// folding makes room in φ for channels·terms weights and channels shifts.
func (t *tape) folding(channels, terms int, norms []int) folding {
	f := folding{weight: -1, bias: -1, norms: norms, channels: channels, terms: terms, at: t.phi}
	t.phi = lined(t.phi + channels*(terms+1))
	return f
}

// sums makes room for the derivatives by φ, of which size are by the weights.
func (t *tape) sum(f *folding, size int, index func(channel, term int) int) {
	f.by, f.index = t.gradient, index
	f.byShift = lined(f.by + size)
	t.gradient = lined(f.byShift + f.channels)
}

// dual is a number and its derivative along a vector.
type dual struct{ v, d float64 }

func (a dual) plus(b dual) dual     { return dual{a.v + b.v, a.d + b.d} }
func (a dual) times(b dual) dual    { return dual{a.v * b.v, float64(a.v*b.d) + float64(a.d*b.v)} }
func (a dual) less(m float64) dual  { return dual{a.v - m, a.d} }
func (a dual) scale(r float64) dual { return dual{a.v * r, a.d * r} }

// parameters are the entries at a point, and a vector over the learnable ones, or nil.
type parameters struct {
	graph   *nn.Graph
	entries [][]float32
	first   []int // by entry: where it begins in a vector, if it is learnable
	vector  []float64
}

func (p *parameters) at(entry, i int) dual {
	x := dual{v: float64(p.entries[entry][i])}
	if p.vector != nil {
		x.d = p.vector[p.first[entry]+i]
	}
	return x
}

// link is a batch norm of a channel: what it is given, σ and τ − m, and s.
type link struct {
	sigma, tau, s dual
	deviation     float64 // 1/√(v + ε)
}

// channel folds channel k; links has room for the norms.
func (f *folding) channel(p *parameters, k int, links []link) (sigma, tau dual) {
	sigma = dual{v: 1}
	if f.bias >= 0 {
		tau = p.at(f.bias, k)
	}
	for j, n := range f.norms {
		node := &p.graph.Nodes[n]
		e := node.Entries // weight, bias, running mean, running variance
		l := &links[j]
		l.deviation = 1 / math.Sqrt(float64(p.entries[e[3]][k])+node.Op.(nn.BatchNorm).Eps)
		l.s = p.at(e[0], k).scale(l.deviation)
		l.sigma, l.tau = sigma, tau.less(float64(p.entries[e[2]][k]))
		sigma, tau = sigma.times(l.s), l.tau.times(l.s).plus(p.at(e[1], k))
	}
	return sigma, tau
}

// apply writes the layer's part of φ, or of its derivative along p's vector if o is second.
func apply[T float32 | float64](f *folding, p *parameters, phi []T, o order) {
	links := make([]link, len(f.norms))
	for k := range f.channels {
		sigma, tau := f.channel(p, k, links)
		weights := phi[f.at+k*f.terms:][:f.terms]
		own, along := f.weights(p, k)
		switch {
		case f.weight < 0:
			weights[0] = T(sigma.part(o))
		case o == first:
			for i, w := range own {
				weights[i] = T(sigma.v * float64(w))
			}
		default:
			for i, w := range own {
				weights[i] = T(float64(sigma.v*along[i]) + float64(sigma.d*float64(w)))
			}
		}
		phi[f.shifts()+k] = T(tau.part(o))
	}
}

// weights are those of channel k, and what p's vector says of them; nothing where there are none.
func (f *folding) weights(p *parameters, k int) (own []float32, along []float64) {
	if f.weight < 0 {
		return nil, nil
	}
	own = p.entries[f.weight][k*f.terms:][:f.terms]
	if p.vector != nil {
		along = p.vector[p.first[f.weight]+k*f.terms:][:f.terms]
	}
	return own, along
}

func (a dual) part(o order) float64 {
	if o == first {
		return a.v
	}
	return a.d
}

// pull writes the derivatives by the layer's parameters into out, given sums of those by φ: g, and for the second order
// their derivatives dg along p's vector.
func (f *folding) pull(p *parameters, g, dg, out []float64, o order) {
	links := make([]link, len(f.norms))
	given := func(i int) dual {
		if o == first {
			return dual{v: g[i]}
		}
		return dual{g[i], dg[i]}
	}
	var bySigmas [together]dual
	put := func(entry, i int, x dual) { out[p.first[entry]+i] = x.part(o) }
	for k := range f.channels {
		if k%together == 0 && f.weight >= 0 {
			f.pullWeights(p, k, min(together, f.channels-k), g, dg, out[p.first[f.weight]:], bySigmas[:], o)
		}
		f.channel(p, k, links)
		bySigma, byTau := given(f.by+f.index(k, 0)), given(f.byShift+k)
		if f.weight >= 0 {
			bySigma = bySigmas[k%together]
		}
		for j := len(links) - 1; j >= 0; j-- {
			l, e := &links[j], p.graph.Nodes[f.norms[j]].Entries
			byS := bySigma.times(l.sigma).plus(byTau.times(l.tau))
			put(e[0], k, byS.scale(l.deviation))
			put(e[1], k, byTau)
			bySigma, byTau = bySigma.times(l.s), byTau.times(l.s)
		}
		if f.bias >= 0 {
			put(f.bias, k, byTau)
		}
	}
}

// together is how many channels, and how many terms of each, are pulled at a time: sums and parameters lie in other orders, and each
// page is turned to once.
const together = 64

// pullWeights writes the derivatives by the weights of count channels from k on into out, and those by their σ into bySigmas.
func (f *folding) pullWeights(p *parameters, k, count int, g, dg, out []float64, bySigmas []dual, o order) {
	var sigmas [together]dual
	var own [together][]float32
	var along [together][]float64
	links := make([]link, len(f.norms))
	for c := range count {
		sigmas[c], _ = f.channel(p, k+c, links)
		own[c], along[c] = f.weights(p, k+c)
		bySigmas[c] = dual{}
	}
	var places [together]int // of terms, by their distance from the first's, which is the same for all channels
	for from := 0; from < f.terms; from += together {
		n := min(together, f.terms-from)
		for i := range n {
			places[i] = f.index(0, from+i) - f.index(0, 0)
		}
		for c := range count {
			dst, own, sigma, sum := out[(k+c)*f.terms+from:][:n], own[c][from:][:n], sigmas[c], bySigmas[c]
			g := g[f.by+f.index(k+c, 0):]
			if o == first {
				for i, w := range own {
					by := g[places[i]]
					sum.v += float64(float64(w) * by)
					dst[i] = sigma.v * by
				}
				bySigmas[c] = sum
				continue
			}
			dg, along := dg[f.by+f.index(k+c, 0):], along[c][from:][:n]
			for i, w := range own {
				by, dBy := g[places[i]], dg[places[i]]
				sum.v += float64(float64(w) * by)
				sum.d += float64(float64(w)*dBy) + float64(along[i]*by)
				dst[i] = float64(sigma.v*dBy) + float64(sigma.d*by)
			}
			bySigmas[c] = sum
		}
	}
}
