// Bench measures lsrun's engine beside PyTorch and ONNX Runtime on this machine: make bench.
//
// All engines evaluate the same network with the same weights and images (nn/zoo/formula); their
// logits are compared first. Then they take turns, round by round, so that a machine that
// drifts drifts for all of them. The other engines are programs that stay alive in between
// (child.go) and sleep while another runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lsrun/nn/zoo"
)

// modules is where bench/setup puts onnxruntime-node; a path from the repository's root.
const modules = "build/bench"

type options struct {
	nets    []string
	threads []int
	rounds  int
	images  int           // a turn; 0: as many as take length
	length  time.Duration // of a turn
	all     bool
	gpu     bool
	compile bool
	product bool
	report  string
}

func parse() (o options, err error) {
	nets := flag.String("nets", "resnet20,resnet56,vgg9,wrn56_4,densenet121,resnet18,alexnet", "networks, as lsrun models lists them")
	threads := flag.String("threads", "1,2", "numbers of threads")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds (0: five, or one with -all)")
	flag.IntVar(&o.images, "images", 0, "images a turn (0: as many as take a turn's length)")
	flag.DurationVar(&o.length, "turn", 2*time.Second, "length of a turn")
	flag.BoolVar(&o.all, "all", false, "every network of the zoo, beside PyTorch as the paper runs it only")
	flag.BoolVar(&o.gpu, "gpu", false, "on an NVIDIA card, beside PyTorch there")
	flag.BoolVar(&o.compile, "compile", false, "with -gpu, also beside torch.compile, which takes minutes to start")
	flag.BoolVar(&o.product, "products", false, "with -gpu, Hessian-vector products instead of evaluations")
	flag.StringVar(&o.report, "o", "build/bench.md", "where the report goes")
	flag.Parse()
	o.nets = strings.Split(*nets, ",")
	if o.all {
		o.nets = zoo.Names()
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.all {
			o.rounds = 1
		}
	}
	for _, t := range strings.Split(*threads, ",") {
		n, err := strconv.Atoi(t)
		if err != nil {
			return o, err
		}
		o.threads = append(o.threads, n)
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse()
	if err == nil {
		err = bench(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench writes the report anew after each network: a run that ends early has one too.
func bench(ctx context.Context, o options) error {
	if o.gpu && o.product {
		for _, name := range o.nets {
			if err := raceProducts(ctx, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}
	facts := machine()
	var results []result
	for _, threads := range o.threads {
		for _, name := range o.nets {
			fmt.Fprintf(os.Stderr, "%s, %d threads\n", name, threads)
			r, said, err := compete(ctx, o, name, threads)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for _, s := range said {
				if !slices.Contains(facts, s) {
					facts = append(facts, s)
				}
			}
			results = append(results, r)
			if err := os.WriteFile(o.report, []byte(markdown(facts, results)), 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Print(markdown(facts, results))
	return nil
}

// compete measures one network. It also tells what the engines say of themselves.
func compete(ctx context.Context, o options, name string, threads int) (r result, facts []string, err error) {
	n, err := newNetwork(name)
	if err != nil {
		return r, nil, err
	}
	defer os.RemoveAll(n.folder)
	l := &lineup{network: n, threads: threads}
	defer l.close()
	assemble := func() error { return l.assemble(ctx, o.all) }
	if o.gpu {
		assemble = func() error { return l.assembleOnCard(ctx, o.compile) }
	}
	if err := assemble(); err != nil {
		return r, nil, err
	}
	var ready []*contender
	for _, c := range l.contenders {
		err := agree(ctx, c, l.reference)
		if err == nil {
			err = c.prepare(ctx, n.images.Len(), o.length)
		}
		if err != nil && o.gpu && c.group != ours { // another machine's PyTorch may lack something
			l.facts = append(l.facts, fmt.Sprintf("left out: %s: %v", name, err))
			continue
		}
		if err != nil {
			return r, nil, err
		}
		ready = append(ready, c)
		if o.images > 0 {
			c.turn.Images, c.turn.Passes = min(o.images, n.images.Len()), 1
		}
	}
	pauses, err := alternate(ctx, ready, o.rounds)
	return result{name, n.graph.MACs(), threads, ready, pauses}, l.facts, err
}
