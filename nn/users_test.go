package nn

import "testing"

// preactivated is batch norm, ReLU, a convolution, and a linear map behind dropout; with shared, the ReLU has another user.
func preactivated(t *testing.T, kernel int, shared bool) *Graph {
	b := NewBuilder("net", Shape{3, 4, 4})
	norm := b.Add("norm", BatchNorm{Eps: 1e-5}, 0)
	relu := b.Add("relu", ReLU{}, norm)
	x := b.Add("conv", Conv2d(3, kernel, 1, kernel/2), relu)
	if shared {
		x = b.Add("sum", Add{}, x, relu)
	}
	x = b.Add("flat", Flatten{}, x)
	x = b.Add("drop", Dropout{}, x)
	b.Add("linear", Linear{Out: 2, Bias: true}, x)
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAPrologueIsOfAPointwiseConvolutionThatAloneFollows(t *testing.T) {
	for _, c := range []struct {
		kernel int
		shared bool
		want   bool
	}{{1, false, true}, {3, false, false}, {1, true, false}} {
		u := preactivated(t, c.kernel, c.shared).Users()
		relu, conv, ok := u.Prologue(1)
		if ok != c.want || ok && (relu != 2 || conv != 3) {
			t.Errorf("a %d×%d kernel, shared %v: %v, nodes %d and %d", c.kernel, c.kernel, c.shared, ok, relu, conv)
		}
	}
}

func TestUsersAreThoseWhoTakeAnOutput(t *testing.T) {
	g := preactivated(t, 1, true)
	u := g.Users()
	if _, _, ok := u.Only(2); ok {
		t.Error("the ReLU has two users, not one")
	}
	if user, op, ok := u.Only(0); !ok || user != 1 || op != (BatchNorm{Eps: 1e-5}) {
		t.Errorf("the input's only user is %d, %v, %v", user, op, ok)
	}
	if _, _, ok := u.Only(g.Output()); ok {
		t.Error("the output has a user")
	}
	flat := g.Output() - 2
	if !u.OnlyLinear(flat) || u.OnlyLinear(2) || u.OnlyLinear(g.Output()) {
		t.Error("only what is flattened goes to linear maps alone, through dropout")
	}
}
