package dataset

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"lsrun/shard"
)

// folder is a directory, or a .tar.gz whose files are taken by their base names.
type folder struct {
	path  string
	names []string          // of its files
	files map[string][]byte // of an archive
}

// find opens place and those of the folders below it that are there, and returns the ones
// that hold a wanted file. The error says what was looked for and what was found.
func find(what, place string, below, wanted []string) ([]folder, error) {
	top, err := open(place)
	if err != nil {
		return nil, err
	}
	candidates := []folder{top}
	if top.files == nil {
		for _, name := range below {
			if f, err := open(filepath.Join(place, filepath.FromSlash(name))); err == nil {
				candidates = append(candidates, f)
			}
		}
	}
	var found []folder
	for _, f := range candidates {
		if f.hasAny(wanted) {
			found = append(found, f)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	in := ""
	if len(below) > 0 {
		in = ", also in " + strings.Join(below, ", ")
	}
	return nil, fmt.Errorf("%s: no %s here: looked for %s%s; it holds %s: %w",
		place, what, strings.Join(wanted, ", "), in, few(top.names), fs.ErrNotExist)
}

func few(names []string) string {
	switch {
	case len(names) == 0:
		return "nothing"
	case len(names) > 8:
		return strings.Join(names[:8], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

func open(place string) (folder, error) {
	info, err := os.Stat(place)
	if err != nil {
		return folder{}, err
	}
	if !info.IsDir() {
		return openArchive(place)
	}
	entries, err := os.ReadDir(place)
	f := folder{path: place}
	for _, e := range entries {
		f.names = append(f.names, e.Name())
	}
	return f, err
}

func openArchive(place string) (folder, error) {
	f := folder{path: place, files: map[string][]byte{}}
	file, err := os.Open(place)
	if err != nil {
		return f, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return f, fmt.Errorf("%s is neither a folder nor a .tar.gz archive: name the folder of the data", place)
	}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err == nil && header.Typeflag == tar.TypeReg {
			name := path.Base(header.Name)
			f.names = append(f.names, name)
			f.files[name], err = io.ReadAll(archive)
		}
		if err != nil {
			return f, fmt.Errorf("%w: %s: %w: fetch it again", shard.ErrCorrupt, place, err)
		}
	}
}

func (f folder) has(name string) bool { return slices.Contains(f.names, name) }

func (f folder) hasAny(names []string) bool { return slices.ContainsFunc(names, f.has) }

// file is where a name of the folder lies, for messages.
func (f folder) file(name string) string { return filepath.Join(f.path, name) }

func (f folder) read(name string) ([]byte, error) {
	if f.files == nil {
		return os.ReadFile(f.file(name))
	}
	return f.files[name], nil
}
