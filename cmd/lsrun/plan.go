package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"lsrun/io/checkpoint"
	"lsrun/io/dataset"
	"lsrun/io/h5"
	"lsrun/nn"
	"lsrun/nn/cpu"
	"lsrun/nn/cuda"
	"lsrun/nn/direction"
	"lsrun/nn/zoo"
	"lsrun/shard"
)

// deviceFlag says what computes.
var deviceFlag = &cli.StringFlag{Name: "device", Usage: "what evaluates: cpu, or cuda (NVIDIA cards, one a worker)", Value: onCPU}

var planCommand = &cli.Command{
	Name:      "plan",
	Usage:     "fix everything that a landscape is computed from, in a new run directory",
	ArgsUsage: "RUN",
	Description: `Reads the trained network and the data, makes the directions, and writes RUN with
the immutable plan. Prints what will be computed and how long it takes here.
Planning the same again changes nothing; another plan needs another RUN.

   lsrun plan --checkpoint model.t7 --model resnet56 --dataset cifar10 --data DIR \
         --x=-1:1:51 --y=-1:1:51 RUN
   lsrun run RUN && lsrun merge RUN && lsrun plot RUN/surface.h5`,
	Flags: slices.Concat(networkFlags, dataFlags, hessianPlanFlags, []cli.Flag{
		&cli.StringFlag{Name: "like", Usage: "take every flag that is not given from the plan of `OTHER-RUN`"},
		&cli.StringFlag{Name: "path", Usage: "the plane of a training path, with axes that contain it: take network, directions and, unless given, axes from what lsrun path wrote to `DIR`"},
		&cli.StringFlag{Name: "logits", Usage: "compare with PyTorch's logits in `FILE` first, as lsrun check does, and record that it was done"},
		&cli.StringFlag{Name: "x", Usage: "first axis, `MIN:MAX:POINTS`", Value: "-1:1:51"},
		&cli.StringFlag{Name: "y", Usage: "second axis; without it the landscape is a line"},
		&cli.StringFlag{Name: "metrics", Usage: "the `SETS` whose loss and accuracy are computed: train, test, or train,test", Value: "train"},
		&cli.StringFlag{Name: "loss", Usage: "crossentropy, or mse (on the softmax, as in the paper)", Value: "crossentropy"},
		&cli.StringFlag{Name: "dir-type", Usage: "perturb `weights`, or states: batch norm's running statistics too (default: weights; states for differences of checkpoints with batch norm)"},
		&cli.StringFlag{Name: "checkpoint2", Usage: "x goes from the checkpoint (0) to this `FILE` (1)"},
		&cli.StringFlag{Name: "checkpoint3", Usage: "y goes from the checkpoint (0) to this `FILE` (1)"},
		&cli.StringFlag{Name: "dir-file", Usage: "take the directions from this HDF5 `FILE`, written by the paper's code or by lsrun"},
		&cli.StringFlag{Name: "dir-x", Usage: "x is an eigenvector of the Hessian at the checkpoint: eig:1 that of the largest eigenvalue, eig:-1 of the smallest"},
		&cli.StringFlag{Name: "dir-y", Usage: "the same for y"},
		&cli.BoolFlag{Name: "same-dir", Usage: "y is the same random direction as x"},
		&cli.StringFlag{Name: "xnorm", Usage: "normalisation of x: filter, layer, weight, dfilter, dlayer, none (default: filter; none for differences and files)"},
		&cli.StringFlag{Name: "ynorm", Usage: "normalisation of y (default: that of x)"},
		&cli.StringFlag{Name: "xignore", Usage: "entries of one dimension in x: biasbn sets them to zero, none copies them from the network when normalising (default: biasbn; none for differences and files)"},
		&cli.StringFlag{Name: "yignore", Usage: "the same for y (default: that of x)"},
		&cli.Uint64Flag{Name: "seed", Usage: "of the random directions"},
		&cli.IntFlag{Name: "idx", Usage: "repetition: another pair of random directions of the same seed"},
		deviceFlag,
		&cli.StringFlag{Name: "kernel", Usage: "the arithmetic that every worker must have: fma (processors with AVX2 or AVX-512 give the same bits) or plain (default: the best of this machine); on cards fp16x3 (float32's precision, the default), tf32x3 (the same, slower, with float32's range in every product), fp32 or tf32 (a relative error of 1e-3)"},
		&cli.BoolFlag{Name: "exact", Usage: "compute every sum directly, without Winograd's transforms: about half as fast, with a tenth of the rounding error"},
		&cli.BoolFlag{Name: "mix", Usage: "let workers with other kernels join; which one computed a point is recorded"},
		&cli.IntFlag{Name: "workers-hint", Usage: "cut the work so that `N` workers find eight units each", Value: 8},
		&cli.IntFlag{Name: "threads", Usage: "threads for the calibration", DefaultText: "all cores"},
	}),
	Action: planAction,
}

var networkFlags = []cli.Flag{
	&cli.StringFlag{Name: "checkpoint", Usage: "the trained network: a PyTorch or safetensors `FILE`"},
	&cli.StringFlag{Name: "model", Usage: "its architecture, by `NAME`: lsrun models lists them (default: the only one that fits)"},
	&cli.IntFlag{Name: "classes", Usage: "number of labels", DefaultText: "what the checkpoint has"},
}

var dataFlags = []cli.Flag{
	&cli.StringFlag{Name: "dataset", Usage: strings.Join(dataset.Kinds(), ", ")},
	&cli.StringFlag{Name: "data", Usage: "its folder or file, at `PATH`; of the shapes, which are drawn, train=5000,test=1000,seed=0"},
	&cli.StringFlag{Name: "preprocess", Usage: "normalisation by `NAME`: " + strings.Join(dataset.PresetNames(), ", ") + " (default: paper for CIFAR, mnist for MNIST, half for shapes, raw otherwise)"},
	&cli.BoolFlag{Name: "raw-data", Usage: "no normalisation: pixels from 0 to 1, as in the paper's --raw_data"},
	&cli.StringFlag{Name: "mean", Usage: "mean of each channel, `M1,M2,…` in units of the [0,1] image"},
	&cli.StringFlag{Name: "std", Usage: "standard deviation of each channel, `S1,S2,…`"},
	&cli.IntFlag{Name: "data-split", Usage: "cut the training set into `N` parts", Value: 1},
	&cli.IntFlag{Name: "split-idx", Usage: "the part to use, from 0"},
	&cli.IntFlag{Name: "subset", Usage: "use `N` images of each set, the same at every point", DefaultText: "all"},
	&cli.Uint64Flag{Name: "subset-seed", Usage: "which images --subset draws"},
	&cli.StringFlag{Name: "labels", Usage: "labels that replace the training set's, from `FILE` (.npy, or one number a line)"},
	&cli.Float64Flag{Name: "expect-acc", Usage: "the accuracy in `PERCENT` that the network should have", DefaultText: "what the checkpoint records"},
}

func planAction(c *cli.Context) error {
	dir, err := oneArgument(c, "the run directory to make")
	if err != nil {
		return err
	}
	if err := adoptPath(c, c.String("path")); err != nil {
		return err
	}
	if err := adoptPlan(c, c.String("like")); err != nil {
		return err
	}
	subject, err := readSubject(c)
	if err != nil {
		return err
	}
	plan, plane, err := subject.draft(c)
	if err != nil {
		return err
	}
	theta, directions, err := encodePlane(plan, subject, plane)
	if err != nil {
		return err
	}
	run, err := shard.Create(files, dir, plan, map[string][]byte{thetaFile: theta, directionsFile: directions})
	if err != nil {
		return err
	}
	return announce(c, subject, run, plane)
}

// subject is a trained network with its data: what plan and check are about.
type subject struct {
	graph  *nn.Graph
	loss   nn.Loss
	file   *checkpoint.File
	theta  nn.Params
	set    *dataset.Set
	data   shard.Data
	images images // both sets, where the data has them
	ends   []end  // of directions to other checkpoints
	logits string // how they compare with PyTorch's; "" if they were not compared
}

// end is the checkpoint that a direction leads to.
type end struct {
	name   string
	at     nn.Point
	states nn.Params
}

// readSubject reads the network and the data that the flags name.
func readSubject(c *cli.Context) (*subject, error) {
	if err := needFlags(c, "checkpoint", "dataset", "data"); err != nil {
		return nil, err
	}
	if acc := c.Float64("expect-acc"); c.IsSet("expect-acc") && !(acc > 1 && acc <= 100) {
		return nil, usagef("--expect-acc %v: it is in percent, as 92.5", acc)
	}
	s := &subject{}
	err := s.readData(c)
	if err != nil {
		return nil, err
	}
	if s.file, err = checkpoint.Read(c.String("checkpoint")); err != nil {
		return nil, err
	}
	if s.graph, err = chooseGraph(c, s.file, s.set.Shape); err != nil {
		return nil, err
	}
	if s.theta, err = fit(s.file, s.graph, c.String("checkpoint")); err != nil {
		return nil, err
	}
	if s.images, err = selectImages(s.set, s.data, s.graph, s.set.Train != nil, s.set.Test != nil, images{}); err != nil {
		return nil, fmt.Errorf("%s: %w", s.data.Path, err)
	}
	return s, nil
}

// needFlags returns an error unless the flags are given. Drawn data lies nowhere.
func needFlags(c *cli.Context, names ...string) error {
	for _, name := range names {
		if c.String(name) == "" && !(name == "data" && c.String("dataset") == dataset.ShapesKind) {
			return usagef("--%s is missing: lsrun %s --help explains it", name, c.Command.Name)
		}
	}
	return nil
}

// readData reads the loss and the data that the flags name, and checks the flags that go with them.
func (s *subject) readData(c *cli.Context) (err error) {
	if c.Int("threads") < 0 {
		return usagef("--threads %d: at least 1, or none for all cores", c.Int("threads"))
	}
	if s.loss, err = nn.ParseLoss(c.String("loss")); err != nil {
		return usageError{err.Error()}
	}
	if s.data, err = describeData(c); err != nil {
		return err
	}
	s.set, err = loadSet(s.data.Dataset, s.data.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--data %s: %w", c.String("data"), err)
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(s.data.Mean, func(m float64) bool { return math.Abs(m) > 1 }) && s.set.HoldsBytes() {
		return usagef("--mean %s: the pixels go from 0 to 1: divide mean and standard deviation by 255", c.String("mean"))
	}
	s.data.SHA256 = s.set.SHA256
	return nil
}

// describeData turns the data flags into their part of the plan.
func describeData(c *cli.Context) (shard.Data, error) {
	d := shard.Data{Dataset: c.String("dataset"), Splits: c.Int("data-split"), SplitIndex: c.Int("split-idx"),
		Subset: c.Int("subset"), Seed: c.Uint64("subset-seed")}
	if !slices.Contains(dataset.Kinds(), d.Dataset) {
		return d, usagef("--dataset %s: there are %s", d.Dataset, strings.Join(dataset.Kinds(), ", "))
	}
	if d.Splits < 1 { // 0 would be the same as 1, under another plan_id
		return d, usagef("--data-split %d: at least 1", d.Splits)
	}
	preprocess, err := choosePreprocess(c)
	if err != nil {
		return d, err
	}
	d.Preprocess, d.Mean, d.Std = preprocess.Name, preprocess.Mean, preprocess.Std
	if d.Path, err = dataPath(d.Dataset, c.String("data")); err != nil {
		return d, err
	}
	if d.LabelsFile, err = absolute(c.String("labels")); err != nil || d.LabelsFile == "" {
		return d, err
	}
	labels, err := files.ReadFile(d.LabelsFile)
	if err != nil {
		return d, err
	}
	d.LabelsSHA256 = digest(labels)
	return d, nil
}

// dataPath is where the data lies; of the drawn data what is drawn.
func dataPath(kind, path string) (string, error) {
	if kind != dataset.ShapesKind {
		return absolute(path)
	}
	shapes, err := dataset.ParseShapes(path)
	if err != nil {
		return "", usagef("--data: %v", err)
	}
	return shapes.String(), nil
}

// choosePreprocess reads --raw-data, --mean and --std, --preprocess, or takes the data
// set's default.
func choosePreprocess(c *cli.Context) (dataset.Preprocess, error) {
	given := 0
	for _, set := range []bool{c.Bool("raw-data"), c.IsSet("mean") || c.IsSet("std"), c.IsSet("preprocess")} {
		if set {
			given++
		}
	}
	if given > 1 {
		return dataset.Preprocess{}, usagef("--preprocess, --raw-data and --mean with --std exclude each other")
	}
	if c.IsSet("mean") != c.IsSet("std") {
		return dataset.Preprocess{}, usagef("--mean and --std go together")
	}
	if c.IsSet("mean") {
		mean, err := numbers(c, "mean")
		if err != nil {
			return dataset.Preprocess{}, err
		}
		std, err := numbers(c, "std")
		return dataset.Preprocess{Name: "custom", Mean: mean, Std: std}, err
	}
	name := c.String("preprocess")
	if name == "" {
		name = dataset.DefaultPreset(c.String("dataset"))
	}
	if c.Bool("raw-data") {
		name = "raw"
	}
	preprocess, err := dataset.ParsePreset(name)
	if err != nil {
		return preprocess, usagef("--preprocess: %v", err)
	}
	return preprocess, nil
}

func numbers(c *cli.Context, flag string) ([]float64, error) {
	var out []float64
	for _, word := range strings.Split(c.String(flag), ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(word), 64)
		if err != nil {
			return nil, usagef("--%s: %q is not a number", flag, word)
		}
		out = append(out, v)
	}
	return out, nil
}

// chooseGraph builds the named model, or the only one that fits the checkpoint.
func chooseGraph(c *cli.Context, file *checkpoint.File, input nn.Shape) (*nn.Graph, error) {
	name := c.String("model")
	if name == "" {
		switch fitting := zoo.Fitting(file.States); len(fitting) {
		case 0:
			return nil, fmt.Errorf("%w: %s fits none of the models that lsrun knows, made for images of their usual size: name the nearest with --model to see what differs (lsrun models lists them)", shard.ErrRefused, c.String("checkpoint"))
		case 1:
			name = fitting[0]
		default:
			return nil, usagef("%s has the entries of several networks that compute different functions (they differ in what has no entries: shortcuts, activations): say which with --model: %s",
				c.String("checkpoint"), strings.Join(fitting, ", "))
		}
	}
	graph, err := zoo.New(name, zoo.Options{Classes: c.Int("classes"), Input: input})
	if err != nil {
		return nil, usagef("--model %s: %v; lsrun models lists them", name, err)
	}
	classifier := graph.Entries[len(graph.Entries)-1].Name
	if t := file.States.Lookup(classifier); !c.IsSet("classes") && t != nil && len(t.Shape) > 0 && t.Shape[0] > 0 {
		return zoo.New(name, zoo.Options{Classes: t.Shape[0], Input: input})
	}
	return graph, nil
}

// fit arranges a checkpoint for the graph; where it does not fit, the error says what would.
func fit(file *checkpoint.File, graph *nn.Graph, path string) (nn.Params, error) {
	theta, err := file.Fit(graph)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w\nHere %s is for %d classes and for the images of the data, %v%s",
			shard.ErrRefused, path, err, graph.Name, graph.Classes, graph.Input, remedy(file, graph))
	}
	if entry, ok := file.NonFinite(); ok {
		return nil, fmt.Errorf("%w: %s: entry %s holds NaN or infinite values: this network has no loss; use an earlier checkpoint", shard.ErrCorrupt, path, entry)
	}
	return theta, nil
}

// remedy is what to do about a checkpoint that does not fit the graph, in lines of their own; "" where nothing helps.
func remedy(file *checkpoint.File, graph *nn.Graph) string {
	if pairs := file.Renaming(graph); len(pairs) > 0 {
		replaced := "k"
		for _, pair := range pairs {
			replaced += fmt.Sprintf(".replace(%q, %q)", pair[0], pair[1])
		}
		return fmt.Sprintf("\nOnly the names differ. With your network, loaded, as model, this saves it with those of %s, if its layers are the same:\n\n"+
			"    import torch\n    torch.save({%s: v for k, v in model.state_dict().items()}, \"renamed.pth\")", graph.Name, replaced)
	}
	if words := suiting(file, graph); len(words) > 0 {
		return "\nIt fits " + strings.Join(words, " and ")
	}
	if fitting := zoo.Fitting(file.States); len(fitting) > 0 {
		return "\nModels that fit it: " + strings.Join(fitting, ", ")
	}
	return ""
}

// suiting says with how many classes and which images the checkpoint is the graph's; nil if with none.
func suiting(file *checkpoint.File, graph *nn.Graph) (words []string) {
	options, ok := zoo.Suiting(graph.Name, file.States)
	if !ok {
		return nil
	}
	if options.Classes != graph.Classes {
		words = append(words, fmt.Sprintf("with --classes %d", options.Classes))
	}
	own, sameSize := options.Input, slices.Clone(graph.Input)
	sameSize[0] = own[0]
	exactly := own.String()
	if len(own) == 1 {
		exactly = plural(own[0], "value")
	}
	for _, try := range []struct {
		input nn.Shape
		words []string
	}{
		{graph.Input, nil},
		{sameSize, []string{"with images of " + plural(own[0], "channel")}},
		{own, []string{"with images of " + exactly}},
	} {
		g, err := zoo.New(graph.Name, zoo.Options{Classes: options.Classes, Input: try.input})
		if err != nil {
			continue
		}
		if _, err := file.Fit(g); err == nil {
			return append(words, try.words...)
		}
	}
	return nil
}

// draft makes the plan of the flags, all but the digests of the files that go with it.
func (s *subject) draft(c *cli.Context) (*shard.Plan, nn.Plane, error) {
	plan := &shard.Plan{
		Format: 2, Evaluator: evaluatorVersion, Loss: s.loss.String(),
		Network:    shard.Network{Model: s.graph.Name, Classes: s.graph.Classes, Input: s.graph.Input},
		Checkpoint: source(s.file, c.String("checkpoint")),
		Device:     c.String("device"), Precision: "float32", Mix: c.Bool("mix"), Data: s.data,
	}
	var err error
	if plan.Grid, err = parseGrid(c); err != nil {
		return nil, nn.Plane{}, err
	}
	if plan.Metrics, err = s.chooseMetrics(c, &plan.Data); err != nil {
		return nil, nn.Plane{}, err
	}
	if plan.Hessian, err = s.planHessian(c, plan.Grid); err != nil {
		return nil, nn.Plane{}, err
	}
	if plan.Hessian != nil {
		if plan.Data.Train == 0 {
			return nil, nn.Plane{}, usagef("--hessian is about the training loss: --metrics must hold train")
		}
		plan.Metrics = append(plan.Metrics, hessianMetrics(plan.Hessian)...)
	}
	if plan.Kernel, err = chooseArithmetic(s, c); err != nil {
		return nil, nn.Plane{}, usageError{err.Error()}
	}
	if plan.Kernel == cuda.TF32.Kernel() {
		plan.Precision = "tf32"
	}
	if plan.Work = s.work(plan); c.Int("workers-hint") < 1 {
		return nil, nn.Plane{}, usagef("--workers-hint %d: at least 1", c.Int("workers-hint"))
	}
	plan.Work.Workers = c.Int("workers-hint")
	plan.ShareOut()
	if file := c.String("logits"); file != "" {
		if s.logits, err = compareLogits(c.Context, s, file, threads(c)); err != nil {
			return nil, nn.Plane{}, err
		}
		plan.Checkpoint.Verified = true
	}
	plane, err := s.chooseDirections(c, plan)
	return plan, plane, err
}

// work is what points cost, in multiply-adds.
func (s *subject) work(plan *shard.Plan) shard.Work {
	w := shard.Work{Point: s.graph.MACs() * int64(plan.Data.Train+plan.Data.Test)}
	if plan.Hessian != nil {
		w.Hessian = hessianMACs(plan.Hessian, s.graph)
	}
	return w
}

// chooseArithmetic is the kernel that every worker must have. One for cards needs none here.
func chooseArithmetic(s *subject, c *cli.Context) (string, error) {
	switch c.String("device") {
	case onCPU:
		e, err := cpu.New(s.graph, s.loss, cpu.Options{Threads: 1, Kernel: c.String("kernel"), Exact: c.Bool("exact")})
		if err != nil {
			return "", err
		}
		return e.Kernel(), nil
	case onCard:
		if c.Bool("mix") {
			return "", errors.New("--mix is for processors: all workers with cards compute by --kernel")
		}
		if c.Bool("exact") {
			return "", errors.New("--exact is for processors: on cards --kernel fp32 computes every sum in float32")
		}
		p, err := cuda.ParseKernel(c.String("kernel"))
		return p.Kernel(), err
	}
	return "", unknownDevice(c.String("device"))
}

// Keys of theta.safetensors' metadata that say what it was read from. The prefix keeps
// them apart from what others write into theirs.
const (
	sourceKey   = "lsrun.source"
	digestKey   = "lsrun.sha256"
	verifiedKey = "lsrun.verified"
)

// source says where a checkpoint came from. A run's own theta.safetensors remembers what
// it was read from.
func source(file *checkpoint.File, path string) shard.Checkpoint {
	if name, ok := file.Metadata[sourceKey]; ok {
		return shard.Checkpoint{File: name, SHA256: file.Metadata[digestKey], Verified: file.Metadata[verifiedKey] == "true"}
	}
	return shard.Checkpoint{File: baseName(path), SHA256: file.SHA256}
}

func parseGrid(c *cli.Context) (shard.Grid, error) {
	var grid shard.Grid
	var err error
	if grid.X, err = shard.ParseAxis(c.String("x")); err != nil {
		return grid, usagef("--x: %v", err)
	}
	if text := c.String("y"); text != "" {
		y, err := shard.ParseAxis(text)
		if err != nil {
			return grid, usagef("--y: %v", err)
		}
		grid.Y = &y
	}
	if err := grid.Check(); err != nil {
		return grid, usagef("--x and --y: %v", err)
	}
	return grid, nil
}

// chooseMetrics reads --metrics and fills in how many images of each set are evaluated.
func (s *subject) chooseMetrics(c *cli.Context, data *shard.Data) ([]shard.Metric, error) {
	var sets []string
	for _, known := range []struct {
		name      string
		images    *nn.Images
		stored    *dataset.Part
		count, of *int
	}{{"train", s.images.train, s.set.Train, &data.Train, &data.TrainOf}, {"test", s.images.test, s.set.Test, &data.Test, &data.TestOf}} {
		if !slices.Contains(strings.Split(c.String("metrics"), ","), known.name) {
			continue
		}
		if known.images == nil {
			return nil, usagef("--metrics %s: %s has no %s images", c.String("metrics"), data.Path, known.name)
		}
		*known.count, *known.of = known.images.Len(), len(known.stored.Labels)
		sets = append(sets, known.name)
	}
	if len(sets) == 0 || len(sets) != len(strings.Split(c.String("metrics"), ",")) {
		return nil, usagef("--metrics %q: train, test, or train,test", c.String("metrics"))
	}
	return planMetrics(sets), nil
}

// chooseDirections makes δ and η and describes them in the plan.
func (s *subject) chooseDirections(c *cli.Context, plan *shard.Plan) (nn.Plane, error) {
	plane := nn.Plane{Theta: s.theta}
	d := &plan.Directions
	d.Seed, d.Index, d.Same = c.Uint64("seed"), c.Int("idx"), c.Bool("same-dir")
	second, third, file := c.String("checkpoint2"), c.String("checkpoint3"), c.String("dir-file")
	line, eigen := plan.Grid.Y == nil, c.String("dir-x") != ""
	switch {
	case eigen && (file != "" || second != "" || third != ""):
		return plane, usagef("--dir-x excludes --dir-file, --checkpoint2 and --checkpoint3")
	case (c.String("dir-y") != "") != (eigen && !line):
		return plane, usagef("--dir-x and, for a plane, --dir-y go together")
	case file != "" && (second != "" || third != ""):
		return plane, usagef("--dir-file and --checkpoint2/--checkpoint3 exclude each other")
	case third != "" && second == "":
		return plane, usagef("--checkpoint3 is the end of the y axis: --checkpoint2 must say where the x axis ends")
	case third != "" && line:
		return plane, usagef("--checkpoint3 needs a plane: give --y")
	case second != "" && third == "" && !line:
		return plane, usagef("--checkpoint2 alone gives a line: leave out --y, or give --checkpoint3")
	case (c.IsSet("seed") || c.IsSet("idx")) && (second != "" || file != "" || eigen):
		return plane, usagef("--seed and --idx are for random directions, which these are not")
	case d.Index < 0:
		return plane, usagef("--idx %d: repetitions count from 0", d.Index)
	case d.Same && (line || second != "" || file != "" || eigen):
		return plane, usagef("--same-dir is for a plane of random directions")
	}
	if err := chooseNormalisation(c, d, line, second != "" || file != "" || eigen); err != nil {
		return plane, err
	}
	states, err := s.chooseType(c, second != "")
	if err != nil {
		return plane, err
	}
	switch {
	case eigen:
		err = s.directionsAlongEigenvectors(c, d, &plane)
	case file != "":
		err = s.directionsFromFile(c, file, line, d, &plane)
	case second != "":
		err = s.directionsToCheckpoints(second, third, states, d, &plane)
	default:
		s.randomDirections(states, line, d, &plane)
	}
	if err != nil {
		return plane, err
	}
	return plane, s.normalise(c, d, &plane)
}

// chooseNormalisation fills in --xnorm and its siblings with their defaults: filter and
// biasbn for random directions; others are taken as they are, unless a norm is asked for,
// which then ignores biasbn too.
func chooseNormalisation(c *cli.Context, d *shard.Directions, line, asIs bool) error {
	choose := func(norm, ignore, otherwise string) (shard.Direction, error) {
		axis := shard.Direction{Norm: orElse(norm, otherwise), Ignore: "biasbn"}
		if asIs && axis.Norm == "none" {
			axis.Ignore = "none"
		}
		axis.Ignore = orElse(ignore, axis.Ignore)
		if _, err := direction.ParseNorm(axis.Norm); err != nil {
			return axis, usagef("--xnorm or --ynorm: %v", err)
		}
		if _, err := direction.ParseIgnore(axis.Ignore); err != nil {
			return axis, usagef("--xignore or --yignore: %v", err)
		}
		return axis, nil
	}
	norm := "filter"
	if asIs {
		norm = "none"
	}
	var err error
	if d.X, err = choose(c.String("xnorm"), c.String("xignore"), norm); err != nil || line {
		return err
	}
	y, err := choose(c.String("ynorm"), orElse(c.String("yignore"), c.String("xignore")), d.X.Norm)
	d.Y = &y
	return err
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// chooseType reads --dir-type. A difference of checkpoints is over states where there are
// running statistics: halfway between two networks those of neither fit.
func (s *subject) chooseType(c *cli.Context, difference bool) (states bool, err error) {
	switch c.String("dir-type") {
	case "weights":
		return false, nil
	case "states":
		return true, nil
	case "":
		return difference && s.graph.HasRunningStatistics(), nil
	}
	return false, usagef("--dir-type %s: weights or states", c.String("dir-type"))
}

func typeName(states bool) string {
	if states {
		return "states"
	}
	return "weights"
}

func (s *subject) directionsFromFile(c *cli.Context, path string, line bool, d *shard.Directions, plane *nn.Plane) error {
	data, err := files.ReadFile(path)
	if err != nil {
		return err
	}
	x, y, states, err := decodePlane(data, s.graph)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if want := c.String("dir-type"); want != "" && want != typeName(states) {
		return usagef("--dir-type %s: %s holds directions over %s", want, path, typeName(states))
	}
	if !line && y == nil {
		return usagef("%s holds one direction: leave out --y", path)
	}
	d.Source, d.Type, d.File = "file", typeName(states), baseName(path)
	d.Seed, d.Index = 0, 0
	plane.X = x
	if !line {
		plane.Y = y
	}
	return nil
}

func (s *subject) directionsToCheckpoints(second, third string, states bool, d *shard.Directions, plane *nn.Plane) error {
	d.Source, d.Type = "checkpoints", typeName(states)
	d.Seed, d.Index = 0, 0
	to := func(path string, axis *shard.Direction, at nn.Point) (nn.Params, error) {
		file, err := checkpoint.Read(path)
		if err != nil {
			return nil, err
		}
		other, err := fit(file, s.graph, path)
		if err != nil {
			return nil, err
		}
		from := source(file, path)
		axis.Checkpoint = &from
		s.ends = append(s.ends, end{from.File, at, other})
		return direction.Difference(s.graph, s.theta, other, states)
	}
	var err error
	if plane.X, err = to(second, &d.X, nn.Point{Alpha: 1}); err != nil || third == "" {
		return err
	}
	plane.Y, err = to(third, d.Y, nn.Point{Beta: 1})
	return err
}

func (s *subject) randomDirections(states, line bool, d *shard.Directions, plane *nn.Plane) {
	d.Source, d.Type = "random", typeName(states)
	key := direction.Key{Seed: d.Seed, Index: d.Index, Axis: "x"}
	plane.X = direction.Random(s.graph, states, key)
	if line {
		return
	}
	if !d.Same {
		key.Axis = "y"
	}
	plane.Y = direction.Random(s.graph, states, key)
}

// normalise scales both directions as planned and says how many filters are zero. Those
// that are not random and for which nothing was asked stay as they are: even without a
// norm, normalising would copy θ into the entries of one dimension.
func (s *subject) normalise(c *cli.Context, d *shard.Directions, plane *nn.Plane) error {
	for _, axis := range []struct {
		name   string
		params nn.Params
		how    *shard.Direction
	}{{"x", plane.X, &d.X}, {"y", plane.Y, d.Y}} {
		asIs := d.Source != "random" && axis.how != nil && axis.how.Norm == "none" && axis.how.Ignore == "none"
		if axis.params == nil || asIs {
			continue
		}
		report, err := direction.Normalize(s.graph, axis.params, s.theta, direction.Norm(axis.how.Norm), direction.Ignore(axis.how.Ignore))
		if err != nil {
			return fmt.Errorf("direction %s: %w", axis.name, err)
		}
		if report.ZeroFilters > 0 {
			fmt.Fprintf(c.App.ErrWriter, "lsrun: direction %s is zero in %s whose norm is zero\n", axis.name, plural(report.ZeroFilters, "filter"))
		}
	}
	return nil
}

// encodePlane makes the run's two data files and enters their digests in the plan.
func encodePlane(plan *shard.Plan, s *subject, plane nn.Plane) (theta, directions []byte, err error) {
	metadata := map[string]string{sourceKey: plan.Checkpoint.File, digestKey: plan.Checkpoint.SHA256,
		verifiedKey: strconv.FormatBool(plan.Checkpoint.Verified), "model": plan.Network.Model}
	if s.file.Epoch != nil {
		metadata["epoch"] = strconv.Itoa(*s.file.Epoch)
	}
	if s.file.Accuracy != nil {
		metadata["accuracy"] = strconv.FormatFloat(*s.file.Accuracy, 'g', -1, 64)
	}
	if theta, err = checkpoint.Encode(plane.Theta, metadata); err != nil {
		return nil, nil, err
	}
	plan.Checkpoint.Theta = digest(theta)
	if directions, err = encodeDirections(s.graph, plane.X, plane.Y, plan.Directions.Type == "states"); err != nil {
		return nil, nil, err
	}
	plan.Directions.SHA256 = digest(directions)
	return theta, directions, nil
}

// encodeDirections is the file of one or two directions as a run has it: y may be nil.
func encodeDirections(graph *nn.Graph, x, y nn.Params, states bool) ([]byte, error) {
	out := &h5.Directions{X: direction.FileOrder(graph, x, states)}
	if y != nil {
		out.Y = direction.FileOrder(graph, y, states)
	}
	return h5.EncodeDirections(out)
}

// adoptPlan sets every flag that was not given to what the plan of the run at dir says.
func adoptPlan(c *cli.Context, dir string) error {
	if dir == "" {
		return nil
	}
	run, err := shard.Open(files, dir)
	if err != nil {
		return fmt.Errorf("--like: %w", err)
	}
	p := run.Plan
	values := map[string]string{
		"checkpoint": filepath.Join(dir, thetaFile), "model": p.Network.Model, "classes": strconv.Itoa(p.Network.Classes),
		"dataset": p.Data.Dataset, "data": p.Data.Path, "labels": p.Data.LabelsFile,
		"data-split": strconv.Itoa(max(p.Data.Splits, 1)), "split-idx": strconv.Itoa(p.Data.SplitIndex), "subset": strconv.Itoa(p.Data.Subset),
		"x": p.Grid.X.String(), "metrics": metricSets(p), "loss": p.Loss,
		"subset-seed": strconv.FormatUint(p.Data.Seed, 10), "device": p.Device, "kernel": p.Kernel, "mix": strconv.FormatBool(p.Mix),
		"workers-hint": strconv.Itoa(p.Work.Workers),
	}
	if p.Grid.Y != nil {
		values["y"] = p.Grid.Y.String()
	}
	if !c.IsSet("preprocess") && !c.Bool("raw-data") && !c.IsSet("mean") {
		if p.Data.Preprocess == "custom" {
			values["mean"], values["std"] = joined(p.Data.Mean), joined(p.Data.Std)
		} else {
			values["preprocess"] = p.Data.Preprocess
		}
	}
	switch d := p.Directions; {
	case c.IsSet("checkpoint2") || c.IsSet("dir-file") || c.IsSet("dir-x"): // other directions, with their own defaults
	case d.Source == "random":
		values["seed"], values["idx"], values["same-dir"] = strconv.FormatUint(d.Seed, 10), strconv.Itoa(d.Index), strconv.FormatBool(d.Same)
		values["dir-type"], values["xnorm"], values["xignore"] = d.Type, d.X.Norm, d.X.Ignore
		if d.Y != nil {
			values["ynorm"], values["yignore"] = d.Y.Norm, d.Y.Ignore
		}
	default:
		values["dir-file"] = filepath.Join(dir, directionsFile) // normalised already
	}
	if h := p.Hessian; h != nil && (!c.IsSet("hessian") || c.Bool("hessian")) {
		maps.Copy(values, hessianValues(h))
		if !c.IsSet("x") && !c.IsSet("y") {
			values["hessian-grid"] = hessianGrid(h, p.Grid)
		} else if !c.IsSet("hessian-grid") && (h.StepX > 1 || h.StepY > 1) {
			return usagef("--like %s: its Hessians are at some points only: say at which of these axes with --hessian-grid", dir)
		}
	}
	for name, value := range values {
		if value == "" || c.IsSet(name) {
			continue
		}
		if err := c.Set(name, value); err != nil {
			return fmt.Errorf("--like %s: %s: %w", dir, name, err)
		}
	}
	return nil
}

// metricSets is the value of --metrics that gives the plan's metrics.
func metricSets(p *shard.Plan) string {
	var sets []string
	for _, m := range p.Metrics {
		if set, ok := strings.CutSuffix(m.Name, "_loss"); ok {
			sets = append(sets, set)
		}
	}
	return strings.Join(sets, ",")
}

func joined(values []float64) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strings.Join(words, ",")
}
