package ref_test

import (
	"testing"

	"lsrun/nn/engine/conformance"
	"lsrun/nn/ref"
)

func TestTrainingIsThatOfPyTorch(t *testing.T) {
	conformance.TrainingOfPyTorch(t, 1e-6, "../../testdata/training/training.json", ref.New)
}
