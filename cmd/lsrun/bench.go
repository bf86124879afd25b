package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/cpu/kernel"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/nn/zoo/formula"
)

// benchNetworks are measured unless others are named.
var benchNetworks = []string{"resnet20", "resnet56", "vgg9", "wrn56_4", "densenet121", "resnet18", "alexnet"}

var benchCommand = &cli.Command{
	Name:      "bench",
	Usage:     "measure how fast this machine evaluates networks, or what a planned run would cost",
	ArgsUsage: "[NET…]",
	Description: `Evaluates networks with made-up weights on made-up images: ` + strings.Join(benchNetworks, ", ") + `
unless others are named (lsrun models lists them).

   GFLOP/s      two operations for every multiply-add of direct convolutions, whatever is really
                computed: Winograd's transforms do with fewer, so that this may exceed the peak
   peak         fused multiply-adds in registers, by the same threads at once, measured first
   preparation  what a point costs before its images: the weights are combined and packed. It is the
                time of a point over one image a thread, less that of the layers then; images/s
                is the median of several rounds, from each of which it is subtracted

With --run it says instead what a planned run would cost here; nothing is computed for it.`,
	Flags: slices.Concat([]cli.Flag{
		&cli.StringFlag{Name: "threads", Usage: "numbers of threads, `N1,N2,…`, to measure one after another; speed-ups refer to the first", DefaultText: "as many as run takes"},
		&cli.BoolFlag{Name: "layers", Usage: "a table of the layers too, measured on one thread"},
		&cli.BoolFlag{Name: "exact", Usage: "compute every sum directly, without Winograd's transforms"},
		&cli.StringFlag{Name: "kernel", Usage: "an arithmetic or an instruction set: fma, plain, avx2, avx512", DefaultText: "the fastest"},
		&cli.Float64Flag{Name: "seconds", Usage: "for each measurement, about", Value: 2},
		&cli.IntFlag{Name: "images", Usage: "in a round", DefaultText: "as many as fit the time"},
		&cli.BoolFlag{Name: "json", Usage: "for programs: an object for each network and number of threads, one a line"},
		&cli.StringFlag{Name: "run", Usage: "what the planned run in the folder `RUN` would cost"},
	}, movedFlags),
	Action: benchAction,
}

func benchAction(c *cli.Context) error {
	threads, err := threadList(c)
	if err != nil {
		return err
	}
	seconds := c.Float64("seconds")
	if !(seconds > 0 && seconds <= 3600) {
		return usagef("--seconds %v: more than 0, and at most an hour", seconds)
	}
	limit := time.Duration(seconds * float64(time.Second))
	if c.IsSet("run") {
		return benchRun(c, threads, limit)
	}
	if c.IsSet("data") || c.IsSet("labels") {
		return usagef("--data and --labels are for --run: networks are measured on made-up images")
	}
	graphs, err := benchGraphs(c)
	if err != nil {
		return err
	}
	b, err := newBench(c, threads, limit)
	if err != nil {
		return err
	}
	for _, g := range graphs {
		if err := b.network(c.Context, g); err != nil {
			return err
		}
	}
	return nil
}

// threadList reads --threads; without it, there is one number, that of run.
func threadList(c *cli.Context) ([]int, error) {
	if !c.IsSet("threads") {
		return []int{placeThreads()}, nil
	}
	var threads []int
	for _, word := range strings.Split(c.String("threads"), ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return nil, usagef("--threads %s: numbers of at least 1 separated by commas, as in 1,2,4", c.String("threads"))
		}
		threads = append(threads, n)
	}
	return threads, nil
}

// benchGraphs are the networks that the arguments name.
func benchGraphs(c *cli.Context) ([]*nn.Graph, error) {
	names := c.Args().Slice()
	if len(names) == 0 {
		names = benchNetworks
	}
	var graphs []*nn.Graph
	for _, name := range names {
		g, err := zoo.New(name, zoo.Options{})
		if err != nil {
			return nil, usagef("%v; lsrun models lists them", err)
		}
		graphs = append(graphs, g)
	}
	return graphs, nil
}

// bench is what the flags ask for, and the peaks that networks are compared with.
type bench struct {
	c       *cli.Context
	threads []int
	limit   time.Duration
	images  int // in a round; 0: as many as fit the limit
	kernel  kernel.Kernel
	peaks   []float64 // operations a second, by element of threads
}

// newBench measures the peaks.
func newBench(c *cli.Context, threads []int, limit time.Duration) (*bench, error) {
	b := &bench{c: c, threads: threads, limit: limit, images: c.Int("images")}
	if least := 2 * slices.Max(threads); c.IsSet("images") && b.images < least {
		return nil, usagef("--images %d: at least two for each thread, %d", b.images, least)
	}
	var err error
	if b.kernel, err = chooseKernel(c.String("kernel")); err != nil {
		return nil, usagef("--kernel: %v", err)
	}
	var text []string
	for _, n := range threads {
		peak := measurePeak(b.kernel, n)
		b.peaks = append(b.peaks, peak)
		text = append(text, fmt.Sprintf("%.1f GFLOP/s with %s", peak/1e9, plural(n, "thread")))
	}
	if !c.Bool("json") {
		fmt.Fprintf(c.App.Writer, "kernel      %s, whose peak here is %s\n\n", b.kernel.Name, strings.Join(text, ", "))
		if !c.Bool("layers") {
			b.printHeader()
		}
	}
	return b, nil
}

// chooseKernel is the kernel of an engine that is made with this name.
func chooseKernel(name string) (kernel.Kernel, error) {
	return kernel.Choose(strings.TrimSuffix(orElse(os.Getenv("LSRUN_KERNEL"), name), "-exact"))
}

// peakTrials and peakTime are how often the peak is measured, and for how long each time.
const (
	peakTrials = 5
	peakTime   = 20 * time.Millisecond
)

// measurePeak is the most operations a second that so many threads were seen to do together,
// additions and multiplications counted separately.
func measurePeak(k kernel.Kernel, threads int) float64 {
	rounds, best := 1000, 0.0
	for trial := 0; trial < peakTrials; {
		took := peakRounds(k, threads, rounds)
		if took < peakTime/2 {
			rounds *= 2
			continue
		}
		trial++
		best = max(best, 2*float64(k.PeakSums())*float64(rounds)*float64(threads)/took.Seconds())
	}
	return best
}

func peakRounds(k kernel.Kernel, threads, rounds int) time.Duration {
	var running sync.WaitGroup
	start := time.Now()
	for range threads {
		running.Go(func() { k.Peak(make([]float32, k.PeakSums()), 0.5, rounds) })
	}
	running.Wait()
	return time.Since(start)
}

// measurement is what was found for a network and a number of threads.
type measurement struct {
	Network         string         `json:"network"`
	Threads         int            `json:"threads"`
	ImagesPerSecond float64        `json:"images_per_second"`
	GFLOPS          float64        `json:"gflops"`
	PeakFraction    float64        `json:"peak_fraction"`
	PeakGFLOPS      float64        `json:"peak_gflops"`
	PrepareSeconds  float64        `json:"prepare_seconds"`
	Images          int            `json:"images"` // in a round
	Kernel          string         `json:"kernel"`
	InstructionSet  string         `json:"instruction_set"`
	Exact           bool           `json:"exact"`
	Layers          []benchedLayer `json:"layers,omitempty"`
}

// benched is a network with made-up weights, and what it takes for one image alone.
type benched struct {
	graph *nn.Graph
	plane nn.Plane
	alone time.Duration // of the layers, on one thread
}

// network measures g with all numbers of threads and prints what it finds.
func (b *bench) network(ctx context.Context, g *nn.Graph) error {
	if b.c.Bool("layers") && !b.c.Bool("json") {
		b.printHeader()
	}
	net := &benched{graph: g, plane: nn.Plane{Theta: formula.States(g, 1, 1)}}
	layers, err := b.profile(ctx, net, 1)
	if err != nil {
		return err
	}
	net.alone = total(layers)
	var shown []benchedLayer
	first := 0.0
	for i, threads := range b.threads {
		m, err := b.measure(ctx, net, threads)
		if err != nil {
			return fmt.Errorf("%s with %s: %w", g.Name, plural(threads, "thread"), err)
		}
		m.PeakGFLOPS = b.peaks[i] / 1e9
		m.PeakFraction = m.GFLOPS / m.PeakGFLOPS
		if i == 0 {
			first = m.ImagesPerSecond
			if shown, err = b.layers(ctx, net, first/float64(threads)); err != nil {
				return err
			}
		}
		m.Layers = shown
		if err := b.print(m, m.ImagesPerSecond/first); err != nil {
			return err
		}
	}
	if b.c.Bool("json") || shown == nil {
		return nil
	}
	return b.printLayers(shown)
}

// leastRounds is how many rounds there are even where they take longer than they should.
const leastRounds = 3

// measure takes medians over rounds of a point over many images and one over an image a thread.
func (b *bench) measure(ctx context.Context, net *benched, threads int) (*measurement, error) {
	e, err := b.engine(net, threads)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	g := net.graph
	few := formula.Images(1, threads, g.Input)
	if _, err := timePoint(ctx, e, few); err != nil { // the first one also makes the engine's buffers
		return nil, err
	}
	n := b.images
	if n == 0 {
		if n, err = b.fitting(ctx, e, threads); err != nil {
			return nil, err
		}
	}
	many := formula.Images(1, n, g.Input)
	var long, short []float64
	for start := time.Now(); len(long) < leastRounds || time.Since(start) < b.limit; {
		for _, m := range []struct {
			images *nn.Images
			times  *[]float64
		}{{many, &long}, {few, &short}} {
			seconds, err := timePoint(ctx, e, m.images)
			if err != nil {
				return nil, err
			}
			*m.times = append(*m.times, seconds)
		}
	}
	prepare := max(0, median(short)-net.alone.Seconds())
	took := median(long) - prepare
	if took <= 0 {
		return nil, fmt.Errorf("the time of %d images could not be told from that of preparing the weights: give more --seconds, or more --images", n)
	}
	rate := float64(n) / took
	return &measurement{Network: g.Name, Threads: threads, Images: n, PrepareSeconds: prepare,
		ImagesPerSecond: rate, GFLOPS: 2 * float64(g.MACs()) * rate / 1e9,
		Kernel: e.Kernel(), InstructionSet: b.kernel.Name, Exact: strings.HasSuffix(e.Kernel(), "-exact")}, nil
}

func (b *bench) engine(net *benched, threads int) (*cpu.Engine, error) {
	e, err := cpu.New(net.graph, nn.CrossEntropy, cpu.Options{Threads: threads, Kernel: b.c.String("kernel"), Exact: b.c.Bool("exact")})
	if err != nil {
		return nil, err
	}
	return e, e.SetPlane(net.plane)
}

// Limits of a round.
const (
	groupImages = 96      // what a thread may take at a time: less, and weights are read too often
	mostImages  = 10_000  // more tell nothing new
	mostPixels  = 1 << 28 // 1 GB
	roundShare  = 8       // of the time for a measurement
)

// fitting is how many images a round has, whole groups for every thread.
func (b *bench) fitting(ctx context.Context, e *cpu.Engine, threads int) (int, error) {
	room, groups := mostPixels/e.Graph.Input.Size(), groupImages*threads
	if groups >= room {
		return max(room, 2*threads), nil
	}
	seconds, err := timePoint(ctx, e, formula.Images(1, groups, e.Graph.Input))
	if err != nil {
		return 0, err
	}
	most := min(float64(groups)/seconds*b.limit.Seconds()/roundShare, mostImages, float64(room))
	return max(1, int(most)/groups) * groups, nil
}

// timePoint is how many seconds a point over the images takes.
func timePoint(ctx context.Context, e engine.Engine, images *nn.Images) (float64, error) {
	set, err := e.Load(images)
	if err != nil {
		return 0, err
	}
	outs := []engine.Output{engine.NewOutput(images.Len(), 0)}
	start := time.Now()
	err = e.Evaluate(ctx, set, []nn.Point{{}}, outs)
	return time.Since(start).Seconds(), err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// benchedLayer is what a layer takes on one thread.
type benchedLayer struct {
	Name         string   `json:"name"`
	Algorithm    string   `json:"algorithm"`
	Output       nn.Shape `json:"output"`
	Microseconds float64  `json:"microseconds_per_image"`
	GFLOPS       float64  `json:"gflops"`
	Share        float64  `json:"share"` // of the time of all layers
}

// layers are those of the network, if they are wanted, over as many images as fit the time at
// about the given images/s.
func (b *bench) layers(ctx context.Context, net *benched, rate float64) ([]benchedLayer, error) {
	if !b.c.Bool("layers") {
		return nil, nil
	}
	n := b.images
	if n == 0 {
		n = max(groupImages, int(min(rate*b.limit.Seconds(), mostImages, float64(mostPixels/net.graph.Input.Size()))))
	}
	profiled, err := b.profile(ctx, net, n)
	if err != nil {
		return nil, err
	}
	all := total(profiled)
	var layers []benchedLayer
	for _, l := range profiled {
		layer := benchedLayer{Name: l.Name, Algorithm: l.Algorithm, Output: l.Shape,
			Microseconds: 1e6 * l.Time.Seconds() / float64(n), Share: float64(l.Time) / float64(all)}
		if l.Time > 0 {
			layer.GFLOPS = 2 * float64(l.MACs) * float64(n) / l.Time.Seconds() / 1e9
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// profile times the layers over n images on one thread.
func (b *bench) profile(ctx context.Context, net *benched, n int) ([]cpu.Layer, error) {
	e, err := b.engine(net, 1)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	set, err := e.Load(formula.Images(1, n, net.graph.Input))
	if err != nil {
		return nil, err
	}
	layers, _, err := e.Profile(ctx, set, nn.Point{})
	return layers, err
}

// total is the time of all layers.
func total(layers []cpu.Layer) time.Duration {
	var all time.Duration
	for _, l := range layers {
		all += l.Time
	}
	return all
}

func (b *bench) nameWidth() int {
	width := 0
	for _, name := range append(b.c.Args().Slice(), benchNetworks...) {
		width = max(width, len(name))
	}
	return width
}

func (b *bench) printHeader() {
	fmt.Fprintf(b.c.App.Writer, "%-*s  threads  images/s  GFLOP/s  of peak  speed-up  preparation\n", b.nameWidth(), "network")
}

// print writes a measurement, as soon as it is there.
func (b *bench) print(m *measurement, speedUp float64) error {
	if b.c.Bool("json") {
		return json.NewEncoder(b.c.App.Writer).Encode(m)
	}
	fmt.Fprintf(b.c.App.Writer, "%-*s  %7d  %8.0f  %7.1f  %6.0f%%  %8.2f  %8.2f ms\n", b.nameWidth(), m.Network,
		m.Threads, m.ImagesPerSecond, m.GFLOPS, 100*m.PeakFraction, speedUp, 1e3*m.PrepareSeconds)
	return nil
}

func (b *bench) printLayers(layers []benchedLayer) error {
	table := tabwriter.NewWriter(b.c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nlayer\talgorithm\toutput\tµs/image\tGFLOP/s\tshare")
	for _, l := range layers {
		gflops := ""
		if l.GFLOPS > 0 {
			gflops = fmt.Sprintf("%7.1f", l.GFLOPS)
		}
		fmt.Fprintf(table, "%s\t%s\t%v\t%8.2f\t%s\t%4.1f%%\n", l.Name, l.Algorithm, l.Output, l.Microseconds, gflops, 100*l.Share)
	}
	fmt.Fprintln(table)
	return table.Flush()
}

// benchRun tells what a planned run would cost with each number of threads.
func benchRun(c *cli.Context, threads []int, limit time.Duration) error {
	if c.NArg() > 0 {
		return usagef("--run measures the network of the plan, and got others: %q", c.Args().Slice())
	}
	for _, flag := range []string{"kernel", "exact", "images", "layers"} {
		if c.IsSet(flag) {
			return usagef("--%s is not for --run: the plan says what is computed", flag)
		}
	}
	job, err := openJob(c.String("run"))
	if err != nil {
		return err
	}
	s := &subject{graph: job.graph, loss: job.loss, theta: job.plane.Theta, data: job.plan.Data}
	if s.set, s.images, err = job.loadImages(c.String("data"), c.String("labels")); err != nil {
		return err
	}
	for _, n := range threads {
		if err := job.price(c, s, n, limit); err != nil {
			return err
		}
	}
	return nil
}

// price prints what the run costs with so many threads.
func (j *job) price(c *cli.Context, s *subject, threads int, limit time.Duration) error {
	e, err := j.newEngine(worker{threads: threads})
	if err != nil {
		return err
	}
	defer e.Close()
	var t *trial
	for _, limit := range []time.Duration{0, limit} { // the first one also makes the engine's buffers
		if t, err = tryNetwork(c.Context, s, e, limit); err != nil {
			return err
		}
	}
	k := s.cost(j.plan, t.rate, threads, memory(e, s, j.plan, threads, storedBytes(s.set)))
	if !c.Bool("json") {
		k.report(c.App.Writer)
		return nil
	}
	return json.NewEncoder(c.App.Writer).Encode(map[string]any{
		"run": j.run.Dir, "network": s.graph.Name, "kernel": e.Kernel(), "points": k.points, "images": k.images,
		"threads": k.threads, "images_per_second": k.rate, "seconds_per_point": k.pointSeconds(),
		"wall_seconds": k.seconds(), "cpu_hours": k.cpuHours(), "memory_bytes": k.memory})
}
