package nn_test

import (
	"math"
	"testing"

	"lsrun/nn"
)

var (
	inf = math.Inf(1)
	nan = math.NaN()
)

// The values are PyTorch's, in float64.
func TestLossesAreThoseOfPyTorch(t *testing.T) {
	for _, c := range []struct {
		logits            []float64
		label             int
		crossEntropy, mse float64
	}{
		{[]float64{1, 2, 3}, 0, 2.4076059644443806, 0.4434939705165479},
		{[]float64{1000, 0, -1000}, 0, 0, 0},
		{[]float64{1000, 0, -1000}, 1, 1000, 2. / 3},
		{[]float64{-1e4, -1e4}, 1, 0.6931471805599453, 0.25},
		{[]float64{0.3, -1.2, 2.5, 0.1}, 2, 0.20395635930649844, 0.01202136966317495},
		{[]float64{-inf, 0}, 0, inf, 1},
		{[]float64{-inf, 0}, 1, 0, 0},
		{[]float64{inf, 0}, 0, nan, nan},
		{[]float64{inf, 0}, 1, nan, nan},
		{[]float64{inf, inf}, 1, nan, nan},
		{[]float64{-inf, -inf}, 0, nan, nan},
		{[]float64{nan, 0}, 1, nan, nan},
		{[]float64{0, 5, nan}, 1, nan, nan},
	} {
		alike(t, c.logits, c.label, nn.CrossEntropy, c.crossEntropy)
		alike(t, c.logits, c.label, nn.MSE, c.mse)
	}
}

func alike(t *testing.T, logits []float64, label int, loss nn.Loss, want float64) {
	t.Helper()
	got := loss.Image(logits, label)
	same := got == want || math.IsNaN(got) && math.IsNaN(want)
	if !same && !(math.Abs(got-want) <= 4e-16*math.Abs(want)) {
		t.Errorf("%v of %v for label %d is %v, PyTorch has %v", loss, logits, label, got, want)
	}
}

func TestThePredictionIsTheFirstLargestOrTheFirstNaN(t *testing.T) {
	for _, c := range []struct {
		logits []float64
		want   int
	}{
		{[]float64{1}, 0},
		{[]float64{1, 5, 3}, 1},
		{[]float64{2, 2, 1}, 0},
		{[]float64{1, 2, 2}, 1},
		{[]float64{-inf, -inf}, 0},
		{[]float64{1, nan, 3}, 1},
		{[]float64{inf, nan}, 1},
		{[]float64{nan, inf}, 0},
		{[]float64{-inf, -1e300}, 1},
	} {
		if got := nn.Predict(c.logits); got != c.want {
			t.Errorf("of %v class %d is predicted, PyTorch says %d", c.logits, got, c.want)
		}
	}
}

func TestLossesAreFoundByTheirNames(t *testing.T) {
	for _, loss := range []nn.Loss{nn.CrossEntropy, nn.MSE} {
		if got, err := nn.ParseLoss(loss.String()); got != loss || err != nil {
			t.Errorf("ParseLoss(%q) = %v, %v", loss, got, err)
		}
	}
	if _, err := nn.ParseLoss("hinge"); err == nil {
		t.Error("the unknown loss hinge is no error")
	}
}
