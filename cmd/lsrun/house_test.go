package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath   string
	Name         string
	Imports      []string
	TestImports  []string
	XTestImports []string
	CgoFiles     []string
	Error        *struct{ Err string }
}

// house lists the packages of the module, by import path without the module's name.
func house(t *testing.T) map[string]goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Imports,TestImports,XTestImports,CgoFiles,Error", "lsrun/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := map[string]goPackage{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p goPackage
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages[strings.TrimPrefix(p.ImportPath, "lsrun/")] = p
	}
	return packages
}

// under reports whether path is one of the given packages or lies below one.
func under(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

func TestTheArrowsBetweenPackagesPointAsDesigned(t *testing.T) {
	for path, p := range house(t) {
		for _, full := range p.Imports {
			to, ours := strings.CutPrefix(full, "lsrun/")
			if !ours {
				if strings.HasPrefix(full, "github.com/urfave/cli") && !under(path, "cmd") {
					t.Errorf("%s imports %s: only cmd knows the command line", path, full)
				}
				if strings.HasPrefix(full, "gonum.org/v1/hdf5") && path != "io/h5" {
					t.Errorf("%s imports %s: only io/h5 knows HDF5", path, full)
				}
				continue
			}
			switch {
			case under(to, "cmd"):
				t.Errorf("%s imports %s: nothing imports cmd", path, to)
			case to == "slurm/slurmtest":
				t.Errorf("%s imports %s: only tests do", path, to)
			case under(path, "shard", "hessian", "slurm") && under(to, "nn", "io"):
				t.Errorf("%s imports %s: shard, hessian and slurm know neither networks nor files", path, to)
			case under(path, "slurm") && under(to, "shard"):
				t.Errorf("%s imports %s: slurm does not know shards", path, to)
			case under(path, "nn") && !under(to, "nn"):
				t.Errorf("%s imports %s: nn knows networks only", path, to)
			case path == "nn":
				t.Errorf("nn imports %s: it is the lowest package", to)
			case path == "nn/engine" && to != "nn":
				t.Errorf("nn/engine imports %s: it is an interface over nn", to)
			case path == "nn/train" && to != "nn" && to != "nn/engine":
				t.Errorf("nn/train imports %s: it knows an engine's interface only", to)
			case under(path, "nn/ref", "nn/cpu", "nn/cuda") && under(to, "nn/ref", "nn/cpu", "nn/cuda") && !under(to, path):
				t.Errorf("%s imports %s: engines do not know each other", path, to)
			case under(path, "io") && !under(to, "io", "shard", "nn"):
				t.Errorf("%s imports %s: io knows types only", path, to)
			case under(path, "io/figure", "io/vtk", "io/web") && under(to, "nn"):
				t.Errorf("%s imports %s: pictures show surfaces, not networks", path, to)
			}
		}
	}
}

func TestCgoLivesInH5Alone(t *testing.T) {
	for path, p := range house(t) {
		if len(p.CgoFiles) > 0 && path != "io/h5" {
			t.Errorf("%s uses cgo: %v", path, p.CgoFiles)
		}
	}
}

func TestNoPackageIsCalledIOAndNoneLiesInTheRoot(t *testing.T) {
	for path, p := range house(t) {
		if p.Name == "io" || path == "lsrun" {
			t.Errorf("package %s lies in %q", p.Name, path)
		}
	}
}
