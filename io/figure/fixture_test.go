package figure

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"

	"lsrun/shard"
)

// reference reads one of the paper's surfaces from testdata, taken from the reference numbers.
func reference(t *testing.T, name string) *shard.Surface {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		X, Y   []float64
		Layers map[string][]any
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	s := &shard.Surface{X: file.X, Y: file.Y}
	for _, name := range []string{"train_loss", "train_acc", "test_loss", "test_acc"} {
		l := shard.Layer{Name: name}
		for _, v := range file.Layers[name] {
			switch v := v.(type) {
			case float64:
				l.Values = append(l.Values, v)
			case string: // JSON has no NaN
				f, err := strconv.ParseFloat(v, 64)
				if err != nil {
					t.Fatal(err)
				}
				l.Values = append(l.Values, f)
			}
		}
		s.Layers = append(s.Layers, l)
	}
	return s
}

// sample is the train_loss f over a grid.
func sample(x, y shard.Axis, f func(x, y float64) float64) *shard.Surface {
	s := &shard.Surface{X: x.Coordinates(), Y: y.Coordinates()}
	l := shard.Layer{Name: "train_loss"}
	for _, b := range s.Y {
		for _, a := range s.X {
			l.Values = append(l.Values, f(a, b))
		}
	}
	s.Layers = []shard.Layer{l}
	return s
}

// bumpy spans decades and has every class of value.
func bumpy() *shard.Surface {
	axis := shard.Axis{Min: -1, Max: 1, N: 51}
	s := sample(axis, axis, func(x, y float64) float64 {
		switch {
		case math.Hypot(x-0.75, y-0.6) < 0.15:
			return math.NaN()
		case x < -0.85 && y > 0.7:
			return math.Inf(1)
		}
		return 0.01 * math.Pow(10, 3*(x*x+1.5*y*y)+0.3*math.Sin(7*x)*math.Cos(6*y))
	})
	l := &s.Layers[0]
	l.Status = make([]shard.Status, len(l.Values))
	for k, v := range l.Values {
		l.Status[k] = shard.StatusOf(v)
		if k%51 > 40 && k/51 < 4 {
			l.Status[k], l.Values[k] = shard.Missing, math.NaN()
		}
	}
	return s
}

// descent is a path of 31 checkpoints to the origin, with two drops of the learning rate.
func descent() Path {
	p := Path{Drops: []int{15, 22}}
	for k := range 31 {
		left := 1 - float64(k)/30
		p.X = append(p.X, -0.9*left*left+0.02*math.Sin(40*left))
		p.Y = append(p.Y, 0.6*left*left*left-0.3*left*(1-left))
		p.Epochs = append(p.Epochs, 10*k)
	}
	return p
}

// parabolas are the losses of five seeds over a line, so steep, that differ so much.
func parabolas(steep, spread float64) []*shard.Surface {
	var all []*shard.Surface
	for seed := range 5 {
		s := &shard.Surface{X: shard.Axis{Min: -1, Max: 1, N: 41}.Coordinates(), Layers: []shard.Layer{{Name: "train_loss"}, {Name: "test_loss"}}}
		for _, x := range s.X {
			v := steep*x*x + 0.2 + 0.3*spread*float64(seed-2)*(0.1+math.Abs(x))
			s.Layers[0].Values = append(s.Layers[0].Values, v)
			s.Layers[1].Values = append(s.Layers[1].Values, v+0.3+0.2*x)
		}
		all = append(all, s)
	}
	return all
}
