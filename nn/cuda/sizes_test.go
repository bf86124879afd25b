package cuda

import (
	"math"
	"testing"

	"lsrun/nn"
	"lsrun/nn/zoo/formula"
)

// TestPatchesTakeNumbersOfAnySize has pixels and outputs over 150 powers of two, whose products float32 holds, and among them a
// pixel and an output of zeros, and both with what is subnormal. The pixels of every other output are seen one by one.
func TestPatchesTakeNumbersOfAnySize(t *testing.T) {
	const channels, outputs, side, pixels = 16, 24, 8, 64
	b := nn.NewBuilder("sizes", nn.Shape{channels, side, side})
	b.Add("flatten", nn.Flatten{}, b.Add("conv", nn.Conv2d(outputs, 3, 1, 1), 0))
	g, err := b.Graph()
	if err != nil {
		t.Fatal(err)
	}
	// exponent goes through from … to in some order.
	exponent := func(i, from, to int) int { return from + i*53%(to-from+1) }
	for _, sizes := range []struct{ pixel, output [2]int }{
		{[2]int{-90, 60}, [2]int{-60, 60}},
		{[2]int{-60, 90}, [2]int{-60, 30}},
	} {
		images, states := formula.Images(1, 1, g.Input), formula.States(g, 1, 1)
		x, w := images.Pixels, states[0].Data
		for i := range x {
			switch p := i % pixels; p {
			case 20:
				x[i] = 0
			case 21:
				x[i] = float32(math.Ldexp(float64(x[i]), -130))
			default:
				x[i] = float32(math.Ldexp(float64(x[i]), exponent(p, sizes.pixel[0], sizes.pixel[1])))
			}
		}
		for i := range w {
			o, place := i/9/channels, i%9
			switch {
			case o == 5 || o%2 == 1 && place != 4:
				w[i] = 0
			case o == 6 && place == 3:
				w[i] = float32(math.Ldexp(float64(w[i]), -130))
			default:
				w[i] = float32(math.Ldexp(float64(w[i]), exponent(o, sizes.output[0], sizes.output[1])))
			}
		}
		for _, precision := range []Precision{FP16x3, TF32x3} {
			h, err := newHost()
			if err != nil {
				t.Fatal(err)
			}
			e, err := newEngine(g, nn.CrossEntropy, precision, h)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if s, ok := e.program.steps[0].(*product); !ok || !s.patch {
				t.Fatal("the convolution is not computed by patch.h")
			}
			if err := e.SetPlane(nn.Plane{Theta: states}); err != nil {
				t.Fatal(err)
			}
			set, err := e.Load(images)
			if err != nil {
				t.Fatal(err)
			}
			logits, worst := evaluate(t, e, set, 1), 0.0
			if e.exactLogits != nil {
				t.Errorf("%s: logits were not finite and were evaluated again", precision)
			}
			for k, z := range logits {
				o, y0, x0 := k/pixels, k%pixels/side-1, k%side-1
				var sum, size, weights float64
				for i := range 9 * channels {
					c, y, column := i/9, y0+i%9/3, x0+i%3
					if y < 0 || y >= side || column < 0 || column >= side {
						continue
					}
					a, b := float64(w[o*9*channels+i]), float64(x[c*pixels+y*side+column])
					sum, size, weights = sum+float64(a*b), size+math.Abs(a*b), weights+math.Abs(a)
				}
				// Of pixels 2⁻¹³⁶ may be lost, and of every term what float32 does not reach.
				bound := math.Ldexp(size, -20) + math.Ldexp(weights, -136) + math.Ldexp(9*channels, -150)
				worst = max(worst, math.Abs(float64(z)-sum)/bound)
			}
			if !(worst <= 1) {
				t.Errorf("%s, pixels of 2^%v and outputs of 2^%v: the error is %.2g of its bound", precision, sizes.pixel, sizes.output, worst)
			}
		}
	}
}
