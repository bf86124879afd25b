package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"lsrun/io/checkpoint"
	"lsrun/io/dataset"
	"lsrun/io/durable"
	"lsrun/io/h5"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/cuda"
	"lsrun/nn/direction"
	"lsrun/nn/engine"
	"lsrun/nn/zoo"
	"lsrun/shard"
	"lsrun/slurm"
)

// evaluatorVersion is raised whenever the same plan would give other bits than before.
// TestGoldenBits guards it for processors; for cards it is up to those who change their lowering or their kernels.
const evaluatorVersion = 8

// Names in a run directory that are not shard's own.
const (
	thetaFile      = "theta.safetensors"
	directionsFile = "directions.h5"
	surfaceFile    = "surface.h5"
)

// What is recorded beside a metric: the finite-population standard error of its mean, and
// that of its difference from the mean at the origin, image by image.
const (
	standardError       = "standard_error"
	pairedStandardError = "paired_standard_error"
)

var files = durable.Files{}

// job is a run with everything that its points are computed from.
type job struct {
	run   *shard.Run
	plan  *shard.Plan
	graph *nn.Graph
	loss  nn.Loss
	plane nn.Plane
}

// openJob reads a run directory and checks that its files are those of its plan.
func openJob(dir string) (*job, error) {
	run, err := shard.Open(files, dir)
	if err != nil {
		return nil, err
	}
	plan := run.Plan
	if other := otherArithmetic(run); other != "" {
		return nil, fmt.Errorf("%w: %s", shard.ErrRefused, other)
	}
	graph, err := zoo.New(plan.Network.Model, zoo.Options{Classes: plan.Network.Classes, Input: plan.Network.Input})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	loss, err := nn.ParseLoss(plan.Loss)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	plane, err := readPlane(dir, plan, graph)
	if err != nil {
		return nil, err
	}
	return &job{run: run, plan: plan, graph: graph, loss: loss, plane: plane}, nil
}

// otherArithmetic says why this lsrun cannot compute a run's points, and what to do, if they are another version's; else "".
func otherArithmetic(run *shard.Run) string {
	if run.Plan.Evaluator == evaluatorVersion {
		return ""
	}
	return fmt.Sprintf("%s was planned for version %d of the arithmetic, and this lsrun has version %d: use the lsrun that planned it, or plan anew: lsrun plan --like %s NEW-RUN",
		run.Dir, run.Plan.Evaluator, evaluatorVersion, slurm.ShellQuote(run.Dir))
}

// readPlane reads θ, δ and η from the run directory.
func readPlane(dir string, plan *shard.Plan, graph *nn.Graph) (nn.Plane, error) {
	var plane nn.Plane
	thetaPath := filepath.Join(dir, thetaFile)
	if _, err := readVerified(thetaPath, plan.Checkpoint.Theta); err != nil {
		return plane, err
	}
	file, err := checkpoint.Read(thetaPath)
	if err != nil {
		return plane, err
	}
	if plane.Theta, err = file.Fit(graph); err != nil {
		return plane, err
	}
	data, err := readVerified(filepath.Join(dir, directionsFile), plan.Directions.SHA256)
	if err != nil {
		return plane, err
	}
	plane.X, plane.Y, _, err = decodePlane(data, graph)
	if err != nil {
		return plane, fmt.Errorf("%s: %w", filepath.Join(dir, directionsFile), err)
	}
	return plane, nil
}

// readVerified reads a file of a run whose SHA-256 is known.
func readVerified(path, want string) ([]byte, error) {
	data, err := files.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil || digest(data) != want {
		return nil, fmt.Errorf("%w: %s is not there, or not what was planned: copy it back, or give the same lsrun plan command again, which restores it",
			shard.ErrCorrupt, path)
	}
	return data, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// decodePlane reads a direction file's one or two directions and fits them to the graph.
func decodePlane(data []byte, graph *nn.Graph) (x, y nn.Params, states bool, err error) {
	d, err := h5.DecodeDirections(data)
	if err != nil {
		return nil, nil, false, err
	}
	if x, states, err = direction.Fit(graph, d.X); err != nil {
		return nil, nil, false, badDirection("xdirection", err)
	}
	if d.Y == nil {
		return x, nil, states, nil
	}
	y, yStates, err := direction.Fit(graph, d.Y)
	if err != nil {
		return nil, nil, false, badDirection("ydirection", err)
	}
	if states != yStates {
		return nil, nil, false, fmt.Errorf("one direction is over weights and the other over states")
	}
	return x, y, states, nil
}

// badDirection tells a direction of another network from one whose values are none.
func badDirection(name string, err error) error {
	if _, foreign := errors.AsType[direction.Misfit](err); foreign {
		return fmt.Errorf("%w: %s: %w", shard.ErrRefused, name, err)
	}
	return fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, name, err)
}

// loadSet reads a data set of any kind.
func loadSet(kind, path string) (*dataset.Set, error) {
	if kind != "h5" {
		return dataset.Load(kind, path)
	}
	data, err := files.ReadFile(path)
	if err != nil {
		return nil, err
	}
	arrays, err := h5.ReadArrays(data, dataset.ArrayNames...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	set, err := dataset.FromArrays(filepath.Base(path), arrays)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

// images are the parts of a data set that a plan's metrics need; nil where they do not.
type images struct{ train, test *nn.Images }

// loadImages reads the plan's data set, checks that it is what was planned, and takes the plan's
// images from it. Empty paths mean those in the plan.
func (j *job) loadImages(path, labels string) (*dataset.Set, images, error) {
	return j.loadImagesInto(images{}, path, labels)
}

// loadImagesInto is loadImages for images that shall lie in room, where that is not nil.
func (j *job) loadImagesInto(room images, path, labels string) (*dataset.Set, images, error) {
	var out images
	d := j.plan.Data
	if path == "" {
		path = d.Path
	}
	set, err := loadSet(d.Dataset, path)
	if err != nil {
		return nil, out, fmt.Errorf("%w (planned with the data at %s: --data says where it is now)", err, d.Path)
	}
	if set.SHA256 != d.SHA256 {
		return nil, out, fmt.Errorf("%w: the data at %s is not what was planned: its SHA-256 is %.12s…, not %.12s…: --data says where the right one is",
			shard.ErrRefused, path, set.SHA256, d.SHA256)
	}
	if labels != "" && d.LabelsFile == "" {
		return nil, out, usagef("--labels %s: the run was planned with the labels of the data", labels)
	}
	d.LabelsFile = orElse(labels, d.LabelsFile)
	if out, err = selectImages(set, d, j.graph, d.Train > 0, d.Test > 0, room); err != nil {
		return nil, out, fmt.Errorf("%s: %w", path, err)
	}
	return set, out, nil
}

// selectImages preprocesses the images of a set that d selects, for training, testing or both, into room where that is not nil.
func selectImages(set *dataset.Set, d shard.Data, graph *nn.Graph, train, test bool, room images) (images, error) {
	var out images
	var err error
	selection := dataset.Selection{Splits: d.Splits, SplitIndex: d.SplitIndex, Subset: d.Subset, Seed: d.Seed}
	preprocess := dataset.Preprocess{Name: d.Preprocess, Mean: d.Mean, Std: d.Std}
	if d.LabelsFile != "" && set.Train == nil {
		return out, usagef("--labels %s: the data has no training images", d.LabelsFile)
	}
	if train && d.LabelsFile != "" {
		data, err := files.ReadFile(d.LabelsFile)
		if err != nil {
			return out, fmt.Errorf("%w (--labels says where the labels are)", err)
		}
		if got := digest(data); got != d.LabelsSHA256 {
			return out, fmt.Errorf("%w: the labels in %s are not what was planned: their SHA-256 is %.12s…, not %.12s…: --labels says where the right ones are",
				shard.ErrRefused, d.LabelsFile, got, d.LabelsSHA256)
		}
		if selection.Labels, err = dataset.ReadLabels(d.LabelsFile); err != nil {
			return out, err
		}
		if got, want := len(selection.Labels), len(set.Train.Labels); got != want {
			return out, fmt.Errorf("%w: --labels %s: it holds %s, but there are %s", shard.ErrCorrupt, d.LabelsFile, plural(got, "label"), plural(want, "training image"))
		}
	}
	if train {
		selection.Room = room.train
		if out.train, err = selected(graph, "training", set.TrainImages, selection, preprocess); err != nil {
			return out, err
		}
	}
	if test {
		selection.Room = room.test
		out.test, err = selected(graph, "test", set.TestImages, selection, preprocess)
	}
	return out, err
}

func selected(graph *nn.Graph, part string, choose func(dataset.Selection, dataset.Preprocess) (*nn.Images, error),
	selection dataset.Selection, preprocess dataset.Preprocess) (*nn.Images, error) {
	set, err := choose(selection, preprocess)
	if err != nil { // the files are fine, but what was asked of them is not
		return nil, usagef("%s set: %v", part, err)
	}
	if err := set.Check(graph); err != nil {
		return nil, fmt.Errorf("%s set: %w", part, err)
	}
	return set, nil
}

// Devices that a plan may name.
const (
	onCPU  = "cpu"
	onCard = "cuda"
)

func unknownDevice(name string) error { return fmt.Errorf("--device %s: there are cpu and cuda", name) }

// worker is what an engine gets of a machine: threads of the processor, or a card.
type worker struct {
	threads, card int
	sharers       int   // workers on this host; 0 if nobody says
	states        int64 // bytes for what products of Hessians share, as cpu.Options has them
}

// newEngine makes an engine on the device with the plane resident. An empty kernel is the device's best.
func newEngine(graph *nn.Graph, loss nn.Loss, plane nn.Plane, w worker, device, kernel string) (e engine.Engine, err error) {
	switch device {
	case onCPU:
		e, err = cpu.New(graph, loss, cpu.Options{Threads: w.threads, Kernel: kernel, Sharers: w.sharers, StateBytes: w.states})
	case onCard:
		e, err = newCardEngine(graph, loss, w, kernel)
	default:
		err = unknownDevice(device)
	}
	if err != nil {
		return nil, err
	}
	if err := e.SetPlane(plane); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func newCardEngine(graph *nn.Graph, loss nn.Loss, w worker, kernel string) (engine.Engine, error) {
	precision, err := cuda.ParseKernel(kernel)
	if err != nil {
		return nil, err
	}
	return cuda.New(graph, loss, cuda.Options{Device: w.card, Precision: precision, Threads: w.threads})
}

// evaluator computes the plan's metrics at points of its grid.
type evaluator struct {
	engine engine.Engine
	batch  int // points that are evaluated together
	grid   shard.Grid
	parts  []*part
	// curvature is nil where the plan does not ask for it.
	curvature *curvature
}

// part is one image set, with the network's verdicts at the origin and at the point in hand.
type part struct {
	set    engine.Set
	labels []int32
	of     int // size of the population that the images were drawn from
	origin engine.Output
	here   []engine.Output // by point of the batch
}

// newEvaluator makes the plan's plane and, where they fit, its images resident. It evaluates the origin, θ
// itself, which the paired standard errors refer to.
func (j *job) newEvaluator(ctx context.Context, data images, w worker) (ev *evaluator, err error) {
	if j.plan.Device == onCPU {
		if err := cpu.CheckForced(); err != nil {
			return nil, usageError{err.Error() + ": name one of these, or unset the variable"}
		}
	}
	e, err := j.newEngine(w)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	ev = &evaluator{engine: e, batch: 1, grid: j.plan.Grid}
	for _, p := range []struct {
		images *nn.Images
		of     int
	}{{data.train, j.plan.Data.TrainOf}, {data.test, j.plan.Data.TestOf}} {
		if p.images == nil {
			continue
		}
		set, err := e.Load(p.images)
		if err != nil {
			return nil, err
		}
		n := set.Len()
		part := &part{set: set, labels: p.images.Labels, of: p.of, origin: engine.NewOutput(n, 0)}
		ev.batch = max(ev.batch, e.Points(set))
		if err := e.Evaluate(ctx, set, []nn.Point{{}}, []engine.Output{part.origin}); err != nil {
			return nil, err
		}
		ev.parts = append(ev.parts, part)
	}
	ev.batch = min(ev.batch, mostPoints(j.plan)) // no worker is given more at a time
	for _, part := range ev.parts {
		for range ev.batch {
			part.here = append(part.here, engine.NewOutput(part.set.Len(), 0))
		}
	}
	if j.plan.Hessian != nil {
		ev.curvature, err = newCurvature(j.plan.Hessian, j.graph, e, hessianImages(j.plan.Hessian, data.train))
	}
	return ev, err
}

// noCard refuses what asks for a card that this machine lacks, or that is not free.
func noCard(what string, err error) error {
	return fmt.Errorf("%w: %s: %w: use a machine whose card is free", shard.ErrRefused, what, err)
}

// newEngine makes an engine of the plan's kernel with the plane resident.
func (j *job) newEngine(w worker) (engine.Engine, error) {
	e, err := newEngine(j.graph, j.loss, j.plane, w, j.plan.Device, j.kernel())
	if err != nil && j.plan.Device == onCard {
		return nil, noCard(j.run.Dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w: use a machine that can, or plan with --mix", shard.ErrRefused, j.run.Dir, err)
	}
	return e, nil
}

// kernel is the plan's, or the best of this machine where the plan lets kernels mix.
func (j *job) kernel() string {
	if j.plan.Mix {
		return ""
	}
	return j.plan.Kernel
}

func (e *evaluator) Kernel() string { return e.engine.Kernel() }

// Batch is one point, whose images the threads divide, or enough points where images are few.
func (e *evaluator) Batch() int { return e.batch }

// Evaluate implements shard.Evaluator.
func (e *evaluator) Evaluate(ctx context.Context, points []int, carry []byte, done func(shard.Record) error) error {
	at := make([]nn.Point, len(points))
	for i, k := range points {
		at[i].Alpha, at[i].Beta = e.grid.At(k)
	}
	for _, p := range e.parts {
		if err := e.engine.Evaluate(ctx, p.set, at, p.here[:len(at)]); err != nil {
			return err
		}
	}
	for i, k := range points {
		record := shard.Record{Point: k}
		for _, p := range e.parts {
			record.Values = append(record.Values, p.columns(p.here[i])...)
		}
		for i := 0; i < len(record.Values); i += len(metricBesides) + 1 {
			record.Status = append(record.Status, shard.StatusOf(record.Values[i]))
		}
		if e.curvature != nil {
			var err error
			if carry, err = e.addCurvature(ctx, &record, at[i], carry); err != nil {
				return err
			}
		}
		if err := done(record); err != nil {
			return err
		}
	}
	return nil
}

// addCurvature adds the columns of hessianMetrics to a record, and returns what the next point starts from.
func (e *evaluator) addCurvature(ctx context.Context, record *shard.Record, at nn.Point, carry []byte) ([]byte, error) {
	v := e.curvature
	values, statuses := v.notPlanned()
	if v.At(e.grid, record.Point) {
		var err error
		if values, statuses, record.Carry, err = v.measure(ctx, at, v.Seed+uint64(record.Point), carry); err != nil {
			return nil, err
		}
		if record.Carry != nil {
			carry = record.Carry
		}
	}
	record.Values = append(record.Values, values...)
	record.Status = append(record.Status, statuses...)
	return carry, nil
}

// originNote begins the names of a shard's notes that say what the worker found for θ
// itself; the metric's name follows.
const originNote = "origin "

// deviceNote is the name of a shard's note that says which card computed it.
const deviceNote = "device"

// notes are a shard's provenance: the card, if it was one, and originNotes.
func (e *evaluator) notes(plan *shard.Plan) map[string]string {
	notes := e.originNotes(plan)
	if card, ok := e.engine.(*cuda.Engine); ok {
		notes[deviceNote] = card.Device()
	}
	return notes
}

// originNotes are the loss and accuracy of θ itself over each set.
func (e *evaluator) originNotes(plan *shard.Plan) map[string]string {
	var values []float64
	for _, p := range e.parts {
		values = append(values, mean(p.origin.Loss), mean(verdicts(p.origin.Predicted, p.labels)))
	}
	notes := map[string]string{}
	for i, m := range plan.Metrics[:len(values)] { // losses and accuracies come first
		notes[originNote+m.Name] = strconv.FormatFloat(values[i], 'g', -1, 64)
	}
	return notes
}

var metricBesides = []string{standardError, pairedStandardError}

// planMetrics lists the metrics of the given image sets ("train", "test").
func planMetrics(sets []string) []shard.Metric {
	var metrics []shard.Metric
	for _, set := range sets {
		for _, what := range []string{"loss", "acc"} {
			metrics = append(metrics, shard.Metric{Name: set + "_" + what, Beside: metricBesides})
		}
	}
	return metrics
}

// columns are the values of the part's two metrics at a point, loss and accuracy in percent, each
// followed by its standard errors.
func (p *part) columns(at engine.Output) []float64 {
	var out []float64
	for _, v := range [][2][]float64{
		{at.Loss, p.origin.Loss},
		{verdicts(at.Predicted, p.labels), verdicts(p.origin.Predicted, p.labels)},
	} {
		here, origin := v[0], v[1]
		difference := make([]float64, len(here))
		for i := range here {
			difference[i] = here[i] - origin[i]
		}
		out = append(out, mean(here), populationError(here, p.of), populationError(difference, p.of))
	}
	return out
}

// verdicts are 100 for every right prediction and 0 for every wrong one, so that their
// mean is the accuracy in percent.
func verdicts(predicted, labels []int32) []float64 {
	out := make([]float64, len(labels))
	for i := range labels {
		if predicted[i] == labels[i] {
			out[i] = 100
		}
	}
	return out
}

// mean adds in order, so that it is the same however v was computed.
func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// populationError is the standard error of the mean of v as an estimate of the mean over
// the population of `of` that v was drawn from without replacement:
//
//	√( s²/n · (1 − n/of) ), s² the sample variance
//
// (Cochran, "Sampling Techniques", 3rd ed., eq. 2.20). It is 0 where v is all of them.
func populationError(v []float64, of int) float64 {
	n := float64(len(v))
	if len(v) >= of {
		return 0
	}
	if len(v) < 2 {
		return math.Inf(1)
	}
	m, s := mean(v), 0.0
	for _, x := range v {
		s += float64((x - m) * (x - m))
	}
	return math.Sqrt(s / (n - 1) / n * (1 - n/float64(of)))
}

// absolute is path from the root, so that a plan means the same from everywhere.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	p, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding the working folder: %w", err)
	}
	if !utf8.ValidString(p) {
		return "", usagef("%q: a plan holds paths as JSON, whose text is UTF-8: give the file another name, or a symbolic link to it", p)
	}
	return p, nil
}

// baseName is the last name of a path, as a plan can hold it.
func baseName(path string) string { return strings.ToValidUTF8(filepath.Base(path), "\ufffd") }

// exists reports whether there is something at path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
