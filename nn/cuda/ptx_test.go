package cuda

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"unsafe"
)

func TestTheCompiledKernelsAreCurrent(t *testing.T) {
	out, err := exec.Command("./kernels/compile").Output()
	if err != nil {
		t.Fatalf("compile the kernels (make setup installs clang-19): %v", err)
	}
	if header := regexp.MustCompile(`(?m)^//.*\n`); header.ReplaceAllString(string(out), "") != header.ReplaceAllString(string(ptx()), "") {
		t.Error("kernels/kernels.ptx.gz is not what its source gives: run go generate ./nn/cuda")
	}
}

func TestKernelsTakeWhatTheyAreGiven(t *testing.T) {
	var (
		conv     = unsafe.Sizeof(convArguments{})
		elements = unsafe.Sizeof(elementArguments{})
	)
	want := map[string]uintptr{
		"perturb": unsafe.Sizeof(perturbArguments{}), "peak": unsafe.Sizeof(peakArguments{}), "pack": unsafe.Sizeof(packArguments{}), "fold": unsafe.Sizeof(foldArguments{}),
		"weighPatches": unsafe.Sizeof(weighArguments{}),
		"affine":       elements, "pool": elements, "softmax": elements, "subsample": elements, "flatten": elements, "grouped": conv,
	}
	for size, names := range map[uintptr][]string{
		unsafe.Sizeof(combineArguments{}):    {"combine64", "tangent", "adjoint", "sums", "adjointSums"},
		unsafe.Sizeof(parametersArguments{}): {"fill", "fillNorms", "pull", "pullNorms"},
		unsafe.Sizeof(reduceArguments{}):     {"reduce"},
		unsafe.Sizeof(vectorsArguments{}):    {"vectorDots", "vectorSums", "vectorAdd", "vectorScale", "vectorRotate", "vectorGive", "vectorTake"},
		unsafe.Sizeof(convertArguments{}):    {"widen", "narrow", "zero"},
		unsafe.Sizeof(windowArguments{}):     {"pool64", "pool32", "poolBack", "move64", "move32", "moveBack"},
		unsafe.Sizeof(normaliseArguments{}):  {"normalise64", "normaliseTangent", "normaliseBack"},
	} {
		for _, name := range names {
			want[name] = size
		}
	}
	for _, name := range []string{"forward64", "forward", "back", "weigh"} {
		for _, n := range []string{"16", "32", "64"} {
			want[name+"_"+n] = unsafe.Sizeof(contractArguments{})
		}
	}
	for _, p := range precisions {
		for _, n := range []string{"16", "32", "64"} {
			want["product_"+p.products().String()+"_"+n] = conv
			if p != Float32 {
				want["patch_"+p.String()+"_"+n] = unsafe.Sizeof(patchArguments{})
			}
		}
	}
	entries := regexp.MustCompile(`\.entry (\w+)\(\s*([^)]*)\)`).FindAllStringSubmatch(string(ptx()), -1)
	structure := regexp.MustCompile(`^\.param \.align 8 \.b8 \w+\[(\d+)\]\s*$`)
	found := map[string]bool{}
	for _, e := range entries {
		name := e[1]
		found[name] = true
		p := structure.FindStringSubmatch(e[2])
		if p == nil {
			t.Errorf("kernel %s takes %q, not one structure", name, e[2])
			continue
		}
		if size, _ := strconv.Atoi(p[1]); uintptr(size) != want[name] {
			t.Errorf("kernel %s takes %d bytes, but is given %d", name, size, want[name])
		}
	}
	for name := range want {
		if !found[name] {
			t.Errorf("there is no kernel %s", name)
		}
	}
}
