package shard

import (
	"slices"
	"testing"
)

func TestThePlannedPartOfASurfaceIsTheCoarseGrid(t *testing.T) {
	s := &Surface{X: []float64{0, 1, 2, 3, 4}, Y: []float64{5, 6, 7}}
	coarse := Layer{Name: "max_eig", Beside: map[string][]float64{"residual": nil}}
	fine := Layer{Name: "train_loss"}
	for k := range 15 {
		status := NotPlanned
		if k%5%2 == 0 && k/5%2 == 0 {
			status = Done
		}
		coarse.Values, coarse.Status = append(coarse.Values, float64(k)), append(coarse.Status, status)
		coarse.Beside["residual"] = append(coarse.Beside["residual"], float64(-k))
		fine.Values, fine.Status = append(fine.Values, float64(100+k)), append(fine.Status, Done)
	}
	s.Layers = []Layer{fine, coarse}
	part := s.Planned("max_eig")
	want := []float64{0, 2, 4, 10, 12, 14}
	if !slices.Equal(part.X, []float64{0, 2, 4}) || !slices.Equal(part.Y, []float64{5, 7}) {
		t.Errorf("the axes are %v and %v", part.X, part.Y)
	}
	if got := part.Layer("max_eig"); !slices.Equal(got.Values, want) || slices.Contains(got.Status, NotPlanned) || got.Beside["residual"][4] != -12 {
		t.Errorf("the layer is %v", got)
	}
	if got := part.Layer("train_loss").Values; got[5] != 114 {
		t.Errorf("the losses are %v", got)
	}
	if s.Planned("train_loss") != s || s.Planned("other") != s {
		t.Error("a whole surface was cut")
	}
}
