package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"lsrun/nn"
	"lsrun/nn/zoo"
	"lsrun/shard"
)

// caption says what was computed: network, directions, and of the metric drawn (of both
// losses if it is empty) the number of images and the largest standard error.
func caption(surface *shard.Surface, metric string) string {
	return sentence(captionParts(surface, metric))
}

// sentence joins parts.
func sentence(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, "; ") + "."
}

// commonCaption is the caption of a picture of several surfaces: what holds for one name only comes after it, what holds for
// all at the end. Of surfaces with one name it tells the first, and how many there are.
func commonCaption(all []namedSurface, metric string) string {
	of := make([][]string, len(all))
	for k, s := range all {
		of[k] = captionParts(s.Surface, metric)
	}
	var common []string
	for _, part := range of[0] {
		if !slices.ContainsFunc(of, func(parts []string) bool { return !slices.Contains(parts, part) }) {
			common = append(common, part)
		}
	}
	var own []string
	groups := byName(all)
	if all[0].Y != nil { // planes are panels, of one name or not
		groups = nil
		for k := range all {
			groups = append(groups, []int{k})
		}
	}
	for _, group := range groups {
		first := group[0]
		parts := slices.DeleteFunc(slices.Clone(of[first]), func(part string) bool { return slices.Contains(common, part) })
		if len(parts) == 0 {
			continue
		}
		text := all[first].name + ": " + strings.Join(parts, ", ")
		if len(group) > 1 {
			text += fmt.Sprintf(" (the first of %d)", len(group))
		}
		own = append(own, text)
	}
	return sentence(slices.Concat(own, common))
}

// pictureFacts is what a picture's file says: the whole caption of every surface.
func pictureFacts(all []namedSurface, metric string) string {
	var lines []string
	for _, s := range all {
		text := caption(s.Surface, metric)
		if len(all) > 1 && text != "" {
			text = s.name + ": " + text
		}
		if text != "" {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n")
}

// captionParts are the facts that a caption joins; none where nobody knows.
func captionParts(surface *shard.Surface, metric string) []string {
	plan := planOf(surface)
	if plan == nil {
		return nil
	}
	verified := ""
	if plan.Checkpoint.Verified {
		verified = " (logits compared with PyTorch)"
	}
	parts := []string{fmt.Sprintf("%s, %s%s", plan.Network.Model, plan.Checkpoint.File, verified),
		fmt.Sprintf("directions over %s, %s", plan.Directions.Type, describeSource(plan.Directions))}
	if text := describeBatchNorm(plan); text != "" {
		parts = append(parts, text)
	}
	metrics := []string{"train_loss", "test_loss"}
	if metric != "" {
		metrics = []string{metric}
	}
	for _, name := range metrics {
		layer := surface.Layer(name)
		switch {
		case layer == nil:
		case plan.Hessian != nil && isCurvature(name):
			parts = append(parts, "Hessian "+describeHessian(plan.Hessian))
		default:
			parts = append(parts, describeSample(plan.Data, layer))
		}
	}
	if plan.Loss != nn.CrossEntropy.String() {
		parts = append(parts, "the loss is "+plan.Loss+" on the softmax")
	}
	if plan.Data.LabelsFile != "" {
		parts = append(parts, "labels from "+baseName(plan.Data.LabelsFile))
	}
	return parts
}

// describeBatchNorm says what becomes of running statistics off the origin; nothing where there are none.
func describeBatchNorm(plan *shard.Plan) string {
	switch {
	case !hasRunningStatistics(plan):
		return ""
	case plan.Directions.Type == "states":
		return "batch norm's running statistics interpolated"
	}
	return "batch norm's running statistics frozen"
}

// hasRunningStatistics reports whether the plan's network, if this lsrun knows it, has batch norms.
func hasRunningStatistics(plan *shard.Plan) bool {
	graph, err := zoo.New(plan.Network.Model, zoo.Options{Classes: plan.Network.Classes, Input: plan.Network.Input})
	return err == nil && graph.HasRunningStatistics()
}

// describeSample says which images a layer is the mean over, and how far that may be from
// the mean over all of them.
func describeSample(d shard.Data, layer *shard.Layer) string {
	n, of, name := d.Train, d.TrainOf, "training"
	if strings.HasPrefix(layer.Name, "test_") {
		n, of, name = d.Test, d.TestOf, "test"
	}
	if n == of {
		return fmt.Sprintf("all %s %s images", count(int64(n)), name)
	}
	images := fmt.Sprintf("%s of %s %s images", count(int64(n)), count(int64(of)), name)
	if d.Subset > 0 {
		images += fmt.Sprintf(" (seed %d)", d.Seed)
	}
	k := largest(layer.Beside[standardError])
	if k < 0 {
		return images
	}
	what, unit := "loss", ""
	if strings.HasSuffix(layer.Name, "_acc") {
		what, unit = "accuracy", " %"
	}
	return fmt.Sprintf("%s, standard error at most %.2g%s (where the %s is %.4g%s)",
		images, layer.Beside[standardError][k], unit, what, layer.Values[k], unit)
}

// describeSource says in a few words where directions come from.
func describeSource(d shard.Directions) string {
	switch d.Source {
	case "random":
		if d.Y != nil && *d.Y != d.X {
			return fmt.Sprintf("random (seed %d, idx %d), x normalised by %s with %s ignored, y by %s with %s ignored",
				d.Seed, d.Index, d.X.Norm, d.X.Ignore, d.Y.Norm, d.Y.Ignore)
		}
		return fmt.Sprintf("random (seed %d, idx %d), normalised by %s with %s ignored", d.Seed, d.Index, d.X.Norm, d.X.Ignore)
	case "checkpoints":
		if d.Y != nil {
			return fmt.Sprintf("x to %s%s, y to %s%s", d.X.Checkpoint.File, describeNorm(d.X), d.Y.Checkpoint.File, describeNorm(*d.Y))
		}
		return "to " + d.X.Checkpoint.File + describeNorm(d.X)
	}
	if d.Source == eigenvectors {
		return describeEigenvectors(d)
	}
	if d.Y != nil && *d.Y != d.X {
		return fmt.Sprintf("from %s, x%s, y%s", d.File, orElse(describeNorm(d.X), " as it is"), orElse(describeNorm(*d.Y), " as it is"))
	}
	return "from " + d.File + describeNorm(d.X)
}

// describeNorm is what became of a direction that was there; nothing if it is as it was.
func describeNorm(d shard.Direction) string {
	if d.Norm == "none" && d.Ignore == "none" {
		return ""
	}
	return fmt.Sprintf(" normalised by %s with %s ignored", d.Norm, d.Ignore)
}

// largest is where the largest finite value is, -1 if there is none.
func largest(values []float64) int {
	at := -1
	for k, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) && (at < 0 || v > values[at]) {
			at = k
		}
	}
	return at
}
