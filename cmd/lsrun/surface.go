package main

import (
	"fmt"
	"os"
	"path/filepath"

	"lsrun/io/h5"
	"lsrun/shard"
)

// loadSurface reads a surface file, or that of the run whose folder path is, and adds the ratios of eigenvalues.
// It returns the file's path too.
func loadSurface(path string) (*shard.Surface, string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file := filepath.Join(path, surfaceFile)
		if !exists(file) && exists(filepath.Join(path, "plan.json")) {
			return nil, "", fmt.Errorf("%w: %s is a run without a surface: lsrun merge %s makes it", shard.ErrIncomplete, path, shard.ShellQuote(path))
		}
		path = file
	}
	data, err := files.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	surface, err := h5.Codec{}.DecodeSurface(data)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	if err := surface.Check(); err != nil {
		return nil, "", fmt.Errorf("%w: %s: %w", shard.ErrCorrupt, path, err)
	}
	addRatios(surface)
	return surface, path, nil
}
