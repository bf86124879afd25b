package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"lsrun/io/dataset"
	"lsrun/io/shared"
	"lsrun/nn"
	"lsrun/shard"
)

// workerImages is loadImages for one of so many workers that were started together on this host: several hold the images together,
// and one of them reads the data. Where that does not work, it says so and loads its own.
func (j *job) workerImages(ctx context.Context, stderr io.Writer, workers int, path, labels string) (images, error) {
	defer debug.FreeOSMemory() // files and bytes, more than preprocessed images need to work on
	if workers > 1 {
		data, err := j.sharedImages(ctx, path, labels)
		if !errors.Is(err, shared.ErrUnavailable) {
			return data, err
		}
		fmt.Fprintf(stderr, "lsrun: %v: this worker loads images of its own\n", err)
	}
	_, data, err := j.loadImages(path, labels)
	return data, err
}

// sharedImages are the plan's images in memory that all workers of this user on this host have in common.
func (j *job) sharedImages(ctx context.Context, path, labels string) (images, error) {
	name, err := j.imagesName()
	if err != nil {
		return images{}, err
	}
	shape, d := j.graph.Input, j.plan.Data
	size := dataset.RoomFor(shape, d.Train) + dataset.RoomFor(shape, d.Test)
	data, err := shared.Hold(ctx, name, size, func(room []byte) error {
		_, _, err := j.loadImagesInto(imagesInRoom(room, shape, d), path, labels)
		return err
	})
	if err != nil {
		return images{}, err
	}
	out := imagesInRoom(data, shape, d)
	for _, set := range []*nn.Images{out.train, out.test} {
		if set == nil {
			continue
		}
		if err := set.Check(j.graph); err != nil {
			return images{}, fmt.Errorf("images that another worker shares: %w", err)
		}
	}
	return out, nil
}

// imagesName is the SHA-256 of all that determines the images' bits.
func (j *job) imagesName() (string, error) {
	d := j.plan.Data
	d.Path, d.LabelsFile = "", "" // their digests say more
	text, err := json.Marshal([]any{evaluatorVersion, j.graph.Input, d})
	return digest(text), err
}

// imagesInRoom are the images of the training set and, behind them, of the test set.
func imagesInRoom(room []byte, shape nn.Shape, d shard.Data) (out images) {
	if d.Train > 0 {
		out.train = dataset.InRoom(room, shape, d.Train)
	}
	if d.Test > 0 {
		out.test = dataset.InRoom(room[dataset.RoomFor(shape, d.Train):], shape, d.Test)
	}
	return out
}
