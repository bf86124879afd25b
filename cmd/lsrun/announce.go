package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os/exec"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"

	"lsrun/io/dataset"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/direction"
	"lsrun/nn/engine"
	"lsrun/shard"
	"lsrun/slurm"
)

// calibrationTime is how long plan, check and hessian evaluate the trained network at most.
const calibrationTime = 20 * time.Second

// announce prints what the run will compute, and what the trained network does on a part
// of the data: its speed, its accuracy, and whether the axes end where they should.
func announce(c *cli.Context, s *subject, run *shard.Run, plane nn.Plane) error {
	out, plan := c.App.Writer, run.Plan
	e, err := newEngine(s.graph, s.loss, plane, worker{threads: threads(c)}, plan.Device, plan.Kernel)
	if err != nil && plan.Device != onCard { // planning needs no card
		return err
	}
	without := err
	if without == nil {
		defer e.Close()
	}
	fmt.Fprintf(out, "plan        %.12s in %s\n", run.ID, run.Dir)
	fmt.Fprintf(out, "network     %s: %s parameters, %s multiply-adds an image, kernel %s\n",
		s.graph.Name, count(int64(s.graph.Parameters())), magnitude(float64(s.graph.MACs())), plan.Kernel)
	describeDirections(out, s, plan, plane)
	describeGrid(out, plan)
	if without != nil {
		fmt.Fprintf(out, "not tried   %v\n", without)
		announceNext(out, run.Dir)
		return nil
	}
	trial, err := tryNetwork(c.Context, s, e, calibrationTime)
	if err != nil {
		return err
	}
	trial.report(c, s)
	if s.logits != "" {
		fmt.Fprintf(out, "logits      %s\n", s.logits)
	}
	if err := s.checkEnds(c, e, trial); err != nil {
		return err
	}
	s.cost(plan, trial.rate, threads(c), memory(e, s, plan, runtime.GOMAXPROCS(0), storedBytes(s.set))).report(out)
	announceNext(out, run.Dir)
	return nil
}

// announceNext says what computes the run, here and on a cluster.
func announceNext(out io.Writer, dir string) {
	fmt.Fprintf(out, "next        lsrun run %s\n", slurm.ShellQuote(dir))
	if _, err := exec.LookPath("sbatch"); err == nil {
		fmt.Fprintf(out, "or          lsrun submit %s\n", slurm.ShellQuote(dir))
	}
}

// threads is --threads, or every core that the process may use.
func threads(c *cli.Context) int {
	if n := c.Int("threads"); n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}

func describeGrid(out io.Writer, plan *shard.Plan) {
	axes := "x " + plan.Grid.X.String()
	if plan.Grid.Y != nil {
		axes += ", y " + plan.Grid.Y.String()
	}
	fmt.Fprintf(out, "grid        %s: %s in %s of up to %s\n", axes, plural(plan.Grid.Points(), "point"), plural(len(plan.Units()), "unit"), count(int64(mostPoints(plan))))
	if h := plan.Hessian; h != nil {
		fmt.Fprintf(out, "hessian     %s, at %s\n", describeHessian(h), plural(h.Points(plan.Grid), "point"))
	}
	fmt.Fprintf(out, "data        %s, preprocessing %s: %s training and %s test images, %s\n",
		plan.Data.Dataset, plan.Data.Preprocess, count(int64(plan.Data.Train)), count(int64(plan.Data.Test)), plan.Loss)
}

// mostPoints is the number of points of the largest unit.
func mostPoints(plan *shard.Plan) int {
	most := 0
	for _, u := range plan.Units() {
		most = max(most, u.Count)
	}
	return most
}

// describeDirections says what the directions are and how far from orthogonal.
func describeDirections(out io.Writer, s *subject, plan *shard.Plan, plane nn.Plane) {
	d := plan.Directions
	fmt.Fprintf(out, "directions  over %s, %s\n", d.Type, describeSource(d))
	if plane.Y == nil || d.Same {
		return
	}
	cosine := direction.Cosine(plane.X, plane.Y)
	fmt.Fprintf(out, "            cosine between them %+.4f", cosine)
	if math.Abs(cosine) > 0.9999 {
		fmt.Fprint(out, ": they are parallel, so that the plane is a line")
	}
	if d.Source == "random" {
		naive, effective := direction.ExpectedCosine(s.graph, s.theta, d.Type == "states", scaling(d.X), scaling(*d.Y))
		fmt.Fprintf(out, "; random ones of this normalisation have ±%.4f (%.4f were all entries alike)", effective, naive)
	}
	fmt.Fprintln(out)
}

func scaling(d shard.Direction) direction.Scaling {
	return direction.Scaling{Norm: direction.Norm(d.Norm), Ignore: direction.Ignore(d.Ignore)}
}

// programMemory is what the program takes whatever it evaluates.
const programMemory = 48 << 20

// cost is what a run takes on this machine, all its points by one worker.
type cost struct {
	points, images int     // images of a point
	hessian        float64 // forward passes over an image that the curvature of a point is worth, in the mean of all points
	macs           float64 // of all points
	rate           float64 // images a second
	threads        int
	memory         int64 // of a worker, in bytes
}

func (s *subject) cost(plan *shard.Plan, rate float64, threads int, memory int64) cost {
	k := cost{points: plan.Grid.Points(), images: plan.Data.Train + plan.Data.Test, rate: rate, threads: threads, memory: memory}
	if h := plan.Hessian; h != nil {
		k.hessian = float64(plan.Work.Hessian) / float64(s.graph.MACs()) * float64(h.Points(plan.Grid)) / float64(k.points)
	}
	k.macs = float64(k.points) * (float64(k.images) + k.hessian) * float64(s.graph.MACs())
	return k
}

// pointSeconds and seconds are the time of a point and of all points.
func (k cost) pointSeconds() float64 { return (float64(k.images) + k.hessian) / k.rate }
func (k cost) seconds() float64      { return float64(k.points) * k.pointSeconds() }

// cpuHours is the time of all threads together.
func (k cost) cpuHours() float64 { return k.seconds() * float64(k.threads) / time.Hour.Seconds() }

// curvature is what Hessians add to a point's images.
func (k cost) curvature() string {
	if k.hessian == 0 {
		return ""
	}
	return fmt.Sprintf(" and Hessians worth some %s more", count(int64(k.hessian)))
}

func (k cost) report(out io.Writer) {
	fmt.Fprintf(out, "work        %s × %s = %s multiply-adds; %s of memory a worker\n",
		plural(k.points, "point"), plural(k.images, "image")+k.curvature(), magnitude(k.macs), megabytes(k.memory))
	fmt.Fprintf(out, "estimate    %s on this machine with %s (%.0f images/s): %.3g s a point, %.2g CPU hours\n",
		lasting(time.Duration(k.seconds()*float64(time.Second))), plural(k.threads, "thread"), k.rate, k.pointSeconds(), k.cpuHours())
}

// memory is what a worker takes of the host: the data, which has so many bytes as it is
// stored, the plane, the engine's own, and the program.
func memory(e engine.Engine, s *subject, plan *shard.Plan, threads int, stored int64) int64 {
	var perThread, shared int64
	if e, ok := e.(*cpu.Engine); ok {
		perThread, shared = e.Memory()
		if h := plan.Hessian; h != nil {
			shared += e.DerivativeMemory(h.Images)
		}
	}
	if h := plan.Hessian; h != nil {
		const others = 20 // vectors beside the basis: gradient, starts, what is handed on, and those of traces
		shared += 8 * int64(basis(h)+2*h.TopK+others) * int64(s.graph.Parameters())
		if h.Choice == "balanced" { // its images are copies
			shared += 4 * int64(h.Images) * int64(s.graph.Input.Size())
		}
	}
	for _, images := range []int{plan.Data.Train, plan.Data.Test} {
		if images > 0 && images < threads { // every thread has a point of its own
			shared *= int64(threads)
			break
		}
	}
	pixels := 4 * int64(plan.Data.Train+plan.Data.Test) * int64(s.graph.Input.Size())
	return stored + pixels + shared + int64(threads)*perThread + 3*4*int64(s.theta.Elements()) + programMemory
}

// storedBytes is the size of a set's images as they are stored, which loading takes too.
func storedBytes(set *dataset.Set) int64 {
	var bytes int64
	for _, part := range []*dataset.Part{set.Train, set.Test} {
		if part != nil {
			bytes += int64(len(part.Bytes)) + 4*int64(len(part.Floats))
		}
	}
	return bytes
}

// trial is what the trained network does on some of the images.
type trial struct {
	what     string // "test" or "training"
	images   *nn.Images
	of       int     // images that the set holds
	rate     float64 // images a second
	loss     float64
	accuracy float64 // percent
}

// tryNetwork evaluates the trained network on as many test images as a time allows
// (training images where there are none), spread evenly over the set.
func tryNetwork(ctx context.Context, s *subject, e engine.Engine, limit time.Duration) (*trial, error) {
	all, t := s.images.test, &trial{what: "test"}
	if all != nil {
		t.of = len(s.set.Test.Labels)
	} else {
		all, t.what, t.of = s.images.train, "training", len(s.set.Train.Labels)
	}
	warm := false // the first evaluation makes what the others find made
	for n := min(all.Len(), 32*runtime.GOMAXPROCS(0)); ; warm = true {
		t.images = thin(all, n)
		set, err := e.Load(t.images)
		if err != nil {
			return nil, err
		}
		results := make([]engine.Output, e.Points(set))
		for i := range results {
			results[i] = engine.NewOutput(n, 0)
		}
		start := time.Now()
		if err := e.Evaluate(ctx, set, make([]nn.Point, len(results)), results); err != nil {
			return nil, err
		}
		took := time.Since(start)
		t.rate = float64(n*len(results)) / took.Seconds()
		result := results[0]
		t.loss, t.accuracy = mean(result.Loss), mean(verdicts(result.Predicted, t.images.Labels))
		more := min(all.Len(), int(t.rate*(limit-took).Seconds()))
		enough := more < 2*n && more < all.Len() || n == all.Len()
		if enough && (warm || more < n) {
			return t, nil
		}
		n = more
	}
}

// alone makes an engine for the trained network without directions.
func (s *subject) alone(c *cli.Context, device, kernel string) (engine.Engine, error) {
	e, err := newEngine(s.graph, s.loss, nn.Plane{Theta: s.theta}, worker{threads: threads(c)}, device, kernel)
	if err != nil && device == onCard {
		return nil, noCard("--device "+device, err)
	}
	return e, err
}

// tryAlone is tryNetwork on an engine of its own, which then gives its memory back.
func (s *subject) tryAlone(c *cli.Context, device, kernel string) (*trial, error) {
	e, err := s.alone(c, device, kernel)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return tryNetwork(c.Context, s, e, calibrationTime)
}

// thin returns n images of set, evenly spread.
func thin(set *nn.Images, n int) *nn.Images {
	if n == set.Len() {
		return set
	}
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i * set.Len() / n
	}
	return pick(set, numbers)
}

// pick copies the images of the given numbers.
func pick(set *nn.Images, numbers []int) *nn.Images {
	size := set.Shape.Size()
	out := &nn.Images{Shape: set.Shape, Pixels: make([]float32, 0, len(numbers)*size), Labels: make([]int32, 0, len(numbers))}
	for _, k := range numbers {
		out.Pixels = append(out.Pixels, set.Pixels[k*size:(k+1)*size]...)
		out.Labels = append(out.Labels, set.Labels[k])
	}
	return out
}

func (t *trial) String() string {
	which := fmt.Sprintf("all %s %s images", count(int64(t.of)), t.what)
	if n := t.images.Len(); n < t.of {
		which = fmt.Sprintf("%s of %s %s images", count(int64(n)), count(int64(t.of)), t.what)
	}
	return fmt.Sprintf("loss %.4f, accuracy %.2f %% on %s", t.loss, t.accuracy, which)
}

// report prints the trial, and a warning where the accuracy is not what it should be.
func (t *trial) report(c *cli.Context, s *subject) {
	unknown := ""
	if _, known := recordedAccuracy(c, s); !known {
		unknown = " (no accuracy is recorded to compare with: --expect-acc gives it)"
	}
	fmt.Fprintf(c.App.Writer, "checkpoint  %s: %v%s\n", source(s.file, c.String("checkpoint")).File, t, unknown)
	t.warn(c, s)
}

// warn prints a warning where the accuracy is not what it should be.
func (t *trial) warn(c *cli.Context, s *subject) {
	want, known := recordedAccuracy(c, s)
	chance := 100 / float64(s.graph.Classes)
	switch {
	case known && math.Abs(t.accuracy-want) > t.tolerance(want):
		fmt.Fprintf(c.App.ErrWriter, "lsrun: warning: the accuracy is %.2f %%, but should be %.2f %%: is the preprocessing (%s) that of the training?\n", t.accuracy, want, s.data.Preprocess)
		if t.accuracy < want {
			suggestPreset(c, s, t, want)
		}
	case t.accuracy <= chance+2*math.Sqrt(chance*(100-chance)/float64(t.images.Len())):
		fmt.Fprintf(c.App.ErrWriter, "lsrun: warning: the accuracy looks like chance (%.1f %%): a wrong preprocessing or a wrong model is the usual cause\n", chance)
	}
}

// tolerance is how far the accuracy may be from want: half a point, or three standard
// errors of a sample from a set with that accuracy.
func (t *trial) tolerance(want float64) float64 {
	n := float64(t.images.Len())
	return math.Max(0.5, 3*math.Sqrt(want*math.Max(100-want, 0)/n*(1-n/float64(t.of))))
}

// recordedAccuracy is what --expect-acc or the checkpoint says, in percent. A recorded 0
// is a place left empty, not an accuracy.
func recordedAccuracy(c *cli.Context, s *subject) (float64, bool) {
	if c.IsSet("expect-acc") {
		return c.Float64("expect-acc"), true
	}
	if s.file.Accuracy != nil && *s.file.Accuracy > 0 {
		return *s.file.Accuracy, true
	}
	return 0, false
}

// suggestPreset names the preprocessing whose accuracy is nearest to what it should be.
func suggestPreset(c *cli.Context, s *subject, t *trial, want float64) {
	best, bestGap := "", math.Abs(t.accuracy-want)
	for _, name := range dataset.PresetNames() {
		preset, err := dataset.ParsePreset(name)
		if err != nil || name == s.data.Preprocess {
			continue
		}
		other, err := tryPreset(c.Context, s, preset)
		if err == nil && math.Abs(other.accuracy-want) < bestGap {
			best, bestGap = fmt.Sprintf("--preprocess %s gives %.2f %%", name, other.accuracy), math.Abs(other.accuracy-want)
		}
	}
	if best != "" {
		fmt.Fprintf(c.App.ErrWriter, "lsrun: %s on the same kind of sample, which fits better\n", best)
	}
}

// tryPreset evaluates the trained network under another preprocessing for a second.
func tryPreset(ctx context.Context, s *subject, preset dataset.Preprocess) (*trial, error) {
	other := *s
	other.data.Preprocess, other.data.Mean, other.data.Std = preset.Name, preset.Mean, preset.Std
	var err error
	if other.images, err = selectImages(s.set, other.data, s.graph, s.images.test == nil, s.images.test != nil, images{}); err != nil {
		return nil, err
	}
	e, err := newEngine(s.graph, s.loss, nn.Plane{Theta: s.theta}, worker{threads: runtime.GOMAXPROCS(0)}, onCPU, "")
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return tryNetwork(ctx, &other, e, time.Second)
}

// checkEnds compares the loss at the end of each axis with that of the checkpoint which
// should lie there.
func (s *subject) checkEnds(c *cli.Context, e engine.Engine, t *trial) error {
	for _, end := range s.ends {
		there := engine.NewOutput(t.images.Len(), 0)
		set, err := e.Load(t.images)
		if err != nil {
			return err
		}
		if err := e.Evaluate(c.Context, set, []nn.Point{end.at}, []engine.Output{there}); err != nil {
			return err
		}
		checkpoint, err := s.evaluate(c.Context, end.states, t.images, threads(c))
		if err != nil {
			return err
		}
		reached, itself := mean(there.Loss), mean(checkpoint.Loss)
		fmt.Fprintf(c.App.Writer, "endpoint    (%g, %g): loss %.4f on the same images; %s itself: %.4f\n", end.at.Alpha, end.at.Beta, reached, end.name, itself)
		if !(math.Abs(reached-itself) <= 1e-4*math.Max(math.Abs(itself), 1e-2)) {
			fmt.Fprintf(c.App.ErrWriter, "lsrun: warning: the axis does not end at %s: with --dir-type weights the running statistics stay those of the first checkpoint (states takes them along), and a normalisation changes the length\n", end.name)
		}
	}
	return nil
}
