package zoo

import "lsrun/nn"

// LeNet-5 as PyTorch users write it: ReLU, max pooling, modules conv1, conv2, fc1, fc2 and
// fc3. Pictures of 28×28 are padded by 2 first, so that both MNIST and 32×32 fit.
var lenets = []model{{"lenet5", mnist, func(b *nn.Builder, classes int) {
	pad := 0
	if in := b.Shape(0); len(in) == 3 && in[1] == 28 && in[2] == 28 {
		pad = 2
	}
	x := halved(b, "1", b.Add("conv1", nn.Conv2d(6, 5, 1, pad).WithBias(), 0))
	x = halved(b, "2", b.Add("conv2", nn.Conv2d(16, 5, 1, 0).WithBias(), x))
	x = b.Add("flatten", nn.Flatten{}, x)
	x = b.Add("relu3", nn.ReLU{}, b.Add("fc1", linear(120), x))
	x = b.Add("relu4", nn.ReLU{}, b.Add("fc2", linear(84), x))
	b.Add("fc3", linear(classes), x)
}}}

// halved is ReLU and max pooling of 2×2.
func halved(b *nn.Builder, n string, x int) int {
	return b.Add("pool"+n, nn.MaxPool{Window: nn.Square(2, 2, 0)}, b.Add("relu"+n, nn.ReLU{}, x))
}
