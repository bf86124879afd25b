package main

import (
	"testing"

	"lsrun/shard"
)

func TestCaptionsSayWhatBecameOfDirections(t *testing.T) {
	file := func(name string) *shard.Checkpoint { return &shard.Checkpoint{File: name} }
	asIs, layer := shard.Direction{Norm: "none", Ignore: "none"}, shard.Direction{Norm: "layer", Ignore: "biasbn"}
	for want, d := range map[string]shard.Directions{
		"from d.h5": {Source: "file", File: "d.h5", X: asIs, Y: &asIs},
		"from d.h5 normalised by layer with biasbn ignored":                {Source: "file", File: "d.h5", X: layer, Y: &layer},
		"from d.h5, x as it is, y normalised by layer with biasbn ignored": {Source: "file", File: "d.h5", X: asIs, Y: &layer},
		"to b.t7": {Source: "checkpoints", X: shard.Direction{Norm: "none", Ignore: "none", Checkpoint: file("b.t7")}},
		"x to b.t7, y to c.t7 normalised by filter with none ignored":     {Source: "checkpoints", X: shard.Direction{Norm: "none", Ignore: "none", Checkpoint: file("b.t7")}, Y: &shard.Direction{Norm: "filter", Ignore: "none", Checkpoint: file("c.t7")}},
		"random (seed 3, idx 1), normalised by layer with biasbn ignored": {Source: "random", Seed: 3, Index: 1, X: layer, Y: &layer},
	} {
		if got := describeSource(d); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
