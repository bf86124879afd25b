package main

import (
	"fmt"
	"strings"
)

// hessianResult is the measurement of one network. The first two finders are lsrun; of the counts the last is the paper's.
type hessianResult struct {
	network         string
	threads, images int
	finders         []*finder
	counts          []*finder // over the points of a grid
	pauses          []float64 // as in result
}

// mean is the mean over what was found.
func (f *finder) mean(of func(ends) float64) float64 {
	sum := 0.0
	for _, e := range f.found {
		sum += of(e)
	}
	return sum / float64(len(f.found))
}

func seconds(e ends) float64      { return e.Seconds }
func ofProcessors(e ends) float64 { return e.Processor }
func products(e ends) float64     { return float64(e.Products) }
func inProducts(e ends) float64   { return e.InProducts }

// product is the seconds that a product takes.
func (f *finder) product() float64 { return f.mean(inProducts) / f.mean(products) }

func hessianMarkdown(facts []string, results []hessianResult) string {
	var b strings.Builder
	b.WriteString("# Hessian eigenvalues: lsrun beside PyTorch and SciPy\n\n")
	for _, f := range facts {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	b.WriteString(`
λmax and λmin of the mean loss's Hessian by the tensors of more than one dimension, every program in turn, with the same
weights and images; a product was compared with PyTorch's in float64. Means over the rounds. As the paper: double backward
anew for every product, float32, SciPy's ` + "`eigsh`" + ` with a tolerance of 1e-2, and again after a shift by 0.51·λ₁.
lsrun's Lanczos in PyTorch: the gradient's graph is kept, and freed pages are. ResNet-20 is the reference's, trained; other
networks have weights by a formula. A forward pass is the same engine's over the same images, batch norm frozen. An error
is the worst of all, relative to the larger magnitude. Where others keep the processors busy in the pauses, the times mean
little, and those of engines with OpenMP least.

`)
	b.WriteString("| network | images | threads | both ends by | s a pair | lsrun to 1e-2 is faster by | to 1e-3 by | processors' s a pair | products | s a product | in forward passes | error of λmax | of λmin | busy in pauses |\n")
	b.WriteString("| --- | ---: | ---: | --- |" + strings.Repeat(" ---: |", 10) + "\n")
	for _, r := range results {
		for _, f := range r.finders {
			pair, product := f.mean(seconds), f.product()
			largest, smallest := f.worst()
			fmt.Fprintf(&b, "| %s | %d | %d | %s | %.3g | %.2f | %.2f | %.3g | %.1f | %.3g | %.1f | %.1g | %.1g | %.0f %% |\n", r.network, r.images, r.threads, f.name,
				pair, pair/r.finders[0].mean(seconds), pair/r.finders[1].mean(seconds), f.mean(ofProcessors), f.mean(products), product, product/median(f.forwards),
				largest, smallest, 100*median(r.pauses))
		}
	}
	for _, r := range results {
		if len(r.counts[0].found) > 0 {
			countTable(&b, r)
		}
	}
	return b.String()
}

// worst are the largest errors of both ends.
func (f *finder) worst() (largest, smallest float64) {
	for _, e := range f.errors {
		largest, smallest = max(largest, e[0]), max(smallest, e[1])
	}
	return largest, smallest
}

// countTable is the table of the products over a grid.
func countTable(b *strings.Builder, r hessianResult) {
	fmt.Fprintf(b, "\nProducts for both ends of %s over the grid of %d points, `eigsh` having been given lsrun's:\n\n", r.network, len(r.counts[0].found))
	b.WriteString("| both ends by | mean | least | most | of `eigsh`'s | error of λmax | of λmin |\n| --- |" + strings.Repeat(" ---: |", 6) + "\n")
	for _, f := range r.counts {
		least, most := f.found[0].Products, 0
		for _, e := range f.found {
			least, most = min(least, e.Products), max(most, e.Products)
		}
		share := f.mean(products) / r.counts[len(r.counts)-1].mean(products)
		largest, smallest := f.worst()
		fmt.Fprintf(b, "| %s | %.1f | %d | %d | %.0f %% | %.1g | %.1g |\n", f.name, f.mean(products), least, most, 100*share, largest, smallest)
	}
}
