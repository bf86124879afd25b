package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/urfave/cli/v2"

	"lsrun/io/dataset"
	"lsrun/nn"
	"lsrun/nn/engine"
)

// logitsTolerance bounds the difference from PyTorch's logits, relative in norm: float32
// arithmetic in another order stays well under it, another network far above.
const logitsTolerance = 1e-4

var checkCommand = &cli.Command{
	Name:  "check",
	Usage: "load a network, evaluate it on the data, and compare it with PyTorch",
	Description: `Prints a Python snippet that saves what PyTorch computes on a few images; then
--logits FILE compares. Give plan the same --logits to have it recorded in plan and surface.`,
	Flags: slices.Concat(networkFlags, dataFlags, []cli.Flag{
		&cli.StringFlag{Name: "loss", Usage: "crossentropy or mse", Value: "crossentropy"},
		&cli.StringFlag{Name: "logits", Usage: "an .npz `FILE` with PyTorch's logits, written by the snippet"},
		&cli.IntFlag{Name: "threads", Usage: "threads", DefaultText: "all cores"},
	}),
	Action: checkAction,
}

func checkAction(c *cli.Context) error {
	if c.NArg() > 0 {
		return usagef("check takes flags only, and got %q", c.Args().Slice())
	}
	s, err := readSubject(c)
	if err != nil {
		return err
	}
	out := c.App.Writer
	fmt.Fprintf(out, "network     %s: %s parameters, %s entries, all found in %s (%s)\n", s.graph.Name,
		count(int64(s.graph.Parameters())), count(int64(len(s.graph.Entries))), c.String("checkpoint"), s.file.Format)
	for _, note := range s.file.Notes {
		fmt.Fprintf(out, "            %s\n", note)
	}
	trial, err := s.tryAlone(c, onCPU, "")
	if err != nil {
		return err
	}
	trial.report(c, s)
	file := c.String("logits")
	if file == "" {
		fmt.Fprintf(out, "\nTo compare with PyTorch, run this where your network is defined, then add --logits ref.npz:\n\n%s", snippet(c.String("checkpoint"), s.graph))
		return nil
	}
	verdict, err := compareLogits(c.Context, s, file, threads(c))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "logits      %s\n", verdict)
	return nil
}

// snippet is the Python program that writes the file for --logits. It leaves loading the
// checkpoint to its owner's code, so that our reading is compared too.
func snippet(checkpoint string, graph *nn.Graph) string {
	return fmt.Sprintf(`    import numpy, torch
    model = ...     # your network, with %s loaded as you load it for testing
    images = ...    # a batch as your network sees it: a float tensor N×%v, such as next(iter(test_loader))[0]
    model.cpu().eval()
    with torch.no_grad():
        numpy.savez("ref.npz", X=images.numpy(), logits=model(images).numpy())
`, checkpoint, graph.Input)
}

// compareLogits evaluates the network on the images X in an .npz file and compares with
// the logits that it holds. It returns a sentence, or an error where they differ.
func compareLogits(ctx context.Context, s *subject, path string, threads int) (string, error) {
	arrays, err := dataset.ReadArrays(path)
	if err != nil {
		return "", err
	}
	pixels, logits := arrays["X"].Floats, arrays["logits"].Floats
	shape := arrays["X"].Shape
	if len(pixels) == 0 || logits == nil || len(shape) < 2 || !nn.Shape(shape[1:]).Equal(s.graph.Input) {
		return "", fmt.Errorf("%s: it should hold float arrays X (N×%v) and logits (N×%d) of some images: lsrun check prints the snippet that writes them", path, s.graph.Input, s.graph.Classes)
	}
	n := shape[0]
	if len(logits) != n*s.graph.Classes {
		return "", fmt.Errorf("%s: logits has shape %v, but %d images need %d×%d", path, nn.Shape(arrays["logits"].Shape), n, n, s.graph.Classes)
	}
	out, err := s.evaluate(ctx, s.theta, &nn.Images{Shape: s.graph.Input, Pixels: pixels, Labels: make([]int32, n)}, threads)
	if err != nil {
		return "", err
	}
	gap := relativeGap(out.Logits, logits)
	if !(gap <= logitsTolerance) {
		return "", fmt.Errorf("%s: the logits differ from PyTorch's by %.2g relative in norm (allowed: %.0e): --model %s is not the network that wrote %s, or it was not in eval mode", path, gap, logitsTolerance, s.graph.Name, path)
	}
	verdict := fmt.Sprintf("equal PyTorch's on %s up to %.1g relative in norm", plural(n, "image"), gap)
	if where := s.recognise(pixels); where != "" {
		verdict += "; they are " + where + ", preprocessed alike"
	}
	return verdict, nil
}

// evaluate runs the network with the given states over images; the output has logits.
func (s *subject) evaluate(ctx context.Context, states nn.Params, images *nn.Images, threads int) (engine.Output, error) {
	e, err := newEngine(s.graph, s.loss, nn.Plane{Theta: states}, worker{threads: threads}, onCPU, "")
	if err != nil {
		return engine.Output{}, err
	}
	defer e.Close()
	set, err := e.Load(images)
	if err != nil {
		return engine.Output{}, err
	}
	out := engine.NewOutput(images.Len(), s.graph.Classes)
	return out, e.Evaluate(ctx, set, []nn.Point{{}}, []engine.Output{out})
}

// relativeGap is ‖a − b‖/‖b‖.
func relativeGap(a, b []float32) float64 {
	var gap, norm float64
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		gap += float64(d * d)
		norm += float64(float64(b[i]) * float64(b[i]))
	}
	return math.Sqrt(gap / norm)
}

// recognise says which images of the data set the pixels are, as lsrun preprocesses them.
func (s *subject) recognise(pixels []float32) string {
	for _, known := range []struct {
		name   string
		images *nn.Images
	}{{"test", s.images.test}, {"training", s.images.train}} {
		if known.images != nil && len(pixels) <= len(known.images.Pixels) && near(pixels, known.images.Pixels) {
			return fmt.Sprintf("the first %s images of the data", known.name)
		}
	}
	return ""
}

// near reports whether a equals the beginning of b up to rounding.
func near(a, b []float32) bool {
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-5*math.Max(1, math.Abs(float64(b[i]))) {
			return false
		}
	}
	return true
}
