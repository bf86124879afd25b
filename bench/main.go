// Bench measures lsrun's engine beside PyTorch and ONNX Runtime on this machine: make bench.
//
// All engines evaluate the same network with the same weights and images (nn/zoo/formula); their
// logits are compared first. Then they take turns, round by round, so that a machine that
// drifts drifts for all of them. The other engines are programs that stay alive in between
// (child.go) and sleep while another runs. With -hessian they find the ends of the Hessian's spectrum instead (hessian.go), with -train they differentiate in train mode (training.go).
package main

import (
	"cmp"
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

// Networks that are measured where none is named.
const (
	usual        = "resnet20,resnet56,vgg9,wrn56_4,densenet121,resnet18,alexnet"
	usualCurved  = "resnet20,resnet56,vgg9"
	usualTrained = "resnet20"
)

type options struct {
	nets    []string
	threads []int
	rounds  int
	images  int           // a turn; 0: as many as take length
	length  time.Duration // of a turn
	all     bool
	hessian bool
	train   bool
	gpu     bool
	compile bool
	report  string
}

func parse() (o options, err error) {
	nets := flag.String("nets", "", "networks, as lsrun models lists them (default "+usual+"; with -hessian "+usualCurved+"; with -train "+usualTrained+")")
	threads := flag.String("threads", "1,2", "numbers of threads; -hessian takes the largest")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds (0: five, or one with -all or -hessian)")
	flag.IntVar(&o.images, "images", 0, "images a turn (0: as many as take a turn's length), with -gpu of a point, of which lsrun does 32; or of the Hessian (0: 128)")
	flag.DurationVar(&o.length, "turn", 2*time.Second, "length of a turn")
	flag.BoolVar(&o.all, "all", false, "every network of the zoo, beside PyTorch as the paper runs it only")
	flag.BoolVar(&o.hessian, "hessian", false, "race pairs of eigenvalues of the Hessian instead, beside PyTorch and SciPy; with -gpu its products with a vector")
	flag.BoolVar(&o.train, "train", false, "race gradients in train mode instead, beside PyTorch")
	flag.BoolVar(&o.gpu, "gpu", false, "on an NVIDIA card, beside PyTorch there")
	flag.BoolVar(&o.compile, "compile", false, "with -gpu, also beside torch.compile, which takes minutes to start")
	flag.StringVar(&o.report, "o", "", "where the report goes (default build/bench.md; with -hessian build/bench-hessian.md, with -train build/bench-training.md)")
	flag.Parse()
	names, report := usual, "build/bench.md"
	switch {
	case o.hessian:
		names, report = usualCurved, "build/bench-hessian.md"
	case o.train:
		names, report = usualTrained, "build/bench-training.md"
	}
	o.nets, o.report = strings.Split(cmp.Or(*nets, names), ","), cmp.Or(o.report, report)
	if o.all {
		o.nets = zoo.Names()
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.all || o.hessian {
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
		switch {
		case o.hessian && o.gpu:
			err = raceProducts(ctx, o.nets)
		case o.hessian:
			err = raceHessians(ctx, o)
		case o.train:
			err = raceTraining(ctx, o)
		default:
			err = bench(ctx, o)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench writes the report anew after each network: a run that ends early has one too.
func bench(ctx context.Context, o options) error {
	facts := machine()
	var results []result
	for _, threads := range o.threads {
		for _, name := range o.nets {
			fmt.Fprintf(os.Stderr, "%s, %d threads\n", name, threads)
			r, said, err := compete(ctx, o, name, threads)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			facts = gather(facts, said)
			results = append(results, r)
			if err := os.WriteFile(o.report, []byte(markdown("lsrun beside other engines", about, facts, results)), 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Print(markdown("lsrun beside other engines", about, facts, results))
	return nil
}

// gather adds what is not among the facts yet.
func gather(facts, said []string) []string {
	for _, s := range said {
		if !slices.Contains(facts, s) {
			facts = append(facts, s)
		}
	}
	return facts
}

// compete measures one network. It also tells what the engines say of themselves.
func compete(ctx context.Context, o options, name string, threads int) (r result, facts []string, err error) {
	set := 0
	if o.gpu {
		set = o.images
	}
	n, err := newNetwork(name, set)
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
			if o.gpu && c.group == ours {
				c.turn.Passes = pointsOnCard
			}
		}
	}
	pauses, err := alternate(ctx, ready, o.rounds)
	return result{name, n.graph.MACs(), threads, ready, pauses}, l.facts, err
}
