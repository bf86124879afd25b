package main

import (
	"fmt"
	"slices"
	"strings"
)

// result is the measurement of one network with so many threads. The first contender is lsrun.
type result struct {
	network    string
	macs       int64
	threads    int
	contenders []*contender
	pauses     []float64 // busy share of the processors while nobody has a turn
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio is how many times as fast as other lsrun is: by the medians, and the least and the most
// of any round.
func (r result) ratio(other *contender) (mid, least, most float64) {
	own := r.contenders[0]
	rounds := make([]float64, len(own.rates))
	for i := range rounds {
		rounds[i] = own.rates[i] / other.rates[i]
	}
	return median(own.rates) / median(other.rates), slices.Min(rounds), slices.Max(rounds)
}

// fastest is the fastest contender of the given groups, nil if there is none.
func (r result) fastest(groups ...group) *contender {
	var best *contender
	for _, c := range r.contenders {
		if slices.Contains(groups, c.group) && (best == nil || median(c.rates) > median(best.rates)) {
			best = c
		}
	}
	return best
}

const about = `
Medians over the rounds; every engine in turn, with the same weights and images, its logits checked. Loading of data
is not counted, lsrun's preparation of the weights is. A ratio is lsrun's images/s by the other's. Where others keep
the processors busy in the pauses, the numbers mean little: engines with OpenMP suffer most.

`

// markdown is the whole report.
func markdown(title, about string, facts []string, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", title)
	for _, f := range facts {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	b.WriteString(about)
	summary(&b, results)
	b.WriteString("\n")
	details(&b, results)
	return b.String()
}

// column is of the summary: lsrun beside the fastest of some groups.
type column struct {
	title  string
	groups []group
}

var columns = []column{
	{"PyTorch as the paper runs it", []group{eager}},
	{"PyTorch's best", []group{eager, tuned}},
	{"ONNX Runtime", []group{onnx}},
	{"pacer", []group{pacer}},
	{"lsrun --exact", []group{exact}},
}

func summary(b *strings.Builder, results []result) {
	columns := slices.DeleteFunc(slices.Clone(columns), func(c column) bool { // nobody of these competed
		return !slices.ContainsFunc(results, func(r result) bool { return r.fastest(c.groups...) != nil })
	})
	b.WriteString("| network | threads | lsrun, images/s |")
	for _, column := range columns {
		fmt.Fprintf(b, " by %s |", column.title)
	}
	b.WriteString(" busy in pauses |\n| --- | ---: | ---: |" + strings.Repeat(" ---: |", len(columns)+1) + "\n")
	for _, r := range results {
		fmt.Fprintf(b, "| %s | %d | %s |", r.network, r.threads, digits(median(r.contenders[0].rates)))
		for _, column := range columns {
			if c := r.fastest(column.groups...); c != nil {
				mid, _, _ := r.ratio(c)
				fmt.Fprintf(b, " %.2f |", mid)
			} else {
				b.WriteString(" |")
			}
		}
		fmt.Fprintf(b, " %.0f %% |\n", 100*median(r.pauses))
	}
}

func details(b *strings.Builder, results []result) {
	b.WriteString("| network | threads | engine | images/s | GFLOP/s | ratio | of single rounds |\n")
	b.WriteString("| --- | ---: | --- | ---: | ---: | ---: | ---: |\n")
	for _, r := range results {
		for _, c := range r.contenders {
			rate := median(c.rates)
			mid, least, most := r.ratio(c)
			fmt.Fprintf(b, "| %s | %d | %s | %s | %.0f | %.2f | %.2f–%.2f |\n",
				r.network, r.threads, c.title(), digits(rate), 2e-9*rate*float64(r.macs), mid, least, most)
		}
	}
}

// digits writes a rate with as many digits as mean something.
func digits(rate float64) string {
	if rate < 100 {
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}
