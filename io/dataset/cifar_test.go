package dataset

import (
	"slices"
	"testing"
)

const reference = "../../testdata/reference/data"

func load(t *testing.T, kind, path string) *Set {
	t.Helper()
	set, err := Load(kind, path)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestBothFormsOfCIFARAreTheSameData(t *testing.T) {
	binary := load(t, "cifar10", reference+"/cifar-10-batches-bin")
	python := load(t, "cifar10", reference+"/cifar-10-batches-py")
	if len(binary.Train.Labels) != 640 || len(binary.Test.Labels) != 200 || binary.Classes != 10 {
		t.Fatalf("%d training and %d test images of %d classes", len(binary.Train.Labels), len(binary.Test.Labels), binary.Classes)
	}
	if !slices.Equal(binary.Train.Bytes, python.Train.Bytes) || !slices.Equal(binary.Test.Labels, python.Test.Labels) {
		t.Error("the pixels or labels differ")
	}
	if binary.SHA256 != python.SHA256 {
		t.Errorf("the digests differ: %s and %s", binary.SHA256, python.SHA256)
	}
}

func TestTheParentOfCIFARsFolderWillDo(t *testing.T) {
	if above, in := load(t, "cifar10", reference), load(t, "cifar10", reference+"/cifar-10-batches-py"); above.SHA256 != in.SHA256 {
		t.Error("the digests differ")
	}
}
