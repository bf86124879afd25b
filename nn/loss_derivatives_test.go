package nn_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"lsrun/nn"
)

// The values are differences of the loss itself in numbers of 200 digits, rounded.
func TestDerivativesOfLossesAreExact(t *testing.T) {
	text, err := os.ReadFile("testdata/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Loss            string
		Logits, Tangent []float64
		Label           int
		Gradient        []float64
		Product         []float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range cases {
		loss, err := nn.ParseLoss(c.Loss)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float64, len(c.Logits))
		loss.Gradient(got, c.Logits, c.Label)
		accurate(t, c.Gradient, got, loss, "gradient", c.Logits)
		loss.Product(got, c.Logits, c.Tangent, c.Label)
		accurate(t, c.Product, got, loss, "product", c.Logits)

		got = append(got[:0], c.Logits...)
		loss.Gradient(got, got, c.Label)
		accurate(t, c.Gradient, got, loss, "gradient in place", c.Logits)
		got = append(got[:0], c.Logits...)
		loss.Product(got, got, c.Tangent, c.Label)
		accurate(t, c.Product, got, loss, "product in place", c.Logits)
	}
}

// accurate allows each element a few roundings of its own size, and those of a sum that cancels.
func accurate(t *testing.T, want, got []float64, loss nn.Loss, what string, logits []float64) {
	t.Helper()
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for k, v := range want {
		if !(math.Abs(got[k]-v) <= 1e-13*math.Abs(v)+1e-16*largest) {
			t.Errorf("%s of %v at %v: element %d is %v, not %v", what, loss, logits, k, got[k], v)
		}
	}
}

func TestDerivativesOfLossesThatAreNotFiniteAreNaN(t *testing.T) {
	for _, loss := range []nn.Loss{nn.CrossEntropy, nn.MSE} {
		for _, logits := range [][]float64{{nan}, {inf}, {inf, 0}, {inf, inf}, {-inf, -inf}, {nan, 0}, {0, 5, nan}} {
			for label := range logits {
				got, ones := make([]float64, len(logits)), make([]float64, len(logits))
				loss.Gradient(got, logits, label)
				allNaN(t, got, loss, "gradient", logits)
				loss.Product(got, logits, ones, label)
				allNaN(t, got, loss, "product", logits)
			}
		}
	}
}

func allNaN(t *testing.T, got []float64, loss nn.Loss, what string, logits []float64) {
	t.Helper()
	for _, v := range got {
		if v == v {
			t.Errorf("%s of %v at %v is %v", what, loss, logits, got)
			return
		}
	}
}

// An impossible class takes no part.
func TestALogitOfMinusInfinityHasNoDerivatives(t *testing.T) {
	logits, tangent := []float64{1, -inf, 2}, []float64{0.5, 3, -1}
	for _, loss := range []nn.Loss{nn.CrossEntropy, nn.MSE} {
		got := make([]float64, 3)
		loss.Gradient(got, logits, 0)
		if got[1] != 0 || !(got[0] < 0) {
			t.Errorf("gradient of %v is %v", loss, got)
		}
		loss.Product(got, logits, tangent, 0)
		if got[1] != 0 || got[0] == 0 || got[0] != got[0] {
			t.Errorf("product of %v is %v", loss, got)
		}
	}
}
